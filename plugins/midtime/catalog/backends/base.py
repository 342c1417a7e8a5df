"""What the catalog asks of a store, answered with what every fsspec file system has."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

PATIENCE = (0.1, 0.4, 1.6)
"""Seconds between tries of what the store itself asks to try again."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a store tells of an object without reading it."""

    size: int
    changed: float
    """When it was written, in seconds since 1970; 0 when the store does not tell."""


class Upload:
    """A large object on its way; nobody takes it for whole before :meth:`finish`."""

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append."""
        raise NotImplementedError

    def finish(self) -> None:
        """Make it appear, whole."""
        raise NotImplementedError

    def abort(self) -> None:
        """Leave nothing behind, as far as the store lets us."""
        raise NotImplementedError


class Backend:
    """Any store that fsspec knows.

    :param fs: fsspec's file system, with the credentials of an Airflow connection
    """

    def __init__(self, fs: Any) -> None:
        self.fs = fs
        # Another process writes here too: an answer from fsspec's memory may be wrong, for names and for sizes.
        fs.dircache.use_listings_cache = False
        fs.invalidate_cache()

    def create(self, path: str, content: bytes) -> None:
        """Write a new object, and ask what is there when the store refuses: each store words its refusal differently.

        Our own bytes mean that the reply to our PUT was lost, and the client's second try met the first one's object.

        :raises FileExistsError: another is there
        """
        for pause in (*PATIENCE, None):
            try:
                return self.put_new(path, content)
            except Exception as error:
                known, there = self._there(path)
                if known and there == content:
                    return None
                if known and there is not None:
                    raise FileExistsError(path) from error
                if known and pause and self.undecided(error):
                    time.sleep(pause)
                elif isinstance(error, FileExistsError):  # whatever the store calls it: that is no rival's success
                    raise OSError(f"refused as if it existed: {path}") from error
                else:
                    raise
        return None

    def _there(self, path: str) -> tuple[bool, bytes | None]:
        """Whether that can be told, and what is there."""
        try:
            return True, self.read(path)
        except FileNotFoundError:
            return True, None
        except Exception:  # noqa: BLE001 - what the write said counts
            return False, None

    def undecided(self, error: Exception) -> bool:
        """Whether a refused creation met another one that had not ended, so that either may still win."""
        return False

    def put_new(self, path: str, content: bytes) -> None:
        """Write in one request that the store carries out only where nothing is."""
        self.fs.pipe_file(path, content, mode="create")

    def replace(self, path: str, content: bytes) -> None:
        """Write over whatever is there, in one request."""
        self.fs.pipe_file(path, content)

    def read(self, path: str) -> bytes:
        """A small object, whole.

        :raises FileNotFoundError: no such object
        """
        try:
            content: bytes = self.fs.cat_file(path)
        except (NotADirectoryError, IsADirectoryError) as error:  # a stray file in place of its folder, a folder in its own
            raise FileNotFoundError(path) from error
        return content

    def names(self, folder: str) -> list[str]:
        """Names directly below a folder; none when it is not there."""
        with suppress(FileNotFoundError):
            return [entry.rstrip("/").rpartition("/")[2] for entry in self.fs.ls(folder, detail=False)]
        return []

    def look(self, path: str) -> Look:
        """Size and age.

        :raises FileNotFoundError: no such object
        """
        return _look(self.fs.stat(path))

    def tree(self, folder: str) -> Iterator[tuple[str, Look]]:
        """All objects below a folder, by their paths relative to it, with size and age: one listing, not a request each."""
        start = f"{self.fs._strip_protocol(folder).rstrip('/')}/"
        for path, told in self.fs.find(folder, detail=True).items():
            if path.startswith(start):
                yield path[len(start) :], _look(told)

    def remove_all(self, folder: str, names: Iterable[str]) -> None:
        """Remove many objects below a folder; one that is not there is as good."""
        for name in names:
            self.remove_tree(f"{folder.rstrip('/')}/{name}")

    def remove_tree(self, path: str) -> None:
        """Remove an object, or a folder and all in it; one that is not there is as good."""
        with suppress(FileNotFoundError):
            self.fs.rm(path, recursive=True)

    def upload(self, path: str) -> Upload:
        """Begin to write a large object."""
        self.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        return StreamUpload(self, path)

    def make_durable(self, path: str) -> None:
        """Let a written object survive a power cut; object stores do so by themselves."""


def _look(told: dict[str, Any]) -> Look:
    changed = next((told[key] for key in ("mtime", "LastModified", "last_modified") if told.get(key)), 0)
    return Look(told.get("size") or 0, changed.timestamp() if isinstance(changed, datetime) else changed)


class StreamUpload(Upload):
    """Through a file object; what it has written may be visible before the end."""

    def __init__(self, backend: Backend, path: str) -> None:
        self._backend, self._path = backend, path
        self._stream = backend.fs.open(path, "wb")

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append."""
        self._stream.write(chunk)

    def finish(self) -> None:
        """Close it."""
        self._stream.close()
        self._backend.make_durable(self._path)

    def abort(self) -> None:
        """Close it and remove it."""
        with suppress(Exception):  # a full disk shows here once more
            self._stream.close()
        self._backend.remove_tree(self._path)


def extra_of(conn_id: str | None) -> dict[str, Any]:
    """What an Airflow connection says beyond its login; it must be there."""
    from airflow.sdk import BaseHook

    extra: dict[str, Any] = BaseHook.get_connection(conn_id).extra_dejson if conn_id else {}
    return extra
