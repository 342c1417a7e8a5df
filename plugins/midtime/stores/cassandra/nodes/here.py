"""Files of a node that is the worker itself: opened at once, without tools and pipes in between, which take longer than the hash."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

from midtime.errors import ToolError
from midtime.stores.cassandra.nodes.archives import File
from midtime.stores.cassandra.nodes.words import changed

PIECE = 1 << 18
"""What is larger, malloc takes from the kernel anew each time, page by page: reading and hashing cost twice as much."""
State = tuple[int, int, int]
"""Size, inode and time: another link to a file, or one less, changes nothing of it."""


def hashes(label: str, root: str, paths: Sequence[str], jobs: int) -> dict[str, str]:
    """SHA-256 of files, behind whatever else wants the processors.

    :raises ToolError: one is missing or cannot be read
    """

    def one(path: str) -> str:
        sha256, buffer = hashlib.sha256(), memoryview(bytearray(PIECE))
        with _opened(label, root, path) as handle:
            while count := os.readv(handle, [buffer]):
                sha256.update(buffer[:count])
        return sha256.hexdigest()

    with ThreadPoolExecutor(jobs, thread_name_prefix="midtime-hash", initializer=_behind) as executor:
        return dict(zip(paths, executor.map(one, paths), strict=True))


def _behind() -> None:
    if sys.platform == "linux":  # where it means this thread alone
        os.setpriority(os.PRIO_PROCESS, 0, 19)


@contextmanager
def send_out(label: str, root: str, paths: Sequence[str]) -> Iterator[Iterator[File]]:
    """Read files one after the other: path, size and content of each.

    :raises ToolError: a file is not there
    :raises CopyError: a file vanished or was written meanwhile
    """
    before = [_state(label, root, path) for path in paths]
    with closing(_files(label, root, paths, before)) as files:
        yield files
    for path, state in zip(paths, before, strict=True):
        if _state(label, root, path) != state:
            raise changed(label, path)


def _files(label: str, root: str, paths: Sequence[str], states: Sequence[State]) -> Generator[File]:
    for path, state in zip(paths, states, strict=True):
        with _opened(label, root, path) as handle:
            if _told(os.fstat(handle)) != state:
                raise changed(label, path)
            yield path, state[0], _content(label, path, handle, state[0])


def _content(label: str, path: str, handle: int, size: int) -> Iterator[bytes]:
    while size:
        try:
            piece = os.read(handle, min(PIECE, size))
        except OSError as error:
            raise _unreadable(label, path, error) from error
        if not piece:
            raise changed(label, path)
        size -= len(piece)
        yield piece


@contextmanager
def _opened(label: str, root: str, path: str) -> Iterator[int]:
    try:
        handle = os.open(os.path.join(root, path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(label, os.path.join(root, path), error) from error
    try:
        yield handle
    except OSError as error:
        raise _unreadable(label, os.path.join(root, path), error) from error
    finally:
        os.close(handle)


def _state(label: str, root: str, path: str) -> State:
    try:
        found = os.lstat(os.path.join(root, path))
    except OSError as error:
        raise _unreadable(label, os.path.join(root, path), error) from error
    if not stat.S_ISREG(found.st_mode):
        raise changed(label, path)
    return _told(found)


def _told(found: os.stat_result) -> State:
    return found.st_size, found.st_ino, found.st_mtime_ns


def _unreadable(label: str, path: str, error: OSError) -> ToolError:
    return ToolError(f"node {label}: {path} cannot be read: {error.strerror}", fix="see to what it says on the node")
