"""A restored Cassandra cluster, open for verification: the live one, where the set was placed already, else the drill's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from midtime.errors import RequestError, StoreStatementError
from midtime.model.restore_point import StoreBackup, TableContent
from midtime.model.topology import Topology
from midtime.stores.base import Target
from midtime.stores.cassandra import fences
from midtime.stores.cassandra.cluster import Cluster, drill_cluster, live_cluster
from midtime.stores.cassandra.cql import CqlSession, session_to
from midtime.stores.cassandra.cql_driver import Address
from midtime.stores.cassandra.records import CassandraCoordinator, CassandraRecords

PATIENCE = 60.0
"""Seconds in which nodes that a restore has just started begin to answer."""
_QUESTION = re.compile(r"\s*SELECT\b", re.IGNORECASE)


class RestoredCluster:
    """A restored cluster. Nothing is written to it, except that a quorum's answer repairs the replicas that it was asked of."""

    def __init__(self, topology: Topology, backup: StoreBackup, session: CqlSession) -> None:
        self.topology = topology
        self.backup = backup
        self.session = session

    def content(self) -> tuple[TableContent, ...]:
        """Nothing: what a backup knows of a table's content are its files, whose hashes the restore compares."""
        return ()

    def schema_differences(self) -> Sequence[str]:
        """Tables that were captured and are not there, and the other way round."""
        said: Mapping[str, str] = self.backup.details.get("tables", {})
        captured = {table: number for table, number in said.items() if table.partition(".")[0] in self._keyspaces}
        if not captured:
            return ()
        found = self.session.table_ids(self._keyspaces)
        missing = [f"{table}: missing" for table in sorted(captured.keys() - found.keys())]
        others = [table for table in sorted(captured.keys() & found.keys()) if captured[table] != found[table]]
        return [
            *missing,
            *(f"{table}: another table of that name (id {found[table]}, captured {captured[table]})" for table in others),
            *(f"{table}: unexpected (not captured)" for table in sorted(found.keys() - captured.keys())),
        ]

    def records(self) -> CassandraRecords:
        """The records."""
        skip = [(namespace, "state") for namespace in self._coordinator_namespaces]
        return CassandraRecords(self.session, self._keyspaces, self.backup.store, skip)

    def coordinators(self) -> list[CassandraCoordinator]:
        """The Coordinators that the topology puts into this store."""
        return [CassandraCoordinator(self.session, self.backup.store, namespace) for namespace in self._coordinator_namespaces]

    def fences(self, window: str, namespace: str) -> frozenset[str]:
        """Which fence rows of a window it holds."""
        return fences.places(self.session, [namespace], window)

    def scalar(self, query: str) -> Any:
        """The first value of the first row. CQL runs one statement at a time, and a SELECT changes nothing."""
        if not _QUESTION.match(query):
            raise RequestError(f"{query!r} is no SELECT", fix="correct the check in the topology file")
        try:
            return self.session.value(query)
        except StoreStatementError as error:
            raise RequestError(f"{query!r} failed: {error.message}", fix="correct the check in the topology file") from error

    @property
    def _keyspaces(self) -> tuple[str, ...]:
        return self.topology.all_namespaces(self.backup.store)

    @property
    def _coordinator_namespaces(self) -> tuple[str, ...]:
        return self.topology.coordinator_namespaces(self.backup.store)


@contextmanager
def open_restored(topology: Topology, backup: StoreBackup, target: Target) -> Iterator[RestoredCluster]:
    """What was restored.

    :param target: with a name to keep things aside by, the live cluster, in which the set is placed already
    :raises StoreError: the cluster does not answer, or refuses us
    """
    with ExitStack() as stack:
        cluster = stack.enter_context(cluster_of(topology, target))
        session = stack.enter_context(session_to(addresses(cluster), login_of(cluster), patience=PATIENCE))
        # A user's question finds tables as the application does.
        namespaces = [name for name in topology.store(backup.store).namespaces if name in session.keyspaces()]
        if namespaces:
            session.use(namespaces[0])
        yield RestoredCluster(topology, backup, session)


def cluster_of(topology: Topology, target: Target) -> Cluster:
    """The cluster that a restore goes into."""
    return live_cluster(topology, target.store) if target.aside else drill_cluster(topology, target.store)


def login_of(cluster: Cluster) -> str | None:
    """The connection whose login is used, if one is: a drill's cluster has the live one's users by now, and the host does not count."""
    return cluster.conn_id or cluster.spec.conn_id


def addresses(cluster: Cluster) -> list[Address]:
    """Where its nodes speak CQL."""
    return [(member.host, member.cql_port) for member in cluster.members]
