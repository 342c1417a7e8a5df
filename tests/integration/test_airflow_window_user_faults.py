"""Faults of a pause window in a real Airflow: what a person does in the UI, or to the topology file, in mid-window."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.windows import HOLD, Windowed, WindowedTopologies

pytestmark = [pytest.mark.integration, pytest.mark.airflow]
LONG = pytest.mark.window(hold=12, deadline=18)
"""Long enough to tell "because somebody said so" from "because the hold was over"."""
SOON = 8
"""Seconds from a click to the unpause: a task learns with its heartbeat, every second here, that it is to end."""


@LONG
@pytest.mark.fault(
    "A user marks the run failed in mid-window", "The pausing task is told within a heartbeat, and unpauses at once. Nothing is published."
)
def test_the_run_is_marked_failed(case: Windowed) -> None:
    """All tasks are ended, the teardowns run."""
    run = case.in_mid_window()
    acted = _mark_run(case, run, "failed")
    assert case.opened() - acted < SOON
    _all_tasks_over(case, run)
    assert case.restore_points() == []
    case.next_one_is_good()


@LONG
@pytest.mark.long
@pytest.mark.fault("A user marks the run success in mid-window", "The same: unpaused at once, nothing is published.")
def test_the_run_is_marked_success(case: Windowed) -> None:
    """Green is not good: no restore point."""
    run = case.in_mid_window()
    acted = _mark_run(case, run, "success")
    assert case.opened() - acted < SOON
    _all_tasks_over(case, run)
    assert case.restore_points() == []
    case.next_one_is_good()


@LONG
@pytest.mark.long
@pytest.mark.parametrize("state", ["failed", "success"])
@pytest.mark.fault("A user marks `pause` failed in mid-window", "Unpaused at once; the run fails.")
@pytest.mark.fault(
    "A user marks `pause` success in mid-window",
    "Unpaused at once; without evidence of a window the run fails, nothing is published.",
)
def test_the_pausing_task_is_marked(case: Windowed, state: str) -> None:
    """Its process is ended, whatever it is marked as."""
    run = case.in_mid_window()
    acted = _mark_task(case, run, "pause", state)
    assert case.opened() - acted < SOON
    case.require_no_trace(run)


@LONG
@pytest.mark.long
@pytest.mark.parametrize("state", ["failed", "success"])
@pytest.mark.fault("A user marks a capturing task failed in mid-window", "The pausing task sees it and unpauses; the run fails.")
@pytest.mark.fault("A user marks a capturing task success in mid-window", "The same: a capture that was not reported is none.")
def test_a_capturing_task_is_marked(case: Windowed, state: str) -> None:
    """Before it has captured; the pausing task would wait for it until the deadline."""
    place = case.installation.stop_at(case.topology.name, "capture_accounts")
    run = case.in_mid_window()
    case.installation.reached(place)
    acted = _mark_task(case, run, "dump_accounts", state)
    try:
        assert case.opened() - acted < SOON
    finally:
        place.unlink()  # not before: it would capture and report in the second until it is told to end
    case.require_no_trace(run)


@pytest.mark.long
@pytest.mark.parametrize("state", ["failed", "success"])
@pytest.mark.fault("A user marks `unpause` failed in mid-window", "The pausing task unpauses; the run is red.")
@pytest.mark.fault("A user marks `unpause` success in mid-window", "The pausing task unpauses, as always.")
def test_the_unpausing_task_is_marked(case: Windowed, state: str) -> None:
    """It is only the second line."""
    run = case.in_mid_window()
    _mark_task(case, run, "unpause", state)
    assert case.paused_for() <= HOLD + 2
    case.ended(run)
    assert case.leases() == []
    case.next_one_is_good()


@LONG
@pytest.mark.long
@pytest.mark.fault(
    "A user clears `pause` in mid-window",
    "Unpaused at once. Its new try finds no capture that is ready, and fails before anything is paused.",
)
def test_the_pausing_task_is_cleared(case: Windowed) -> None:
    """Half a window is not resumed."""
    run = case.in_mid_window()
    acted = time.monotonic()
    case.installation.airflow.clear_task(case.dag_id, run, "pause")
    assert case.opened() - acted < SOON
    case.require_no_trace(run, "nothing was paused")
    assert [len(double.calls("pause")) for double in case.doubles] == [1, 1]


@LONG
@pytest.mark.long
@pytest.mark.fault("A user clears a capturing task in mid-window", "The pausing task unpauses: that capture is gone. The run fails.")
def test_a_capturing_task_is_cleared(case: Windowed) -> None:
    """Its session, and with it the snapshot, dies."""
    place = case.installation.stop_at(case.topology.name, "capture_accounts")
    run = case.in_mid_window()
    case.installation.reached(place)
    case.installation.airflow.clear_task(case.dag_id, run, "dump_accounts")
    place.unlink()
    case.require_open_in_time()
    case.require_no_trace(run)


@pytest.mark.long
@pytest.mark.fault("The DAG is switched off in mid-window", "The window ends as usual; the run goes on when the DAG is switched on again.")
def test_the_dag_is_switched_off(case: Windowed) -> None:
    """No task is started any more, the teardown neither; the pausing task does not need one."""
    run = case.in_mid_window()
    case.installation.airflow.set_paused(case.dag_id, True)
    try:
        assert HOLD <= case.paused_for() <= HOLD + 2
        assert case.restore_points() == []
    finally:
        case.installation.airflow.set_paused(case.dag_id, False)
    case.require_good(run)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.fault(
    "The topology file is broken in mid-window",
    "The window ends as usual; the tasks after it wait until the file is mended, and then go on.",
)
def test_the_topology_file_is_broken(case: Windowed) -> None:
    """What runs has read it already."""
    run = case.in_mid_window()
    good = case.file.read_text()
    case.file.write_text(": nonsense")
    try:
        assert HOLD <= case.paused_for() <= HOLD + 2
        time.sleep(3)
        assert case.restore_points() == []
    finally:
        case.file.write_text(good)
    case.require_good(run)


@pytest.mark.long
@pytest.mark.fault(
    "`airflow dags test` of a DAG with a window",
    "Fails before anything is paused, and says that a window needs its tasks at the same time.",
)
def test_dags_test(windowed: WindowedTopologies, tmp_path: Path) -> None:
    """It has a database of its own, or the live scheduler would take part."""
    made = windowed.make(wait=False)
    server = made.installation.stack.postgres
    connections = {f"AIRFLOW_CONN_{name.upper()}": server.conn_uri(name) for name in made.databases}
    environment = {**made.installation.airflow.environment(), **connections, **_own_airflow(tmp_path)}

    def airflow(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "airflow", *arguments]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=240)

    assert airflow("db", "migrate").returncode == 0
    done = airflow("dags", "test", made.dag_id, "-f", str(Path("dags/multi_storage.py").resolve()))
    assert done.returncode == 1
    assert "`airflow dags test` runs one task at a time" in done.stdout + done.stderr
    assert not made.was_paused()
    assert made.restore_points() == []
    assert made.leases() == []


def _own_airflow(home: Path) -> dict[str, str]:
    settings = {
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "CORE__DAGS_FOLDER": str(Path("dags").resolve()),
        "CORE__PLUGINS_FOLDER": str(Path("plugins").resolve()),
        "CORE__LOAD_EXAMPLES": "False",
    }
    return {"AIRFLOW_HOME": str(home), **{f"AIRFLOW__{key}": value for key, value in settings.items()}}


def _mark_run(case: Windowed, run: str, state: str) -> float:
    at = time.monotonic()
    case.installation.airflow.mark_run(case.dag_id, run, state)
    return at


def _mark_task(case: Windowed, run: str, task: str, state: str) -> float:
    at = time.monotonic()
    case.installation.airflow.mark_task(case.dag_id, run, task, state)
    return at


def _all_tasks_over(case: Windowed, run: str) -> None:
    """A marked run counts as over while its tasks are still ending."""
    case.wait_task_ends(run, *case.installation.airflow.task_states(case.dag_id, run))
