"""Fixing the instant: one exported snapshot of the whole database, armed so that nothing fixes it too early.

In an open REPEATABLE READ transaction any ``SELECT`` fixes the snapshot; ``LOCK TABLE`` and ``SET`` do not. So tables are listed and the
clock is read elsewhere, and ``pg_export_snapshot()`` is the first query. The locks keep a TRUNCATE, which does not respect snapshots, away.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection, sql
from psycopg.errors import Error, LockNotAvailable

from midtime.errors import CopyError
from midtime.model.restore_point import TableContent
from midtime.stores.copied import Armed
from midtime.stores.postgresql import content, databases, rights

Session = Connection[tuple[Any, ...]]
LOCK_TIMEOUT_MS = 60_000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An exported snapshot; it lives as long as its session."""

    session: Session
    id: str
    midtime: datetime
    tables: tuple[tuple[str, str], ...]
    """(schema, name) of all tables that it shows."""

    def content(self, stop: threading.Event | None = None) -> tuple[TableContent, ...]:
        """Counts and digests as of the snapshot; of fewer tables when it is told to stop."""
        wanted = (table for table in self.tables if not (stop and stop.is_set()))
        return content.content(self.session, wanted)

    def describe(self) -> dict[str, Any]:
        """What a restore must know of the database beside its dump."""
        return {**databases.properties(self.session), **rights.described(self.session), "shapes": content.shapes(self.session, self.tables)}


@dataclass(frozen=True, slots=True)
class ArmedSnapshot(Armed):
    """A transaction in which nothing was asked yet: its first query fixes what it sees."""

    session: Session

    def fix(self) -> Snapshot:
        """Export the snapshot."""
        snapshot_id, midtime = _export(self.session)
        return Snapshot(self.session, snapshot_id, midtime, tuple(content.tables(self.session)))


@contextmanager
def armed_snapshot(session: Session, listing: Session) -> Iterator[ArmedSnapshot]:
    """Arm: begin and lock, and ask nothing.

    :param session: carries the snapshot; nothing may have been asked on it
    :param listing: another session, for every question
    :raises CopyError: a table is locked by somebody's DDL
    """
    content.prepare(session)
    session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        _lock(session, content.tables(listing))
        yield ArmedSnapshot(session)
    finally:
        if not session.closed:
            _end(session)


def _lock(session: Session, tables: list[tuple[str, str]]) -> None:
    if not tables:
        return
    session.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(LOCK_TIMEOUT_MS)))
    names = sql.SQL(", ").join(sql.Identifier(schema, name) for schema, name in tables)
    try:
        session.execute(sql.SQL("LOCK TABLE ONLY {} IN ACCESS SHARE MODE").format(names))
    except LockNotAvailable as error:
        raise CopyError(f"a table stayed locked for {LOCK_TIMEOUT_MS // 1000} s: {error}", fix="wait for the DDL on it to end") from error


def _export(session: Session) -> tuple[str, datetime]:
    row = session.execute("SELECT pg_export_snapshot(), clock_timestamp()").fetchone()
    if row is None:
        raise CopyError("the server exported no snapshot", fix="run the backup again")
    return row[0], row[1]


def _end(session: Session) -> None:
    try:
        session.execute("ROLLBACK")
    except Error:
        session.close()  # the connection is gone, and the snapshot with it
