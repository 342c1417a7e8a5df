"""A database of a managed server whose namespaces are schemas, reached by a driver of its own; Oracle and SQL Server say what they make of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import ClassVar

from midtime.clocks import SQL_RESOLUTION, read_sql
from midtime.errors import StoreAccessError
from midtime.model.clock_readings import ClockReading
from midtime.model.restore_point import StoreBackup
from midtime.stores.fences import Fence, fence_table
from midtime.stores.managed_sql.data import At, Data
from midtime.stores.managed_sql.readers import RestoredSchemas, SchemaCoordinator, has_table, present
from midtime.stores.managed_sql.sessions import SchemaSession, connect, errors_of
from midtime.stores.naming import airflow_connection


class SchemaData(Data):
    """One database, whose schemas are namespaces."""

    kind: ClassVar[type[SchemaSession]]
    resolution: ClassVar[timedelta] = SQL_RESOLUTION
    """How finely the server's clock ticks."""

    @abstractmethod
    def instant(self, session: SchemaSession) -> datetime:
        """What time it is, by the server."""

    @property
    def database(self) -> str:
        """The store's, or the connection's."""
        connection = airflow_connection(self.conn_id)
        return self.wished or (connection and connection.schema) or ""

    def check(self) -> str:
        """That it is the live database and encrypted, that the login sees all, schemas and Coordinator."""
        with connect(self.kind, self.conn_id, self.wished) as session:
            if unfit := session.why_unfit():
                raise StoreAccessError(f"{session.where} {unfit[0]}", fix=unfit[1])
            return f"{session.where}, {session.version()}, {_encryption(session)}; {self._namespaces(session)}"

    def read_clock(self) -> ClockReading:
        """By a query, again and again."""
        with connect(self.kind, self.conn_id, self.wished) as session:
            session.hurry()
            return read_sql(self.store, lambda: self.instant(session), resolution=self.resolution)

    @contextmanager
    def fence(self) -> Iterator[Fence]:
        """A session in the same database; the rows are in the first of the namespaces."""
        table = fence_table(self.namespaces)
        with connect(self.kind, self.conn_id, self.wished) as session:
            session.hurry()
            yield Fence(
                session.rows,
                lambda: has_table(session, table),
                partial(errors_of, session),
                session.quoted(*table),
                create="CREATE TABLE",  # neither dialect has `IF NOT EXISTS` in all versions
                columns=session.fence_columns,
            )

    def reach(self, at: At) -> None:
        """One query."""
        with connect(self.kind, self.conn_id, self.wished, at) as session:
            self.instant(session)

    @contextmanager
    def restored(self, backup: StoreBackup, at: At) -> Iterator[RestoredSchemas]:
        """Two sessions: records are streamed on one of their own."""
        opened = partial(connect, self.kind, self.conn_id, self.wished, at)
        with opened() as session, opened() as streaming:
            yield RestoredSchemas(self.topology, backup, session, streaming)

    def _namespaces(self, session: SchemaSession) -> str:
        found = present(session, self.namespaces)
        if missing := [each for each in self.namespaces if each not in found]:
            raise StoreAccessError(
                f"{session.where} has no schema {', '.join(missing)} (spelt so, capital letters and all)",
                fix="correct namespaces, coordinators or metadata_namespace of the topology, or the data connection's database",
            )
        if hidden := session.hidden(self.namespaces):
            raise StoreAccessError(
                f"the login of {self.conn_id!r} may not read all of {', '.join(hidden)}: what it may not see would be called good unread",
                fix="grant it SELECT on all of each schema (docs/rds.md)",
            )
        for namespace in self.topology.coordinator_namespaces(self.store):
            if not SchemaCoordinator(session, self.store, namespace).exists():
                raise StoreAccessError(f"{session.where} has no Coordinator table {namespace}.state", fix="correct scalardb.coordinators")
        return ", ".join(self.namespaces)


def _encryption(session: SchemaSession) -> str:
    if said := session.encryption():
        return said
    if declared := session.declared_plain():
        return f"NOT ENCRYPTED, as the connection says ({declared})"
    raise StoreAccessError(
        f"{session.where} was reached without TLS",
        fix="let the connection lead to the server itself, over TLS (docs/rds.md); see what is between it and the worker",
    )
