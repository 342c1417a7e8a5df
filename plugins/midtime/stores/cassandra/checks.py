"""The questions of a preflight: whatever could spoil a snapshot, asked before anything is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from posixpath import normpath

from midtime.errors import StagingSpaceError, StoreAccessError, ToolError
from midtime.model.durations import format_duration
from midtime.model.topology import Topology
from midtime.model.words import counted
from midtime.stores.base import Question
from midtime.stores.cassandra.capture import EXPIRING
from midtime.stores.cassandra.cluster import Cluster, Member
from midtime.stores.cassandra.nodes import files
from midtime.stores.cassandra.nodes.local import LocalNode
from midtime.stores.cassandra.nodetool import Nodetool, Tool
from midtime.stores.cassandra.proving import SYSTEM
from midtime.stores.cassandra.ring import Ring, numbers, read_ring

FLOOR = 1 << 30
"""Bytes that must be free: a snapshot is links, but what Cassandra compacts away meanwhile keeps its room as long as the snapshot is there."""
UNTOUCHED = ("system_distributed", "system_traces")
"""Keyspaces of Cassandra's own that no restore needs: repairs' history, traces."""
# Each tool is run, and what a snapshot's files need of it is used.
_TOOLS = """
try() { "$@" >/dev/null 2>&1 </dev/null || { echo "midtime misses: $*" >&2; exit 65; }; }
try find / -maxdepth 0 -printf '%y %s %i %T@ %P\\0'
try xargs -0 -r true
try stat -f -c '%a %S' /
try sha256sum /dev/null
try tar --null --verbatim-files-from -T /dev/null -cf /dev/null
try timeout -k 1 10 true
try mktemp -u
command -v mkfifo >/dev/null || { echo "midtime misses: mkfifo" >&2; exit 65; }
"""
_READABLE = """
for folder; do
    test -d "$folder" && test -r "$folder" && test -x "$folder" || { echo "midtime cannot read: $folder" >&2; exit 65; }
    blind=$(find -H "$folder" -mindepth 1 -maxdepth 4 -type d ! \\( -readable -executable \\) -print -quit)
    test -z "$blind" || { echo "midtime cannot read: $blind" >&2; exit 65; }
done
"""


def require_own_folders(members: Sequence[Member]) -> None:
    """No two nodes of one machine have a data directory in common: each would be given the other's files.

    :raises StoreAccessError: two have
    """
    owners: dict[tuple[str, str], Member] = {}
    for member in members:
        machine = "" if isinstance(member.node, LocalNode) else member.host
        for folder in {*map(normpath, member.layout.data)}:
            if (other := owners.setdefault((machine, folder), member)) is not member:
                raise StoreAccessError(
                    f"nodes {other.label} and {member.label} are on one machine, and both are said to have {folder}",
                    fix="name each one's own folders in `directories` of the node",
                )


class BackupChecks:
    """What a backup needs of a cluster. Nothing is changed.

    :param opened: its nodes, and nodetool on each; asked by the first question
    :param tags: begins the name of each snapshot of ours
    """

    def __init__(self, topology: Topology, opened: Callable[[], tuple[Cluster, Tool]], keyspaces: Sequence[str], tags: str) -> None:
        self.topology, self.opened, self.keyspaces, self.tags = topology, opened, keyspaces, tags

    def questions(self) -> Iterator[Question]:
        """In an order in which each needs only those before it."""
        yield "is reachable", self._check_reachable
        yield "is whole", self._check_ring
        yield "has every namespace", self._check_keyspaces
        yield "has tools on its nodes", self._check_tools
        yield "lets us read its data", self._check_folders
        yield "has room", self._check_room
        yield "keeps snapshots", self._check_snapshots

    @cached_property
    def _opened(self) -> tuple[Cluster, Tool]:
        return self.opened()

    @property
    def cluster(self) -> Cluster:
        """Its nodes."""
        return self._opened[0]

    def tool(self, member: Member) -> Nodetool:
        """Nodetool on one of them."""
        return self._opened[1](member)

    @cached_property
    def _ring(self) -> Ring:
        return read_ring(self.cluster, self.tool)

    def _check_reachable(self) -> str:
        versions = set(self.cluster.each(lambda member: self.tool(member).version()).values())
        return f"{counted(len(self.cluster.members), 'node')}, Cassandra {', '.join(sorted(versions))}"

    def _check_ring(self) -> str:
        racks = {(node.data_center, node.rack) for node in self._ring.nodes}
        centers = sorted({center for center, _ in racks})
        return (
            f"{self._ring.name}: {counted(len(self._ring.nodes), 'node')} in {', '.join(centers)} ({counted(len(racks), 'rack')}), "
            f"all up and normal, schema {self._ring.schema_version}"
        )

    def _check_keyspaces(self) -> str:
        there = self._ring.keyspaces
        if missing := [name for name in self.keyspaces if name not in there]:
            raise StoreAccessError(
                f"cluster {self._ring.name} has no keyspace {', '.join(missing)}",
                fix="correct namespaces, coordinators or metadata_namespace of the topology",
            )
        tables = self.tool(self.cluster.members[0]).tables(self.keyspaces)
        for namespace in self.topology.coordinator_namespaces(self.cluster.name):
            if f"{namespace}.state" not in tables:
                raise StoreAccessError(
                    f"cluster {self._ring.name} has no Coordinator table {namespace}.state", fix="correct scalardb.coordinators"
                )
        others = sorted(there.keys() - {*self.keyspaces, *UNTOUCHED})
        told = f"{', '.join(name for name in self.keyspaces if name not in SYSTEM)}: {counted(len(tables), 'table')} with the system's"
        return f"{told}; NOT backed up: {', '.join(others)}" if others else told

    def _check_tools(self) -> str:
        self.cluster.each(lambda member: self._run(member, _TOOLS, fix="install GNU findutils, coreutils and tar on it"))
        return "sh, find, xargs, stat, sha256sum, tar, timeout, mktemp, mkfifo"

    def _check_folders(self) -> str:
        require_own_folders(self.cluster.members)

        def one(member: Member) -> int:
            self._run(member, _READABLE, *member.layout.data, fix="log in as the server's user, use sudo, or correct directories.data")
            return len(member.layout.data)

        count = sum(self.cluster.each(one).values())
        return f"{count} data directories on {counted(len(self.cluster.members), 'node')}"

    def _check_room(self) -> str:
        def one(member: Member) -> tuple[int, str]:
            return min((files.free_bytes(member.node, folder), folder) for folder in member.layout.data)

        free = self.cluster.each(one)
        label, (least, folder) = min(free.items(), key=lambda each: each[1])
        if least < FLOOR:
            raise StagingSpaceError(
                f"node {label}: {folder} has {least:,} bytes free, at least {FLOOR:,} are needed while a snapshot is there",
                fix="make room; nodetool listsnapshots shows what old snapshots hold",
            )
        return f"at least {least:,} bytes free ({folder} of {label}); a snapshot is links, and holds what is compacted away meanwhile"

    def _check_snapshots(self) -> str:
        found = self.cluster.each(lambda member: self.tool(member).snapshots())
        ours = sorted({tag for tags in found.values() for tag in tags if tag.startswith(self.tags)})
        others = len({tag for tags in found.values() for tag in tags} - {*ours})
        ttl = self.cluster.spec.snapshot_ttl
        expires = numbers(self._ring.version)[:2] >= EXPIRING and ttl
        told = f"for {format_duration(ttl)} if nobody clears them" if expires else "until somebody clears them"
        told += f"; of ours there are {', '.join(ours)}" if ours else "; none of ours is there"
        return f"{told}; {others} of others stay as they are" if others else told

    @staticmethod
    def _run(member: Member, script: str, *arguments: str, fix: str) -> None:
        try:
            member.node.shell(script, *arguments)
        except ToolError as error:
            raise ToolError(error.message, fix=fix) from error
