"""The database of a server for PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from midtime.clocks import read_sql
from midtime.errors import StoreStatementError
from midtime.model.clock_readings import ClockReading
from midtime.model.restore_point import StoreBackup
from midtime.stores.fences import SECONDS, Fence
from midtime.stores.managed_sql.data import At, Data
from midtime.stores.naming import airflow_connection
from midtime.stores.postgresql import content
from midtime.stores.postgresql.connections import Session, connect
from midtime.stores.postgresql.fences import fence_of
from midtime.stores.postgresql.server import check_namespaces, version_text, where
from midtime.stores.postgresql_pitr.restored import RestoredHistory


class RestoredPostgresql(RestoredHistory):
    """A restored server's database: what is in it is what the service says was in it then."""

    def schema_differences(self) -> Sequence[str]:
        """Namespaces that are not there."""
        found = {schema for (schema,) in self.session.execute("SELECT nspname FROM pg_namespace")}
        return [f"schema {name}: missing" for name in self.topology.all_namespaces(self.backup.store) if name not in found]


class PostgresqlData(Data):
    """One database, whose schemas are namespaces."""

    conn_type = "postgres"

    @property
    def database(self) -> str:
        """The store's, or the connection's."""
        connection = airflow_connection(self.conn_id)
        return self.wished or (connection and (connection.schema or connection.login)) or "postgres"

    @property
    def host(self) -> str:
        """As libpq understands the connection: what its extras say wins, and an address most of all."""
        connection = airflow_connection(self.conn_id)
        extra = connection.extra_dejson if connection else {}
        return str(extra.get("hostaddr") or extra.get("host") or super().host)

    def check(self) -> str:
        """Schemas and Coordinator; and that it is no replica, which keeps no history of its own."""
        with connect(self.conn_id, self.wished) as session:
            if _value(session, "SELECT pg_is_in_recovery()"):
                raise StoreStatementError(f"{where(session)} is a replica", fix="let `data_conn_id` lead to the primary server")
            return f"{where(session)}, PostgreSQL {version_text(session)}; {check_namespaces(session, self.topology, self.store)}"

    def read_clock(self) -> ClockReading:
        """By ``clock_timestamp()``."""
        with connect(self.conn_id, self.wished) as session:
            session.execute(f"SET statement_timeout = {1000 * SECONDS}".encode())
            return read_sql(self.store, lambda: _instant(session))

    @contextmanager
    def fence(self) -> Iterator[Fence]:
        """A session in the same database; its commits are waited for, for nobody but the service knows when it copies the log."""
        with connect(self.conn_id, self.wished) as session:
            session.execute(f"SET statement_timeout = {1000 * SECONDS}".encode())
            yield fence_of(session, self.conn_id, self.namespaces)

    def reach(self, at: At) -> None:
        """One query."""
        with connect(self.conn_id, self.wished, host=at) as session:
            session.execute("SELECT 1")

    @contextmanager
    def restored(self, backup: StoreBackup, at: At) -> Iterator[RestoredPostgresql]:
        """Two sessions: records are streamed on one of their own."""
        database = str(backup.details.get("database") or "") or self.wished
        with connect(self.conn_id, database, host=at) as session, connect(self.conn_id, database, host=at) as streaming:
            content.prepare(session)
            content.prepare(streaming)
            yield RestoredPostgresql(self.topology, backup, session, streaming)


def _value(session: Session, query: str) -> object:
    row = session.execute(query.encode()).fetchone()
    return row[0] if row else None


def _instant(session: Session) -> datetime:
    found = _value(session, "SELECT clock_timestamp()")
    if not isinstance(found, datetime):
        raise ValueError(f"it says {found!r}")
    return found
