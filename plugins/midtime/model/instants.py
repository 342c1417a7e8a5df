"""Instants and restore point ids: UTC everywhere, RFC 3339 in text, sortable in names."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime

RESTORE_POINT_ID = re.compile(r"^([0-9]{8}T[0-9]{6}Z)-[0-9a-f]{6}$")
"""For ``fullmatch``: Python's ``$`` alone lets a line break through."""
_COMPACT = "%Y%m%dT%H%M%SZ"


def utc_now() -> datetime:
    """The present, aware, in UTC."""
    return datetime.now(UTC)


def to_rfc3339(instant: datetime) -> str:
    """``2026-11-21T02:00:07Z``, or with the fraction when there is one; refuses naive instants.

    >>> to_rfc3339(datetime(2026, 11, 21, 2, 0, 7, 250000, tzinfo=UTC))
    '2026-11-21T02:00:07.250000Z'
    """
    if instant.tzinfo is None:
        raise ValueError(f"{instant!r} has no time zone")
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def from_rfc3339(text: str) -> datetime:
    """The instant that :func:`to_rfc3339` wrote, or any other RFC 3339 text with an offset."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no offset; write e.g. 2026-11-21T02:00:07Z")
    return instant.astimezone(UTC)


def restore_point_id(midtime: datetime, run: str) -> str:
    """The id of the restore point that ``run`` makes: ``<midtime cut to seconds>-<6 hex>`` (DESIGN.md 7, fixed).

    The six digits are the run's, so that what one run left half-written can be told from another's.

    :param run: whatever names the run for ever, e.g. ``dag id / run id``
    """
    if midtime.tzinfo is None:
        raise ValueError(f"{midtime!r} has no time zone")
    return f"{midtime.astimezone(UTC).strftime(_COMPACT)}-{run_suffix(run)}"


def run_suffix(run: str) -> str:
    """Six hexadecimal digits that belong to this run."""
    return hashlib.sha256(run.encode()).hexdigest()[:6]


def id_instant(restore_point: str) -> datetime:
    """The midtime, cut to seconds, that is spelled in a restore point's id."""
    match = RESTORE_POINT_ID.fullmatch(restore_point)
    if match is None:
        raise ValueError(f"{restore_point!r} is not a restore point id")
    return datetime.strptime(match[1], _COMPACT).replace(tzinfo=UTC)
