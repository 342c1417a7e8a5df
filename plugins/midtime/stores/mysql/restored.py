"""Restored MySQL databases, open for verification."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mysql.connector import Error

from midtime.errors import RequestError
from midtime.model.restore_point import StoreBackup, TableContent
from midtime.model.topology import Topology
from midtime.stores.mysql import content, fences, programs
from midtime.stores.mysql.connections import Session
from midtime.stores.mysql.records import MysqlCoordinator, MysqlRecords
from midtime.stores.mysql.tools import Clients

_QUESTION = re.compile(r"[\s(]*(?:SELECT|WITH)\b", re.IGNORECASE)
_INTO = re.compile(r"\bINTO\b", re.IGNORECASE)  # OUTFILE writes to the server's disk, whatever the transaction may do


class RestoredDatabases:
    """What was restored of one store.

    :param databases: original name -> working name
    :param clients: count by a dump; without them nothing is counted
    :param streaming: another session, for records: the Coordinator is asked meanwhile
    """

    def __init__(
        self,
        topology: Topology,
        backup: StoreBackup,
        databases: Mapping[str, str],
        *,
        clients: Clients | None = None,
        session: Session,
        streaming: Session,
    ) -> None:
        self.topology = topology
        self.backup = backup
        self.databases = databases
        self.clients = clients
        self.session = session
        self.streaming = streaming

    def content(self) -> tuple[TableContent, ...]:
        """Counts and digests of every table that is there now."""
        if self.clients is None:
            return ()
        return content.content(self.session, self.clients, self._original)

    def schema_differences(self) -> Sequence[str]:
        """Tables whose columns, indexes or foreign keys are not those of the capture."""
        captured: dict[str, str] = self.backup.details["shapes"]
        found = content.shapes(self.session, self._original)
        return [f"table {name} has another shape" for name in sorted(captured.keys() & found.keys()) if captured[name] != found[name]]

    def records(self) -> MysqlRecords:
        """The records, on a connection of their own."""
        skip = [(namespace, "state") for namespace in self._coordinators]
        return MysqlRecords(self.streaming, self.databases, self.backup.store, skip)

    def coordinators(self) -> list[MysqlCoordinator]:
        """The Coordinators that the topology puts into this store.

        :raises RequestError: one was not backed up; a live database of that name is none of ours
        """
        if missing := [each for each in self._coordinators if each not in self.databases]:
            raise RequestError(
                f"the restore point has no database {', '.join(missing)}, where the topology has the Coordinator",
                fix="correct scalardb.coordinators, or use a restore point that was made since it was moved",
            )
        return [MysqlCoordinator(self.session, self.backup.store, each, self.databases[each]) for each in self._coordinators]

    def scalar(self, query: str) -> Any:
        """The first value of the first row. The query cannot change anything, and the databases that it names are the restored ones."""
        if programs.unsure(query, self.databases, strings=False):
            raise RequestError(
                f"in {query!r} a database's name cannot be told from others",
                fix="write database.table, no comments, and no alias or column that is called like a database",
            )
        if not _QUESTION.match(query) or _INTO.search(query):
            raise RequestError(f"{query!r} is no SELECT that only reads", fix="correct the check in the topology file")
        asked = programs.renamed(query, self.databases)
        try:
            self.session.rows("START TRANSACTION READ ONLY")
            if namespaces := [name for name in self.topology.store(self.backup.store).namespaces if name in self.databases]:
                self.session.rows(f"USE {programs.quoted(self.databases[namespaces[0]])}")
            with self.session.connection.cursor(prepared=True) as cursor:  # prepared: one statement, which cannot end the transaction
                cursor.execute(asked)
                row = cursor.fetchone()
                cursor.fetchall()
        except Error as error:
            raise RequestError(f"{query!r} failed: {error}", fix="correct the check in the topology file") from error
        finally:
            self.session.rows("ROLLBACK")
        return row[0] if row else None

    def fences(self, window: str, namespace: str) -> frozenset[str]:
        """Which fence rows of a window they hold."""
        return fences.places(self.session, self.databases[namespace], window) if namespace in self.databases else frozenset()

    @property
    def _original(self) -> dict[str, str]:
        return {working: name for name, working in self.databases.items()}

    @property
    def _coordinators(self) -> tuple[str, ...]:
        return self.topology.coordinator_namespaces(self.backup.store)
