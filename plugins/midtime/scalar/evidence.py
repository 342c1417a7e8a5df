"""What a window leaves behind to be believed by: every call to every endpoint, with its time and round trip."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from midtime.scalar.endpoint import Endpoint


@dataclass(slots=True)
class Clock:
    """Monotonic time as UTC. One anchor for a whole window: a wall clock that is set meanwhile moves no instant in it."""

    wall: datetime = field(default_factory=lambda: datetime.now(UTC))
    monotonic: float = field(default_factory=time.monotonic)

    def at(self, monotonic: float) -> datetime:
        """The UTC instant of a ``time.monotonic()``."""
        return self.wall + timedelta(seconds=monotonic - self.monotonic)

    def stepped(self) -> timedelta:
        """By how much the wall clock was set since the anchor."""
        return datetime.now(UTC) - self.at(time.monotonic())


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

    def to_dict(self, origin: float) -> dict[str, Any]:
        """For the manifest; times in milliseconds since ``origin``."""
        return {
            **self.endpoint.to_dict(),
            "pause": {"sent_ms": _ms(self.pause_sent, origin), "answered_ms": _ms(self.pause_answered, origin)},
            "polls": [
                {"sent_ms": _ms(poll.sent, origin), "round_trip_ms": _ms(poll.answered, poll.sent), "paused": poll.paused}
                for poll in self.polls
            ],
            "unpause": {"calls": self.unpauses, "open_ms": _ms(self.open_at, origin)},
            **({"error": self.error} if self.error else {}),
        }


def _ms(at: float | None, origin: float) -> float | None:
    return None if at is None else round(1000 * (at - origin), 3)
