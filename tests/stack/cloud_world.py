"""What every double of a cloud service goes by: a clock of its own, how long things take, which calls fail.

All of it can be changed and asked for while the server runs (``cloud_server.py``).
"""

from __future__ import annotations

import dataclasses
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Generic, TypeVar

#: seconds, or the shortest and the longest, between which each resource has its own
Duration = float | list[float]


@dataclass
class ClockSettings:
    """The part of a service's settings that all have."""

    #: of the server's clock, by which items are kept, from the machine's
    clock_offset: float = 0.0
    #: stands still there, until it is put elsewhere, or set going again with None
    stopped_at: float | None = None
    #: of the ``Date`` headers from the server's clock, one after the other: a fleet behind a front end
    date_offsets: list[float] = field(default_factory=lambda: [0.0])
    #: whether a restore to T brings what was written in [T, T + 1 s) or nothing later than T
    includes_second: bool = False
    #: how far the latest restorable time is behind
    lag: float = 1.0
    #: of the resources' own durations
    seed: int = 0

    def change(self, changes: Mapping[str, Any]) -> None:
        """Only what is named."""
        known = {each.name for each in dataclasses.fields(self)}
        if unknown := set(changes) - known:
            raise ValueError(f"no such settings: {sorted(unknown)}; there are {sorted(known)}")
        for name, value in changes.items():
            setattr(self, name, value)

    def seconds(self, what: str, resource: str) -> float:
        """How long one of the durations is for a resource: always the same with the same seed."""
        wanted: Duration = getattr(self, what)
        return random.Random(f"{self.seed} {what} {resource}").uniform(*wanted) if isinstance(wanted, list) else wanted


@dataclass
class Fault:
    """Hits every n-th call of the operations, after the first ones, a number of times or for ever."""

    #: one that the service's handler knows, or ``drop`` (no answer, the connection is closed), ``hang`` (the same after ``seconds``), ``slow``
    kind: str
    #: names, ``control``, ``data``, or ``*``
    operations: list[str] = field(default_factory=lambda: ["*"])
    every: int = 1
    skip: int = 0
    times: int | None = None
    #: carried out, and only the answer is lost
    after: bool = False
    #: by the server's clock
    since: float = 0.0
    seconds: float = 3600.0
    seen: int = 0
    done: int = 0

    def hits(self, names: set[str], now: float) -> bool:
        """Count a call, and say whether it is one of those."""
        if now < self.since or not (names | {"*"}) & set(self.operations):
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.seen - self.skip) % self.every or (self.times is not None and self.done >= self.times):
            return False
        self.done += 1
        return True


class Calls:
    """How often each operation was called, and one by one those of the control plane that a service lists."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.control: list[dict[str, Any]] = []
        self.most_restoring = 0

    def note(self, operation: str, at: float, on: str, status: int, code: str, *, listed: bool) -> None:
        self.counts[operation] += 1
        if listed:
            self.control.append({"at": at, "operation": operation, "on": on, "status": status, "code": code})

    def to_dict(self) -> dict[str, Any]:
        return {"counts": dict(self.counts), "control": self.control, "most_restoring": self.most_restoring}


S = TypeVar("S", bound=ClockSettings)


class CloudWorld(Generic[S]):
    """The one of a server; its requests are carried out one after the other, each at one instant."""

    def __init__(self, settings: type[S], data_operations: set[str]) -> None:
        self._new_settings, self._data_operations = settings, data_operations
        self.settings: S = settings()
        self.faults: list[Fault] = []
        self.calls = Calls()
        self.turn = Lock()
        self.instant = 0.0
        self.operation = ""
        self._answers = 0

    def reset(self) -> None:
        self.settings, self.faults, self.calls = self._new_settings(), [], Calls()

    def now(self) -> float:
        stopped = self.settings.stopped_at
        return (time.time() if stopped is None else stopped) + self.settings.clock_offset

    def date(self) -> float:
        """What the next answer says that the time is."""
        self._answers += 1
        offsets = self.settings.date_offsets
        return self.now() + offsets[self._answers % len(offsets)]

    def later(self, what: str, resource: str) -> float:
        """When something is over that begins now."""
        return self.instant + self.settings.seconds(what, resource)

    def family(self, operation: str) -> str:
        """What clients do with items is ``data``; everything else is the ``control`` plane."""
        return "data" if operation in self._data_operations else "control"

    def next_fault(self, operation: str) -> Fault | None:
        """The first that hits this call; the others count it all the same."""
        names = {operation, self.family(operation)}
        hit = [fault for fault in list(self.faults) if fault.hits(names, self.now())]
        return hit[0] if hit else None
