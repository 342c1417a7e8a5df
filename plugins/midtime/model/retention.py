"""Which restore points stay and which go: a decision about plain facts. Doing it is :mod:`midtime.retention`'s affair.

A restore point goes only if every rule lets it go. What is not understood stays, and is told of.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from midtime.model.instants import id_instant
from midtime.model.restore_point import State

LOOKED_AT = 1
"""Days for which a restore point that cannot be used stays at least: for a person to see what befell it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a decision needs to know of one restore point."""

    id: str
    state: State
    why: str = ""
    """What its mark or its manifest's error says."""
    holder: str = ""
    """Who works with it: a restore or a drill, also one that waits for approval."""
    hands_off: str = ""
    """Why it is not for us to judge, if so."""
    whole: bool = True
    """Whether a set can be restored from it; what is not whole is kept by the same rules, and never stands in for what is."""
    was_drilled: bool = False
    """Of an expired one: whether it was drilled with good result."""

    @property
    def instant(self) -> datetime | None:
        """Its midtime, cut to seconds; None when its id names a day that never was."""
        try:
            return id_instant(self.id)
        except ValueError:
            return None

    def usable(self, now: datetime) -> bool:
        """Whether it may be counted on: one of the future may be so by a wrong clock, and must not stand in for a real one."""
        return self.whole and self.counts(now)

    def counts(self, now: datetime) -> bool:
        """Whether it is one of the newest of its kind."""
        known = self.instant is not None and self.instant <= now
        return known and not self.hands_off and self.state in (State.RESTORABLE, State.DRILLED)


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one restore point."""

    id: str
    remove: bool
    reason: str
    strange: bool = False
    """A person should look at it."""


@dataclass(frozen=True, slots=True)
class _Rules:
    """The rules, and what of all restore points together they need."""

    keep_last: int
    keep_days: int
    now: datetime
    last: tuple[str, ...]
    newest: str
    drilled: str

    def decide(self, point: Facts) -> Decision:
        if strange := self._strange(point):
            return Decision(point.id, False, strange, strange=True)
        if kept := self._kept(point):
            return Decision(point.id, False, kept)
        return Decision(point.id, True, self._removed(point))

    def _strange(self, point: Facts) -> str:
        if point.hands_off:
            return point.hands_off
        if point.instant is None:
            return "its id names a day that never was"
        if point.instant > self.now:
            return "it is of the future: a clock is, or was, wrong"
        if point.whole and point.state is State.EXPIRED and (point.id > self.newest or (point.was_drilled and point.id > self.drilled)):
            return f"it was to be removed ({point.why}), but nothing newer can be restored, or was drilled, any more"
        return ""

    def _kept(self, point: Facts) -> str:
        if point.holder:
            return f"{point.holder} works with it"
        if point.state is State.EXPIRED:
            return ""
        if point.state is State.MARKED and self._younger(point, max(self.keep_days, LOOKED_AT)):
            return "it is not restorable yet"
        if point.id == self.newest:
            return "the newest that can be restored"
        if point.id == self.drilled:
            return "the newest that was drilled"
        return self._counted(point)

    def _counted(self, point: Facts) -> str:
        days = self.keep_days if point.state is not State.INVALID else max(self.keep_days, LOOKED_AT)
        if self._younger(point, days):
            return f"younger than {_days(days)}" + (f"; invalid: {point.why}" if point.state is State.INVALID else "")
        return f"one of the newest {self.keep_last}" if point.id in self.last else ""

    def _younger(self, point: Facts, days: int) -> bool:
        return point.instant is not None and self.now - point.instant < timedelta(days=days)

    def _removed(self, point: Facts) -> str:
        if point.state is State.EXPIRED:
            return f"its removal was begun and not ended: {point.why}"
        old = f"older than {_days(self.keep_days)}"
        if point.state is State.MARKED:
            return f"{old}, and was never seen to be restorable"
        return f"{old}; invalid: {point.why}" if point.state is State.INVALID else f"{old}, and not one of the newest {self.keep_last}"


def decide(points: Iterable[Facts], *, keep_last: int, keep_days: int, now: datetime) -> list[Decision]:
    """Decide about all restore points of a topology, newest first.

    :param keep_last: so many of the newest usable ones stay, and so many of those that are not whole
    :param keep_days: whatever is younger stays
    """
    known = sorted(points, key=lambda point: point.id, reverse=True)
    usable = [point for point in known if point.usable(now)]
    others = [point for point in known if point.counts(now) and not point.whole]
    last = tuple(point.id for point in (*usable[:keep_last], *others[:keep_last]))
    drilled = next((point.id for point in usable if point.state is State.DRILLED), "")
    rules = _Rules(keep_last, keep_days, now, last, usable[0].id if usable else "", drilled)
    return [rules.decide(point) for point in known]


def _days(count: int) -> str:
    return f"{count} day" if count == 1 else f"{count} days"
