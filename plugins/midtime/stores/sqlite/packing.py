"""The copy on its way into its one artifact and back, compressed while it passes by."""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from midtime.catalog.artifacts import CHUNK, new_artifact
from midtime.errors import RestoreFailedError, StagingSpaceError, StoreAccessError, ToolError
from midtime.model.restore_point import Artifact

if TYPE_CHECKING:
    from midtime.stores.base import Shelf

AUTO = "gzip:1"
"""Of a table of transfers 54 % are left at level 1, 51 % at level 6, at a third of its speed."""
NAME = "database.sqlite"
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_GZIP = zlib.MAX_WBITS | 16


def choose(wanted: str) -> str:
    """``none`` or ``gzip:<level>``.

    :param wanted: the topology's ``compression``
    :raises ToolError: Python's standard library has no such method
    """
    method, _, level = (AUTO if wanted == "auto" else wanted).partition(":")
    if method not in ("gzip", "none"):
        raise ToolError(f"a SQLite file cannot be compressed with {method} here", fix="set compression: auto, gzip or none")
    return "none" if method == "none" else f"gzip:{level or 6}"


def pack(file: Path, shelf: Shelf, compression: str) -> Artifact:
    """Write a file into the store's artifact."""
    packed = compression != "none"
    name = f"{shelf.prefix}/{NAME}{'.gz' if packed else ''}"
    with file.open("rb") as reader, new_artifact(shelf.folder, name) as writer:
        press = zlib.compressobj(int(compression.partition(":")[2]), wbits=_GZIP) if packed else None
        while chunk := reader.read(CHUNK):
            writer.write(press.compress(chunk) if press else chunk)
        if press:
            writer.write(press.flush())
    return writer.artifact


def unpack(artifact: Path, target: str, size: int) -> None:
    """Write an artifact's content into a new file that nobody else may read, down to the disk.

    :param size: what must come out
    :raises RestoreFailedError: something else came out
    :raises StagingSpaceError: the target's disk is full
    """
    try:
        with open(target, "xb", opener=_private, buffering=0) as file:
            for chunk in _unpacked(artifact):
                left = memoryview(chunk)
                while left:  # unbuffered, so that a full disk shows here
                    left = left[file.write(left) :]
            written = file.tell()
            os.fsync(file.fileno())
    except OSError as error:
        text = f"cannot write {target}: {error.strerror}"
        if error.errno in _NO_ROOM:
            raise StagingSpaceError(text, fix="make room there, or restore to another folder") from error
        raise StoreAccessError(text, fix="let the worker's user write there, or restore to another folder") from error
    if written != size:
        raise RestoreFailedError(
            f"{written:,} bytes came out of {artifact.name}, not {size:,}", fix="run it again, or use another restore point"
        )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


def _unpacked(artifact: Path) -> Iterator[bytes]:
    press = zlib.decompressobj(_GZIP) if artifact.suffix == ".gz" else None
    with artifact.open("rb") as reader:
        while chunk := reader.read(CHUNK):
            while press and chunk:
                yield press.decompress(chunk, CHUNK)  # a page of zeros becomes a thousand times longer
                chunk = press.unconsumed_tail
            if not press:
                yield chunk
    if press:
        yield press.flush()
