"""Fixing the instant: one read transaction, from which the pages are copied.

With a write-ahead log it is a snapshot that writers neither see nor disturb. With a rollback journal it is a shared lock: whoever commits
waits until the pages are copied, and with them nothing else is done. Without it SQLite's backup starts again whenever another process writes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from midtime.errors import CopyError, MidtimeError, StagingSpaceError, StoreUnreachableError
from midtime.model.instants import utc_now
from midtime.stores.base import Say
from midtime.stores.sqlite.files import LIVE, opened, read_header, require_one_name

TRIES = 500
STEP = 8 << 20
"""Bytes between two looks at whether this task is to end."""
_NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE}
"""In writing; trouble in reading the live file is another thing."""


@dataclass(frozen=True, slots=True)
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

    @property
    def size(self) -> int:
        """Bytes of the copy."""
        return self.page_size * self.pages

    def copy_pages(self, say: Say) -> None:
        """Copy every page into the new file, then let go of the instant; once done, nothing is done again.

        :raises CopyError: the pages could not be copied
        :raises StagingSpaceError: the disk is full
        """
        file = self.file
        if file.exists():
            return
        with opened(str(file), "mode=rwc") as copy:
            copy.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")  # thrown away if anything happens
            try:
                self.session.backup(copy, pages=max(1, STEP // self.page_size), progress=_progress(self.page_size, say))
            except sqlite3.Error as error:
                raise _copy_failed(self.path, file, error) from error
        self.session.execute("ROLLBACK")
        if file.stat().st_size != self.size:
            raise CopyError(f"the copy of {self.path} has {file.stat().st_size:,} bytes, not {self.size:,}", fix="run the backup again")


@contextmanager
def open_snapshot(path: str, file: Path) -> Iterator[Snapshot]:
    """Begin the read transaction.

    :param file: where the copy is to go

    :raises StoreAccessError: no such file, or no database
    :raises StoreUnreachableError: somebody keeps it locked
    """
    wal = read_header(path).wal
    require_one_name(path)
    with opened(path, LIVE) as watch, opened(path, LIVE) as session:
        session.execute("PRAGMA query_only = 1")
        midtime = _fix(session, watch if wal else None)
        ((pages,),), ((size,),) = session.execute("PRAGMA page_count"), session.execute("PRAGMA page_size")
        yield Snapshot(session, path, file, wal, midtime, size, pages)


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


def _progress(page_size: int, say: Say) -> Callable[[int, int, int], None]:
    told = 0

    def progress(_: int, remaining: int, total: int) -> None:
        nonlocal told
        done = 10 * (total - remaining) // max(total, 1)
        if done > told:
            told = done
            say(f"copied {done * 10} % of {total * page_size:,} bytes")

    return progress


def _copy_failed(path: str, file: Path, error: sqlite3.Error) -> MidtimeError:
    if error.sqlite_errorcode in _NO_ROOM:
        return StagingSpaceError(f"cannot write {file}: {error}", fix="make room there, or point MIDTIME_STAGING to a larger disk")
    return CopyError(f"{path} could not be copied: {error}", fix="run the backup again; if it is damaged, restore the last good one")
