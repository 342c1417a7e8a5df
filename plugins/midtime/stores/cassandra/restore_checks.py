"""The questions of a restore: whatever could keep a cluster from being replaced, asked before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property
from posixpath import normpath

from midtime.errors import MidtimeError, RequestError, StagingSpaceError, StoreAccessError, TargetExistsError, ToolError
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.model.words import counted
from midtime.stores.base import WILL_BE, Question, Target
from midtime.stores.cassandra.checks import UNTOUCHED
from midtime.stores.cassandra.cluster import Cluster, Member, drill_cluster, live_cluster
from midtime.stores.cassandra.facts import BackupFacts, matching_nodes, require_other, same_nodes
from midtime.stores.cassandra.lifecycle import require_actions, signs_of_life
from midtime.stores.cassandra.listing import ClusterFacts
from midtime.stores.cassandra.moving import Moving
from midtime.stores.cassandra.nodes import files
from midtime.stores.cassandra.nodetool import tools_of
from midtime.stores.cassandra.nodetool_output import RingMember, bare
from midtime.stores.cassandra.proving import SYSTEM
from midtime.stores.cassandra.restored import cluster_of
from midtime.stores.cassandra.ring import is_address, numbers, read_ring
from midtime.stores.cassandra.staging import RESERVE
from midtime.stores.cassandra.swapping import Progress

_TOOLS = """
for tool in find xargs stat sha256sum tar readlink ln mv grep; do
    command -v "$tool" >/dev/null || { echo "midtime misses: $tool" >&2; exit 65; }
done
"""
_RIGHTS = """
owner=$1; shift
me=$(id -u)
if [ "$me" != 0 ] && [ "$me" != "$(id -u "${owner%%:*}")" ]; then
    echo "midtime is $(id -un) there, and cannot give files to $owner" >&2
    exit 65
fi
for folder; do
    if [ -d "$folder" ] && [ ! -w "$folder" ]; then echo "midtime cannot write: $folder" >&2; exit 65; fi
done
"""
# Another file takes its place.
_MAY_CONFIGURE = """
config=$(readlink -f -- "$1")
if ! test -w "${config%/*}"; then echo "midtime cannot write: ${config%/*}" >&2; exit 65; fi
"""


def questions(topology: Topology, target: Target, backup: StoreBackup) -> Iterator[Question]:
    """The preflight of a restore to this target."""
    with ExitStack() as resources:
        checks = RestoreChecks(topology, target, backup, resources)
        yield "can be restored to", checks.reachable
        yield "is the backup's", checks.layout
        yield WILL_BE, checks.fate
        yield "has tools on its nodes", checks.tools
        yield "has room", checks.room


def drill_questions(topology: Topology, store: str) -> Iterator[Question]:
    """Whether the live nodes can be stopped and started, without which nothing can be restored, and the drill's cluster as well."""

    def can_be_restored() -> str:
        with live_cluster(topology, store) as cluster:
            return require_actions(cluster)

    def can_be_drilled() -> str:
        with drill_cluster(topology, store) as cluster:
            told = require_actions(cluster)
            ring = read_ring(cluster, tools_of(cluster))
        return f"{ring.name}: {told}, Cassandra {ring.version}"

    yield "can be restored in place", can_be_restored
    wish = topology.drill.targets.get(store)
    if wish or topology.drill.after_backup or topology.drill.schedule:
        yield "can be drilled", can_be_drilled


class RestoreChecks:
    """The answers."""

    def __init__(self, topology: Topology, target: Target, backup: StoreBackup, resources: ExitStack) -> None:
        self.topology, self.target, self.backup, self._resources = topology, target, backup, resources

    @cached_property
    def cluster(self) -> Cluster:
        """The target's."""
        return self._resources.enter_context(cluster_of(self.topology, self.target))

    @cached_property
    def facts(self) -> ClusterFacts:
        """The backup's."""
        return BackupFacts.found(self.topology, self.backup).cluster()

    def reachable(self) -> str:
        """Every node answers, and can be stopped and started; who we are there may write."""
        told = require_actions(self.cluster)
        for member in self.cluster.members:
            require_apart(member)
        self.cluster.each(lambda member: require_rights(member, self.cluster.owner, configured=not self.target.aside))
        running = self.cluster.each(lambda member: bool(signs_of_life(member)))
        down = [label for label, runs in running.items() if not runs]
        return f"{told}; down: {', '.join(down)}" if down else f"{told}, all running"

    def layout(self) -> str:
        """The nodes are those of the backup, or as many in the same order, or of another number."""
        if self.target.aside:
            return self._same_ring()
        ring = read_ring(self.cluster, tools_of(self.cluster))
        require_version(ring.version, self.facts)
        require_other(ring, self.facts)
        require_partitioner(ring.partitioner, self.facts)
        if len(ring.nodes) != len(self.facts.nodes):
            self._require_loadable()
            return f"{len(ring.nodes)} of {len(self.facts.nodes)} nodes: loaded by sstableloader"
        matching_nodes(ring, self.facts)
        return f"{len(ring.nodes)} nodes, laid out alike"

    def _require_loadable(self) -> None:
        from midtime.stores.cassandra.loading import require_loadable

        require_loadable(self.cluster)

    def _same_ring(self) -> str:
        """Whoever answers knows the ring; nobody may be in it who does not get the backup's identity."""
        pairs = same_nodes(self.cluster, self.facts)
        now = {member.label: member.host for member in self.cluster.members}  # a pod's address changes
        known = {bare(now[label]) if is_address(now[label]) else node.host: node for label, node in pairs.items()}
        fresh = []
        for seen, version in self._views():
            if strangers := sorted(member.host for member in seen if member.host not in known):
                raise StoreAccessError(
                    f"the ring has nodes that the backup does not hold: {', '.join(strangers)}",
                    fix="remove them from the ring (nodetool decommission or removenode) first: they would stay with what they have",
                )
            require_version(version, self.facts)
            fresh += [member.host for member in seen if known[member.host].host_id != member.host_id]
        told = f"the {counted(len(pairs), 'node')} of the backup"
        return f"{told}; {', '.join(sorted(set(fresh)))} was replaced since and becomes who it was" if fresh else told

    def _views(self) -> Iterator[tuple[tuple[RingMember, ...], str]]:
        tools = tools_of(self.cluster)
        for member in self.cluster.members:
            tool = tools(member)
            try:
                yield tool.status(), tool.version()
            except MidtimeError:
                continue  # down: it gets the backup's identity as well

    def fate(self) -> str:
        """What becomes of what is there."""
        moving = Moving(self.cluster, self.target, lambda _: None)
        if not self.target.aside:
            moving.require_lent()
        for member in self.cluster.members:
            holder = moving.holder(member)
            filled = not self.target.aside and holder == self.target.working  # by this very run, which is asked again before it places
            if moving.swap(member).look() not in {Progress.UNTOUCHED, Progress.PLACED if filled else Progress.UNTOUCHED}:
                raise TargetExistsError(
                    f"node {member.label} has {moving.aside} in its folders already",
                    fix="remove it once nobody needs it, or start a new run",
                )
            if holder and holder != self.target.working:
                raise TargetExistsError(f"node {member.label} is taken by another restore, {holder}", fix="wait for its end")
        kept = f"replacing what is there, which is kept as {moving.aside} on each node"
        if not self.target.aside:
            until = "until the drill is over" if self.target.final == self.target.working else "for you to remove"
            return f"the cluster of drill.targets.{self.target.store}, {kept} {until}"
        return f"the whole cluster, {kept}{self._lost()}"

    def _lost(self) -> str:
        """Keyspaces of which the backup has no data, as far as somebody answers: they are as empty as new."""
        tool = tools_of(self.cluster)
        for member in self.cluster.members:
            try:
                there = tool(member).describecluster().keyspaces.keys()
            except MidtimeError:
                continue
            others = sorted(there - {*self.facts.keyspaces, *SYSTEM, *UNTOUCHED})
            return f"; **WITH THE DATA OF {', '.join(others)}, which no backup holds**" if others else ""
        return ""

    def tools(self) -> str:
        """What runs on the nodes."""
        self.cluster.each(lambda member: member.node.shell(_TOOLS))
        return "find, sha256sum, tar and the like"

    def room(self) -> str:
        """Room for as much as an average node has; exact when it is staged."""
        share = int(self.backup.details["bytes"]) // max(1, len(self.cluster.members)) + RESERVE

        def free(member: Member) -> int:
            return sum(files.free_bytes(member.node, folder) for folder in _existing(member))

        found = self.cluster.each(free)
        label, least = min(found.items(), key=lambda each: each[1])
        if least < share:
            raise StagingSpaceError(
                f"node {label} has {least:,} bytes free, {share:,} are needed",
                fix="make room there: what is restored stands beside what is live",
            )
        return f"{share:,} bytes a node, at least {least:,} are free"


def require_rights(member: Member, owner: str, *, configured: bool = False) -> None:
    """Who we are on the node may write there, and give files to Cassandra's user.

    :param configured: its ``cassandra.yaml`` will be written, too

    :raises StoreAccessError: we may not
    """
    try:
        member.node.shell(_RIGHTS, owner, *member.layout.folders)
        if configured:
            member.node.shell(_MAY_CONFIGURE, member.layout.config)
    except ToolError as error:
        raise StoreAccessError(error.message, fix="set `sudo`, or log in as that user or as root; correct `owner`") from error


def _existing(member: Member) -> set[str]:
    """Its data directories, or what is left above them."""
    script = 'for folder; do while [ ! -d "$folder" ]; do folder=${folder%/*}; done; echo "${folder:-/}"; done'
    return set(member.node.shell(script, *member.layout.data).splitlines())


def require_apart(member: Member) -> None:
    """What is below a data directory would be moved with it; what is no data directory of the server's would not be found there.

    :raises RequestError: a folder lies in another one, the topology names other data directories than the server has, or nothing says where
        changes are captured
    """
    at = member.layout
    served, own = {*map(normpath, member.served)}, member.local_system_folder
    # A container's server knows its folders under other names than its host.
    if (served and len(served) != len({*map(normpath, at.data)})) or (own and own not in at.data):
        raise RequestError(
            f"node {member.label}: directories.data is {', '.join(at.data)}, and {at.config} has {', '.join(sorted(served))}",
            fix="correct directories in the topology, or leave `data` out",
        )
    if member.captures_changes and not at.cdc_raw:
        raise RequestError(
            f"node {member.label} has cdc_enabled, and nothing says where: changes of after the backup would stay",
            fix="write directories.cdc_raw into the topology",
        )
    for folder in at.folders:
        for other in at.folders:
            if other != folder and other.startswith(f"{folder.rstrip('/')}/"):
                raise RequestError(
                    f"node {member.label}: {other} lies in {folder}", fix="give each of Cassandra's folders a place of its own"
                )


def require_partitioner(partitioner: str, facts: ClusterFacts) -> None:
    """Other tokens belong to each key by another one: nothing would be found.

    :raises StoreAccessError: it is another one
    """
    if partitioner.rpartition(".")[2] != facts.partitioner.rpartition(".")[2]:
        raise StoreAccessError(
            f"the cluster has partitioner {partitioner}, the backup is of {facts.partitioner}",
            fix="set up the drill's cluster with the backup's partitioner",
        )


def require_version(version: str, facts: ClusterFacts) -> None:
    """The same version as the backup's, or a later one of the same major.

    :raises ToolError: it is another one
    """
    then = max((node.version for node in facts.nodes), key=numbers)
    if numbers(version)[:1] != numbers(then)[:1] or numbers(version)[:2] < numbers(then)[:2]:
        raise ToolError(
            f"the cluster runs Cassandra {version}, the backup is of {then}",
            fix="install the same version, or a later one of the same major",
        )
