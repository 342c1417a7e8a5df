"""The copy on its way into its one artifact and back, compressed while it passes by."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from midtime.catalog.artifacts import CHUNK, new_artifact
from midtime.errors import RestoreFailedError, StagingSpaceError, StoreAccessError
from midtime.model.restore_point import Artifact
from midtime.stores import compression

if TYPE_CHECKING:
    from midtime.stores.base import Shelf

AUTO = "gzip:1"
"""Of a table of transfers 54 % are left at level 1, 51 % at level 6, at a third of its speed."""
NAME = "database.sqlite"
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def choose(wanted: str) -> tuple[str, int]:
    """(method, level) of the topology's ``compression``.

    :raises ToolError: Python's standard library has no such method
    """
    return compression.choose(wanted, auto=AUTO)


def pack(file: Path, shelf: Shelf, method: str, level: int) -> Artifact:
    """Write a file into the store's artifact."""
    with file.open("rb") as reader, new_artifact(shelf.folder, f"{shelf.prefix}/{NAME}{compression.suffix(method)}") as writer:
        packer = compression.compressor(method, level)
        while chunk := reader.read(CHUNK):
            writer.write(packer.compress(chunk))
        writer.write(packer.flush())
    return writer.artifact


def unpack(artifact: Path, target: str, size: int) -> None:
    """Write an artifact's content into a new file that nobody else may read, down to the disk.

    :param size: what must come out
    :raises RestoreFailedError: something else came out
    :raises StagingSpaceError: the target's disk is full
    """
    try:
        with open(target, "xb", opener=_private, buffering=0) as file:
            for chunk in compression.decompressed(artifact, "gzip" if artifact.suffix == ".gz" else "none"):
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
