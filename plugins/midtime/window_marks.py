"""What the pausing task does for a window's managed stores: their clocks, their fence rows, and from when until when their instants may lie.

An instant of a managed store must lie behind its ``before`` row, or a good restore would lack it. And whatever the mixture of stores, a
Coordinator's instant is never later than the others': managed stores' instants lie behind the captures of Coordinators' stores, and where a
managed store holds a Coordinator, the captures of the others begin once its instant has surely passed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from midtime.errors import MidtimeError
from midtime.model.topology import Topology
from midtime.model.window import Window
from midtime.window_clocks import WindowClocks
from midtime.window_fences import WindowFences, window_fences


def captured_first(topology: Topology) -> list[str]:
    """The captured stores that hold a Coordinator."""
    return [store.name for store in topology.coordinator_stores() if store.captured]


def marked_first(topology: Topology) -> bool:
    """Whether captures have to wait for a mark: a managed store holds a Coordinator."""
    return any(not store.captured for store in topology.coordinator_stores())


@dataclass(slots=True)
class WindowMarks:
    """The managed stores of one window; of a topology without any it does nothing, and nothing waits for it."""

    topology: Topology
    clocks: WindowClocks
    fences: WindowFences

    @property
    def any(self) -> bool:
        """Whether there is a managed store."""
        return bool(self.fences.fences)

    def look(self, captured: Collection[str], at: Callable[[float], datetime], now: float) -> MidtimeError | None:
        """Once all that must come first is there, fix from when on instants may lie.

        :param captured: the stores whose captures have been reported
        :param at: the worker's clock at an instant of ``time.monotonic()``
        :return: why the window cannot be kept
        """
        if self.clocks.begins is None and self.any:
            if failure := self.fences.failure():
                return failure
            first = captured_first(self.topology)
            if self.fences.settled and set(first) <= set(captured):
                self.clocks.begins = at(max([*self.fences.written_at, *([now] if first else [])], default=now))
        return None

    @property
    def ready(self) -> bool:
        """Whether the window may end as far as these stores go; the hold comes on top."""
        return not self.any or self.clocks.begins is not None

    def passed(self, now: datetime) -> bool:
        """Whether the managed stores' instants have surely passed, so that the captures that wait for them may begin; told once.

        From then on no instant is chosen behind ``now``.
        """
        begins = self.clocks.begins
        if begins is None or self.clocks.ends is not None or now < self.clocks.last_needed(begins):
            return False
        self.clocks.ends = now
        return True

    def evidence(self, window: Window) -> dict[str, Any]:
        """For the manifest: clocks, fence rows, and the part of the window in which the instants lie."""
        clocks = {"clocks": self.clocks.to_list()}
        return {**clocks, "span": self.clocks.span(window).to_dict(), "fences": self.fences.to_dict()} if self.any else clocks


@contextmanager
def window_marks(topology: Topology) -> Iterator[WindowMarks]:
    """Those of a topology; nothing is connected yet."""
    with window_fences(topology) as fences:
        yield WindowMarks(topology, WindowClocks(topology), fences)
