"""The SQLite store: preflight, capture, copy, restore, place, discard."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from midtime.catalog.artifacts import download
from midtime.errors import CopyError, RestoreFailedError, StoreAccessError
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.model.topology.relational import Sqlite
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores.base import WILL_BE, Question, Say, Shelf, Target
from midtime.stores.copied import CopiedStore
from midtime.stores.fences import SECONDS, Fence
from midtime.stores.naming import require_working_name
from midtime.stores.sqlite import content, packing, placing, targets
from midtime.stores.sqlite.capture import ArmedFile, Snapshot, armed_file
from midtime.stores.sqlite.fences import fence_of
from midtime.stores.sqlite.files import LIVE, OURS, connection_path, opened, read_header, require_one_name
from midtime.stores.sqlite.restored import RestoredFile
from midtime.stores.staging import room_for, staging, staging_root

log = logging.getLogger(__name__)


class SqliteStore(CopiedStore):
    """One SQLite file, copied as a whole."""

    def __init__(self, topology: Topology, name: str) -> None:
        super().__init__(topology, name)
        self.spec = cast(Sqlite, topology.store(name))

    # -- backup ---------------------------------------------------------------------------------------------------------------------

    def questions(self) -> Iterator[Question]:
        """File, namespaces, Coordinator, readable tables, compression, staging space."""
        yield "is a SQLite file", self._check_file
        yield "has every namespace", self._check_namespaces
        yield "lets us read every table", self._check_tables
        yield "can be compressed", lambda: "{}, level {}".format(*packing.choose(self.spec.compression))
        yield "has staging space", lambda: room_for(staging_root(self.spec.staging), self._size())

    def _check_file(self) -> str:
        from rich.filesize import decimal

        header = read_header(self._path)
        require_one_name(self._path)
        with opened(self._path, LIVE) as session:
            session.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        mode = "write-ahead log: nobody waits" if header.wal else "rollback journal: commits wait while the pages are copied"
        return f"{self._path}, written by SQLite {header.written_by}, {decimal(self._size())}; {mode}"

    def _check_namespaces(self) -> str:
        with opened(self._path, LIVE) as session:
            found = content.tables(session)
        wanted = self.topology.all_namespaces(self.name)
        if missing := [f"{each}$..." for each in wanted if not any(name.startswith(f"{each}$") for name in found)]:
            raise StoreAccessError(
                f"{self._path} has no table {', '.join(missing)}",
                fix="correct namespaces, coordinators or metadata_namespace of the topology",
            )
        for namespace in self.topology.coordinator_namespaces(self.name):
            if f"{namespace}$state" not in found:
                raise StoreAccessError(f"{self._path} has no Coordinator table {namespace}$state", fix="correct scalardb.coordinators")
        return ", ".join(wanted)

    def _check_tables(self) -> str:
        with opened(self._path, LIVE) as session:
            found = content.tables(session)
            for name in found:
                session.execute(f"SELECT * FROM {content.quoted(name)} LIMIT 1").fetchone()
            if lacking := content.lacking(session):
                raise StoreAccessError(
                    f"{self._path} needs what only its application has: {lacking}",
                    fix="take such collations and functions out of its schema: a copy that SQLite cannot check is no backup",
                )
        return f"{len(found)} tables; SQLite checks the copy in full"

    @contextmanager
    def arm(self) -> Iterator[ArmedFile]:
        """The file, open. With a rollback journal its pages are copied from the instant on, behind everybody's back."""
        with (
            staging(staging_root(self.spec.staging), needed=self._size()) as folder,
            armed_file(self._path, folder / packing.NAME) as armed,
        ):
            yield armed

    @contextmanager
    def capture(self) -> Iterator[Snapshot]:
        """A read transaction on the file. With a rollback journal the pages are copied before anybody is asked anything: commits wait for it."""
        with self.arm() as armed:
            snapshot = armed.fix()
            if not snapshot.wal:
                snapshot.copy_pages(log.info)
            yield snapshot

    @contextmanager
    def fence(self) -> Iterator[Fence]:
        """A connection that waits for nobody's lock for long."""
        with opened(self._path, LIVE, timeout=SECONDS) as session:
            yield fence_of(session, self._path, self.topology.all_namespaces(self.name))

    def copy(self, capture: Snapshot, shelf: Shelf, say: Say) -> StoreBackup:
        """Copy the pages, which ends the capture; then check, count and digest the copy, and store it compressed."""
        started = time.monotonic()
        method, level = packing.choose(self.spec.compression)
        file = capture.file
        capture.copy_pages(say)
        if found := content.damage(str(file)):
            raise CopyError(f"{self._path} is damaged: {found}", fix="restore the last good restore point, or repair it")
        with opened(str(file), OURS) as session:
            tables = content.content(session)
            details = {"shapes": content.shapes(session), "needs": content.oldest_library(session)}
        header = read_header(str(file))
        say(f"copy complete: {len(tables)} tables, SQLite finds it whole; storing it")
        artifact = packing.pack(file, shelf, method, level)
        return StoreBackup(
            store=self.name,
            engine=self.spec.engine,
            method=self.spec.method,
            midtime=capture.midtime,
            server=header.written_by,
            client=sqlite3.sqlite_version,
            seconds=round(time.monotonic() - started, 3),
            artifacts=(artifact,),
            tables=tables,
            details={**details, **self._owner(), "header": header.to_dict(), "size": capture.size, "compression": method},
        )

    def _owner(self) -> dict[str, Any]:
        found = os.stat(self._path)
        return {"file": self._path, "mode": stat.S_IMODE(found.st_mode), "uid": found.st_uid, "gid": found.st_gid}

    # -- restore --------------------------------------------------------------------------------------------------------------------

    def target(self, wish: TargetWish | None, *, run: str, drill: bool, in_place: bool) -> Target:
        """``to`` names a connection of type sqlite, or the absolute path of a file or a folder."""
        return targets.target_of(self.name, self.spec.conn_id or "", self._path, wish, run=run, drill=drill, in_place=in_place)

    def restore_questions(self, target: Target, backup: StoreBackup) -> Iterator[Question]:
        """Target folder, its names, its space, this worker's SQLite and staging space."""
        yield "can be restored to", lambda: targets.check_folder(target)
        yield WILL_BE, lambda: targets.check_free(target)
        yield "has space", lambda: targets.check_space(target, int(backup.details["size"]))
        yield "can be read here", lambda: targets.check_library(backup)
        yield "has staging space", lambda: room_for(staging_root(self.spec.staging), backup.size)

    def drill_questions(self) -> Iterator[Question]:
        """The target's folder, and room for the file as it is now."""
        yield "can be drilled", lambda: targets.check_folder(self._drill_target())
        yield "has space to be drilled", lambda: targets.check_space(self._drill_target(), self._size())

    def _drill_target(self) -> Target:
        return self.target(self.topology.drill.targets.get(self.name), run="000000", drill=True, in_place=False)

    def restore(self, backup: StoreBackup, shelf: Shelf, target: Target, say: Say) -> None:
        """Fetch and check the artifact first, then write the file under its working name and let SQLite check it."""
        require_working_name(os.path.basename(target.working))
        with staging(staging_root(self.spec.staging), needed=backup.size) as folder:
            download(backup.artifacts, shelf.folder, shelf.prefix, folder)
            say(f"{len(backup.artifacts)} artifacts fetched, their SHA-256 as in the manifest")
            placing.remove(target.working)
            (artifact,) = folder.iterdir()
            packing.unpack(artifact, target.working, int(backup.details["size"]))
        if found := content.damage(target.working):
            raise RestoreFailedError(f"{target.working} is damaged: {found}", fix="see the target's disk, then run again")
        say(f"{int(backup.details['size']):,} bytes written, SQLite finds the file whole")

    @contextmanager
    def restored(self, backup: StoreBackup, target: Target) -> Iterator[RestoredFile]:
        """The file under the working name."""
        read_header(target.working)
        with opened(target.working, OURS) as session, opened(target.working, OURS) as streaming:
            yield RestoredFile(self.topology, backup, target.working, session, streaming)

    def place(self, backup: StoreBackup, target: Target) -> None:
        """Swap into place; what had the name is kept under ``aside``."""
        if target.final != target.working:
            placing.swap(target, backup.details)

    def put_back(self, backup: StoreBackup, target: Target) -> None:
        """Swap back; the working copy keeps its name all the time."""
        if target.final != target.working:
            placing.swap_back(target)

    def discard(self, target: Target) -> None:
        """Remove the file under the working name, and never another."""
        require_working_name(os.path.basename(target.working))
        placing.forget_alias(target)
        placing.remove(target.working)

    # -- shared ---------------------------------------------------------------------------------------------------------------------

    @property
    def _path(self) -> str:
        """Where it is, or was: it may be lost, which is when it is restored."""
        return os.path.realpath(self.spec.path or connection_path(self.spec.conn_id or ""))

    def _size(self) -> int:
        """Bytes with its log, whose pages the copy may hold besides."""
        return sum(os.path.getsize(each) for each in (self._path, f"{self._path}-wal") if os.path.exists(each))
