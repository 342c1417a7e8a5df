"""MySQL and MariaDB with ``method: pitr``: full dumps now and then, the binary log in between, and a position of it at each backup."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import cast

from midtime.catalog import Catalog
from midtime.catalog.artifacts import check_sizes
from midtime.catalog.bases import BESIDE, REFERENCE, Base, Bases
from midtime.errors import CopyError, MidtimeError, RequestError
from midtime.model.instants import utc_now
from midtime.model.restore_point import StoreBackup, TableContent
from midtime.model.topology import Topology
from midtime.model.topology.relational import Mysql
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores import compression
from midtime.stores.base import Question, Restorable, Say, Shelf, Target
from midtime.stores.copied import CopiedStore
from midtime.stores.fences import Fence
from midtime.stores.mysql.connections import Session, connect
from midtime.stores.mysql.restored import RestoredDatabases
from midtime.stores.mysql.store import MysqlStore
from midtime.stores.mysql_pitr import archive, checks, fulls, replaying
from midtime.stores.mysql_pitr.capture import ArmedPoint, Point, status
from midtime.stores.mysql_pitr.keeping import Keeper
from midtime.stores.mysql_pitr.segments import Segment, require_joined
from midtime.stores.staging import staging, staging_root

log = logging.getLogger(__name__)


class Replayed(RestoredDatabases):
    """Restored to a point, at which nobody counted the rows."""

    def content(self) -> tuple[TableContent, ...]:
        """Nothing, like :attr:`StoreBackup.tables`."""
        return ()


class MysqlPitrStore(CopiedStore):
    """The same databases as :class:`MysqlStore` has, whose dumps are the bases and whose ways of restoring it takes."""

    def __init__(self, topology: Topology, name: str) -> None:
        super().__init__(topology, name)
        self.spec = cast(Mysql, topology.store(name))
        self.full = MysqlStore(topology, name)
        self.full.positioned = True
        self.databases = self.full.databases

    @cached_property
    def bases(self) -> Bases:
        """Where its full dumps are."""
        return Bases(Catalog(self.topology.destination, self.topology.name), self.name)

    # -- backup ---------------------------------------------------------------------------------------------------------------------

    def questions(self) -> Iterator[Question]:
        """Those of a dump; the binary log's format, and whether it can be read and is kept."""
        yield from self.full.questions()
        yield "has a binary log of rows", lambda: self._asked(checks.check_log)
        yield "lets us read its binary log", lambda: self._asked(checks.check_reading)
        yield "keeps its binary log", lambda: self._asked(checks.check_kept)
        yield "has its binary log kept", lambda: checks.check_archive(self.spec.binlog.archive)

    def _asked(self, question: Callable[[Session, Topology, str], str]) -> str:
        with connect(self.spec.conn_id, pure=True) as session:
            return question(session, self.topology, self.name)

    @contextmanager
    def arm(self) -> Iterator[ArmedPoint]:
        """A session that reads positions; before that a base, and the log kept from there to here, so that little is left for :meth:`copy`."""
        with connect(self.spec.conn_id) as session:
            checks.check_log(session, self.topology, self.name)
            base = self._base(session)
            yield ArmedPoint(session, base)

    def capture(self) -> AbstractContextManager[Point]:
        """The same with its position read, at once."""
        return self._captured()

    @contextmanager
    def _captured(self) -> Iterator[Point]:
        with self.arm() as armed:
            yield armed.fix()

    def fence(self) -> AbstractContextManager[Fence]:
        """As of a dump; its rows are in the log."""
        return self.full.fence()

    def copy(self, capture: Point, shelf: Shelf, say: Say) -> StoreBackup:
        """Keep the log up to the position. A base that has grown old is followed by a new one, for the backups to come."""
        started = time.monotonic()
        kept = self._keeper(capture.base).extend(capture.position, say)
        if self.spec.binlog.archive:
            with connect(self.spec.conn_id) as session:
                archive.let_go(session, capture.position)
        self._renew(capture.base, say)
        base = capture.base
        told = {key: base.details[key] for key in ("databases", "shapes", "programs", "longest_row")}
        log_said = {"position": str(capture.position), "segments": [segment.model_dump(mode="json") for segment in kept]}
        beside = [segment.artifact.model_dump(mode="json") for segment in kept if segment.artifact]
        return StoreBackup(
            store=self.name,
            engine=self.spec.engine,
            method=self.spec.method,
            midtime=capture.midtime,
            server=capture.server,
            client=base.client,
            seconds=round(time.monotonic() - started, 3),
            artifacts=(),
            tables=(),
            details={**told, REFERENCE: base.reference, BESIDE: beside, "binlog": log_said},
        )

    def _base(self, session: Session) -> Base:
        """The newest full dump from which the log goes on to here, or else a new one."""
        say = log.info
        base = self.bases.newest()
        if base is None:
            return fulls.take(self.full, self.bases, say)
        try:
            if {each["name"] for each in base.details["databases"]} != set(self.databases):
                raise CopyError("it is of other databases", fix="")
            self._keeper(base).extend(status(session).position, say)
        except CopyError as error:
            log.warning("Full dump %s of store %s cannot be gone on with: %s", base.id, self.name, error.message)
            return fulls.take(self.full, self.bases, say)
        return base

    def _renew(self, base: Base, say: Say) -> None:
        """What fails here is the next backup's affair: this one has its base."""
        if utc_now() - base.taken_at < self.spec.binlog.full_every:
            return
        try:
            fulls.take(self.full, self.bases, say)
        except MidtimeError as error:
            log.warning("Full dump %s of store %s is old, and the next one failed: %s", base.id, self.name, error)

    def _keeper(self, base: Base) -> Keeper:
        return Keeper(
            conn_id=self.spec.conn_id,
            databases=tuple(self.databases),
            folder=self.bases.folder(base.id),
            start=fulls.position_of(base),
            born=int(base.details["born"]),
            method=compression.choose(self.spec.compression)[0],
            keep=self.spec.binlog.archive is None,
        )

    # -- restore --------------------------------------------------------------------------------------------------------------------

    def restorable(self, backup: StoreBackup, passed: Collection[str] = ()) -> Restorable:
        """Whether the full dump and all of the log up to the point are there; only an archive of the log may take its time."""
        base = self.bases.of(backup)
        kept = self._kept(base, backup)
        folder = self.bases.folder(base.id)
        check_sizes([*base.artifacts, *(segment.artifact for segment in kept if segment.artifact)], folder)
        if lacking := archive.lacking(self.spec.binlog.archive, [segment for segment in kept if not segment.artifact]):
            return Restorable(False, f"the archive has not {lacking} yet")
        return Restorable(True, f"full dump {base.id} and the binary log up to {backup.details['binlog']['position']}")

    def _kept(self, base: Base, backup: StoreBackup) -> list[Segment]:
        """The stretches of the log that a restore point needs, joined without a gap.

        :raises ArtifactError: they are not
        """
        said = backup.details["binlog"]
        found = [Segment.model_validate(each) for each in said["segments"]]
        require_joined(found, str(fulls.position_of(base)), said["position"])
        return found

    def target(self, wish: TargetWish | None, *, run: str, drill: bool, in_place: bool) -> Target:
        """As of a dump: the log is replayed under working names, on any server that runs."""
        if wish and (wish.data_dir or wish.port):
            raise RequestError(
                f"store {self.name!r} is restored into a server that runs, not into one of its own", fix="name a connection, or nothing"
            )
        return self.full.target(wish, run=run, drill=drill, in_place=in_place)

    def restore_questions(self, target: Target, backup: StoreBackup) -> Iterator[Question]:
        """Those of the full dump's restore; the log, and whether it can be replayed there."""
        yield "has its full dump and its binary log", lambda: self._there(backup)
        yield from self.full.restore_questions(target, self._as_full(backup))
        yield "takes changes of rows", lambda: self._replayable(target, backup)

    def _there(self, backup: StoreBackup) -> str:
        found = self.restorable(backup)
        if not found.ready:
            raise RequestError(found.detail, fix="wait for it, or use another restore point")
        return found.detail

    def _replayable(self, target: Target, backup: StoreBackup) -> str:
        kept = self._kept(self.bases.of(backup), backup)
        with connect(target.conn_id) as session:
            return checks.check_replaying(session, max((segment.longest for segment in kept), default=0))

    def drill_questions(self) -> Iterator[Question]:
        """As of a dump."""
        return self.full.drill_questions()

    def restore(self, backup: StoreBackup, shelf: Shelf, target: Target, say: Say) -> None:
        """Fetch and check the log first, then load the full dump and replay what came after it."""
        base = self.bases.of(backup)
        kept, folder = self._kept(base, backup), self.bases.folder(base.id)
        with staging(staging_root(self.spec.staging), needed=archive.size(kept)) as staged:
            archive.fetch(kept, folder, self.spec.binlog.archive, staged)

            def replay(session: Session, names: Mapping[str, str]) -> None:
                replaying.replay(session, names, self._events(kept, staged), say)

            self.full.restore(self._as_full(backup), Shelf(folder, self.name), target, say, then=replay)

    @staticmethod
    def _events(kept: Sequence[Segment], staged: Path) -> Iterator[tuple[Segment, Iterator[bytes]]]:
        for segment in kept:
            if segment.artifact:
                yield segment, replaying.stored_events(staged / segment.artifact.path, segment)
            else:
                yield segment, replaying.archived_events(staged / segment.file, segment)

    def _as_full(self, backup: StoreBackup) -> StoreBackup:
        """The full dump, as if it were what was backed up."""
        base = self.bases.of(backup)
        tables = tuple(TableContent(name=name, rows=0) for name in base.details["tables"])
        return backup.model_copy(update={"artifacts": base.artifacts, "tables": tables, "details": {**backup.details, **base.details}})

    def restored(self, backup: StoreBackup, target: Target) -> AbstractContextManager[RestoredDatabases]:
        """The databases under their working names."""
        return self.full.restored(backup, target, Replayed)

    def place(self, backup: StoreBackup, target: Target) -> None:
        """As of a dump."""
        self.full.place(self._as_full(backup), target)

    def put_back(self, backup: StoreBackup, target: Target) -> None:
        """As of a dump."""
        self.full.put_back(self._as_full(backup), target)

    def discard(self, target: Target) -> None:
        """As of a dump."""
        self.full.discard(target)
