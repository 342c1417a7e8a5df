"""The PostgreSQL store: preflight, capture, copy, restore, place, discard."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from midtime.catalog.artifacts import download, upload
from midtime.errors import StoreAccessError, TargetExistsError, ToolError
from midtime.model.restore_point import StoreBackup, TableContent
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores.base import WILL_BE, Question, Say, Shelf, Target
from midtime.stores.naming import airflow_connection, require_working_name, where_to, working_name
from midtime.stores.postgresql import content, databases, rights, tools
from midtime.stores.postgresql.capture import ArmedSnapshot, Snapshot, armed_snapshot
from midtime.stores.postgresql.connections import connect, maintenance_session, tool_environment
from midtime.stores.postgresql.restored import RestoredDatabase
from midtime.stores.postgresql.server import PostgresqlServer, fit_name, version_text
from midtime.stores.staging import room_for, staging, staging_root

log = logging.getLogger(__name__)


class PostgresqlStore(PostgresqlServer):
    """One PostgreSQL database, dumped as a whole."""

    # -- backup ---------------------------------------------------------------------------------------------------------------------

    def questions(self) -> Iterator[Question]:
        """Connection, version, namespaces, Coordinator, privileges, client tools, staging space."""
        yield from super().questions()
        yield "has client tools", self._check_tools
        yield "has staging space", self._check_staging

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
            version, env, needed = version_text(session), tool_environment(session), self._expected_size(session)
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
        working = fit_name(working_name(self.name, run))
        if drill:
            return Target(self.name, conn_id, working, working)
        if in_place:
            final = database or self._database
            return Target(self.name, conn_id, working, final, fit_name(final, f"_before_{run}"))
        return Target(self.name, conn_id, working, database or fit_name(self._database, f"_restored_{run}"))

    def _where_to(self, wish: TargetWish | None, *, drill: bool) -> tuple[str, str | None]:
        if wish is None:
            return self.spec.data_connection, None
        conn_id, name = where_to(wish, store=self.name, conn_id=self.spec.data_connection, drill=drill)
        if name or wish.database or wish.to is None:
            return conn_id, name or wish.database
        connection = airflow_connection(conn_id)
        return conn_id, connection.schema if connection else None

    def restore_questions(self, target: Target, backup: StoreBackup) -> Iterator[Question]:
        """Target server, its rights, its names, client tools and staging space."""
        yield "can be restored to", lambda: self._check_target_server(target)
        yield WILL_BE, lambda: self._check_target_free(target)
        yield "has the roles", lambda: self._check_roles(target, backup)
        yield "has the extensions", lambda: self._check_extensions(target, backup)
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
            return f"{session.info.host}:{session.info.port}, PostgreSQL {version_text(session)}"

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
            if replaces:
                rights.require_renamable(session, target.final)
        return f"{target.final}, replacing the live one, which is kept as {target.aside}" if replaces else f"{target.final}, a new database"

    def _check_roles(self, target: Target, backup: StoreBackup) -> str:
        with maintenance_session(target.conn_id, target.final) as session:
            missing = ", ".join(databases.missing_roles(session, backup.details))
            strangers = ", ".join(rights.unreachable_owners(session, backup.details))
        if strangers and target.aside:
            raise StoreAccessError(
                f"the login may not hand over to the owners {strangers} what is theirs; in place, all owners and privileges would be lost",
                fix="GRANT each of them to the login (WITH SET TRUE) and let it own the schemas of what it owns, or restore beside",
            )
        if missing and target.aside:
            raise StoreAccessError(
                f"the server lacks the roles {missing}; in place, all owners and privileges would be lost with them",
                fix="CREATE ROLE each of them (NOLOGIN is enough), or restore beside",
            )
        if strangers and not missing:
            return f"owners and privileges are left out, because the login may not hand over to {strangers} what is theirs"
        return f"owners and privileges are left out, because there is no role {missing}" if missing else "all of them"

    def _check_extensions(self, target: Target, backup: StoreBackup) -> str:
        with maintenance_session(target.conn_id, target.final) as session:
            return rights.check_extensions(session, backup.details)

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
                owners = not (databases.missing_roles(session, backup.details) or rights.unreachable_owners(session, backup.details))
                databases.drop(session, target.working)
                databases.create(session, target.working, backup.details, owners=owners)
                databases.mark(session, target.working, _origin(target))
                if refused := databases.apply_settings(session, target.working, backup.details):
                    _left_out(say, f"settings of the database that only a superuser may give it: {', '.join(refused)}")
                clients = self._clients(session)
            with connect(target.conn_id, target.working) as session:
                env = tool_environment(session)
            if refusal := tools.restore(clients, folder, jobs=self.spec.jobs, owners=owners, env=env):
                _left_out(say, f"what perhaps only a superuser may create: {refusal}")
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
        origin = _origin(target)
        with maintenance_session(target.conn_id, target.final) as session, maintenance_session(target.conn_id, target.final) as evictor:
            if databases.swapped(session, target.final, origin):
                return  # done by an earlier try
            if not databases.missing_roles(session, backup.details):
                databases.apply_grants(session, target.working, backup.details)
            databases.swap(session, evictor, working=target.working, final=target.final, aside=target.aside or "", origin=origin)

    def put_back(self, backup: StoreBackup, target: Target) -> None:
        """Rename the other way round, in one transaction."""
        if target.final == target.working:
            return
        names = {"working": target.working, "final": target.final, "aside": target.aside or "", "origin": _origin(target)}
        with maintenance_session(target.conn_id, target.final) as session, maintenance_session(target.conn_id, target.final) as evictor:
            databases.swap_back(session, evictor, **names)

    def discard(self, target: Target) -> None:
        """Drop the database under the working name, and never another."""
        require_working_name(target.working)
        with maintenance_session(target.conn_id, target.final) as session:
            databases.drop(session, target.working)


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


def _left_out(say: Say, what: str) -> None:
    log.warning("LEFT OUT: %s", what)
    say(f"LEFT OUT: {what}")


def _origin(target: Target) -> str:
    """What is written onto a restored database: by this a later try knows its own work."""
    return f"restored by Midtime as {target.working}"
