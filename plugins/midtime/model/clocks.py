"""What is known of the clocks of managed stores, and which instant of theirs lies in the window.

All stores' clocks are read by the worker that pauses, against the very clock that gives the window. Of each clock only bounds are
known: its offset (store minus worker) lies in ``[low, high]`` when it is read, and moves by at most ``drift`` until the window is over.

A service that is asked to restore to T may include what follows T by a second (a *tail*; by one more where a fleet of front ends tells
the time), so a T fits when, for every offset within the bounds, ``[T, T + tail]`` on the store's clock lies in the window::

    start + high <= T        and        T + tail <= end + low

A service that may also land before T (by :attr:`StoreClock.early`) counts as one whose clock may be further ahead by as much.

**Order.** There is an instant, the *pivot*, on the worker's clock: the marks of stores with a Coordinator surely lie at or before it,
those of the others at or after it, whatever the offsets within the bounds. What is not ordered is the tail: a service that includes it
may bring the Coordinator back later than another store by up to the tail less :attr:`Choice.coordinator_lead`, still inside the window.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from midtime.errors import NoInstantError, WindowVoidError
from midtime.model.clock_readings import DRIFT, ClockReading, agree, combine, from_round_trip
from midtime.model.instants import to_rfc3339
from midtime.model.window import Window, captured_midtime, require_aware

__all__ = [
    "DRIFT", "Choice", "ClockReading", "StoreClock", "agree", "choose", "combine", "earliest_end", "from_round_trip", "hold_needed",
]  # fmt: skip
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class StoreClock:
    """A store that is restored to an instant of its own clock.

    :param resolution: the service takes only multiples of it
    :param fleet: front ends tell the time that are not the ones that keep it (DynamoDB, Cosmos DB), or it is SQL Server
    :param coordinator: it holds a Coordinator table
    :param drift: how far its clock may move between the readings
    :param early: how much before T a restore to T may land
    """

    store: str
    before: ClockReading
    after: ClockReading | None = None
    resolution: timedelta = SECOND
    fleet: bool = False
    coordinator: bool = False
    drift: timedelta = DRIFT
    early: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        if self.resolution < MICROSECOND or min(self.drift, self.early) < timedelta(0):
            raise ValueError(f"store {self.store}: resolution {self.resolution}, drift {self.drift} and early {self.early}")

    @property
    def tail(self) -> timedelta:
        """How much of what follows T a restore to T may include."""
        return max(SECOND, self.resolution) + (SECOND if self.fleet else timedelta(0))

    @property
    def expected(self) -> ClockReading:
        """What :meth:`bounds` are likely to be, before the window is over."""
        return self._landing(self.before.widened(self.drift))

    def bounds(self) -> ClockReading:
        """Between which values the offset is throughout the window.

        :raises WindowVoidError: see :func:`agree`
        """
        return self._landing(agree(self.store, self.before, self.after, self.drift)) if self.after else self.expected

    def _landing(self, known: ClockReading) -> ClockReading:
        """Of where restores land: as if its clock were ahead by as much as they may be early."""
        return replace(known, high=known.high + self.early)


@dataclass(frozen=True, slots=True)
class Choice:
    """The instants that were found.

    :param midtime: on the worker's clock, inside the window; whole seconds where a store has a clock
    :param instants: what each store is restored to, on its own clock; all equal to ``midtime`` where such a T exists
    :param clocks: the bounds that this stands on
    :param coordinator_lead: the marks of Coordinators' stores surely precede the others by so much; None without either
    """

    midtime: datetime
    instants: Mapping[str, datetime] = field(default_factory=dict)
    clocks: Mapping[str, ClockReading] = field(default_factory=dict)
    coordinator_lead: timedelta | None = None

    def to_dict(self) -> dict[str, Any]:
        """For manifests."""
        return {
            "midtime": to_rfc3339(self.midtime),
            "instants": {store: to_rfc3339(instant) for store, instant in self.instants.items()},
            "clocks": {store: reading.to_dict() for store, reading in self.clocks.items()},
            "coordinator_lead_seconds": None if self.coordinator_lead is None else self.coordinator_lead.total_seconds(),
        }


def choose(window: Window, stores: Sequence[StoreClock]) -> Choice:
    """An instant for every store: one for all if it fits every clock, the worker's and the order, else each store's own.

    Captures stand in the same order if the window is narrowed first: its start to the end of the Coordinator's capture when the
    stores here are the others; its end to the beginning of the first capture of another store when a Coordinator's store is here.

    :raises NoInstantError: the window was too short
    :raises WindowVoidError: a clock jumped, or was not read after the window
    """
    if not stores:
        return Choice(captured_midtime(window))
    for each in stores:
        _require_readings_around(window, each)
    found = _Instants(window, stores)
    same = found.same()
    instants = same or found.own()
    if instants is None:
        raise _too_short(window, stores)
    midtime = next(iter(same.values())) if same else _middle_second(window)
    return Choice(midtime, instants, found.clocks, found.lead(instants))


def earliest_end(start: datetime, stores: Sequence[StoreClock]) -> datetime:
    """Until when a window that began at ``start`` must be held, so that :func:`choose` finds something then and ever after.

    Neither too late (with the bounds of ``before``) nor too early; ``after`` can only bring more certainty.
    """
    require_aware(start)
    clocks = [(each, each.expected) for each in stores]
    pivot = _pivot(start, clocks)
    firsts = [(each, known, _up((start if each.coordinator else pivot) + known.high, each.resolution)) for each, known in clocks]
    return max([start, *(first + each.tail - known.low for each, known, first in firsts)])


def hold_needed(stores: Sequence[StoreClock], *, factor: float = 2, least: timedelta = 5 * SECOND) -> timedelta:
    """``hold: auto``: long enough whatever the fraction of the second at which the window opens, times ``factor``; 0 without clocks."""
    if not stores:
        return timedelta(0)
    unknown = [(each, each.expected.width + each.resolution) for each in stores]
    pivot = max((length for each, length in unknown if each.coordinator), default=timedelta(0))
    longest = max(length + each.tail + (timedelta(0) if each.coordinator else pivot) for each, length in unknown)
    return max(least, longest * factor)


class _Instants:
    """What fits into a window on the stores' clocks."""

    def __init__(self, window: Window, stores: Sequence[StoreClock]) -> None:
        self._window, self._stores = window, stores
        self.clocks = {each.store: each.bounds() for each in stores}

    def same(self) -> dict[str, datetime] | None:
        """One T for all, as near to the middle as it can be: whole seconds, and in the window on the worker's clock too."""
        step = MICROSECOND * math.lcm(*(each.resolution // MICROSECOND for each in self._stores), SECOND // MICROSECOND)
        ranges = [self._range(each) for each in self._stores]
        first = _up(max(self._window.start, *(low for low, _ in ranges)), step)
        last = _down(min(self._window.end, *(high for _, high in ranges)), step)
        instants = dict.fromkeys(self.clocks, first + (last - first) // (2 * step) * step)
        lead = self.lead(instants)
        return instants if first <= last and (lead is None or lead >= timedelta(0)) else None

    def own(self) -> dict[str, datetime] | None:
        """Each store's own T on its side of a pivot, which is in the middle of where it can be."""
        first = _pivot(self._window.start, [(each, self.clocks[each.store]) for each in self._stores])
        last = min([self._window.end, *(self._latest(each) for each in self._stores if not each.coordinator)])
        pivot = first + (last - first) / 2
        instants = {each.store: self._beside(each, pivot) for each in self._stores}
        fit = all(low <= instants[each.store] <= high for each in self._stores for low, high in [self._range(each)])
        return instants if fit else None

    def lead(self, instants: Mapping[str, datetime]) -> timedelta | None:
        """How much the Coordinators' marks precede the others' at least; negative where that is not certain."""
        firsts = [instants[each.store] - self.clocks[each.store].low for each in self._stores if each.coordinator]
        others = [instants[each.store] - self.clocks[each.store].high for each in self._stores if not each.coordinator]
        return min(others) - max(firsts) if firsts and others else None

    def _range(self, each: StoreClock) -> tuple[datetime, datetime]:
        """The first and the last T of this store, not cut to its resolution."""
        known = self.clocks[each.store]
        return self._window.start + known.high, self._window.end + known.low - each.tail

    def _latest(self, each: StoreClock) -> datetime:
        """The last pivot that leaves this store a T after it."""
        return _down(self._range(each)[1], each.resolution) - self.clocks[each.store].high

    def _beside(self, each: StoreClock, pivot: datetime) -> datetime:
        """A Coordinator's T: the last that is surely before the pivot and fits. Another's: the first that is surely after it."""
        known = self.clocks[each.store]
        if each.coordinator:
            return _down(min(self._range(each)[1], pivot + known.low), each.resolution)
        return _up(pivot + known.high, each.resolution)


def _pivot(start: datetime, clocks: Iterable[tuple[StoreClock, ClockReading]]) -> datetime:
    """The first instant that the marks of all Coordinators can precede for certain; the start where there is none."""
    firsts = [_up(start + known.high, each.resolution) - known.low for each, known in clocks if each.coordinator]
    return max([start, *firsts])


def _middle_second(window: Window) -> datetime:
    """A whole second of the worker's near the middle; a window that fits a tail has one."""
    second = _down(window.middle, SECOND)
    return second if second >= window.start else second + SECOND


def _require_readings_around(window: Window, each: StoreClock) -> None:
    if each.after is None:
        raise WindowVoidError(
            f"the clock of store {each.store} was not read after the window, so that a jump would not be seen", fix="back up again"
        )
    if each.before.taken_at > window.start or each.after.taken_at < window.end:
        raise ValueError(f"the clock of store {each.store} was read inside the window {window.to_dict()}")


def _too_short(window: Window, stores: Sequence[StoreClock]) -> NoInstantError:
    missing = earliest_end(window.start, stores) - window.end
    enough = hold_needed(stores, factor=1, least=timedelta(0))
    return NoInstantError(
        f"no instant of the window of {window.length.total_seconds():.3f} s fits the clocks of {', '.join(each.store for each in stores)}: "
        f"it had to be held {missing.total_seconds():.3f} s longer",
        fix=f"set pause.hold to auto, or to {math.ceil(enough / SECOND)}s at least, and pause.deadline to more than drain and hold",
    )


def _down(instant: datetime, step: timedelta) -> datetime:
    """The last multiple of ``step`` (since 1970, in UTC) that is not after it."""
    return EPOCH + (instant - EPOCH) // step * step


def _up(instant: datetime, step: timedelta) -> datetime:
    """The first that is not before it."""
    return EPOCH - (EPOCH - instant) // step * step
