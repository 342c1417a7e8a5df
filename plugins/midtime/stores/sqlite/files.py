"""SQLite's files: found, recognised, opened without ever making one, and SQLite's errors in our words."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

from midtime.errors import StagingSpaceError, StoreAccessError, StoreError, StoreStatementError, StoreUnreachableError
from midtime.stores.naming import WORKING_PREFIX, airflow_connection

BUSY_SECONDS = 60.0
"""How long we wait for somebody's lock."""
LIVE = "mode=rw"
"""Of a file that others use. Opens what there is and makes nothing; where we may only read, SQLite reads. ``mode=ro`` could not clean up after
a crashed writer, and would leave ``-wal`` and ``-shm`` behind."""
OURS = "mode=ro&immutable=1"
"""Of a file that nobody else has: no locks, no ``-wal``, no ``-shm``."""
SIDECARS = ("-wal", "-shm", "-journal")
"""What SQLite puts beside a database and reads together with it, by nothing but the name."""
_MAGIC = b"SQLite format 3\0"
_UNREACHABLE = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_IOERR}
_DAMAGED = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}
_REFUSED = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY}


@dataclass(frozen=True, slots=True)
class Header:
    """What a database's first hundred bytes say, and no statement has to be run for."""

    page_size: int
    wal: bool
    """Write-ahead log; else one of the rollback journals, which only its users know."""
    auto_vacuum: bool
    encoding: int
    """1: UTF-8, 2 and 3: UTF-16."""
    user_version: int
    application_id: int
    written_by: str
    """Version of the library that wrote last."""

    def to_dict(self) -> dict[str, Any]:
        """For a manifest."""
        return asdict(self)


def read_header(path: str) -> Header:
    """Recognise a database. Never call it while this process holds a lock on the file: closing a file drops all of a process's locks on it.

    :raises StoreAccessError: no such file, not ours to read, or no SQLite database
    """
    raw = _start(path)
    if not _is_header(raw):
        what = "is no SQLite database, or an encrypted one" if raw else "is empty"
        raise StoreAccessError(f"{path} {what}", fix="correct path or conn_id of the topology")
    return _parse(raw)


def require_one_name(path: str) -> None:
    """SQLite finds a log by the database's name: opened under another name, a file is there without what was committed last.

    :raises StoreUnreachableError: a restore is about to give the second name back
    :raises StoreAccessError: the file has other names
    """
    if os.stat(path).st_nlink == 1:
        return
    ours = [name for name in os.listdir(os.path.dirname(path)) if name.startswith(WORKING_PREFIX)]
    if any(os.path.samefile(path, os.path.join(os.path.dirname(path), name)) for name in ours):
        raise StoreUnreachableError(f"{path} is just being put in place by a restore", fix="wait for its last task, then run again")
    raise StoreAccessError(
        f"{path} has other names (hard links): its application may use one, whose log we would not see",
        fix="find them with `find -samefile` and leave one name, or name the right one after removing this",
    )


def is_database(path: str) -> bool:
    """Whether a file that is there begins like one; the same care is due.

    :raises StoreAccessError: no such file, or not ours to read
    """
    return _is_header(_start(path))


def _start(path: str) -> bytes:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would block for ever
            raise StoreAccessError(f"{path} is not a file", fix="correct path or conn_id of the topology")
        with open(path, "rb") as file:
            return file.read(100)
    except FileNotFoundError:
        raise StoreAccessError(
            f"there is no file {path} on this worker", fix="correct path or conn_id; the workers need the file"
        ) from None
    except OSError as error:
        raise StoreAccessError(f"{path} cannot be read: {error.strerror}", fix="let the worker's user read file and folder") from error


def _is_header(raw: bytes) -> bool:
    return len(raw) == 100 and raw.startswith(_MAGIC)


def _parse(raw: bytes) -> Header:
    def number(at: int, size: int = 4) -> int:
        return int.from_bytes(raw[at : at + size], "big")

    writer = number(96)
    return Header(
        page_size=number(16, 2) if number(16, 2) != 1 else 65536,
        wal=raw[18] == 2,
        auto_vacuum=bool(number(52)),
        encoding=number(56),
        user_version=number(60),
        application_id=number(68),
        written_by=f"{writer // 1_000_000}.{writer // 1000 % 1000}.{writer % 1000}",
    )


@contextmanager
def opened(path: str, how: str, *, timeout: float | None = None) -> Iterator[sqlite3.Connection]:
    """An autocommit connection. Whatever SQLite raises inside the block comes out as one of our errors.

    :param how: :data:`LIVE` or :data:`OURS`
    :param timeout: seconds to wait for a lock, :data:`BUSY_SECONDS` by default
    """
    with sqlite_errors(path), closing(_connect(path, how, BUSY_SECONDS if timeout is None else timeout)) as connection:
        yield connection


def _connect(path: str, how: str, timeout: float) -> sqlite3.Connection:
    # As an URI: a plain name would be created, and ?, # and % in one would mean something.
    # Verification reads on another thread than the one that opened; one at a time uses a connection all the same.
    uri = f"file:{quote(os.fsencode(path))}?{how}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=timeout, check_same_thread=False)


@contextmanager
def sqlite_errors(path: str) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise _store_error(path, error) from error


def code_of(error: sqlite3.Error) -> int:
    """SQLite's primary result code."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is what is wrong."""
    return code_of(error) in _DAMAGED


def is_busy(error: sqlite3.Error) -> bool:
    """Whether somebody else's lock is what is wrong."""
    return code_of(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _store_error(path: str, error: sqlite3.Error) -> StoreError:
    code, text = code_of(error), f"{path}: {error}"
    if code in _UNREACHABLE:
        return StoreUnreachableError(text, fix="see who holds the file locked, and the disk's health, then run again")
    if code in _DAMAGED:
        return StoreAccessError(f"{text}: the file is damaged", fix="restore the last good restore point")
    if code in _REFUSED:
        return StoreAccessError(text, fix="let the worker's user read and write the file and its folder: a write-ahead log needs both")
    if code == sqlite3.SQLITE_FULL:
        return StagingSpaceError(text, fix="make room on its disk")
    return StoreStatementError(text, fix="read SQLite's message, then run again")


def connection_path(conn_id: str) -> str:
    """The file that an Airflow connection means: its host, or ``sqlite:///absolute/path`` as an URI, where Airflow takes the path for a schema.

    :raises StoreAccessError: no such connection, of another type, or without an absolute path
    """
    connection = airflow_connection(conn_id)
    if connection is None:
        raise StoreAccessError(
            f"there is no Airflow connection {conn_id!r}", fix=f"airflow connections add {conn_id} --conn-type sqlite ..."
        )
    if connection.conn_type != "sqlite":
        raise StoreAccessError(f"connection {conn_id!r} is of type {connection.conn_type}", fix="name one of type sqlite")
    host, rest = connection.host or "", connection.schema or ""
    path = host if host else "/" + rest.lstrip("/")
    if not path.startswith("/") or not path.strip("/"):
        shown = f"{host}/{rest}".rstrip("/") or "nothing"
        raise StoreAccessError(f"connection {conn_id!r} names {shown}, no absolute path", fix="write the file's absolute path as its host")
    return path
