"""The few guarantees that the catalog needs of an object store, on top of ``ObjectStoragePath``.

* ``create``: a whole object appears at once, or not at all, and only if none is there;
* ``replace``: a whole object appears at once in place of another;
* errors of every backend come out as :class:`DestinationError`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

from midtime.catalog.backends import Look, Upload, backend_of
from midtime.catalog.refusals import destination_error, no_bucket
from midtime.errors import MidtimeError
from midtime.model.instants import utc_now

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

_LITTER = re.compile(r"\.probe-.+|\..+\.[0-9a-f]{32}", re.DOTALL)
"""Names of what only a killed process leaves: a preflight's probe, and a draft of ``create``, ``replace`` or an upload."""
LITTER_AGE = timedelta(hours=1)
"""From when on nobody can still be writing it."""
AHEAD = 8 << 20
"""Bytes that one request of a stream asks for; fsspec's 50 MB would be held for each file that is read."""


def open_destination(url: str) -> ObjectStoragePath:
    """The folder that a topology's ``destination`` names; the credentials come from the connection in the URL."""
    from airflow.sdk import ObjectStoragePath  # slow to import: not at parse time

    with destination_errors(url, "open"):
        path = ObjectStoragePath(url)
        backend_of(path)  # a connection that is missing or makes no sense shows here
        return path


@contextmanager
def destination_errors(path: object, verb: str) -> Iterator[None]:
    """Turn whatever a backend raises into one error that names the object."""
    try:
        yield
    except MidtimeError:
        raise
    except (FileExistsError, FileNotFoundError) as error:
        if no_bucket(error):  # that is no answer
            raise destination_error(error, path, verb) from error
        raise
    except Exception as error:
        # Each fsspec backend has error classes of its own (botocore, azure, OSError); what they share is Exception.
        raise destination_error(error, path, verb) from error


def create(path: ObjectStoragePath, content: bytes) -> None:
    """Write a new object, whole or not at all.

    :raises FileExistsError: it is there already; nothing was changed
    """
    with destination_errors(path, "write"):
        backend_of(path).create(path.path, content)


def replace(path: ObjectStoragePath, content: bytes) -> None:
    """Write an object over whatever is there; readers see the old one or the new one."""
    with destination_errors(path, "write"):
        backend_of(path).replace(path.path, content)


def make_durable(path: ObjectStoragePath) -> None:
    """Let a written object survive a power cut; object stores do so by themselves."""
    backend_of(path).make_durable(path.path)


def local_path(path: ObjectStoragePath) -> Path | None:
    """The path on this machine, for ``file://``."""
    return Path(path.path) if path.protocol in ("file", "local") else None


def names(folder: ObjectStoragePath) -> list[str]:
    """Names directly below a folder, unsorted; none when the folder is not there, or is a stray file."""
    with destination_errors(folder, "list"):
        return backend_of(folder).names(folder.path)


def look(path: ObjectStoragePath) -> Look:
    """Size and age of an object, without reading it.

    :raises FileNotFoundError: no such object
    """
    with destination_errors(path, "look at"):
        return backend_of(path).look(path.path)


def read(path: ObjectStoragePath) -> bytes:
    """A small object, whole.

    :raises FileNotFoundError: no such object
    """
    with destination_errors(path, "read"):
        return backend_of(path).read(path.path)


def open_stream(path: ObjectStoragePath, mode: str) -> AbstractContextManager[IO[bytes]]:
    """A large object, to be read or written chunk by chunk."""
    stream: AbstractContextManager[IO[bytes]] = path.open(mode, block_size=AHEAD)  # type: ignore[no-untyped-call]
    return stream


def begin_upload(path: ObjectStoragePath) -> Upload:
    """A large object, to be written chunk by chunk."""
    with destination_errors(path, "write"):
        return backend_of(path).upload(path.path)


def remove_tree(folder: ObjectStoragePath) -> None:
    """Remove a folder and all in it; one that is not there is as good."""
    with destination_errors(folder, "remove"):
        backend_of(folder).remove_tree(folder.path)


def tree(folder: ObjectStoragePath) -> Iterator[tuple[str, Look]]:
    """All objects below a folder, by their paths relative to it, in no order; by one listing, page after page where the store has pages."""
    with destination_errors(folder, "list"):
        yield from backend_of(folder).tree(folder.path)


def remove_all(folder: ObjectStoragePath, names: Iterable[str]) -> None:
    """Remove many objects below a folder, by as few requests as the store lets us; one that is not there is as good."""
    with destination_errors(folder, "remove"):
        backend_of(folder).remove_all(folder.path, names)


def is_litter(name: str, changed: float) -> bool:
    """Whether only a killed process can have left what has that name and was last written then."""
    old = changed > 0 and utc_now().timestamp() - changed > LITTER_AGE.total_seconds()
    return old and _LITTER.fullmatch(name) is not None


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
    try:
        changed = look(path).changed
    except FileNotFoundError:
        return False
    return changed > 0 and utc_now().timestamp() - changed > age.total_seconds()
