"""Faults of a pause window in a real Airflow: its processes are killed or stopped. Nothing stays paused, nothing half-proven is published."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.integration.windows import HOLD, Windowed, kill, supervisor
from tests.stack.processes import poll

pytestmark = [pytest.mark.integration, pytest.mark.airflow]

AT_ONCE = 1.0
"""Seconds that a watchdog has on a busy machine; 15 ms were measured on an idle one."""


@pytest.mark.fault(
    "kill -9 of the pausing task in mid-window",
    "The watchdog unpauses at once. The run fails, nothing is published, the next run succeeds.",
)
@pytest.mark.long  # with its watchdog (below) it is the harder case
def test_the_pausing_task_is_killed(case: Windowed) -> None:
    """By its watchdog, not by the teardown, which comes a second later; and the next run finds nothing in its way."""
    run = case.in_mid_window()
    killed = kill(case.pid("pause"))
    assert case.opened() - killed < AT_ONCE
    assert case.lifted_by_watchdog(run)
    case.require_no_trace(run, "pause is over without a window that is good", "start a new run from its first task")
    assert "unpaused by the watchdog" in str(case.said(run, "unpause"))
    case.next_one_is_good()


@pytest.mark.long
@pytest.mark.fault(
    "kill -9 of the pausing task and of its supervisor in mid-window",
    "The watchdog unpauses at once. Airflow sees that the task is dead at its heartbeat time-out; then the run fails.",
)
def test_the_pausing_task_and_its_supervisor_are_killed(case: Windowed) -> None:
    """Airflow takes the task for running for 20 s more: no teardown would be in time."""
    run = case.in_mid_window()
    task = case.pid("pause")
    killed = kill(supervisor(task), task)
    assert case.opened() - killed < AT_ONCE
    assert case.lifted_by_watchdog(run)
    case.require_no_trace(run)


@pytest.mark.long
@pytest.mark.fault(
    "The pausing task is stopped (SIGSTOP) in mid-window",
    "The watchdog unpauses at the deadline. When the task goes on it finds out that its window proves nothing; the run fails.",
)
def test_the_pausing_task_is_stopped(case: Windowed) -> None:
    """It looks alive to everybody, its supervisor included. After SIGCONT it publishes nothing, although everybody captured."""
    run = case.in_mid_window()
    task = case.pid("pause")
    os.kill(task, signal.SIGSTOP)
    try:
        assert HOLD < case.paused_for() <= case.deadline + 1
        assert case.lifted_by_watchdog(run)
    finally:
        os.kill(task, signal.SIGCONT)
    case.require_no_trace(run, "stood still until its deadline", "see what stopped or starved it")


@pytest.mark.fault(
    "kill -9 of the pausing task and of its watchdog in mid-window",
    "The run's `unpause` task unpauses, a second or two later. The run fails.",
)
@pytest.mark.window(hold=12, deadline=18)
def test_the_pausing_task_and_the_watchdog_are_killed(case: Windowed) -> None:
    """Nobody is left on the worker; the teardown lifts what the run's lease names."""
    run = case.in_mid_window()
    case.wait_captured(run)
    kill(case.watchdog(run), case.pid("pause"))
    case.require_open_in_time()
    assert not case.lifted_by_watchdog(run)
    case.require_no_trace(run)
    assert str(case.said(run, "unpause")).count(" unpaused: ") == len(case.doubles)
    case.next_one_is_good()


@pytest.mark.long
@pytest.mark.fault(
    "kill -9 of the pausing task, its supervisor and its watchdog in mid-window",
    "`midtime__sweep` unpauses when the lease has run out: at most 90 s after the deadline.",
)
def test_everybody_on_the_worker_is_killed(case: Windowed) -> None:
    """Nobody is left, and Airflow does not know it yet."""
    run = case.in_mid_window()
    task = case.pid("pause")
    killed = kill(case.watchdog(run), supervisor(task), task)
    assert case.opened(150) - killed < case.deadline + 90
    case.require_no_trace(run)
    case.next_one_is_good()


@pytest.mark.long
@pytest.mark.fault("kill -9 of the pausing task before it pauses", "Nothing is paused. The run fails, the next one succeeds.")
def test_the_pausing_task_is_killed_before_it_pauses(case: Windowed) -> None:
    """Everybody is armed, no lease is taken yet."""
    place = case.installation.stop_at(case.topology.name, "pausing")
    run = case.back_up()
    kill(case.installation.reached(place))
    place.unlink()
    case.require_no_trace(run, "pause is over without a window that is good")
    assert not case.was_paused()
    case.next_one_is_good()


@pytest.mark.long
@pytest.mark.fault(
    "kill -9 of the pausing task while the products drain", "The watchdog unpauses, and stays until no Pause can come late. The run fails."
)
@pytest.mark.window(pause={"drain": "6s"}, deadline=14)
def test_the_pausing_task_is_killed_while_it_drains(case: Windowed) -> None:
    """Its Pause has no answer yet, so the gates are watched until the drain limit and a second have passed."""
    for double in case.doubles:
        double.control(outstanding=1)
    run = case.back_up()
    poll("a Pause everywhere", lambda: all(double.calls("pause") for double in case.doubles) or None, 150)
    case.opened_windows[run] = case.window(run)["id"]
    killed = kill(case.pid("pause"))
    assert case.opened() - killed < AT_ONCE
    time.sleep(max(0.0, case.began() + 7 - time.monotonic()))
    case.require_open_in_time()
    case.require_no_trace(run)
    for double in case.doubles:
        double.control(outstanding=0)
    case.next_one_is_good()


@pytest.mark.long
@pytest.mark.fault(
    "kill -9 of the watchdog in mid-window", "The pausing task ends its window as usual; the manifest says that the watchdog was lost."
)
def test_the_watchdog_is_killed(case: Windowed) -> None:
    """The window is watched by the task all the same."""
    run = case.in_mid_window()
    kill(case.watchdog(run))
    assert HOLD <= case.paused_for() <= HOLD + 2
    point = case.require_good(run)
    assert case.installation.catalog(case.topology).resolve(point).evidence["watchdog"] == "lost"


@pytest.mark.long
@pytest.mark.fault(
    "kill -9 of a capturing task in mid-window, before it has captured",
    "The pausing task sees it within seconds and unpauses. The run fails.",
)
@pytest.mark.window(hold=0, deadline=30)
def test_a_capturing_task_is_killed(case: Windowed) -> None:
    """Long before the deadline, up to which it would otherwise wait for that capture."""
    place = case.installation.stop_at(case.topology.name, "capture_accounts")
    run = case.in_mid_window()
    case.installation.reached(place)
    killed = kill(case.pid("dump_accounts"))
    place.unlink()
    assert case.opened() - killed < 10
    case.require_no_trace(run, "dump_accounts ended without a capture")
    case.next_one_is_good()


@pytest.mark.long
@pytest.mark.fault(
    "kill -9 of a capturing task after the window", "The window was good, its copy is not: the run fails, nothing is published."
)
def test_a_capturing_task_is_killed_while_it_copies(case: Windowed) -> None:
    """No retry of it can read the same snapshot."""
    place = case.installation.stop_at(case.topology.name, "dump")
    run = case.in_mid_window()
    case.require_open_in_time()
    case.installation.reached(place)
    kill(case.pid("dump_points"))
    place.unlink()
    case.require_no_trace(run)
    case.next_one_is_good()
