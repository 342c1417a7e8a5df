"""What a guard is told, and whom it tells: the limits of a window, and what the watchdog is to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, as the topology has them."""

    drain: float
    hold: float
    deadline: float
    """From the first Pause sent."""


class Keeper(Protocol):
    """Somebody who unpauses should this process die: the watchdog."""

    lost: bool
    """Whether it was found dead."""

    def about_to_pause(self, settled: dict[str, float], deadline: float) -> None:
        """These addresses are going to be paused now; their late closing is over at these instants."""

    def answered(self, addresses: Iterable[str]) -> None:
        """Their Pause was answered."""

    def not_ours(self, addresses: Iterable[str]) -> None:
        """They are not (any more) paused by us."""

    def stay(self) -> None:
        """The pausing process ends now, and means it: unpause at the deadline only."""

    def unpaused(self) -> set[str]:
        """What it has unpaused itself, because we did not."""
