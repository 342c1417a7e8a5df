"""The tasks of a window without an Airflow: each on a thread, their XComs in a dictionary, their endpoints doubles in processes of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, ClassVar

from midtime.catalog import Catalog
from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.model.instants import utc_now
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.operators.base import TopologyOperator, run_name
from midtime.operators.dump import WindowedDumpOperator
from midtime.operators.pause import ScalarPauseOperator
from midtime.stores.base import Say, Shelf
from midtime.stores.fences import Fence
from midtime.windows import take_turn
from tests.unit.builders import part
from tests.unit.fakes import FakeStore
from tests.unit.processes import PATIENCE

RUN = SimpleNamespace(start_date=datetime(2026, 11, 21, tzinfo=UTC), run_after=datetime(2026, 11, 21, tzinfo=UTC))


class ArmableStore(FakeStore):
    """Captures nothing, at any time."""

    failing: ClassVar[dict[str, BaseException]] = {}
    """By store: what its capture fails with."""
    ended: ClassVar[dict[str, BaseException]] = {}
    """By store: what it says when it is asked, before the window, whether it still is ready."""
    slow: ClassVar[dict[str, float]] = {}
    """By store: seconds that its capture takes."""
    captured_at: ClassVar[dict[str, float]] = {}
    copied: ClassVar[list[str]] = []
    rows: ClassVar[list[tuple[str, str, float]]] = []
    """(store, place, when) of every fence row."""
    no_rows: ClassVar[dict[str, BaseException]] = {}
    """By store, or by store and place: what a row fails with."""

    @contextmanager
    def fence(self) -> Iterator[Fence]:
        if self.name in self.no_rows:
            raise self.no_rows[self.name]
        yield Fence(self._row, lambda: True, nullcontext, "fence")

    def _row(self, statement: str, parameters: Sequence[Any]) -> None:
        if not statement.startswith("INSERT"):
            return
        place = parameters[1]
        if f"{self.name}/{place}" in self.no_rows:
            raise self.no_rows[f"{self.name}/{place}"]
        self.rows.append((self.name, place, time.monotonic()))

    @contextmanager
    def arm(self) -> Iterator[Any]:
        yield self

    def check(self) -> None:
        if self.name in self.ended:
            raise self.ended[self.name]

    def fix(self) -> Any:
        if self.name in self.failing:
            raise self.failing[self.name]
        time.sleep(self.slow.get(self.name, 0.0))
        self.captured_at[self.name] = time.monotonic()
        return SimpleNamespace(midtime=utc_now())

    def copy(self, capture: Any, shelf: Shelf, say: Say) -> StoreBackup:
        self.copied.append(self.name)
        return part(self.name, midtime=capture.midtime)

    @classmethod
    def reset(cls) -> None:
        """Forget everything."""
        cls.failing, cls.ended, cls.captured_at, cls.copied, cls.rows, cls.no_rows, cls.slow = {}, {}, {}, [], [], {}, {}


class Hub:
    """What the API server is to the tasks of one run."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.xcoms: dict[tuple[str, str], Any] = {}
        self.states: dict[str, str | None] = {}
        self.answers = threading.Event()
        """Cleared: it hangs."""
        self.answers.set()
        self.results: dict[str, Any] = {}
        self.errors: dict[str, BaseException] = {}
        self._threads: dict[str, threading.Thread] = {}

    def context(self, task: str) -> Any:
        def push(*, key: str, value: Any) -> None:
            self.answers.wait()
            self.xcoms[task, key] = value

        def pull(*, task_ids: str, key: str) -> Any:
            self.answers.wait()
            return self.xcoms.get((task_ids, key))

        def states(*, dag_id: str, task_ids: list[str], run_ids: list[str]) -> dict[str, Any]:
            self.answers.wait()
            return {run_ids[0]: {each: self.states.get(each) for each in task_ids}}

        ti = SimpleNamespace(xcom_push=push, xcom_pull=pull, get_task_states=states, try_number=1)
        return {"ti": ti, "dag": SimpleNamespace(dag_id=f"{self.topology.name}__backup"), "run_id": "r", "dag_run": RUN}

    def start(self, operator: TopologyOperator) -> threading.Thread:
        """Run a task on a thread of its own."""
        task = operator.task_id
        self.states[task] = "running"

        def work() -> None:
            try:
                self.results[task] = operator.work(self.context(task))
                self.states[task] = "success"
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                self.errors[task] = error
                self.states[task] = "failed"

        thread = self._threads[task] = threading.Thread(target=work, name=task, daemon=True)
        thread.start()
        return thread

    def play_armed(self, task: str) -> None:
        """A capture that says that it is ready, and nothing more."""
        self.states[task] = "running"

        def answer() -> None:
            wait_until(lambda: ("pause", "window") in self.xcoms)
            self.xcoms[task, "armed"] = {"window": self.xcoms["pause", "window"]["id"]}

        threading.Thread(target=answer, daemon=True).start()

    def join(self, *tasks: str) -> None:
        for task in tasks or self._threads:
            self._threads[task].join(PATIENCE)
            assert not self._threads[task].is_alive(), task


def pause_task(topology: Topology, **changes: Any) -> ScalarPauseOperator:
    captures = [f"dump_{store.name}" for store in topology.stores if store.captured]
    return ScalarPauseOperator(task_id="pause", topology=topology, **{"captures": captures} | changes)


def dump_task(topology: Topology, store: str, **changes: Any) -> WindowedDumpOperator:
    return WindowedDumpOperator(task_id=f"dump_{store}", topology=topology, store=store, **changes)


def preflight_done(topology: Topology, hub: Hub) -> None:
    """The lease and the turn that the first task takes."""
    holder = run_name(hub.context("preflight"))
    Catalog(topology.destination, topology.name).leases.acquire(BACKUP_LEASE, holder)
    assert not take_turn(topology, holder)


def wait_until(what: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)
