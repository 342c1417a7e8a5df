"""How the clocks of stores are read: by a statement, or from the ``Date`` of HTTP answers.

Read them on the host, and with the clock, that also times the window.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPException

from midtime.errors import StoreStatementError, StoreUnreachableError
from midtime.model.clock_readings import ClockReading, combine, from_round_trip
from midtime.model.instants import utc_now

SQL_RESOLUTION = timedelta(microseconds=1)
HTTP_RESOLUTION = timedelta(seconds=1)
SAMPLES = 5
GAP = 0.02
"""Seconds between two questions for a ``Date``; with the round trip it is what remains unknown."""
LIMIT = 10.0
"""Seconds for one reading, of which the ``Date`` needs one or two."""
_SYNCHRONISE = "see that time synchronisation is well on the worker and on the store's host, then try again"


def read_sql(
    store: str, ask: Callable[[], datetime], *, samples: int = SAMPLES, limit: float = LIMIT, resolution: timedelta = SQL_RESOLUTION
) -> ClockReading:
    """The clock of a database.

    :param ask: runs ``SELECT clock_timestamp()`` or the like on an open connection, with a time limit of its own; the answer is aware
    :param samples: so many questions, fewer when the limit comes first; the quickest round trip decides
    :param limit: seconds
    :param resolution: by how much the clock goes on at once
    :raises StoreUnreachableError: no answer, or not in time
    :raises StoreStatementError: an answer without a time zone, or the clock jumped while it was read
    """
    ends = time.monotonic() + limit
    readings: list[ClockReading] = []
    while len(readings) < samples and (not readings or time.monotonic() < ends):
        readings.append(_ask(store, ask, resolution, limit))
    return _together(store, readings)


def read_http_date(
    store: str, fetch: Callable[[], str | None], *, fleet: bool = False, gap: float = GAP, limit: float = LIMIT
) -> ClockReading:
    """The clock of an HTTP service, whose ``Date`` is cut to whole seconds: asked again and again until it ticks over.

    :param fetch: sends a request on an open connection, with a time limit of its own, and gives the answer's ``Date``
    :param fleet: several front ends answer: up to a second between them is no jump (:class:`~midtime.model.clocks.StoreClock` has that
        second), and the bounds then span what is between
    :param gap: seconds between two requests
    :param limit: seconds
    :raises StoreUnreachableError: no answer, or not in time
    :raises StoreStatementError: no ``Date``, one that stands still, or the clock jumped while it was read
    """
    ends = time.monotonic() + limit
    readings: list[ClockReading] = []
    said: list[datetime] = []

    def ask() -> datetime:
        said.append(_parsed(store, fetch()))
        return said[-1]

    while len(said) < 2 or said[-1] == said[0]:
        if time.monotonic() > ends:
            raise StoreStatementError(
                f"the Date of store {store} stands still: {said[-1]} after {limit:g} s", fix="see whether a proxy caches the answers"
            )
        readings.append(_ask(store, ask, HTTP_RESOLUTION, limit))
        time.sleep(gap)
    return _together(store, readings, spread=HTTP_RESOLUTION if fleet else timedelta(0))


def _ask(store: str, ask: Callable[[], datetime], resolution: timedelta, limit: float) -> ClockReading:
    """One round trip."""
    with _named(store):
        asked = utc_now()
        said = ask()
        answered = utc_now()
        if (took := (answered - asked).total_seconds()) > limit:
            raise StoreUnreachableError(f"store {store} took {took:.1f} s to tell its clock", fix="see whether it is overloaded")
        return from_round_trip(asked, answered, said, resolution=resolution)


def _together(store: str, readings: Sequence[ClockReading], spread: timedelta = timedelta(0)) -> ClockReading:
    low, high = max(each.low for each in readings), min(each.high for each in readings)
    if timedelta(0) < low - high <= spread:
        return ClockReading(high, low, max(each.taken_at for each in readings))
    with _named(store):
        return combine(readings)


def _parsed(store: str, date: str | None) -> datetime:
    if not date:
        raise StoreStatementError(f"store {store} answered without a Date", fix="ask the service itself, not a proxy that drops headers")
    try:
        parsed = parsedate_to_datetime(date)
    except ValueError:
        raise StoreStatementError(
            f"store {store} answered with {date[:60]!r} for a Date", fix="ask the service itself, not a proxy"
        ) from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)  # "-0000" is UTC without a place


@contextmanager
def _named(store: str) -> Iterator[None]:
    """What goes wrong with a clock, with the name of its store."""
    try:
        yield
    except (OSError, HTTPException) as error:
        raise StoreUnreachableError(
            f"store {store} did not tell its clock: {error}", fix="see whether it is up and reachable from the worker"
        ) from error
    except ValueError as error:
        raise StoreStatementError(f"the clock of store {store} could not be read: {error}", fix=_SYNCHRONISE) from error
