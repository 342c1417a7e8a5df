"""One lost node: its own newest snapshot is put in place on it, system tables included, so that it comes back as who it was; then it is repaired.

The snapshot needs no pause: what the node has missed since, the others have. Products are stopped until the repair is over, because a quorum
of which one node lives in the past proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import cast

from midtime.catalog import Catalog
from midtime.catalog.pool import Pool, check_pooled
from midtime.errors import RequestError, StoreAccessError, StoreUnreachableError, TargetExistsError
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.model.topology.cassandra import Cassandra
from midtime.stores.base import WILL_BE, Question, Say, Shelf, Target
from midtime.stores.cassandra.cluster import Cluster, Member, live_cluster
from midtime.stores.cassandra.facts import BackupFacts
from midtime.stores.cassandra.lifecycle import require_actions, signs_of_life
from midtime.stores.cassandra.listing import NodeFacts
from midtime.stores.cassandra.moving import Moving
from midtime.stores.cassandra.nodetool import Nodetool, tools_of
from midtime.stores.cassandra.nodetool_output import UP_AND_NORMAL, Replication
from midtime.stores.cassandra.proving import SYSTEM, is_cassandras
from midtime.stores.cassandra.restore_checks import require_apart, require_rights, require_version
from midtime.stores.cassandra.restoring import clear_logs, staging_of
from midtime.stores.cassandra.ring import numbers
from midtime.stores.cassandra.swapping import KEPT, Progress
from midtime.stores.naming import working_name

PAXOS_REPAIR = (4, 1)
"""Version of Cassandra since which the promises of light-weight transactions can be repaired."""


class OneNode:
    """The restore of one node of a store.

    :param label: the node's
    """

    def __init__(self, topology: Topology, store: str, label: str) -> None:
        self.topology, self.store, self.label = topology, store, label
        self.spec = cast(Cassandra, topology.store(store))

    def target(self, run: str) -> Target:
        """Names; nothing is touched.

        :param run: six hexadecimal digits of the run
        """
        return Target(self.store, self.spec.conn_id or "", working_name(self.store, run), self.label, f"{KEPT}{run}")

    def questions(self, target: Target, backup: StoreBackup) -> Iterator[Question]:
        """Whether the node can come back as who it was."""
        with ExitStack() as resources:
            opened = self._opened(target, lambda _: None)
            yield "can be restored to", lambda: self._reachable(resources.enter_context(opened))
            yield "is still in the ring", lambda: self._known(backup)
            yield WILL_BE, lambda: self._fate(target)

    def restore(self, backup: StoreBackup, shelf: Shelf, target: Target, say: Say) -> None:
        """Stage and verify its files; nothing live is touched.

        :raises ArtifactError: content is missing, truncated or altered
        """
        listing = BackupFacts(backup, shelf.folder).listing(self.label)
        pool = Pool(Catalog(self.topology.destination, self.topology.name), self.store)
        check_pooled(pool, (file.pooled for file in listing.files))
        with self._opened(target, say) as (_, moving):
            moving.claim()
            moving.require_untouched()
            clear_logs(moving, moving.cluster.members[0])
            staging_of(moving, moving.cluster.members[0], pool).bring(listing.files, say)
            moving.ready()

    def place(self, target: Target, say: Say) -> None:
        """Stop it if it runs, swap its folders, start it, wait until the ring is whole, repair it. Goes on wherever an earlier try was."""
        with self._opened(target, say) as (cluster, moving):
            moving.swap_in()
            whole = Moving(cluster, target, say)
            ring = whole.life.wait_whole()
            tool = tools_of(cluster)(moving.cluster.members[0])
            keyspaces = repaired(ring.keyspaces, self._keyspaces)
            for keyspace in (*keyspaces, "system_auth"):
                tool.repair("-full", keyspace)
                say(f"node {self.label}: {keyspace} repaired")
            if numbers(ring.version)[:2] >= PAXOS_REPAIR:
                for keyspace in keyspaces:
                    tool.repair("--paxos-only", keyspace)
                say(f"node {self.label}: promises of light-weight transactions repaired")

    def put_back(self, target: Target, say: Say) -> None:
        """What was on the node is on it again, and it runs if it ran. Idempotent."""
        with self._opened(target, say) as (_, moving):
            moving.back()

    def discard(self, target: Target) -> None:
        """Remove what was staged. Idempotent."""
        with self._opened(target, lambda _: None) as (_, moving):
            moving.drop()

    @contextmanager
    def _opened(self, target: Target, say: Say) -> Iterator[tuple[Cluster, Moving]]:
        """The whole cluster, and the one node of it."""
        with live_cluster(self.topology, self.store) as cluster:
            alone = Cluster(self.store, self.spec, [cluster.member(self.label)], conn_id=cluster.conn_id, jmx_conn_id=cluster.jmx_conn_id)
            yield cluster, Moving(alone, target, say, alone=True)

    @property
    def _keyspaces(self) -> list[str]:
        return [name for name in self.topology.all_namespaces(self.store) if name not in SYSTEM]

    def _reachable(self, opened: tuple[Cluster, Moving]) -> str:
        _, moving = opened
        told = require_actions(moving.cluster)
        (member,) = moving.cluster.members
        require_apart(member)
        require_rights(member, self.spec.owner)
        return f"{told}; it {'runs' if signs_of_life(member) else 'is down'}"

    def _known(self, backup: StoreBackup) -> str:
        """All others are up, and to them this one still is who it was."""
        facts = BackupFacts.found(self.topology, backup).cluster()
        source = next((node for node in facts.nodes if node.label == self.label), None)
        if source is None:
            raise StoreAccessError(f"the backup has no node {self.label}", fix=f"it has {', '.join(node.label for node in facts.nodes)}")
        with live_cluster(self.topology, self.store) as cluster:
            tools = tools_of(cluster)
            for member in cluster.members:
                if member.label == self.label:
                    continue
                tool = tools(member)
                self._require_others_up(tool, member, source)
                require_copies(tool.describecluster().keyspaces, self._keyspaces)
                require_version(tool.version(), facts)
        return f"host id {source.host_id}, all others are up and normal"

    def _require_others_up(self, tool: Nodetool, member: Member, source: NodeFacts) -> None:
        seen = {each.host_id: each for each in tool.status()}
        if source.host_id not in seen:
            raise StoreAccessError(
                f"node {member.label} knows no node with host id {source.host_id} any more: it was removed or replaced",
                fix="bring in a new node (cassandra.replace_address), or restore the whole cluster",
            )
        down = sorted(each.host for each in seen.values() if each.state != UP_AND_NORMAL and each.host_id != source.host_id)
        if down:
            raise StoreUnreachableError(f"{', '.join(down)} is down as well", fix="start it, or restore the whole cluster")

    def _fate(self, target: Target) -> str:
        with self._opened(target, lambda _: None) as (_, moving):
            (member,) = moving.cluster.members
            if moving.swap(member).look() is not Progress.UNTOUCHED:
                raise TargetExistsError(f"node {self.label} has {moving.aside} already", fix="remove it once nobody needs it")
        return f"node {self.label}, replacing what is there, which is kept as {moving.aside}; then repaired by the others"


def require_copies(replication: Mapping[str, Replication], keyspaces: Iterable[str]) -> None:
    """Whether others have what the node has missed since its snapshot.

    :raises RequestError: nobody else has it: the node would come back in the past, and nothing could bring it up to date
    """
    for keyspace in keyspaces:
        options = replication[keyspace].options if keyspace in replication else ()
        counts = [int(value.partition("/")[0]) for _, value in options if value.partition("/")[0].isdigit()]
        if counts and sum(counts) < 2:
            raise RequestError(
                f"keyspace {keyspace} has one replica: what was written since the snapshot is nowhere else", fix="restore the whole set"
            )


def repaired(known: Iterable[str], ours: Iterable[str]) -> list[str]:
    """The topology's keyspaces first, then those of others: no backup holds them, so the node has come up without its part of them."""
    return [*ours, *sorted(name for name in {*known} - {*ours} if not is_cassandras(name))]
