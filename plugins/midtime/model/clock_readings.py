"""What is known of one clock against this worker's: bounds, from round trips, and from readings before and after a window."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from midtime.errors import WindowVoidError
from midtime.model.instants import from_rfc3339, to_rfc3339
from midtime.model.window import require_aware

DRIFT_RATE = 0.001
"""Two clocks that NTP slews apart, each at the kernel's limit of 500 parts in a million."""
DRIFT = timedelta(milliseconds=100)
"""Enough for readings that are up to 100 s apart; for those further apart more must be allowed, for closer ones less may be."""


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One store's clock against this worker's: the true offset (store minus worker) lies in ``[low, high]``."""

    low: timedelta
    high: timedelta
    taken_at: datetime

    def __post_init__(self) -> None:
        require_aware(self.taken_at)
        if self.high < self.low:
            raise ValueError(f"an offset cannot be at least {self.low} and at most {self.high}")

    @property
    def width(self) -> timedelta:
        """How much is not known."""
        return self.high - self.low

    def widened(self, by: timedelta) -> ClockReading:
        """The same with bounds further apart, each by so much."""
        return ClockReading(self.low - by, self.high + by, self.taken_at)

    def to_dict(self) -> dict[str, Any]:
        """``{"low_seconds": …, "high_seconds": …, "taken_at": RFC 3339}``."""
        low, high = self.low.total_seconds(), self.high.total_seconds()
        return {"low_seconds": low, "high_seconds": high, "taken_at": to_rfc3339(self.taken_at)}

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> ClockReading:
        """Read what :meth:`to_dict` wrote."""
        low, high = (timedelta(seconds=body[key]) for key in ("low_seconds", "high_seconds"))
        return cls(low, high, from_rfc3339(body["taken_at"]))


def from_round_trip(asked: datetime, answered: datetime, said: datetime, *, resolution: timedelta) -> ClockReading:
    """The store's clock showed ``said``, cut down to ``resolution``, at some moment between asking and the answer.

    :raises ValueError: naive instants, or an answer before the question: the worker's own clock was set back
    """
    require_aware(asked, answered, said)
    if answered < asked:
        raise ValueError(f"answered at {answered}, before it was asked at {asked}")
    return ClockReading(said - answered, said + resolution - asked, answered)


def combine(readings: Iterable[ClockReading]) -> ClockReading:
    """What several readings, taken within seconds of each other, say together.

    :raises ValueError: there are none, or they contradict each other: the clock jumped
    """
    every = list(readings)
    if not every:
        raise ValueError("no reading")
    low, high = max(each.low for each in every), min(each.high for each in every)
    if high < low:
        raise ValueError(f"the clock jumped by {low - high} or more between two readings")
    return ClockReading(low, high, max(each.taken_at for each in every))


def agree(store: str, before: ClockReading, after: ClockReading, drift: timedelta = DRIFT) -> ClockReading:
    """The bounds that hold at every moment between two readings.

    :raises WindowVoidError: the readings contradict each other, or are too far apart for this drift
    """
    apart = after.taken_at - before.taken_at
    if apart * DRIFT_RATE > max(drift, DRIFT):
        raise WindowVoidError(
            f"the clock of store {store} was read {apart} apart, in which it may drift by more than the {drift} that are allowed",
            fix="read the clocks right before and right after the window",
        )
    if before.low - after.high > drift or after.low - before.high > drift:
        raise WindowVoidError(
            f"the clock of store {store}, or this worker's against it, jumped in the window: its offset was {_bounds(before)} before and {_bounds(after)} after",
            fix="see that time synchronisation is well on the worker and the store's host, then back up again",
        )
    return combine([before.widened(drift), after.widened(drift)])


def _bounds(reading: ClockReading) -> str:
    """``+1.998000 s to +2.004000 s``."""
    return " to ".join(f"{offset.total_seconds():+f} s" for offset in (reading.low, reading.high))
