"""Folders of this machine, or mounted on it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from midtime.catalog.backends.base import Backend, Look, StreamUpload, Upload


class LocalBackend(Backend):
    """``file://``: a hard link creates, a rename replaces."""

    def create(self, path: str, content: bytes) -> None:
        """Write beside it, and link: unlike a rename, that is refused where something is."""
        target = Path(path)
        make_folder(target.parent)
        draft = _draft(target, content)
        try:
            os.link(draft, target)
            _sync(target.parent)
            _sync(target.parent.parent)  # the folder's own name, if it is new
        finally:
            draft.unlink()

    def replace(self, path: str, content: bytes) -> None:
        """Write beside it, and rename."""
        target = Path(path)
        make_folder(target.parent)
        draft = _draft(target, content)
        try:
            draft.replace(target)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        _sync(target.parent)

    def names(self, folder: str) -> list[str]:
        """100,000 names in 50 ms; fsspec's listing stats each of them."""
        with suppress(FileNotFoundError, NotADirectoryError):
            return os.listdir(folder)
        return []

    def upload(self, path: str) -> Upload:
        """Begin to write a large file."""
        make_folder(Path(path).parent)
        return DraftUpload(self, path)

    def tree(self, folder: str) -> Iterator[tuple[str, Look]]:
        """As old as their last change of any kind: a copy may keep the times of what it copies."""
        for where, _, names in os.walk(folder):
            for name in names:
                with suppress(FileNotFoundError):
                    told = os.lstat(path := os.path.join(where, name))
                    yield os.path.relpath(path, folder), Look(told.st_size, max(told.st_mtime, told.st_ctime))

    def remove_all(self, folder: str, names: Iterable[str]) -> None:
        """Files; their folders stay."""
        for name in names:
            Path(folder, name).unlink(missing_ok=True)

    def make_durable(self, path: str) -> None:
        """Flush a file and its name to the disk."""
        _sync(Path(path))
        _sync(Path(path).parent)


class DraftUpload(StreamUpload):
    """Written beside it under a name of its own, and renamed: a process that is killed leaves nothing that could be taken for the file."""

    def __init__(self, backend: LocalBackend, path: str) -> None:
        self._target = Path(path)
        super().__init__(backend, str(self._target.with_name(f".upload.{uuid.uuid4().hex}")))

    def finish(self) -> None:
        """Rename it, once it is whole on the disk. Its first name need not be there."""
        self._stream.close()
        _sync(Path(self._path))
        Path(self._path).replace(self._target)
        _sync(self._target.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it."""
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


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
