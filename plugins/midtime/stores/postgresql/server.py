"""What every way of backing up a PostgreSQL database has in common: its connection, its names, and the first questions of a preflight."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import Any, cast

from psycopg import Connection

from midtime.errors import StoreAccessError
from midtime.model.topology import Topology
from midtime.model.topology.cloud import AnyCloudDatabase, CloudDatabase
from midtime.model.topology.relational import Postgresql
from midtime.stores.base import Question
from midtime.stores.copied import CopiedStore
from midtime.stores.fences import SECONDS, Fence
from midtime.stores.naming import airflow_connection, fit
from midtime.stores.postgresql import content, rights, tools
from midtime.stores.postgresql.connections import connect
from midtime.stores.postgresql.fences import fence_of
from midtime.stores.postgresql.records import PostgresCoordinator

Session = Connection[tuple[Any, ...]]
OLDEST_SERVER = 140000
LONGEST_NAME = 63
"""Bytes; PostgreSQL cuts what is longer."""
# Also where a policy would hide rows from us; but not an extension's own, of which a dump takes nothing.
_UNREADABLE = """
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'S') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%'
      AND c.relpersistence <> 't'
      AND NOT EXISTS (SELECT FROM pg_depend d LEFT JOIN pg_extension e ON e.oid = d.refobjid
          WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e' AND c.oid <> ALL(coalesce(e.extconfig, '{}')))
      AND NOT (NOT row_security_active(c.oid) AND has_schema_privilege(n.oid, 'USAGE') AND CASE c.relkind
          WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT') ELSE has_table_privilege(c.oid, 'SELECT') END)
    ORDER BY 1 LIMIT 10"""


class PostgresqlServer(CopiedStore):
    """One PostgreSQL database, and the server that it is on."""

    def __init__(self, topology: Topology, name: str) -> None:
        super().__init__(topology, name)
        self.spec = cast("Postgresql | AnyCloudDatabase", topology.store(name))

    def questions(self) -> Iterator[Question]:
        """Connection, version, namespaces, Coordinator, privileges."""
        yield "is reachable", self._check_server
        if isinstance(self.spec, CloudDatabase):
            yield "is reached over TLS", self._check_encrypted
        yield "has every namespace", self._check_namespaces
        yield "lets us read every table", self._check_privileges

    def _check_server(self) -> str:
        with self._connect() as session:
            version = session.info.server_version
            if version < OLDEST_SERVER:
                raise StoreAccessError(f"{where(session)} is PostgreSQL {version // 10000}", fix="14 is the oldest that is supported")
            return f"{where(session)}, PostgreSQL {version_text(session)}"

    def _check_encrypted(self) -> str:
        with self._connect() as session:
            return rights.check_encrypted(session)

    def _check_namespaces(self) -> str:
        with self._connect() as session:
            return check_namespaces(session, self.topology, self.name)

    def _check_privileges(self) -> str:
        with self._connect() as session:
            tables = content.tables(session)
            if denied := [name for (name,) in session.execute(_UNREADABLE)]:
                raise StoreAccessError(
                    f"the login of {self.spec.data_connection!r} may not read {', '.join(denied)}",
                    fix="GRANT pg_read_all_data to it; where row security hides rows, make it BYPASSRLS or the table's owner",
                )
            return f"{len(tables)} tables"

    @contextmanager
    def fence(self) -> Iterator[Fence]:
        """A session in the same database. Its commits need not be on disk: they are in the snapshot, and in the WAL before what follows."""
        with self._connect() as session:
            session.execute(f"SET synchronous_commit = off; SET statement_timeout = {1000 * SECONDS}".encode())
            yield fence_of(session, self.spec.data_connection, self.topology.all_namespaces(self.name))

    @cached_property
    def _database(self) -> str:
        """Its name, known without it: it may be lost, which is when it is restored."""
        connection = airflow_connection(self.spec.data_connection)
        return self.spec.database or (connection and (connection.schema or connection.login)) or "postgres"

    def _connect(self) -> AbstractContextManager[Session]:
        return connect(self.spec.data_connection, self.spec.database)

    def _clients(self, session: Session) -> tools.Clients:
        return tools.find_clients(session.info.server_version, folder=self.spec.client_path)

    def _expected_size(self, session: Session) -> int:
        row = session.execute("SELECT pg_database_size(current_database())").fetchone()
        return int(row[0]) if row else 0


def check_namespaces(session: Session, topology: Topology, store: str) -> str:
    """Whether the database has every schema and Coordinator that the topology names.

    :raises StoreAccessError: it has not
    """
    found = {schema for (schema,) in session.execute("SELECT nspname FROM pg_namespace")}
    wanted = topology.all_namespaces(store)
    if missing := [each for each in wanted if each not in found]:
        raise StoreAccessError(
            f"{where(session)} has no schema {', '.join(missing)}",
            fix="correct namespaces, coordinators or metadata_namespace of the topology",
        )
    for namespace in topology.coordinator_namespaces(store):
        if not PostgresCoordinator(session, store, namespace).exists():
            raise StoreAccessError(f"{where(session)} has no Coordinator table {namespace}.state", fix="correct scalardb.coordinators")
    return ", ".join(wanted)


def where(session: Session) -> str:
    """For messages."""
    return f"{session.info.host}:{session.info.port}/{session.info.dbname}"


def fit_name(name: str, end: str = "") -> str:
    """A name of a database, or of something else on the server, that PostgreSQL does not cut."""
    return fit(name, end, limit=LONGEST_NAME)


def version_text(session: Session) -> str:
    """The server's version, as it says it."""
    return session.info.parameter_status("server_version") or ""
