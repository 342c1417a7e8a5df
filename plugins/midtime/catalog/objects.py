"""The few guarantees that the catalog needs of an object store, on top of ``ObjectStoragePath``.

* ``create``: a whole object appears at once, or not at all, and only if none is there;
* ``replace``: a whole object appears at once in place of another;
* errors of every backend come out as :class:`DestinationError`.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

from midtime.errors import DestinationError, MidtimeError
from midtime.model.instants import utc_now

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

_LITTER = re.compile(r"\.probe-.+|\..+\.[0-9a-f]{32}", re.DOTALL)
"""Names of what only a killed process leaves: a preflight's probe, and a draft of ``create`` or ``replace``."""
LITTER_AGE = timedelta(hours=1)
"""From when on nobody can still be writing it."""


def open_destination(url: str) -> ObjectStoragePath:
    """The folder that a topology's ``destination`` names; the credentials come from the connection in the URL."""
    from airflow.sdk import ObjectStoragePath  # slow to import: not at parse time

    with destination_errors(url, "open"):
        return ObjectStoragePath(url)


@contextmanager
def destination_errors(path: object, verb: str) -> Iterator[None]:
    """Turn whatever a backend raises into one error that names the object."""
    try:
        yield
    except (MidtimeError, FileExistsError, FileNotFoundError):
        raise
    except Exception as error:
        # Each fsspec backend has error classes of its own (botocore, azure, OSError); what they share is Exception.
        raise DestinationError(f"cannot {verb} {path}: {error}", fix=_advice(error)) from error


def _advice(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == 28:  # ENOSPC
        return "make room at the destination and run again"
    return "check the destination's URL, its connection and its permissions, then run again"


def create(path: ObjectStoragePath, content: bytes) -> None:
    """Write a new object, whole or not at all.

    :raises FileExistsError: it is there already; nothing was changed
    """
    with destination_errors(path, "write"):
        if local := local_path(path):
            _create_local(local, content)
        else:
            _create_remote(path, content)


def _create_remote(path: ObjectStoragePath, content: bytes) -> None:
    """Ask what is there when the store refuses: s3fs says EINVAL of a failed If-None-Match, other backends something else again.

    Our own bytes mean that the reply to our PUT was lost, and the client's second try met the first one's object.
    """
    try:
        # s3fs sends If-None-Match; a PUT is atomic in every object store.
        path.fs.pipe_file(path.path, content, mode="create")
    except Exception as error:
        try:
            there = read(path)
        except Exception:  # noqa: BLE001 - not there, or who knows: what the write said counts
            raise error from None
        if there != content:
            raise FileExistsError(str(path)) from error


def _create_local(target: Path, content: bytes) -> None:
    _make_folder(target.parent)
    draft = _draft(target, content)
    try:
        os.link(draft, target)  # unlike rename, refuses an existing name
        _sync(target.parent)
        _sync(target.parent.parent)  # the folder's own name, if it is new
    finally:
        draft.unlink()


def replace(path: ObjectStoragePath, content: bytes) -> None:
    """Write an object over whatever is there; readers see the old one or the new one."""
    with destination_errors(path, "write"):
        if local := local_path(path):
            _replace_local(local, content)
        else:
            path.fs.pipe_file(path.path, content)


def _replace_local(target: Path, content: bytes) -> None:
    _make_folder(target.parent)
    draft = _draft(target, content)
    try:
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _sync(target.parent)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # a file is in the way; it is not the object that somebody else created
        raise NotADirectoryError(error.errno, "a file is where a folder should be", str(folder)) from error


def _draft(target: Path, content: bytes) -> Path:
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft


def make_durable(path: ObjectStoragePath) -> None:
    """Let a written object survive a power cut; object stores do so by themselves."""
    if local := local_path(path):
        _sync(local)
        _sync(local.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def local_path(path: ObjectStoragePath) -> Path | None:
    """The path on this machine, for ``file://``."""
    return Path(path.path) if path.protocol in ("file", "local") else None


def names(folder: ObjectStoragePath) -> list[str]:
    """Names directly below a folder, unsorted; none when the folder is not there, or is a stray file."""
    with destination_errors(folder, "list"):
        if local := local_path(folder):
            with suppress(FileNotFoundError, NotADirectoryError):
                return os.listdir(local)  # 100,000 names in 50 ms; fsspec's listing stats each of them
            return []
        with suppress(FileNotFoundError):
            # Another process wrote here since this one looked: never answer from fsspec's cache.
            folder.fs.invalidate_cache()
            return [entry.rstrip("/").rpartition("/")[2] for entry in folder.fs.ls(folder.path, detail=False)]
        return []


def read(path: ObjectStoragePath) -> bytes:
    """A small object, whole.

    :raises FileNotFoundError: no such object
    """
    with destination_errors(path, "read"):
        try:
            content: bytes = path.fs.cat_file(path.path)
        except (NotADirectoryError, IsADirectoryError) as error:  # a stray file in place of its folder, a folder in its own
            raise FileNotFoundError(str(path)) from error
        return content


def open_stream(path: ObjectStoragePath, mode: str) -> AbstractContextManager[IO[bytes]]:
    """A large object, to be read or written chunk by chunk."""
    stream: AbstractContextManager[IO[bytes]] = path.open(mode)  # type: ignore[no-untyped-call]
    return stream


def remove_tree(folder: ObjectStoragePath) -> None:
    """Remove a folder and all in it; one that is not there is as good."""
    with destination_errors(folder, "remove"), suppress(FileNotFoundError):
        folder.fs.rm(folder.path, recursive=True)


def remove_litter(folder: ObjectStoragePath) -> list[str]:
    """Remove the probes and drafts directly below a folder that killed processes left more than :data:`LITTER_AGE` ago.

    :return: the names that were removed
    """
    removed = []
    for name in names(folder):
        if _LITTER.fullmatch(name) and _older_than(LITTER_AGE, folder / name):
            remove_tree(folder / name)
            removed.append(name)
    return removed


def _older_than(age: timedelta, path: ObjectStoragePath) -> bool:
    with destination_errors(path, "look at"):
        try:
            changed: float | datetime = path.stat().st_mtime
        except FileNotFoundError:
            return False
    seconds = changed.timestamp() if isinstance(changed, datetime) else changed
    return seconds > 0 and utc_now().timestamp() - seconds > age.total_seconds()  # 0: the backend does not tell
