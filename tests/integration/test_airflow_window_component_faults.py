"""Faults of a pause window in a real Airflow: the scheduler, the triggerer, the api-server, the metadata database, and everything at once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.integration.fixtures import Installation
from tests.integration.windows import HOLD, Windowed, kill, supervisor
from tests.stack.airflow import COMPONENTS

pytestmark = [pytest.mark.integration, pytest.mark.airflow, pytest.mark.timeout(600)]


@pytest.mark.long
@pytest.mark.fault(
    "kill -9 of the api-server in mid-window",
    "Unpaused by the deadline. Without the api-server nothing can be reported, so the run fails; when it is back the next one succeeds.",
)
def test_the_api_server_is_killed(case: Windowed, mended: Installation) -> None:
    """Everything that the task asks of Airflow hangs for ten seconds now; the unpause does not."""
    place = case.installation.stop_at(case.topology.name, "capture_points")
    run = case.in_mid_window()
    case.installation.reached(place)
    mended.airflow.component("api-server").kill()
    place.unlink()
    case.require_open_in_time()
    mended.airflow.mend()
    case.require_no_trace(run, "lost touch with Airflow", "see whether Airflow's API server and metadata database are up")
    case.next_one_is_good()


@pytest.mark.long
@pytest.mark.fault(
    "The api-server hangs (SIGSTOP) in mid-window",
    "Unpaused by the deadline, as when it is dead. The run fails, or succeeds with a good window.",
)
def test_the_api_server_hangs(case: Windowed, mended: Installation) -> None:
    """A request that is never answered must not keep anything paused."""
    run = case.in_mid_window()
    with _standing_still(mended.airflow.processes_of("api-server")):
        case.require_open_in_time()
    mended.airflow.mend()
    _whole_or_nothing(case, run)


@pytest.mark.long
@pytest.mark.fault(
    "kill -9 of the scheduler in mid-window", "The window and the copies end as usual; what comes after them waits for a scheduler."
)
def test_the_scheduler_is_killed(case: Windowed, mended: Installation) -> None:
    """The executor's workers and their tasks outlive it."""
    run = case.in_mid_window()
    scheduler = mended.airflow.component("scheduler")
    with scheduler.unguarded():
        kill(scheduler.pid)
        assert HOLD <= case.paused_for() <= HOLD + 2
        case.wait_task_ends(run, "pause", "dump_accounts", "dump_points")
        states = mended.airflow.task_states(case.dag_id, run)
    assert [states[task] for task in ("pause", "dump_accounts", "dump_points")] == ["success"] * 3


@pytest.mark.long
@pytest.mark.fault("kill -9 of the triggerer in mid-window", "No effect: nothing is deferred in a window.")
def test_the_triggerer_is_killed(case: Windowed, mended: Installation) -> None:
    """Good without it."""
    run = case.in_mid_window()
    mended.airflow.component("triggerer").kill()
    assert HOLD <= case.paused_for() <= HOLD + 2
    case.require_good(run)


@pytest.mark.long
@pytest.mark.fault(
    "kill -9 of the metadata database in mid-window",
    "Unpaused by the deadline; the api-server answers 500 meanwhile. The run fails, or succeeds with a good window.",
)
def test_the_metadata_database_is_killed(case: Windowed, mended: Installation) -> None:
    """Which the scheduler does not survive either; its tasks do."""
    run = case.in_mid_window()
    with mended.airflow.component("scheduler").unguarded():
        mended.stack.metadata.kill()
        case.require_open_in_time()
        mended.stack.metadata.start()
    mended.airflow.mend()
    _whole_or_nothing(case, run)


@pytest.mark.long
@pytest.mark.fault("The metadata database hangs (SIGSTOP) in mid-window", "Unpaused by the deadline, as when it is dead.")
def test_the_metadata_database_hangs(case: Windowed, mended: Installation) -> None:
    """The api-server takes requests and does not answer them."""
    run = case.in_mid_window()
    with mended.airflow.component("scheduler").unguarded(), _standing_still(mended.stack.metadata.pids()):
        case.require_open_in_time()
    mended.airflow.mend()
    _whole_or_nothing(case, run)


@pytest.mark.fault(
    "The machine with worker, watchdog and all of Airflow dies in mid-window",
    "When a scheduler and a worker are back, `midtime__sweep` unpauses within 90 s.",
)
def test_everything_is_killed(case: Windowed, mended: Installation) -> None:
    """Nobody is left who knows; what the lease says is enough."""
    run = case.in_mid_window()
    airflow = mended.airflow
    task = case.pid("pause")
    with ExitStack() as stack:
        for name in COMPONENTS:
            stack.enter_context(airflow.component(name).unguarded())
        captures = [case.pid("dump_accounts"), case.pid("dump_points")]
        kill(case.watchdog(run), supervisor(task), task, *captures, *(airflow.component(name).pid for name in COMPONENTS))
    time.sleep(max(0.0, case.began() + case.deadline + 2 - time.monotonic()))
    assert all(double.paused for double in case.doubles)
    airflow.mend()
    back = time.monotonic()
    assert case.opened(120) - back < 90
    assert case.restore_points() == []
    _whole_or_nothing(case, run)


def _whole_or_nothing(case: Windowed, run: str) -> None:
    """Whatever Airflow made of the run: a restore point that is good, or no trace of it."""
    if case.ended(run) == "success":
        case.require_good(run)
    else:
        case.require_no_trace(run)


@contextmanager
def _standing_still(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
