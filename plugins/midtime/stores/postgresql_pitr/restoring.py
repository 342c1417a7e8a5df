"""The half of the store that restores: a base, and WAL up to a named point, made into a server of its own on this worker."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from midtime.catalog import Catalog
from midtime.catalog.artifacts import download
from midtime.catalog.bases import Base, Bases
from midtime.errors import ArtifactError, RequestError, StoreUnreachableError
from midtime.model.restore_point import StoreBackup
from midtime.model.topology.relational import Postgresql
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores.base import WILL_BE, Question, Restorable, Say, Shelf, Target
from midtime.stores.naming import airflow_connection
from midtime.stores.postgresql import content
from midtime.stores.postgresql.connections import Session, connect
from midtime.stores.postgresql.server import PostgresqlServer
from midtime.stores.postgresql_pitr import checks, servers
from midtime.stores.postgresql_pitr.archive import Archive
from midtime.stores.postgresql_pitr.base_backup import span_of
from midtime.stores.postgresql_pitr.cluster import owner_of
from midtime.stores.postgresql_pitr.config import Goal, worker_user
from midtime.stores.postgresql_pitr.programs import find_server
from midtime.stores.postgresql_pitr.recovery import SPOOL, recover, unpack
from midtime.stores.postgresql_pitr.restored import RestoredHistory
from midtime.stores.postgresql_pitr.servers import RestoredServer
from midtime.stores.postgresql_pitr.spool import AHEAD, BEHIND, Spool
from midtime.stores.postgresql_pitr.targets import require_names, room_in, target_of, what_it_will_be
from midtime.stores.postgresql_pitr.wal import Span

log = logging.getLogger(__name__)
FETCHED = "fetched"
_SIZE = "SELECT coalesce(sum(CASE WHEN has_database_privilege(oid, 'CONNECT') THEN pg_database_size(oid) ELSE 0 END), 0)::bigint FROM pg_database"


class PostgresqlHistory(PostgresqlServer):
    """What is kept of a server's history, and how it is brought back."""

    spec: Postgresql

    @cached_property
    def catalog(self) -> Catalog:
        """The topology's; bases lie there."""
        return Catalog(self.topology.destination, self.topology.name)

    @cached_property
    def bases(self) -> Bases:
        """Those of this store."""
        return Bases(self.catalog, self.name)

    @cached_property
    def archive(self) -> Archive:
        """Where the server archives to."""
        if self.spec.wal is None:
            raise RequestError(f"store {self.name!r} says nothing of its WAL archive", fix="add wal: {archive: ...} to the topology")
        return Archive(self.spec.wal.archive, plain=self.spec.wal.restore_command is None)

    def restorable(self, backup: StoreBackup, passed: Collection[str] = ()) -> Restorable:
        """Whether the archive holds all WAL from the base's start to the point."""
        return self.archive.restorable(Span.from_dict(backup.details["wal"]))

    def target(self, wish: TargetWish | None, *, run: str, drill: bool, in_place: bool) -> Target:
        """A folder below ``data_dir`` on the worker; where nothing is said, that of the drill."""
        wish = wish or self.topology.drill.targets.get(self.name)
        conn_id = (wish and wish.conn_id) or self.spec.conn_id
        return target_of(self.name, conn_id, wish, run=run, drill=drill, in_place=in_place)

    def restore_questions(self, target: Target, backup: StoreBackup) -> Iterator[Question]:
        """Folder, port, programs, room; base and WAL."""
        yield "can be restored to", lambda: self._check_folder(target)
        yield WILL_BE, lambda: what_it_will_be(target)
        yield "has a base", lambda: self.bases.of(backup).id
        yield "has its history", lambda: self._require_restorable(backup)
        yield "has a server's programs", lambda: str(self._server(target, self.bases.of(backup)).programs.postgres)
        yield "has room", lambda: room_in(target, _room(self.bases.of(backup)))

    def drill_questions(self) -> Iterator[Question]:
        """The same of the topology's drill target, as far as it can be asked without a restore point."""
        yield "can be drilled in", lambda: self._check_folder(self._drill_target)
        yield "can be drilled with", lambda: self._ask(self._check_programs)
        yield "has room for a drill", lambda: self._ask(self._check_room)

    @property
    def _drill_target(self) -> Target:
        return self.target(None, run="000000", drill=True, in_place=False)

    def _check_folder(self, target: Target) -> str:
        require_names(target)
        worker_user()
        self._login(target)
        owner_of(Path(target.working).parent)
        return str(Path(target.working).parent)

    def _ask(self, question: checks.Answer) -> str:
        with self._connect() as session:
            return question(session)

    def _check_programs(self, session: Session) -> str:
        return str(find_server(session.info.server_version // 10000, folder=self.spec.client_path).postgres)

    def _check_room(self, session: Session) -> str:
        return room_in(self._drill_target, self._cluster_size(session))

    def _cluster_size(self, session: Session) -> int:
        row = session.execute(_SIZE).fetchone()
        return int(row[0]) if row else 0

    def _require_restorable(self, backup: StoreBackup) -> str:
        found = self.restorable(backup)
        if not found.ready:
            raise ArtifactError(found.detail, fix="wait if it is being archived; else use another restore point")
        return found.detail

    def restore(self, backup: StoreBackup, shelf: Shelf, target: Target, say: Say) -> None:
        """Fetch and check the base, unpack it, replay WAL up to the named point, and let the server run under the working name."""
        servers.discard(self.catalog, target)  # of an earlier try
        servers.record(self.catalog, target)
        base = self.bases.of(backup)
        say(self._require_restorable(backup))
        server = self._server(target, base)
        cluster = server.working
        require_names(target)
        room_in(target, _room(base))
        cluster.folder.mkdir(mode=0o700)
        download(base.artifacts, self.bases.folder(base.id), "", cluster.folder / FETCHED)
        say(f"base {base.id} fetched, its SHA-256 as in its file")
        unpack(cluster, base, cluster.folder / FETCHED, say)
        spool = self._spool(backup, server)
        command = spool.prepare() if spool else str(self.spec.wal and self.spec.wal.restore_command)
        recover(cluster, server.doors(cluster), base, Goal(backup.details["point"], command), spool, say)
        for folder in (FETCHED, SPOOL):
            shutil.rmtree(cluster.folder / folder, ignore_errors=True)
        server.open(cluster, is_open=False)
        server.note()

    def _spool(self, backup: StoreBackup, server: RestoredServer) -> Spool | None:
        if not self.archive.plain:
            return None
        span = Span.from_dict(backup.details["wal"])
        return Spool(self.archive, server.working.folder / SPOOL, list(span.names()), span.segment_size, server.working.owner)

    @contextmanager
    def restored(self, backup: StoreBackup, target: Target) -> Iterator[RestoredHistory]:
        """The database on the server under the working name."""
        server = self._server(target, self.bases.of(backup))
        server.require_up()
        doors = server.doors(server.working)
        at = (str(doors.folder), doors.port)
        database = str(backup.details["database"])
        with connect(target.conn_id, database, at=at) as session, connect(target.conn_id, database, at=at) as streaming:
            content.prepare(session)
            content.prepare(streaming)
            if session.execute("SELECT pg_is_in_recovery()").fetchone() != (False,):
                raise StoreUnreachableError(f"the server in {target.working} still recovers", fix="run the restore again")
            yield RestoredHistory(self.topology, backup, session, streaming)

    def place(self, backup: StoreBackup, target: Target) -> None:
        """Move it to its final folder, and let it listen on the loopback address."""
        if target.final != target.working:
            self._server(target, self.bases.of(backup)).place()
            log.info(
                "Restored server of store %s: %s, port %s; pg_ctl -D %s/data stop|start", self.name, target.final, target.port, target.final
            )

    def put_back(self, backup: StoreBackup, target: Target) -> None:
        """Move it back under its working name."""
        if target.final != target.working:
            self._server(target, self.bases.of(backup)).put_back()

    def discard(self, target: Target) -> None:
        """Stop and remove the server under the working name, and never another."""
        servers.discard(self.catalog, target)

    def _server(self, target: Target, base: Base) -> RestoredServer:
        programs = find_server(base.details["major"], folder=self.spec.client_path)
        return RestoredServer(self.catalog, target, programs, self._login(target), base.details["settings"])

    def _login(self, target: Target) -> str:
        connection = airflow_connection(target.conn_id)
        if connection is None or not connection.login:
            raise RequestError(
                f"connection {target.conn_id!r} names no login to verify with", fix="add the login to the Airflow connection"
            )
        return str(connection.login)


def _room(base: Base) -> int:
    return int(base.details["bytes"]) + base.size + (AHEAD + BEHIND + 4) * span_of(base).segment_size
