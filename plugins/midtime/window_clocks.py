"""The clocks of the stores that are restored to an instant of their own, read around a window; and the midtime that they leave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from midtime.errors import NoInstantError
from midtime.model.clocks import Choice, ClockReading, StoreClock, choose, earliest_end, hold_needed
from midtime.model.topology import Topology
from midtime.model.window import Window
from midtime.stores import open_managed
from midtime.stores.managed import ManagedStore

_Said = TypeVar("_Said")


@dataclass(slots=True)
class WindowClocks:
    """The clocks of one window. Captured stores have none: their proof is causality.

    :param begins: from when on instants may be chosen, on the worker's clock; None while that is not known: from the window's start on
    :param ends: until when; None for the window's end
    :param bearers: by store: who had its name before the window
    """

    topology: Topology
    clocks: list[StoreClock] = field(default_factory=list)
    begins: datetime | None = None
    ends: datetime | None = None
    bearers: dict[str, str] = field(default_factory=dict)

    def read_before(self) -> None:
        """Right before the pause, all at once: a clock drifts while captures get ready.

        :raises StoreError: a store does not say what time it is
        :raises NoInstantError: the deadline leaves no room for the hold that these clocks need; nothing is paused
        """
        coordinators = {store.name for store in self.topology.coordinator_stores()}
        names = [store.name for store in self.topology.stores if not store.captured]
        asked = list(zip(names, self._ask(names, lambda store: (store, store.bearer(), store.read_clock())), strict=True))
        self.bearers = {name: bearer for name, (_, bearer, _) in asked}
        self.clocks = [
            StoreClock(name, reading, resolution=store.resolution, fleet=store.fleet, coordinator=name in coordinators, early=store.early)
            for name, (store, _, reading) in asked
        ]
        said = self.topology.pause
        if (needed := self.hold) > said.deadline - said.drain:
            raise NoInstantError(
                f"the stores' clocks need a hold of {needed.total_seconds():.1f} s, for which the deadline of {said.deadline.total_seconds():g} s "
                f"and the drain of {said.drain.total_seconds():g} s leave no room; nothing was paused",
                fix="raise pause.deadline, or see why the clocks are so uncertain",
            )

    def read_after(self) -> None:
        """Once the window's end is fixed.

        :raises StoreError: a store does not say what time it is
        """
        names = [clock.store for clock in self.clocks]
        for clock, reading in zip(self.clocks, self._ask(names, lambda store: store.read_clock()), strict=True):
            clock.after = reading

    @property
    def hold(self) -> timedelta:
        """``pause.hold``; if that is ``auto``, what these clocks need."""
        said = self.topology.pause.hold
        return said if isinstance(said, timedelta) else hold_needed(self.clocks)

    def earliest_end(self, start: datetime) -> datetime:
        """Until when a window that began at ``start`` is held: the hold, and longer if no instant fits into it."""
        return max(start + self.hold, self.last_needed(start))

    def last_needed(self, start: datetime) -> datetime:
        """The same without the hold: at that moment an instant has surely passed on every clock, tail and all."""
        return earliest_end(max(start, self.begins or start), self.clocks)

    def span(self, window: Window) -> Window:
        """The part of a window in which the instants lie."""
        return Window(self.begins or window.start, self.ends or window.end)

    def choose(self, window: Window) -> Choice:
        """The midtime, and each store's own.

        :raises WindowError: there is none, or a clock jumped
        """
        return choose(self.span(window), self.clocks)

    def to_list(self) -> list[dict[str, Any]]:
        """For the evidence: what was read, and what is known of the service."""
        return [
            {
                "store": clock.store,
                "before": clock.before.to_dict(),
                "after": clock.after.to_dict() if clock.after else None,
                "resolution_seconds": clock.resolution.total_seconds(),
                "fleet": clock.fleet,
                "coordinator": clock.coordinator,
                "early_seconds": clock.early.total_seconds(),
                "bearer": self.bearers.get(clock.store, ""),
            }
            for clock in self.clocks
        ]

    def _ask(self, names: Sequence[str], question: Callable[[ManagedStore], _Said]) -> list[_Said]:
        """All at once."""
        if not names:
            return []
        stores = [open_managed(self.topology, name) for name in names]
        with ThreadPoolExecutor(len(stores), thread_name_prefix="clocks") as pool:
            return list(pool.map(question, stores))


def choice_of(evidence: Mapping[str, Any]) -> Choice:
    """The midtime that a window's evidence leads to; whoever reads a manifest can reckon it again.

    :raises WindowError: it leads to none
    """
    clocks = [
        StoreClock(
            said["store"],
            ClockReading.from_dict(said["before"]),
            ClockReading.from_dict(said["after"]) if said["after"] else None,
            timedelta(seconds=said["resolution_seconds"]),
            said["fleet"],
            said["coordinator"],
            early=timedelta(seconds=said.get("early_seconds", 0)),  # older restore points know of none
        )
        for said in evidence.get("clocks", ())
    ]
    return choose(Window.from_dict(evidence.get("span") or evidence["window"]), clocks)
