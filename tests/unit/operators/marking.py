"""Managed stores of a window that are none: their clocks are off, their fence rows take as long as the test says, and marks are parts."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from midtime.model.clock_readings import ClockReading
from midtime.model.instants import utc_now
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.operators.mark import MarkOperator
from midtime.operators.midtime import MidtimeOperator
from midtime.operators.publish import PublishOperator
from midtime.scalar.double import Double
from midtime.stores.base import Say, Shelf
from midtime.stores.fences import Place
from tests.unit.builders import part
from tests.unit.builders import topology as build
from tests.unit.fakes import FakeManagedStore
from tests.unit.operators.tasks import Hub, dump_task, pause_task, preflight_done

MANAGED = ("accounts", "points")
SURE = timedelta(milliseconds=5)


class MarkableStore(FakeManagedStore):
    """Every instance writes into the same book."""

    offsets: ClassVar[dict[str, float]] = {}
    """By store: seconds by which its clock is ahead."""
    rows: ClassVar[list[tuple[str, Place, datetime, float]]] = []
    """(store, place, on its clock, ``time.monotonic()``) of every row that is there."""
    delays: ClassVar[dict[str, float]] = {}
    """By store and place."""
    failing: ClassVar[dict[str, BaseException]] = {}
    """By store and step: ``prepare``, ``before``, ``after``, ``mark``."""
    marked: ClassVar[list[str]] = []
    bearers: ClassVar[dict[str, str]] = {}
    """By store: who has its name."""
    released: ClassVar[threading.Event] = threading.Event()
    """Ends what hangs."""

    @classmethod
    def reset(cls) -> None:
        cls.offsets, cls.rows, cls.delays, cls.failing, cls.marked, cls.bearers, cls.released = {}, [], {}, {}, [], {}, threading.Event()

    @property
    def offset(self) -> timedelta:
        return timedelta(seconds=self.offsets.get(self.name, 0.0))

    def bearer(self) -> str:
        return self.bearers.get(self.name, "")

    def read_clock(self) -> ClockReading:
        return ClockReading(self.offset - SURE, self.offset + SURE, utc_now())

    @contextmanager
    def fence(self) -> Iterator[MarkableStore]:
        yield self

    def prepare(self) -> None:
        self._fail("prepare")

    def write(self, window: str, place: Place) -> None:
        self.released.wait(self.delays.get(f"{self.name}/{place}", 0.0))
        self._fail(place)
        self.rows.append((self.name, place, utc_now() + self.offset, time.monotonic()))

    def mark(self, instant: datetime, shelf: Shelf, say: Say) -> StoreBackup:
        self._fail("mark")
        self.marked.append(self.name)
        return part(self.name, engine="dynamodb", method="pitr", midtime=instant, tables=(), details={"tables": {}})

    def _fail(self, step: str) -> None:
        if error := self.failing.get(f"{self.name}/{step}"):
            raise error

    @classmethod
    def row(cls, store: str, place: Place) -> tuple[datetime, float]:
        ((at, when),) = [(at, when) for name, each, at, when in cls.rows if (name, each) == (store, place)]
        return at, when


def bank(double: Double, folder: Path, *, managed: Sequence[str] = MANAGED, coordinator: str = "accounts", **changes: Any) -> Hub:
    """A run whose preflight is done.

    :param managed: those of ``accounts`` and ``points`` that are
    """

    def spec(name: str) -> dict[str, Any]:
        if name in managed:
            own = {"engine": "dynamodb", "region": "ap-northeast-1", "conn_id": f"{name}_aws", **changes.get("store", {})}
        else:
            own = {"engine": "postgresql", "conn_id": f"{name}_db"}
        return {"name": name, "namespaces": [f"bank_{name}"], **own}

    topology: Topology = build(
        destination=f"file://{folder}/points",
        products=[{"kind": "scalardb-cluster", "endpoints": {"static": double.addresses}}],
        scalardb={"coordinators": [{"store": coordinator}]},
        stores=[spec(name) for name in MANAGED],
        pause={"drain": "1s", "deadline": "9s", "arm": "5s", "hold": "100ms", **changes.get("pause", {})},
    )
    hub = Hub(topology)
    preflight_done(topology, hub)
    return hub


def pause_and_capture(hub: Hub, **after: Sequence[str]) -> None:
    """The tasks of the window, side by side."""
    hub.start(pause_task(hub.topology))
    for store in hub.topology.stores:
        if store.captured:
            hub.start(dump_task(hub.topology, store.name, after=after.get(store.name, ())))
    hub.join()


def find_midtime(hub: Hub) -> str:
    task = MidtimeOperator(task_id="midtime", topology=hub.topology, captures=[], window=hub.results["pause"])
    task.captures = [hub.results[f"dump_{store.name}"] for store in hub.topology.stores if store.captured]
    return task.work(hub.context("midtime"))


def mark(hub: Hub, store: str, midtime: str) -> dict[str, Any]:
    task = MarkOperator(task_id=f"mark_{store}", topology=hub.topology, store=store, midtime=midtime, window=hub.results["pause"])
    made: dict[str, Any] = task.work(hub.context(task.task_id))
    return made


def publish(hub: Hub, midtime: str, captures: Sequence[dict[str, Any]]) -> str:
    task = PublishOperator(
        task_id="publish", topology=hub.topology, captures=list(captures), midtime=midtime, window=hub.results["pause"], asset=None
    )
    return task.work(hub.context("publish"))
