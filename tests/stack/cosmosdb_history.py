"""What something was at any time since it came."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Timeline(Generic[T]):
    """States with the instants from which they held; None is "not there"."""

    def __init__(self) -> None:
        self.states: list[tuple[float, T | None]] = []

    def add(self, at: float, state: T | None) -> None:
        self.states.append((at, state))

    @property
    def current(self) -> T | None:
        return self.states[-1][1] if self.states else None

    def as_of(self, second: int, includes_second: bool) -> T | None:
        """What a restore to it brings; the last that was written counts, whatever the clock did meanwhile."""
        for when, state in reversed(self.states):
            if when <= second or (includes_second and when < second + 1):
                return state
        return None
