"""A restored PostgreSQL database, open for verification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import Connection, Error

from midtime.errors import RequestError
from midtime.model.restore_point import StoreBackup, TableContent
from midtime.model.topology import Topology
from midtime.stores.postgresql import content, fences
from midtime.stores.postgresql.records import PostgresCoordinator, PostgresRecords

Session = Connection[tuple[Any, ...]]


class RestoredDatabase:
    """A restored database, open for verification."""

    def __init__(self, topology: Topology, backup: StoreBackup, session: Session, streaming: Session) -> None:
        self.topology = topology
        self.backup = backup
        self.session = session
        self.streaming = streaming

    def content(self) -> tuple[TableContent, ...]:
        """Counts and digests of every table that is there now."""
        return content.content(self.session, content.tables(self.session))

    def schema_differences(self) -> Sequence[str]:
        """Tables whose columns, constraints, indexes or triggers are not those of the capture."""
        captured: dict[str, str] = self.backup.details["shapes"]
        found = content.shapes(self.session, content.tables(self.session))
        return [f"table {name} has another shape" for name in sorted(captured.keys() & found.keys()) if captured[name] != found[name]]

    def records(self) -> PostgresRecords:
        """Records are streamed on a connection of their own: the Coordinator is asked meanwhile."""
        skip = [(namespace, "state") for namespace in self._coordinator_namespaces]
        return PostgresRecords(self.streaming, self.backup.store, skip)

    def coordinators(self) -> list[PostgresCoordinator]:
        """The Coordinators that the topology puts into this store."""
        return [PostgresCoordinator(self.session, self.backup.store, namespace) for namespace in self._coordinator_namespaces]

    def fences(self, window: str, namespace: str) -> frozenset[str]:
        """Which fence rows of a window it holds."""
        return fences.places(self.session, [namespace], window)

    @property
    def _coordinator_namespaces(self) -> tuple[str, ...]:
        return self.topology.coordinator_namespaces(self.backup.store)

    def scalar(self, query: str) -> Any:
        """The first value of the first row; the query cannot change anything."""
        try:
            with self.session.transaction():
                # The user's query finds tables as the application does; as one prepared statement it cannot end the transaction.
                self.session.execute("SET TRANSACTION READ ONLY; SET LOCAL search_path TO DEFAULT")
                row = self.session.execute(query.encode(), binary=True).fetchone()
        except Error as error:
            raise RequestError(f"{query!r} failed: {error}", fix="correct the check in the topology file") from error
        return row[0] if row else None
