"""Pause windows in a real Airflow whose executor is full, and beside each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.fixtures import Installation
from tests.integration.windows import HOLD, Windowed, WindowedTopologies
from tests.stack.processes import poll

pytestmark = [pytest.mark.integration, pytest.mark.airflow]
HOG = """
import time
from airflow.sdk import DAG, task

with DAG("{name}", schedule=None):
    for number in range({tasks}):
        @task(task_id=f"hog_{{number}}")
        def hog():
            time.sleep({seconds})
        hog()
"""


class Hog:
    """A DAG of somebody else's, with long tasks that fill the executor."""

    def __init__(self, installation: Installation, name: str, *, tasks: int, seconds: float) -> None:
        self.installation, self.name, self.tasks = installation, name, tasks
        self.file = installation.other_dags / f"{name}.py"
        self.file.write_text(HOG.format(name=name, tasks=tasks, seconds=seconds))
        self.run = ""

    def start(self, slots: int) -> None:
        """Until so many of its tasks run."""
        airflow = self.installation.airflow
        airflow.wait_dag(self.name, timeout=90)
        self.run = airflow.trigger(self.name)
        poll("a full executor", lambda: self.states().count("running") >= slots or None, 60)

    def states(self) -> list[str | None]:
        return list(self.installation.airflow.task_states(self.name, self.run).values())

    def end(self) -> None:
        """Kill what is left of it."""
        airflow = self.installation.airflow
        if self.run and airflow.run_state(self.name, self.run) not in ("success", "failed"):
            airflow.mark_run(self.name, self.run, "failed")
            poll("an empty executor", lambda: "running" not in self.states() or None, 60)
        self.file.unlink(missing_ok=True)


@pytest.fixture
def hog(installation: Installation, request: pytest.FixtureRequest) -> Iterator[Hog]:
    marker: Any = request.node.get_closest_marker("hog")
    made = Hog(installation, f"hog_{request.node.name}", **marker.kwargs)
    yield made
    made.end()


@pytest.mark.hog(tasks=24, seconds=8)
@pytest.mark.fault(
    "The executor is full (24 long tasks, 8 slots)",
    "The window comes when its pause and all captures have slots; it is not a moment longer than on an idle executor.",
)
@pytest.mark.long  # benchmarks/window_outage.py measures it
def test_the_executor_is_full(case: Windowed, hog: Hog) -> None:
    """Before, in and after the window: the unpause waits for nobody."""
    hog.start(slots=8)
    run = case.back_up()
    case.wait_open(run, timeout=180)
    assert HOLD <= case.paused_for() <= HOLD + 1.5
    case.require_good(run)


@pytest.mark.long
@pytest.mark.hog(tasks=24, seconds=8)
@pytest.mark.fault(
    "The executor fills up in mid-window", "The window ends as usual: the task that paused unpauses. Only the publishing waits."
)
def test_the_executor_fills_up_in_mid_window(case: Windowed, hog: Hog) -> None:
    """A naive pause >> dump >> unpause would wait 21 s for a slot."""
    case.installation.airflow.wait_dag(hog.name, timeout=90)
    run = case.in_mid_window()
    hog.start(slots=5)
    assert HOLD <= case.paused_for() <= HOLD + 1.5
    assert "running" in hog.states()
    case.require_good(run)


@pytest.mark.long
@pytest.mark.hog(tasks=6, seconds=60)
@pytest.mark.window(pause={"arm": "8s"})
@pytest.mark.fault(
    "The executor has room for some tasks of a window, not for all",
    "Arming fails after `pause.arm`, before anything is paused, and says how many slots it needs.",
)
def test_a_window_that_cannot_be_armed(case: Windowed, hog: Hog) -> None:
    """Two slots are left, and three are needed."""
    hog.start(slots=6)
    run = case.back_up()
    case.require_no_trace(run, "nothing was paused", "the executor needs 3 slots at once")
    assert not case.was_paused()
    hog.end()
    case.next_one_is_good()


@pytest.mark.long
@pytest.mark.fault(
    "Two windows at once, and slots for one", "The second waits for its turn without holding a slot. Both succeed, one after the other."
)
def test_two_windows_with_few_slots(windowed: WindowedTopologies) -> None:
    """Each needs four slots of the seven that windows may hold: half-armed they would wait for each other for ever."""
    pair = [windowed.make(stores=3, doubles=1, hold=2, wait=False) for _ in range(2)]
    for each in pair:
        each.installation.wait_for(each.topology)
    runs = [each.back_up() for each in pair]
    waited = []

    def done() -> bool | None:
        states = [each.installation.airflow.task_states(each.dag_id, run) for each, run in zip(pair, runs, strict=True)]
        waited.extend(state["preflight"] for state in states)
        return all(each.over(run) for each, run in zip(pair, runs, strict=True)) or None

    poll("both runs", done, 180, every=0.3)
    for each, run in zip(pair, runs, strict=True):
        each.require_good(run)
    assert "up_for_reschedule" in waited
    first, second = sorted(pair, key=lambda each: each.began())
    assert first.opened() < second.began()


@pytest.mark.long
@pytest.mark.fault(
    "Two topologies that share an endpoint are backed up at once",
    "The first window is good. The second is refused before it pauses, and says who holds the endpoint.",
)
def test_a_shared_endpoint(windowed: WindowedTopologies) -> None:
    """The endpoint's lease keeps them apart; what the first one paused the second does not lift."""
    first = windowed.make(hold=10, deadline=16)
    second = windowed.make(doubles=1, shared=first.doubles[0])
    held = first.in_mid_window()
    refused = second.back_up()
    second.installation.airflow.wait_task(second.dag_id, refused, "preflight", lambda state: state in ("failed", "up_for_retry"), 60)
    assert f"is leased by {first.dag_id}" in second.log(refused, "preflight")
    assert not second.was_paused()
    assert 10 <= first.paused_for() <= 12
    first.require_good(held)
    assert len(first.doubles[0].calls("pause")) == 1
