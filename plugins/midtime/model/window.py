"""The pause window as arithmetic sees it: two instants on the worker's clock, and the middle of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from midtime.model.instants import from_rfc3339, to_rfc3339


@dataclass(frozen=True, slots=True)
class Window:
    """When nothing was written, on the clock of the worker that paused.

    :param start: our own draining Pause has returned OK on every endpoint, and CheckPaused confirmed it
    :param end: the moment before the first unpause
    :raises ValueError: a naive instant, or an end before the start
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        require_aware(self.start, self.end)
        if self.end < self.start:
            raise ValueError(f"the window ends at {to_rfc3339(self.end)}, before it starts at {to_rfc3339(self.start)}")

    @property
    def length(self) -> timedelta:
        """How long it was open."""
        return self.end - self.start

    @property
    def middle(self) -> datetime:
        """The instant furthest from both ends, to the microsecond, in UTC."""
        return (self.start + self.length / 2).astimezone(UTC)

    def to_dict(self) -> dict[str, str]:
        """``{"start": …, "end": …}`` in RFC 3339, for XCom and manifests."""
        return {"start": to_rfc3339(self.start), "end": to_rfc3339(self.end)}

    @classmethod
    def from_dict(cls, body: Mapping[str, str]) -> Window:
        """Read what :meth:`to_dict` wrote."""
        return cls(from_rfc3339(body["start"]), from_rfc3339(body["end"]))


def captured_midtime(window: Window) -> datetime:
    """The midtime of a topology whose stores are all captured: no clock but the worker's has a say in it."""
    return window.middle


def require_aware(*instants: datetime) -> None:
    """Refuse an instant that does not say where on earth it is meant.

    :raises ValueError: a naive one
    """
    for instant in instants:
        if instant.utcoffset() is None:
            raise ValueError(f"{instant!r} has no time zone")
