"""A store in the account that is a dictionary, marked, and what a run does with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from midtime.catalog import Catalog
from midtime.model.restore_point import StoreBackup
from midtime.model.topology.cloud import Dynamodb
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores import looks
from midtime.stores.base import Shelf, Target, Waiting, ask
from midtime.stores.dynamodb import copies, history, notes, placing, reading, restoring, swapping
from midtime.stores.dynamodb.aws import Aws
from midtime.stores.dynamodb.store import DynamodbStore
from tests.unit.stores.dynamodb.memory import PLAIN, RICH, START, Memory
from tests.unit.stores.dynamodb.world import FENCE, topology

POINT, RUN = "20261121T020007Z-3fa9c1", "abc123"
RICH_TABLE = "bank.accounts"
NAMES = (RICH_TABLE, FENCE, "coordinator.state", "scalardb.metadata")


class InMemory(Aws):
    """Without a login."""

    def __init__(self, memory: Memory, spec: Dynamodb) -> None:
        super().__init__("points", spec)
        for each in ("control", "paced", "data", "scaling", "alarms", "clock"):
            self.__dict__[each] = memory.client()


class Account:
    """The account and the store, and a restore point of it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, memory: Memory | None = None, **spec: Any) -> None:
        self.memory = memory or Memory()
        monkeypatch.setattr(looks, "sleep", self.memory.sleep)
        for module in (notes, looks, placing, restoring, swapping):
            monkeypatch.setattr(module, "utc_now", lambda: self.memory.moment(self.memory.now))
        for module in (history, copies, reading):
            monkeypatch.setattr(module, "of_each", lambda names, ask: [ask(name) for name in names])
        self.topology = topology(f"file://{folder}", **spec)
        self.catalog = Catalog(self.topology.destination, self.topology.name)
        self.shelf = Shelf(self.catalog.folder(POINT), "points")
        self.backup: StoreBackup

    @property
    def store(self) -> DynamodbStore:
        """As another process would open it."""
        store = DynamodbStore(self.topology, "points")
        store.__dict__["aws"] = InMemory(self.memory, cast(Dynamodb, self.topology.store("points")))
        return store

    def fill(self, names: tuple[str, ...] = NAMES, prefix: str = "") -> Account:
        for name in names:
            self.memory.make(prefix + name, f"live {prefix}{name}", RICH if name == RICH_TABLE else PLAIN)
        return self

    def mark(self) -> Account:
        self.memory.now += 600
        self.backup = self.store.mark(START + timedelta(seconds=300), self.shelf, lambda _: None)
        self.memory.now += 600
        return self

    def target(self, *, drill: bool = False, in_place: bool = False, to: str | None = None) -> Target:
        wish = TargetWish(to=to) if to else None
        return self.store.target(wish, run=RUN, drill=drill, in_place=in_place)

    def look(self, target: Target) -> Waiting | None:
        return self.store.restore(self.backup, self.shelf, target, lambda _: None)

    def restore(self, target: Target) -> Target:
        while waiting := self.look(target):
            self.memory.sleep(waiting.look_again.total_seconds())
        return target

    def answers(self, target: Target) -> dict[str, str]:
        """What is asked before a restore; the first that is bad is raised."""
        found = list(ask("points", self.store.restore_questions(target, self.backup)))
        bad = [check for check in found if not check.ok]
        if bad and bad[0].error:
            raise bad[0].error
        return {check.question: check.detail for check in found}

    def contents(self) -> dict[str, str]:
        return {name: table.content for name, table in sorted(self.memory.tables.items()) if table.gone_at is None}


def shortest(durations: Sequence[float], slots: int) -> float:
    """No schedule is shorter: the work by its slots; and of any k slots + 1 of the longest ones, some slot has k + 1."""
    longest = sorted(durations, reverse=True)
    return max(sum(durations) / slots, *((turn + 1) * longest[turn * slots] for turn in range(-(-len(durations) // slots))))
