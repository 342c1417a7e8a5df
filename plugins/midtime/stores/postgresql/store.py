"""The PostgreSQL store: preflight, capture, copy, restore, place, discard."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import Any, cast

from psycopg import Connection

from midtime.catalog.artifacts import download, upload
from midtime.errors import StoreAccessError, TargetExistsError, ToolError
from midtime.model.restore_point import StoreBackup, TableContent
from midtime.model.topology import Topology
from midtime.model.topology.relational import Postgresql
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores.base import WILL_BE, CopiedStore, Question, Say, Shelf, Target
from midtime.stores.naming import airflow_connection, fit, require_working_name, where_to, working_name
from midtime.stores.postgresql import content, databases, tools
from midtime.stores.postgresql.capture import ArmedSnapshot, Snapshot, armed_snapshot
from midtime.stores.postgresql.connections import connect, maintenance_session, tool_environment
from midtime.stores.postgresql.records import PostgresCoordinator
from midtime.stores.postgresql.restored import RestoredDatabase
from midtime.stores.staging import room_for, staging, staging_root

Session = Connection[tuple[Any, ...]]
OLDEST_SERVER = 140000
LONGEST_NAME = 63
"""Bytes; PostgreSQL cuts what is longer."""
_UNREADABLE = """
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'S') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%'
      AND c.relpersistence <> 't'
      AND NOT (has_schema_privilege(n.oid, 'USAGE') AND CASE c.relkind
          WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT') ELSE has_table_privilege(c.oid, 'SELECT') END)
    ORDER BY 1 LIMIT 10"""


class PostgresqlStore(CopiedStore):
    """One PostgreSQL database, dumped as a whole."""

    def __init__(self, topology: Topology, name: str) -> None:
        super().__init__(topology, name)
        self.spec = cast(Postgresql, topology.store(name))

    # -- backup ---------------------------------------------------------------------------------------------------------------------

    def questions(self) -> Iterator[Question]:
        """Connection, version, namespaces, Coordinator, privileges, client tools, staging space."""
        yield "is reachable", self._check_server
        yield "has every namespace", self._check_namespaces
        yield "lets us read every table", self._check_privileges
        yield "has client tools", self._check_tools
        yield "has staging space", self._check_staging

    def _check_server(self) -> str:
        with self._connect() as session:
            version = session.info.server_version
            if version < OLDEST_SERVER:
                raise StoreAccessError(f"{self._where(session)} is PostgreSQL {version // 10000}", fix="14 is the oldest that is supported")
            return f"{self._where(session)}, PostgreSQL {_version_text(session)}"

    def _check_namespaces(self) -> str:
        with self._connect() as session:
            found = {schema for (schema,) in session.execute("SELECT nspname FROM pg_namespace")}
            wanted = self.topology.all_namespaces(self.name)
            missing = [each for each in wanted if each not in found]
            if missing:
                raise StoreAccessError(
                    f"{self._where(session)} has no schema {', '.join(missing)}",
                    fix="correct namespaces, coordinators or metadata_namespace of the topology",
                )
            for namespace in self.topology.coordinator_namespaces(self.name):
                if not PostgresCoordinator(session, self.name, namespace).exists():
                    raise StoreAccessError(
                        f"{self._where(session)} has no Coordinator table {namespace}.state", fix="correct scalardb.coordinators"
                    )
            return ", ".join(wanted)

    def _check_privileges(self) -> str:
        with self._connect() as session:
            tables = content.tables(session)
            if denied := [name for (name,) in session.execute(_UNREADABLE)]:
                raise StoreAccessError(
                    f"the login of {self.spec.conn_id!r} may not read {', '.join(denied)}", fix="GRANT pg_read_all_data to it"
                )
            return f"{len(tables)} tables"

    def _check_tools(self) -> str:
        with self._connect() as session:
            clients = self._clients(session)
        return f"pg_dump {clients.version_text} in {clients.pg_dump.parent}, compression {tools.choose_compression(clients, self.spec.compression)}"

    def _check_staging(self) -> str:
        with self._connect() as session:
            needed = self._expected_size(session)
        return room_for(staging_root(self.spec.staging), needed)

    @contextmanager
    def arm(self) -> Iterator[ArmedSnapshot]:
        """Ready to export a snapshot of the whole database."""
        with self._connect() as listing, self._connect() as session, armed_snapshot(session, listing) as armed:
            yield armed

    @contextmanager
    def capture(self) -> Iterator[Snapshot]:
        """An exported snapshot of the whole database, at once."""
        with self.arm() as armed:
            yield armed.fix()

    def copy(self, capture: Snapshot, shelf: Shelf, say: Say) -> StoreBackup:
        """Dump the snapshot, prove the dump complete and store it; counts and digests are taken from the same snapshot meanwhile."""
        started = time.monotonic()
        with self._connect() as session:
            clients = self._clients(session)
            request = tools.DumpRequest(
                capture.id, self.spec.jobs, tools.choose_compression(clients, self.spec.compression), len(capture.tables)
            )
            version, env, needed = _version_text(session), tool_environment(session), self._expected_size(session)
        details = {**capture.describe(), "compression": request.compression, "snapshot": capture.id}
        with staging(staging_root(self.spec.staging), needed=needed) as folder:
            dump = folder / "dump"
            with _beside(capture) as counted:
                tools.dump(clients, request, dump, env=env, say=say)
                tables = _result(counted)
            tools.check_complete(clients, dump, capture.tables)
            say(f"dump complete: {len(capture.tables)} tables; storing it")
            artifacts = upload(dump, shelf.folder, shelf.prefix)
        return StoreBackup(
            store=self.name,
            engine=self.spec.engine,
            method=self.spec.method,
            midtime=capture.midtime,
            server=version,
            client=clients.version_text,
            seconds=round(time.monotonic() - started, 3),
            artifacts=artifacts,
            tables=tables,
            details=details,
        )

    # -- restore --------------------------------------------------------------------------------------------------------------------

    def target(self, wish: TargetWish | None, *, run: str, drill: bool, in_place: bool) -> Target:
        """``to`` names a connection (its server, and its database when it has one) or a database on the store's own server."""
        conn_id, database = self._where_to(wish, drill=drill)
        working = _fit(working_name(self.name, run))
        if drill:
            return Target(self.name, conn_id, working, working)
        if in_place:
            final = database or self._database
            return Target(self.name, conn_id, working, final, _fit(final, f"_before_{run}"))
        return Target(self.name, conn_id, working, database or _fit(self._database, f"_restored_{run}"))

    def _where_to(self, wish: TargetWish | None, *, drill: bool) -> tuple[str, str | None]:
        if wish is None:
            return self.spec.conn_id, None
        conn_id, name = where_to(wish, store=self.name, conn_id=self.spec.conn_id, drill=drill)
        if name or wish.database or wish.to is None:
            return conn_id, name or wish.database
        connection = airflow_connection(conn_id)
        return conn_id, connection.schema if connection else None

    def restore_questions(self, target: Target, backup: StoreBackup) -> Iterator[Question]:
        """Target server, its rights, its names, client tools and staging space."""
        yield "can be restored to", lambda: self._check_target_server(target)
        yield WILL_BE, lambda: self._check_target_free(target)
        yield "has the roles", lambda: self._check_roles(target, backup)
        yield "has client tools", lambda: self._check_restore_tools(target, backup)
        yield "has staging space", lambda: self._check_restore_staging(backup)

    def drill_questions(self) -> Iterator[Question]:
        """The target's connection and its right to make databases."""
        yield "can be drilled", self._check_drill_target

    def _check_drill_target(self) -> str:
        wish = self.topology.drill.targets.get(self.name)
        return self._check_target_server(self.target(wish, run="000000", drill=True, in_place=False))

    def _check_target_server(self, target: Target) -> str:
        with maintenance_session(target.conn_id, target.final) as session:
            allowed = session.execute("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
            if not (allowed and allowed[0]):
                raise StoreAccessError(f"the login of {target.conn_id!r} may not create databases", fix="ALTER ROLE ... CREATEDB")
            return f"{session.info.host}:{session.info.port}, PostgreSQL {_version_text(session)}"

    def _check_target_free(self, target: Target) -> str:
        with maintenance_session(target.conn_id, target.final) as session:
            if not target.aside and target.final != target.working and databases.exists(session, target.final):
                raise TargetExistsError(
                    f"database {target.final!r} exists on the target of store {self.name!r}",
                    fix="choose another target, or set in_place to replace it after approval",
                )
            if target.aside and databases.exists(session, target.aside):
                raise TargetExistsError(
                    f"database {target.aside!r} exists already", fix="remove it once nobody needs it, or start a new run"
                )
            replaces = target.aside and databases.exists(session, target.final)
        return f"{target.final}, replacing the live one, which is kept as {target.aside}" if replaces else f"{target.final}, a new database"

    def _check_roles(self, target: Target, backup: StoreBackup) -> str:
        with maintenance_session(target.conn_id, target.final) as session:
            missing = ", ".join(databases.missing_roles(session, backup.details))
        if missing and target.aside:
            raise StoreAccessError(
                f"the server lacks the roles {missing}; in place, all owners and privileges would be lost with them",
                fix="CREATE ROLE each of them (NOLOGIN is enough), or restore beside",
            )
        return f"owners and privileges are left out, because there is no role {missing}" if missing else "all of them"

    def _check_restore_tools(self, target: Target, backup: StoreBackup) -> str:
        with maintenance_session(target.conn_id, target.final) as session:
            clients = self._clients(session)
        if clients.version[0] < int(backup.client.split(".")[0]):
            raise ToolError(
                f"{clients.pg_restore} is older than the pg_dump {backup.client} that made the artifacts", fix="install a newer client"
            )
        tools.choose_compression(clients, str(backup.details["compression"]))
        return f"pg_restore {clients.version_text} in {clients.pg_restore.parent}"

    def _check_restore_staging(self, backup: StoreBackup) -> str:
        return room_for(staging_root(self.spec.staging), backup.size)

    def restore(self, backup: StoreBackup, shelf: Shelf, target: Target, say: Say) -> None:
        """Fetch and check every artifact first, then restore into a new database under the working name."""
        with staging(staging_root(self.spec.staging), needed=backup.size) as folder:
            download(backup.artifacts, shelf.folder, shelf.prefix, folder)
            say(f"{len(backup.artifacts)} artifacts fetched, their SHA-256 as in the manifest")
            with maintenance_session(target.conn_id, target.final) as session:
                owners = not databases.missing_roles(session, backup.details)
                databases.drop(session, target.working)
                databases.create(session, target.working, backup.details, owners=owners)
                databases.mark(session, target.working, _origin(target))
                databases.apply_settings(session, target.working, backup.details)
                clients = self._clients(session)
            with connect(target.conn_id, target.working) as session:
                env = tool_environment(session)
            tools.restore(clients, folder, jobs=self.spec.jobs, owners=owners, env=env)
            with connect(target.conn_id, target.working) as session:
                session.execute("ANALYZE")

    @contextmanager
    def restored(self, backup: StoreBackup, target: Target) -> Iterator[RestoredDatabase]:
        """The database under the working name."""
        with connect(target.conn_id, target.working) as session, connect(target.conn_id, target.working) as streaming:
            content.prepare(session)
            content.prepare(streaming)
            yield RestoredDatabase(self.topology, backup, session, streaming)

    def place(self, backup: StoreBackup, target: Target) -> None:
        """Rename into place; what had the name is kept under ``aside``."""
        if target.final == target.working:
            return
        with maintenance_session(target.conn_id, target.final) as session, maintenance_session(target.conn_id, target.final) as evictor:
            if databases.marked(session, target.final) == _origin(target):
                return  # done by an earlier try
            if not databases.missing_roles(session, backup.details):
                databases.apply_grants(session, target.working, backup.details)
            databases.swap(session, evictor, working=target.working, final=target.final, aside=target.aside or "")

    def discard(self, target: Target) -> None:
        """Drop the database under the working name, and never another."""
        require_working_name(target.working)
        with maintenance_session(target.conn_id, target.final) as session:
            databases.drop(session, target.working)

    # -- shared ---------------------------------------------------------------------------------------------------------------------

    @cached_property
    def _database(self) -> str:
        """Its name, known without it: it may be lost, which is when it is restored."""
        connection = airflow_connection(self.spec.conn_id)
        return self.spec.database or (connection and (connection.schema or connection.login)) or "postgres"

    def _connect(self) -> AbstractContextManager[Session]:
        return connect(self.spec.conn_id, self.spec.database)

    def _clients(self, session: Session) -> tools.Clients:
        return tools.find_clients(session.info.server_version, folder=self.spec.client_path)

    def _expected_size(self, session: Session) -> int:
        row = session.execute("SELECT pg_database_size(current_database())").fetchone()
        return int(row[0]) if row else 0

    def _where(self, session: Session) -> str:
        return f"{session.info.host}:{session.info.port}/{session.info.dbname}"


@contextmanager
def _beside(snapshot: Snapshot) -> Iterator[Any]:
    """Count and digest on the snapshot's own session while ``pg_dump`` reads through others; stopped when the dump fails."""
    stop = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="digests") as pool:
        counted = pool.submit(snapshot.content, stop)
        try:
            yield counted
        except BaseException:
            stop.set()
            snapshot.session.cancel_safe()
            raise


def _result(counted: Any) -> tuple[TableContent, ...]:
    tables: tuple[TableContent, ...] = counted.result()
    return tables


def _origin(target: Target) -> str:
    """What is written onto a restored database: by this a later try knows its own work."""
    return f"restored by Midtime as {target.working}"


def _fit(name: str, end: str = "") -> str:
    return fit(name, end, limit=LONGEST_NAME)


def _version_text(session: Session) -> str:
    return session.info.parameter_status("server_version") or ""
