"""Fixing the instant: one read transaction, from which the pages are copied.

With a write-ahead log it is a snapshot that writers neither see nor disturb. With a rollback journal it is a shared lock: whoever commits
waits until the pages are copied, so that begins at once, whatever becomes of the window. Without it SQLite's backup starts again whenever
another process writes.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from midtime.errors import CopyError, MidtimeError, StagingSpaceError, StoreUnreachableError
from midtime.model.instants import utc_now
from midtime.stores.base import Say
from midtime.stores.copied import Armed
from midtime.stores.sqlite.files import LIVE, opened, read_header, require_one_name, sqlite_errors

log = logging.getLogger(__name__)

TRIES = 500
STEP = 8 << 20
"""Bytes between two looks at whether this task is to end."""
_NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE}
"""In writing; trouble in reading the live file is another thing."""


class _GivenUp(Exception):  # noqa: N818 - ends a copy that nobody waits for any more
    pass


@dataclass(slots=True)
class Snapshot:
    """A database at one instant; it lives until it is copied, at most as long as its session."""

    session: sqlite3.Connection
    path: str
    file: Path
    """Where the copy goes."""
    wal: bool
    midtime: datetime
    page_size: int
    pages: int
    hand: ThreadPoolExecutor
    """What copies."""
    given_up: threading.Event
    copying: Future[None] | None = None

    @property
    def size(self) -> int:
        """Bytes of the copy."""
        return self.page_size * self.pages

    def begin_copy(self, say: Say) -> Future[None]:
        """Copy the pages on a thread; once begun, nothing is done again."""
        self.copying = self.copying or self.hand.submit(self._copy, say)
        return self.copying

    def copy_pages(self, say: Say) -> None:
        """Copy every page into the new file, then let go of the instant; or wait until that is done.

        :raises CopyError: the pages could not be copied
        :raises StagingSpaceError: the disk is full
        """
        self.begin_copy(say).result()

    def _copy(self, say: Say) -> None:
        file = self.file
        with opened(str(file), "mode=rwc") as copy:
            copy.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")  # thrown away if anything happens
            try:
                self.session.backup(copy, pages=max(1, STEP // self.page_size), progress=_progress(self.page_size, say, self.given_up))
            except sqlite3.Error as error:
                raise _copy_failed(self.path, file, error) from error
        self.session.execute("ROLLBACK")
        if file.stat().st_size != self.size:
            raise CopyError(f"the copy of {self.path} has {file.stat().st_size:,} bytes, not {self.size:,}", fix="run the backup again")


@dataclass(frozen=True, slots=True)
class ArmedFile(Armed):
    """An open database on which no transaction has begun."""

    path: str
    file: Path
    inode: tuple[int, int] | None
    """Which file that was."""
    session: sqlite3.Connection
    watch: sqlite3.Connection
    """Sees other processes' commits."""
    hand: ThreadPoolExecutor
    given_up: threading.Event

    def fix(self, say: Say = log.info) -> Snapshot:
        """Begin the read transaction. With a rollback journal the copy of the pages begins, too: only its end lets commits through.

        :param say: is told how far that copy got
        :raises StoreUnreachableError: somebody keeps it locked
        :raises CopyError: another file has its name by now
        """
        with sqlite_errors(self.path):
            wal = _has_log(self.session)
            midtime = _fix(self.session, self.watch if wal else None)
            if _inode(self.path) != self.inode:
                raise CopyError(f"{self.path} is another file than a moment ago", fix="wait for whoever replaced it, then run again")
            require_one_name(self.path)
            ((pages,),), ((size,),) = self.session.execute("PRAGMA page_count"), self.session.execute("PRAGMA page_size")
        snapshot = Snapshot(self.session, self.path, self.file, wal, midtime, size, pages, self.hand, self.given_up)
        if not wal:
            snapshot.begin_copy(say)
        return snapshot


@contextmanager
def armed_file(path: str, file: Path) -> Iterator[ArmedFile]:
    """Open the database.

    :param file: where the copy is to go

    :raises StoreAccessError: no such file, or no database
    """
    read_header(path)
    require_one_name(path)
    inode, given_up = _inode(path), threading.Event()
    with opened(path, LIVE) as watch, opened(path, LIVE) as session, ThreadPoolExecutor(1, "pages") as hand:
        try:
            for each in (watch, session):
                each.execute("PRAGMA query_only = 1")
                _has_log(each)
            yield ArmedFile(path, file, inode, session, watch, hand, given_up)
        finally:
            given_up.set()


def _inode(path: str) -> tuple[int, int] | None:
    with suppress(FileNotFoundError):
        found = os.stat(path)
        return found.st_dev, found.st_ino
    return None


def _has_log(session: sqlite3.Connection) -> bool:
    session.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # looks at the file: others may have changed it
    mode: str = session.execute("PRAGMA journal_mode").fetchone()[0]
    return mode == "wal"


def _fix(session: sqlite3.Connection, watch: sqlite3.Connection | None) -> datetime:
    """Fix the snapshot and read the clock with no commit between the two: what is committed before is in, what is committed after is not.

    :param watch: sees other processes' commits; not needed where our lock keeps them away
    """
    for _ in range(TRIES):
        before = _version(watch)
        session.execute("BEGIN")
        session.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        now = utc_now()
        if _version(watch) == before:
            return now
        session.execute("ROLLBACK")
    raise StoreUnreachableError("commits come too fast: no instant between two of them was found", fix="back up at a quieter time")


def _version(watch: sqlite3.Connection | None) -> int:
    return int(watch.execute("PRAGMA data_version").fetchone()[0]) if watch else 0


def _progress(page_size: int, say: Say, given_up: threading.Event) -> Callable[[int, int, int], None]:
    told = 0

    def progress(_: int, remaining: int, total: int) -> None:
        nonlocal told
        if given_up.is_set():
            raise _GivenUp
        done = 10 * (total - remaining) // max(total, 1)
        if done > told:
            told = done
            say(f"copied {done * 10} % of {total * page_size:,} bytes")

    return progress


def _copy_failed(path: str, file: Path, error: sqlite3.Error) -> MidtimeError:
    if error.sqlite_errorcode in _NO_ROOM:
        return StagingSpaceError(f"cannot write {file}: {error}", fix="make room there, or point MIDTIME_STAGING to a larger disk")
    return CopyError(f"{path} could not be copied: {error}", fix="run the backup again; if it is damaged, restore the last good one")
