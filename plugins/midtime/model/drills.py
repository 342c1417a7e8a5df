"""What many drills say together: how many were good, how long a restore takes, and whether it takes longer and longer.

The trend of a row of numbers is found without assuming anything of their distribution, so that one slow drill does not make it:

* whether there is one: Mann and Kendall's test, two-sided, 5 %;
* how strong it is: Theil and Sen's slope, the median of the slopes of all pairs.

It is called rising or falling only if it is significant *and* the slope moves the row by a tenth of its median from end to end; else it
is steady. Fewer than eight numbers say nothing. Only the newest hundred good drills are looked at: what matters is where it is going.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import combinations
from statistics import median
from typing import Any

from midtime.model.instants import to_rfc3339
from midtime.model.restore_point import DrillReport

FEWEST = 8
NEWEST = 100
SIGNIFICANT = 1.959964
"""Quantile of the normal distribution: 5 %, two-sided."""
NOTABLE = 0.1
ENOUGH_BYTES = 100_000_000
"""Below this a drill's time is spent on starting tasks, and seconds per gigabyte mean nothing."""


class Direction(StrEnum):
    """Where a row of numbers is going."""

    RISING = "rising"
    STEADY = "steady"
    FALLING = "falling"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Trend:
    """Where a row of numbers is going, and by how much of its median from the oldest to the newest."""

    direction: Direction
    change: float = 0.0
    count: int = 0

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"direction": self.direction.value, "change": round(self.change, 4), "drills": self.count}


def trend(values: Sequence[float]) -> Trend:
    """The trend of a row, oldest first; see the module."""
    row = values[-NEWEST:]
    if len(row) < FEWEST:
        return Trend(Direction.UNKNOWN, count=len(row))
    middle = median(row)
    change = _slope(row) * (len(row) - 1) / middle if middle > 0 else 0.0
    if abs(change) < NOTABLE or abs(_kendall(row)) <= SIGNIFICANT:
        return Trend(Direction.STEADY, change, len(row))
    return Trend(Direction.RISING if change > 0 else Direction.FALLING, change, len(row))


def _slope(row: Sequence[float]) -> float:
    """Theil and Sen's, per place in the row: drills of one backfill are minutes apart and stand for weeks."""
    return median((later - earlier) / (j - i) for (i, earlier), (j, later) in combinations(enumerate(row), 2))


def _kendall(row: Sequence[float]) -> float:
    """Mann and Kendall's standardised score, ties taken into account."""
    score = sum((later > earlier) - (later < earlier) for earlier, later in combinations(row, 2))
    ties = [row.count(value) for value in set(row)]
    variance = (_spread(len(row)) - sum(map(_spread, ties))) / 18
    return 0.0 if variance <= 0 else (score - math.copysign(1, score) if score else 0.0) / math.sqrt(variance)


def _spread(count: int) -> int:
    return count * (count - 1) * (2 * count + 5)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least this share of them does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


@dataclass(frozen=True, slots=True)
class Summary:
    """All drills of one topology in a few numbers. RTO and its trend are those of good drills: a failed one measures how fast it failed."""

    count: int
    good: int
    unreadable: int
    newest_good: bool
    """Whether the drill that stands for the latest moment was good; an unreadable report is not."""
    rto: tuple[float, float, float] | None
    """Median, 95th percentile and maximum, in seconds."""
    trend: Trend
    trend_per_gb: Trend | None
    """Of the seconds per gigabyte: whether it is the data that grow, or the restore that slows down. None where drills are too small."""
    last_good: DrillReport | None

    @property
    def share(self) -> float:
        """How many of them were good, 0 to 1."""
        return self.good / self.count if self.count else 0.0

    def days_since(self, now: datetime) -> float | None:
        """Days since the moment that the last good drill stands for."""
        return (now - self.last_good.stands_for).total_seconds() / 86400 if self.last_good else None

    def to_dict(self, now: datetime) -> dict[str, Any]:
        """For ``--json``."""
        days, last = self.days_since(now), self.last_good
        return {
            "drills": self.count,
            "good": self.good,
            "unreadable": self.unreadable,
            "share_good": round(self.share, 4),
            "newest_good": self.newest_good,
            "rto_seconds": dict(zip(("median", "p95", "max"), self.rto, strict=True)) if self.rto else None,
            "trend": self.trend.to_dict(),
            "trend_per_gb": self.trend_per_gb.to_dict() if self.trend_per_gb else None,
            "last_good": {"restore_point": last.restore_point, "stands_for": to_rfc3339(last.stands_for)} if last else None,
            "days_since_good": None if days is None else round(days, 2),
        }


def summarise(drills: Sequence[DrillReport | None]) -> Summary:
    """Sum up a topology's drills.

    :param drills: newest first, by the moment that they stand for; None for a report that cannot be read
    """
    good = [drill for drill in reversed(drills) if drill and drill.good]
    seconds = [drill.rto_seconds for drill in good]
    large = [drill for drill in good if drill.bytes >= ENOUGH_BYTES]
    per_gb = [drill.rto_seconds / drill.bytes * 1e9 for drill in large]
    return Summary(
        count=len(drills),
        good=len(good),
        unreadable=sum(drill is None for drill in drills),
        newest_good=bool(drills and drills[0] and drills[0].good),
        rto=(median(seconds), percentile(seconds, 0.95), max(seconds)) if seconds else None,
        trend=trend(seconds),
        trend_per_gb=trend(per_gb) if len(large) >= FEWEST else None,
        last_good=good[-1] if good else None,
    )
