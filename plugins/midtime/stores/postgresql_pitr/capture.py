"""Fixing the instant: a named restore point in the WAL, and a switch to the next segment, so that the point is archived."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from midtime.catalog.bases import Base
from midtime.errors import CopyError
from midtime.stores.copied import Armed
from midtime.stores.postgresql_pitr.wal import parse_lsn, timeline_of

Session = Connection[tuple[Any, ...]]
_FIX = """
    SELECT point.lsn::text, pg_walfile_name(point.lsn), point.instant
    FROM (SELECT clock_timestamp() AS instant, pg_create_restore_point(%s) AS lsn) AS point"""


@dataclass(frozen=True, slots=True)
class Point:
    """A named restore point."""

    name: str
    lsn: int
    """Behind its record."""
    timeline: int
    segment: str
    """The name of the segment that holds it, as the server says it."""
    midtime: datetime
    base: Base
    """From which it will be reached: ended before this point was made."""


@dataclass(frozen=True, slots=True)
class ArmedPoint(Armed):
    """A connected session, and a base from which whatever comes can be reached."""

    session: Session
    base: Base

    def fix(self) -> Point:
        """Make the restore point. All that was committed before is before it in the WAL, also what was committed asynchronously.

        The switch writes it to the disk: from here on a crash of the server does not lose it.
        """
        name = f"midtime_{uuid.uuid4().hex[:12]}"  # a recovery stops at the first point of that name
        row = self.session.execute(_FIX, (name,)).fetchone()
        if row is None:
            raise CopyError("the server made no restore point", fix="run the backup again")
        self.session.execute("SELECT pg_switch_wal()")
        return Point(name, parse_lsn(row[0]), timeline_of(row[1]), row[1], row[2], self.base)
