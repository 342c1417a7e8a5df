"""A store that is none: what it is asked to do is written down."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, ClassVar

import pytest

from midtime import stores
from midtime.errors import MidtimeError
from midtime.model.clock_readings import ClockReading
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Target as TargetWish
from midtime.stores.base import Question, Restorable, Say, Shelf, Store, Target
from midtime.stores.copied import CopiedStore
from midtime.stores.managed import ManagedStore


class Fake(Store):
    """Every instance writes into the same book."""

    discarded: ClassVar[list[Target]] = []
    failures: ClassVar[dict[str, MidtimeError]] = {}
    """By working name (discard) or by store (questions)."""

    def questions(self) -> Iterator[Question]:
        yield "is reachable", self._answer
        yield "has client tools", lambda: "fake 1.0"

    def restore_questions(self, target: Target, backup: StoreBackup) -> Iterator[Question]:
        yield "is free", lambda: f"{target.working} for {backup.store}"

    def _answer(self) -> str:
        if self.name in self.failures:
            raise self.failures[self.name]
        return "yes"

    def target(self, wish: TargetWish | None, *, run: str, drill: bool, in_place: bool) -> Target:
        working = f"tmp_{run}_{self.name}"
        wished = wish.to if wish and wish.to else ""
        if drill:
            return Target(self.name, wished or "own", working, working)
        if in_place:
            return Target(self.name, "own", working, wished or self.name, f"{self.name}_before_{run}")
        return Target(self.name, "own", working, wished or f"{self.name}_restored_{run}")

    def discard(self, target: Target) -> None:
        if target.working in self.failures:
            raise self.failures[target.working]
        self.discarded.append(target)

    def fence(self) -> AbstractContextManager[Any]:
        raise NotImplementedError

    def restore(self, backup: StoreBackup, shelf: Shelf, target: Target, say: Say) -> None:
        raise NotImplementedError

    def restored(self, backup: StoreBackup, target: Target) -> AbstractContextManager[Any]:
        raise NotImplementedError

    def place(self, backup: StoreBackup, target: Target) -> None:
        raise NotImplementedError

    def put_back(self, backup: StoreBackup, target: Target) -> None:
        raise NotImplementedError


class FakeStore(Fake, CopiedStore):
    """One whose data we copy."""

    @classmethod
    def install(cls, monkeypatch: pytest.MonkeyPatch) -> type[FakeStore]:
        monkeypatch.setitem(stores.ENGINES, ("postgresql", "dump"), f"{cls.__module__}:{cls.__name__}")
        cls.discarded = []
        cls.failures = {}
        return cls

    def arm(self) -> AbstractContextManager[Any]:
        raise NotImplementedError

    def capture(self) -> AbstractContextManager[Any]:
        raise NotImplementedError

    def copy(self, capture: Any, shelf: Shelf, say: Say) -> StoreBackup:
        raise NotImplementedError


class FakeManagedStore(Fake, ManagedStore):
    """One that a service keeps the history of."""

    def read_clock(self) -> ClockReading:
        raise NotImplementedError

    def mark(self, instant: datetime, shelf: Shelf, say: Say) -> StoreBackup:
        raise NotImplementedError

    def restorable(self, backup: StoreBackup, passed: Collection[str] = ()) -> Restorable:
        raise NotImplementedError
