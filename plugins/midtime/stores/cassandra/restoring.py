"""The restore half of the Cassandra store.

In place, everything is staged and verified on all nodes while the cluster runs, and placed by one swap of all nodes: system tables included,
so that each node comes back as who it was. Another cluster gets everything but its identity: tokens by its configuration. A cluster of another
size gets its data by ``sstableloader``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import cast

from midtime.catalog import Catalog
from midtime.catalog.pool import Pool, check_pooled
from midtime.errors import RequestError, RestoreFailedError
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.model.topology.cassandra import Cassandra
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores.base import Say, Shelf, Target
from midtime.stores.cassandra.cluster import Cluster, Member
from midtime.stores.cassandra.cql import session_to
from midtime.stores.cassandra.facts import BackupFacts, Pairs, matching_nodes, require_other, same_nodes
from midtime.stores.cassandra.listing import NodeFacts, NodeListing, SnapshotFile
from midtime.stores.cassandra.moving import Moving
from midtime.stores.cassandra.nodes import files
from midtime.stores.cassandra.nodetool import tools_of
from midtime.stores.cassandra.proving import is_cassandras
from midtime.stores.cassandra.restore_checks import drill_questions, questions
from midtime.stores.cassandra.restored import PATIENCE, addresses, cluster_of, login_of
from midtime.stores.cassandra.ring import Ring, read_ring
from midtime.stores.cassandra.staging import Staging
from midtime.stores.cassandra.swapping import KEPT
from midtime.stores.naming import working_name

__all__ = ["discard", "drill_questions", "place", "put_back", "questions", "restore", "target_of"]

log = logging.getLogger(__name__)

IDENTITY = "system/"
"""Begins the path of what makes a node the one that it is, and of what light-weight transactions have promised."""


def target_of(topology: Topology, store: str, wish: TargetWish | None, *, run: str, drill: bool, in_place: bool) -> Target:
    """The live cluster, in place; else the one that the topology names for drills.

    :raises RequestError: another one is asked for, or none can be
    """
    spec, configured = cast(Cassandra, topology.store(store)), topology.drill.targets.get(store)
    working = working_name(store, run)
    if in_place and wish is None:
        return Target(store, spec.conn_id or "", working, store, f"{KEPT}{run}")
    if configured is None or not (configured.nodes or configured.access):
        raise RequestError(
            f"store {store!r} is a cluster, which is restored in place or into another cluster, and the topology names no other",
            fix=f"write drill.targets.{store}.nodes into the topology, or "
            + ("set drill.after_backup to false" if drill else "set in_place"),
        )
    known = {configured.to, configured.conn_id} - {None}
    if wish is None or (wish.to and wish.to not in known):
        raise RequestError(
            f"store {store!r} is a cluster: it is restored in place, or into the cluster of drill.targets.{store}",
            fix=f'set in_place, or targets {{"{store}": "{next(iter(known), None) or "<its conn_id>"}"}}',
        )
    final = working if drill else f"{store}_restored_{run}"
    return Target(store, configured.conn_id or configured.to or "", working, final, overwrites=not drill)


def restore(topology: Topology, backup: StoreBackup, shelf: Shelf, target: Target, say: Say) -> None:
    """In place: stage and verify everything on all nodes, and touch nothing that is live. Else fill the other cluster.

    :raises ArtifactError: content is missing, truncated or altered; nothing was touched
    """
    facts, pool = BackupFacts(backup, shelf.folder), Pool(Catalog(topology.destination, topology.name), backup.store)
    with cluster_of(topology, target) as cluster:
        moving = Moving(cluster, target, say)
        moving.claim()
        if target.aside:
            moving.require_untouched()
            pairs = same_nodes(cluster, facts.cluster())
            stage(moving, pool, {label: facts.listing(source.label) for label, source in pairs.items()})
            return
        moving.require_lent()
        moving.back()  # what an earlier try has filled
        _fill(moving, facts, pool)


def _fill(moving: Moving, facts: BackupFacts, pool: Pool) -> None:
    cluster, then = moving.cluster, facts.cluster()
    ring = read_ring(cluster, tools_of(cluster))
    require_other(ring, then)
    if len(cluster.members) != len(then.nodes):
        from midtime.stores.cassandra import loading

        loading.load(moving, facts, pool)
        return
    pairs = matching_nodes(ring, then)
    stage(
        moving,
        pool,
        {label: facts.listing(source.label) for label, source in pairs.items()},
        lambda file: not file.path.startswith(IDENTITY),
    )
    require_tokens(moving.forward({label: _as_node(source) for label, source in pairs.items()}), pairs)
    _read_back(cluster, facts.backup, moving.say)


def _as_node(source: NodeFacts) -> tuple[str, ...]:
    return f"initial_token: '{','.join(source.tokens)}'", f"num_tokens: {len(source.tokens)}", "auto_bootstrap: false"


def require_tokens(ring: Ring, pairs: Pairs) -> None:
    """A node with other tokens is asked for other rows than it has, and nothing that is verified later would miss them.

    :raises RestoreFailedError: one has others
    """
    if others := [node.label for node in ring.nodes if {*node.tokens} != {*pairs[node.label].tokens}]:
        raise RestoreFailedError(
            f"{', '.join(others)} came up with other tokens than the backup's",
            fix="see whether the node's server reads the cassandra.yaml of directories.config, and who else writes it",
        )


def stage(moving: Moving, pool: Pool, listings: Mapping[str, NodeListing], wanted: Callable[[SnapshotFile], bool] = lambda _: True) -> None:
    """Bring every node its files.

    :param listings: by node
    """
    chosen = {label: [file for file in listing.files if wanted(file)] for label, listing in listings.items()}
    check_pooled(pool, (file.pooled for listed in chosen.values() for file in listed))

    def one(member: Member) -> None:
        clear_logs(moving, member)
        staging_of(moving, member, pool).bring(chosen[member.label], moving.say)

    moving.cluster.each(one)
    moving.ready()


def clear_logs(moving: Moving, member: Member) -> None:
    """An earlier try that ran and was put back has left its commit log, which is none of what is staged anew."""
    for folder in moving.swap(member).folders:
        if folder not in member.layout.data:
            files.remove_tree(member.node, f"{folder}/{moving.target.working}")


def staging_of(moving: Moving, member: Member, pool: Pool) -> Staging:
    """Where one node's files are brought."""
    own, data = member.local_system_folder, member.layout.data
    roots = [f"{folder}/{moving.target.working}" for folder in data if folder != own]
    system = f"{own}/{moving.target.working}" if own in data else ""
    spec = moving.cluster.spec
    return Staging(member.node, tuple(roots), pool.root, moving.cluster.owner or None, spec.uploads, system, pool.distrust)


def place(topology: Topology, backup: StoreBackup, target: Target) -> None:
    """In place: stop all nodes, swap their folders and start them; then read back. Another cluster is filled already, and stays so."""
    if target.final == target.working:
        return
    with cluster_of(topology, target) as cluster:
        moving = Moving(cluster, target, log.info)
        if not target.aside:
            moving.keep()
            return
        require_tokens(moving.forward(), same_nodes(cluster, BackupFacts.found(topology, backup).cluster()))
        _read_back(cluster, backup, log.info)


def put_back(topology: Topology, backup: StoreBackup, target: Target) -> None:  # noqa: ARG001 - all is told by the nodes
    """In place: the other way round. Another cluster goes when it is discarded."""
    if target.final == target.working:
        return
    with cluster_of(topology, target) as cluster:
        moving = Moving(cluster, target, log.info)
        moving.back() if target.aside else moving.unkeep()


def discard(topology: Topology, target: Target) -> None:
    """Remove what was staged. Another cluster becomes what it was, unless what is on it is to stay."""
    with cluster_of(topology, target) as cluster:
        moving = Moving(cluster, target, log.info)
        if not target.aside and not moving.kept:
            moving.back()
        moving.drop()


def _read_back(cluster: Cluster, backup: StoreBackup, say: Say) -> None:
    """A row of each table, by a quorum of its replicas."""
    tables = [table for table in backup.details["tables"] if not is_cassandras(table.partition(".")[0])]
    with session_to(addresses(cluster), login_of(cluster), patience=PATIENCE) as session:
        session.read_back(tables)
    say(f"{len(tables)} tables read back at QUORUM")
