"""The swap: a verified file gets its final name, and what had it is kept under another.

The names themselves are the journal. Names are only ever added until the one ``rename`` that counts, so whoever dies on the way leaves the
live file in place, and whoever comes back goes on. The working copy keeps its own name beside the final one until it is discarded: that
both are the same file is how a later try knows that it is done.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from midtime.errors import RestoreFailedError, StoreAccessError, StoreUnreachableError, TargetExistsError
from midtime.stores.base import Target
from midtime.stores.sqlite.files import LIVE, SIDECARS, is_busy, is_damage, is_database, opened, read_header

SPARE = ".new"
"""A second name of the working copy, used up by the rename."""
_WITHOUT_DATA = "-shm"
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.EXDEV, errno.EMLINK}


def swap(target: Target, described: Mapping[str, Any]) -> None:
    """Give the working copy its final name, keeping aside what had it. Goes on where an earlier try was killed.

    :param described: owner and mode of the file that was backed up
    :raises TargetExistsError: something has the name, and nobody approved of replacing it
    :raises StoreUnreachableError: somebody holds it locked
    :raises StoreAccessError: the file system does not let us
    """
    if _same(target.working, target.final):
        return  # done by an earlier try
    if not os.path.lexists(target.working):
        raise RestoreFailedError(f"{target.working} is gone", fix="start a new run of the restore")
    with _refusals(target, "put in place"):
        if target.aside:
            _dress(target, described)
        if target.aside and os.path.lexists(target.final):
            _replace(target, target.aside)
        else:
            _put(target)


def swap_back(target: Target) -> None:
    """Undo :func:`swap`, however far it came: what was kept aside is live again, with its log. Goes on where an earlier try was killed.

    The same way back: a second name first, then one ``rename`` that counts.

    :raises RestoreFailedError: the working copy is gone, so that nobody can tell which file has the final name
    :raises StoreUnreachableError: somebody has the placed file open
    :raises StoreAccessError: the file system does not let us
    """
    if target.aside and os.path.lexists(target.aside) and not os.path.lexists(target.working):
        raise RestoreFailedError(
            f"{target.working} is gone, so it cannot be told whether {target.final} is the restored file",
            fix=f"look into both; if it is, rename {target.aside} to {target.final} by hand",
        )
    with _refusals(target, "put back"):
        if _same(target.working, target.final):
            with _locked(target.final):
                _drop_sidecars(target.final)
                _give_back(target)
                sync_folder(target.final)
        forget_alias(target)
        if target.aside and not os.path.lexists(target.final) and not os.path.lexists(target.aside):
            _return_sidecars(target.final, target.aside)  # the live file was lost, and only its log was left
        with suppress(FileNotFoundError):
            os.unlink(target.working + SPARE)
        sync_folder(target.final)


@contextmanager
def _refusals(target: Target, verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = "its file system has no hard links there" if error.errno in _NO_LINKS else error.strerror
        raise StoreAccessError(
            f"{target.final} cannot be {verb}: {why}", fix="give the worker's user the folder, or restore to another"
        ) from error


def _give_back(target: Target) -> None:
    if not target.aside or not os.path.lexists(target.aside):
        os.unlink(target.final)  # nothing was there
        return
    spare = target.working + SPARE
    with suppress(FileNotFoundError):
        os.unlink(spare)
    os.link(target.aside, spare)
    os.replace(spare, target.final)


def _drop_sidecars(path: str) -> None:
    """What SQLite put beside the placed file. Beside the former one it would be taken for that one's."""
    for end in SIDECARS:
        with suppress(FileNotFoundError):
            os.unlink(path + end)


def _return_sidecars(final: str, aside: str) -> None:
    for end in SIDECARS:
        if _same(aside + end, final + end):
            os.unlink(aside + end)
        elif os.path.lexists(aside + end) and not os.path.lexists(final + end):
            os.rename(aside + end, final + end)


def remove(path: str) -> None:
    """Remove a database under a working name, and what SQLite put beside it. One that is not there is as good."""
    for each in (path, *(path + end for end in SIDECARS), path + SPARE):
        with suppress(FileNotFoundError):
            os.unlink(each)


def forget_alias(target: Target) -> None:
    """Undo a swap that ended half way: it left a second name of the live file, and whoever used it would not see the live one's log."""
    if not target.aside or not _same(target.final, target.aside):
        return
    _return_sidecars(target.final, target.aside)
    os.unlink(target.aside)


def taken(path: str) -> list[str]:
    """The names that a database there would need, as far as somebody has them."""
    return [each for each in (path, *(path + end for end in SIDECARS)) if os.path.lexists(each)]


def _dress(target: Target, described: Mapping[str, Any]) -> None:
    """The owner and mode of what it replaces, or of what was backed up."""
    try:
        live = os.stat(target.final)
        os.chown(target.working, live.st_uid, live.st_gid)
        mode = live.st_mode
    except FileNotFoundError:
        with suppress(PermissionError):
            os.chown(target.working, described["uid"], described["gid"])
        mode = described["mode"]
    os.chmod(target.working, stat.S_IMODE(mode))


def _put(target: Target) -> None:
    if target.aside:  # the live file is lost, but its log may be left
        _set_sidecars_aside(target.final, target.aside)
    if found := taken(target.final):
        raise _appeared(found[0])
    try:
        os.link(target.working, target.final)  # unlike a rename, it replaces nothing
    except FileExistsError:
        raise _appeared(target.final) from None
    sync_folder(target.final)


def _appeared(path: str) -> TargetExistsError:
    return TargetExistsError(f"{path} appeared since the run was planned", fix="choose another target and start a new run")


def _replace(target: Target, aside: str) -> None:
    spare = target.working + SPARE
    with _locked(target.final):
        try:
            _link_aside(target.final, aside)
            _set_sidecars_aside(target.final, aside)
            with suppress(FileNotFoundError):
                os.unlink(spare)
            os.link(target.working, spare)
            sync_folder(target.final)
            os.replace(spare, target.final)
        except BaseException:
            forget_alias(target)
            raise
        sync_folder(target.final)


@contextmanager
def _locked(final: str) -> Iterator[None]:
    """Nobody else has the file open in a transaction, or with a write-ahead log at all; what is in the log is in the file.

    What is damaged is replaced as it is: SQLite cannot lock it.
    """
    if not is_database(final):
        yield
        return
    wal = read_header(final).wal  # before the lock, which closing the file would drop
    with opened(final, LIVE, timeout=0) as session:
        try:
            if wal:
                session.execute("PRAGMA locking_mode = EXCLUSIVE")
                session.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            session.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            if is_busy(error):
                raise StoreUnreachableError(f"{final} is in use", fix="stop whoever has it open, then run again") from error
            if not is_damage(error):
                raise
        yield


def _link_aside(final: str, aside: str) -> None:
    if _same(final, aside):
        return
    try:
        os.link(final, aside)
    except FileExistsError:
        raise TargetExistsError(f"{aside} exists already", fix="remove it once nobody needs it, or start a new run") from None


def _set_sidecars_aside(final: str, aside: str) -> None:
    """A log or journal under the final name would be written into the new file, and nothing would tell: SQLite goes by the name alone."""
    for end in SIDECARS:
        if not os.path.lexists(final + end):
            continue
        if end != _WITHOUT_DATA and os.path.getsize(final + end):
            _link_aside(final + end, aside + end)
        os.unlink(final + end)


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samestat(os.lstat(one), os.lstat(other))
    except FileNotFoundError:
        return False


def sync_folder(path: str) -> None:
    """Make the names in a file's folder durable."""
    descriptor = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
