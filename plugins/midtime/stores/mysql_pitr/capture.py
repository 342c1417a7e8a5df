"""Fixing the instant: the position that the server's binary log has reached.

The server writes a transaction into the log whole, before it tells its client that it is committed: what a client knows to be committed is
before the position, and nothing is half before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from midtime.catalog.bases import Base
from midtime.errors import StoreAccessError
from midtime.stores.copied import Armed
from midtime.stores.mysql.connections import Session
from midtime.stores.mysql_pitr.reading import Position


@dataclass(frozen=True, slots=True)
class Status:
    """What a server says of its log."""

    position: Position
    only: tuple[str, ...]
    """Databases, where it logs those alone."""
    ignored: tuple[str, ...]
    """Databases that it does not log."""


def status(session: Session) -> Status:
    """Where the log is now.

    :raises StoreAccessError: the server keeps none
    """
    renamed = not session.mariadb and session.version >= (8, 2)
    found = session.rows("SHOW BINARY LOG STATUS" if renamed else "SHOW MASTER STATUS")
    if not found:
        raise StoreAccessError(f"{session.where} keeps no binary log", fix="start the server with log_bin")
    file, at, only, ignored = found[0][:4]
    return Status(Position(str(file), int(at)), _names(only), _names(ignored))


def _names(text: object) -> tuple[str, ...]:
    return tuple(name for name in str(text or "").split(",") if name)


@dataclass(frozen=True, slots=True)
class Point:
    """A position, and the base from which it will be reached."""

    midtime: datetime
    """Right before the position was read: all that was committed by then is before it."""
    position: Position
    base: Base
    server: str


@dataclass(frozen=True, slots=True)
class ArmedPoint(Armed):
    """A connected session, and a base; the log is kept from the base almost to here."""

    session: Session
    base: Base

    def fix(self) -> Point:
        """Read the position, now."""
        clock: datetime = self.session.value("SELECT UTC_TIMESTAMP(6)")
        return Point(clock.replace(tzinfo=UTC), status(self.session).position, self.base, self.session.version_text)
