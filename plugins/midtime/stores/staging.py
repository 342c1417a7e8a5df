"""Private folders on the worker's disk, for tools that can only write to or read from files.

Each folder carries a locked file. The kernel drops the lock when its process dies, of whatever signal, so what a killed task left behind
is recognised and removed by the next one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from midtime.errors import StagingSpaceError

PREFIX = "midtime-staging-"
_LOCK = ".lock"


def staging_root(folder: str | None = None) -> Path:
    """The topology's ``staging`` folder, else ``MIDTIME_STAGING``, else the system's folder for temporary files."""
    return Path(folder or os.environ.get("MIDTIME_STAGING") or tempfile.gettempdir())


@contextmanager
def staging(root: Path, *, needed: int) -> Iterator[Path]:
    """An empty private folder (mode 0700) that goes away at the end.

    :param needed: bytes that the caller expects to put there
    :raises StagingSpaceError: the disk has less
    """
    sweep(root)
    check_room(root, needed)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
    try:
        with (folder / f"{_LOCK}.new").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.rename(lock.name, folder / _LOCK)  # it is never seen unlocked while we live
            inner = folder / "files"
            inner.mkdir(mode=0o700)
            yield inner
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_room(root: Path, needed: int) -> None:
    """Refuse to start what the disk cannot hold. What dead processes left behind makes way first.

    :raises StagingSpaceError: less than ``needed`` bytes free below ``root``, or no such folder
    """
    free = _free(root)
    if free < needed and sweep(root):
        free = _free(root)
    if free < needed:
        raise StagingSpaceError(
            f"staging folder {root} has {free:,} bytes free, about {needed:,} are needed",
            fix="make room, or set MIDTIME_STAGING to a larger disk",
        )


def room_for(root: Path, needed: int) -> str:
    """:func:`check_room` as the answer to a preflight's question."""
    from rich.filesize import decimal

    check_room(root, needed)
    return f"about {decimal(needed)} needed, {decimal(_free(root))} free below {root}"


def _free(root: Path) -> int:
    try:
        return shutil.disk_usage(root).free
    except OSError as error:
        raise StagingSpaceError(f"staging folder {root} cannot be used: {error}", fix="create it, or set MIDTIME_STAGING") from error


def sweep(root: Path) -> list[Path]:
    """Remove the staging folders of dead processes."""
    abandoned = [folder for folder in root.glob(f"{PREFIX}*") if _abandoned(folder)]
    for folder in abandoned:
        shutil.rmtree(folder, ignore_errors=True)
    return abandoned


def _abandoned(folder: Path) -> bool:
    try:
        with (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return _older_than_a_minute(folder)  # its owner may be between mkdtemp and the lock
    except OSError:
        return False
    return True


def _older_than_a_minute(folder: Path) -> bool:
    try:
        return time.time() - folder.stat().st_mtime > 60
    except OSError:
        return False
