"""What a window leaves behind to be believed by: every call to every endpoint, with its time and round trip."""

from __future__ import annotations

import time
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from midtime.scalar.endpoint import Endpoint

POLLS = 5000
"""How many go into a manifest one by one, of all endpoints together; they go through XCom and templates as well."""


@dataclass(slots=True)
class Clock:
    """Monotonic time as UTC. One anchor for a whole window: a wall clock that is set meanwhile moves no instant in it."""

    wall: datetime = datetime.min
    monotonic: float = 0.0

    def __post_init__(self) -> None:
        self.wall, self.monotonic = _both()

    def at(self, monotonic: float) -> datetime:
        """The UTC instant of a ``time.monotonic()``."""
        return self.wall + timedelta(seconds=monotonic - self.monotonic)

    def stepped(self) -> timedelta:
        """By how much the wall clock was set since the anchor."""
        wall, monotonic = _both()
        return wall - self.at(monotonic)


def _both() -> tuple[datetime, float]:
    """Both clocks at one moment: of a few tries the one that was interrupted least."""
    tries = []
    for _ in range(5):
        before = time.monotonic()
        wall = datetime.now(UTC)
        after = time.monotonic()
        tries.append((after - before, wall, (before + after) / 2))
    _, wall, monotonic = min(tries)
    return wall, monotonic


@dataclass(frozen=True, slots=True)
class Poll:
    """One CheckPaused."""

    sent: float
    answered: float
    paused: bool | None
    """None: it failed."""


@dataclass(slots=True)
class EndpointEvidence:
    """All that was done to one endpoint; times are ``time.monotonic()``."""

    endpoint: Endpoint
    pause_sent: float | None = None
    pause_answered: float | None = None
    polls: list[Poll] = field(default_factory=list)
    unpauses: int = 0
    open_at: float | None = None
    error: str = ""

    def to_dict(self, origin: float, *, every_poll: bool = True) -> dict[str, Any]:
        """For the manifest; times in milliseconds since ``origin``.

        :param every_poll: else ``polls`` are the first and the last one, and ``polls_in_all``, ``polls_not_paused`` (the one before the
            Pause is one of them), ``longest_gap_ms`` (from one that saw it paused to the next) and ``longest_round_trip_ms`` sum up
        """
        polls = self.polls if every_poll else [*self.polls[:1], *self.polls[1:][-1:]]
        return {
            **self.endpoint.to_dict(),
            "pause": {"sent_ms": _ms(self.pause_sent, origin), "answered_ms": _ms(self.pause_answered, origin)},
            "polls": [
                {"sent_ms": _ms(poll.sent, origin), "round_trip_ms": _ms(poll.answered, poll.sent), "paused": poll.paused} for poll in polls
            ],
            **({} if every_poll else self._sums()),
            "unpause": {"calls": self.unpauses, "open_ms": _ms(self.open_at, origin)},
            **({"error": self.error} if self.error else {}),
        }

    def _sums(self) -> dict[str, Any]:
        sent = [poll.sent for poll in self.polls if poll.paused]
        return {
            "polls_in_all": len(self.polls),
            "polls_not_paused": len(self.polls) - len(sent),
            "longest_gap_ms": _ms(max((later - earlier for earlier, later in pairwise(sent)), default=None), 0),
            "longest_round_trip_ms": _ms(max((poll.answered - poll.sent for poll in self.polls), default=None), 0),
        }


def to_dicts(seen: Sequence[EndpointEvidence], origin: float) -> list[dict[str, Any]]:
    """All of them, with every poll unless that were more than :data:`POLLS` in all."""
    every_poll = sum(len(each.polls) for each in seen) <= POLLS
    return [each.to_dict(origin, every_poll=every_poll) for each in seen]


def opened_by(seen: EndpointEvidence, *, is_open: bool, by_watchdog: Container[str]) -> str:
    """Who ended the pause of an endpoint, as far as is known.

    :param is_open: whether it was seen open, or to be somebody else's
    :param by_watchdog: the addresses that the watchdog says it unpaused
    """
    if seen.endpoint.address in by_watchdog:
        return "the watchdog"
    if not is_open:
        return "nobody yet"
    return "the pausing task" if seen.unpauses else "somebody unknown"


def length(began: float, end: float, over: float, openers: set[str]) -> dict[str, Any]:
    """How long they were paused, in seconds; where somebody else opened one, between what was seen.

    :param openers: of all endpoints, see :func:`opened_by`
    :param end: when the last round saw all of them paused; ``over``: when the last was seen open
    """
    if openers == {"the pausing task"}:
        return {"seconds_paused": round(over - began, 6)}
    most = None if "nobody yet" in openers else round(over - began, 6)
    return {"seconds_paused": None, "seconds_paused_between": [round(end - began, 6), most]}


def _ms(at: float | None, origin: float) -> float | None:
    return None if at is None else round(1000 * (at - origin), 3)
