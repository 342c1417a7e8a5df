"""A restored SQLite file, open for verification."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from midtime.errors import RequestError
from midtime.model.restore_point import StoreBackup, TableContent
from midtime.model.topology import Topology
from midtime.stores.sqlite import content, fences
from midtime.stores.sqlite.files import OURS, opened, read_header
from midtime.stores.sqlite.records import SqliteCoordinator, SqliteRecords

_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE, sqlite3.SQLITE_PRAGMA}
_OF_THE_FILE = ("page_size", "wal", "auto_vacuum", "encoding", "user_version", "application_id")


class RestoredFile:
    """A restored file; nobody else has it yet.

    :param streaming: another connection, for records: the Coordinator is asked meanwhile
    """

    def __init__(
        self, topology: Topology, backup: StoreBackup, path: str, session: sqlite3.Connection, streaming: sqlite3.Connection
    ) -> None:
        self.topology = topology
        self.backup = backup
        self.path = path
        self.session = session
        self.streaming = streaming

    def content(self) -> tuple[TableContent, ...]:
        """Counts and digests of every table that is there now."""
        return content.content(self.session)

    def schema_differences(self) -> Sequence[str]:
        """Tables and views whose definition, indexes or triggers are not those of the capture, and what the file says of itself."""
        captured: dict[str, str] = self.backup.details["shapes"]
        found = content.shapes(self.session)
        shapes = [f"{name} has another shape" for name in sorted(captured.keys() | found.keys()) if captured.get(name) != found.get(name)]
        before, after = self.backup.details["header"], read_header(self.path).to_dict()
        return [*shapes, *(f"{key} is {after[key]} instead of {before[key]}" for key in _OF_THE_FILE if before[key] != after[key])]

    def records(self) -> SqliteRecords:
        """Records are streamed on a connection of their own: the Coordinator is asked meanwhile."""
        skip = [(namespace, "state") for namespace in self._coordinator_namespaces]
        return SqliteRecords(self.streaming, self.backup.store, skip)

    def coordinators(self) -> list[SqliteCoordinator]:
        """The Coordinators that the topology puts into this store."""
        return [SqliteCoordinator(self.session, self.backup.store, namespace) for namespace in self._coordinator_namespaces]

    def fences(self, window: str, namespace: str) -> frozenset[str]:
        """Which fence rows of a window it holds."""
        return fences.places(self.session, [namespace], window)

    @property
    def _coordinator_namespaces(self) -> tuple[str, ...]:
        return self.topology.coordinator_namespaces(self.backup.store)

    def scalar(self, query: str) -> Any:
        """The first value of the first row; the query is one statement, and cannot change anything."""
        with opened(self.path, OURS) as session:
            # The file is open for reading only; but VACUUM INTO, for one, would write another.
            session.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY)
            try:
                row = session.execute(query).fetchone()
            except (sqlite3.Error, sqlite3.Warning) as error:
                raise RequestError(f"{query!r} failed: {error}", fix="correct the check in the topology file") from error
        return row[0] if row else None
