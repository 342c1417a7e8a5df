"""Death and standstill of the pausing process and of its watchdog, with real processes: nothing stays paused."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from midtime.errors import ArmingError
from midtime.scalar.double import Double
from midtime.scalar.watchdog import Watchdog
from tests.unit.processes import until
from tests.unit.scalar.windows import SLACK, Task, TaskOf, gone, open_by_the_watchdog, opened, pid_of, unpaused_at, window, wire

# -- kill -9 ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.fault("kill -9 of the pausing task right before its Pause", "nothing is paused; no restore point")
def test_killed_before_its_pause(double: Double, task: TaskOf) -> None:
    pausing = task(double, drain=0.3, stands="before pause")
    pausing.said("ready")
    pausing.said("here")
    pausing.kill()
    open_by_the_watchdog(double, pausing, "the pausing task died")
    assert not double.calls("pause")
    assert not double.calls("unpause")  # nothing was paused, so there was nothing to lift


@pytest.mark.fault(
    "kill -9 of the pausing task while its Pause is on its way", "the watchdog unpauses as soon as the Pause has taken effect"
)
def test_killed_while_its_pause_is_on_its_way(double: Double, task: TaskOf) -> None:
    double.control(pause={"delay": 0.8})
    pausing = task(double, drain=1)
    pausing.said("ready")
    until(lambda: double.calls("pause"), "the Pause comes")
    pausing.kill()
    assert not double.paused  # it closes only now that its caller is dead
    open_by_the_watchdog(double, pausing, "the pausing task died")
    assert double.calls("pause")[0]["answered"] < unpaused_at(double)


@pytest.mark.fault("kill -9 of the pausing task while requests drain", "the watchdog unpauses at once; no restore point")
@pytest.mark.parametrize("contract", ["new", "old"])
def test_killed_in_the_drain(doubles: dict[str, Double], contract: str, task: TaskOf) -> None:
    double = doubles[contract]
    double.control(reset=True)
    double.control(outstanding=1)
    pausing = task(double, drain=1.5)
    until(lambda: double.paused, "the gate closes")
    pausing.kill()
    until(lambda: not double.paused, "the watchdog unpauses")
    double.control(outstanding=0)
    open_by_the_watchdog(double, pausing, "the pausing task died")


@pytest.mark.fault("kill -9 of the pausing task in the window", "the watchdog unpauses at once; no restore point")
@pytest.mark.parametrize("whole_group", [False, True], ids=["process", "process group"])
def test_killed_in_the_window(double: Double, task: TaskOf, whole_group: bool) -> None:
    pausing = task(double, deadline=20)
    pausing.said("ready")
    began = pausing.said("opened")
    assert double.paused
    if whole_group:
        pausing.kill_group()
    else:
        pausing.kill()
    open_by_the_watchdog(double, pausing, "the pausing task died")
    assert unpaused_at(double) < began + 20  # not only at the deadline


@pytest.mark.fault(
    "kill -9 of the watchdog in the window", "the pausing task unpauses by itself; the window is good and names the lost watchdog"
)
def test_the_watchdog_is_killed_in_the_window(double: Double, task: TaskOf) -> None:
    pausing = task(double)
    pausing.said("ready")
    pausing.said("opened")
    os.kill(pausing.watchdog, signal.SIGKILL)
    pausing.watchdog_ended()
    pausing.finish()
    result = pausing.said("ended")
    assert result["error"] is None
    assert result["lost"]
    assert not double.paused


@pytest.mark.fault("kill -9 of the pausing task and of its watchdog", "it stays paused until midtime__sweep finds the expired lease")
def test_both_are_killed(double: Double, task: TaskOf) -> None:
    pausing = task(double, drain=0.1, deadline=1)
    pausing.said("ready")
    began = pausing.said("opened")
    pausing.signal(signal.SIGSTOP)
    os.kill(pausing.watchdog, signal.SIGKILL)
    pausing.kill()
    time.sleep(max(0.0, began + 1 + 1 - time.monotonic()))
    assert double.paused  # honest: of these two processes nothing is left that could know
    assert not double.calls("unpause")


# -- standstill -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.fault(
    "SIGSTOP of the pausing task in the window", "the watchdog unpauses at the deadline; when it goes on, the window is void"
)
def test_stopped_in_the_window(double: Double, task: TaskOf) -> None:
    pausing = task(double, deadline=2)
    pausing.said("ready")
    began = pausing.said("opened")
    pausing.signal(signal.SIGSTOP)
    pausing.finish()
    open_by_the_watchdog(double, pausing, "the deadline has passed")
    assert began + 2 <= unpaused_at(double) <= began + 2 + 1 + SLACK
    pausing.signal(signal.SIGCONT)
    result = pausing.said("ended")
    assert result["error"] == "WindowVoidError"
    assert result["fix"]
    assert result["end"] is None


@pytest.mark.fault(
    "SIGSTOP of the pausing task, and somebody else pauses after the watchdog has unpaused", "the window is void; their pause stays"
)
@pytest.mark.parametrize("stops", ["between two looks", "before unpause"])
def test_stopped_until_somebody_else_pauses(double: Double, task: TaskOf, stops: str) -> None:
    pausing = task(double, deadline=1.5, stops=stops)
    pausing.said("ready")
    pausing.until_stopped()
    open_by_the_watchdog(double, pausing, "the deadline has passed")
    double.control(foreign="pause")
    pausing.signal(signal.SIGCONT)
    pausing.said("opened")
    pausing.finish()
    result = pausing.said("ended")
    assert double.paused
    if stops == "between two looks":
        assert result["error"] == "WindowVoidError"
        assert "stood still" in result["message"]
        assert result["end"] is None
    else:
        assert result["end"] <= unpaused_at(double)  # proven before it was stopped


@pytest.mark.fault(
    "SIGSTOP of the pausing task between its last look and its Unpause", "the watchdog unpauses; the window ends where it was proven"
)
@pytest.mark.parametrize("stops", ["after the last witness", "before unpause"])
def test_stopped_after_the_last_look(double: Double, task: TaskOf, stops: str) -> None:
    pausing = task(double, deadline=1.5, stops=stops)
    pausing.said("ready")
    pausing.until_stopped()
    open_by_the_watchdog(double, pausing, "the deadline has passed")
    pausing.signal(signal.SIGCONT)
    pausing.said("opened")
    pausing.finish()
    result = pausing.said("ended")
    assert result["error"] is None
    assert result["end"] <= unpaused_at(double)


@pytest.mark.fault("SIGTERM of the watchdog (the machine shuts down)", "it unpauses at once; the window is void")
def test_the_watchdog_is_told_to_end(double: Double, task: TaskOf) -> None:
    pausing = task(double)
    pausing.said("ready")
    pausing.said("opened")
    os.kill(pausing.watchdog, signal.SIGTERM)
    open_by_the_watchdog(double, pausing, "the machine is shutting down")
    pausing.finish()
    told = pausing.said("ended")
    assert told["error"] == "WindowVoidError"
    assert told["fix"]


@pytest.mark.fault("SIGSTOP of the watchdog before the pause of very many endpoints", "refused before anything is paused")
def test_a_watchdog_that_stands_still_is_found_before_pausing(double: Double, watchdog: Watchdog) -> None:
    os.kill(pid_of(watchdog), signal.SIGSTOP)
    try:
        with pytest.raises(ArmingError, match="stands still"):
            watchdog.about_to_pause({f"10.0.0.1:{port}": 0.0 for port in range(10000)}, time.monotonic() + 5)
        watchdog.not_ours(f"10.0.0.1:{port}" for port in range(10000))  # does not wait for it either
    finally:
        os.kill(pid_of(watchdog), signal.SIGCONT)
    assert not double.calls("unpause")


def test_a_watchdog_that_stops_in_mid_window_holds_nothing_up(watchdog: Watchdog, double: Double) -> None:
    with window([double.endpoint()], keeper=watchdog) as guard:
        opened(guard)
        os.kill(pid_of(watchdog), signal.SIGSTOP)
        for _ in range(10):  # more than a pipe takes
            watchdog.answered(f"10.0.0.1:{port}" for port in range(1000))
        guard.finish()
        assert guard.ended.wait(5)
        assert not double.paused
        os.kill(pid_of(watchdog), signal.SIGCONT)


# -- what it is -------------------------------------------------------------------------------------------------------------------------


def test_it_inherits_nothing_and_is_in_a_session_of_its_own(double: Double, task: TaskOf) -> None:
    pausing = task(double)
    pausing.said("ready")
    proc = Path(f"/proc/{pausing.watchdog}")
    mine = Path(f"/proc/{pausing.process.pid}")
    environment = (proc / "environ").read_text()
    assert "AIRFLOW_CONN_SECRET" in (mine / "environ").read_text()
    assert "AIRFLOW" not in environment
    files = {os.readlink(file) for file in (proc / "fd").iterdir()}
    shared = {name for name in files & {os.readlink(file) for file in (mine / "fd").iterdir()} if name.startswith(("pipe", "socket", "/"))}
    stdin = os.readlink(proc / "fd" / "0")
    assert shared - {"/dev/null"} == {stdin}  # the pipe that it is told by, and nothing else
    assert os.getsid(pausing.watchdog) not in (os.getsid(pausing.process.pid), pausing.watchdog)
    assert (proc / "stat").read_text().rpartition(")")[2].split()[1] != str(pausing.process.pid)
    assert not any("/airflow/" in line or "pydantic" in line for line in (proc / "maps").read_text().splitlines())


def test_the_write_end_is_not_in_its_hands(double: Double, task: TaskOf) -> None:
    pausing = task(double, deadline=20)
    pausing.said("ready")
    pipe = os.readlink(f"/proc/{pausing.watchdog}/fd/0")
    ends = [file for file in Path(f"/proc/{pausing.watchdog}/fd").iterdir() if os.readlink(file) == pipe]
    assert [end.name for end in ends] == ["0"]


@pytest.mark.fault("the watchdog cannot start on the worker", "refused before anything is paused")
def test_it_cannot_start(double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/nowhere"])
    with pytest.raises(ArmingError, match="nothing was paused") as caught:
        Watchdog([double.endpoint()], journal=tmp_path / "journal").start()
    assert "import grpc" in caught.value.fix


def test_it_has_no_place_for_its_journal(double: Double, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArmingError, match="journal") as caught:
        Watchdog([double.endpoint()], journal=tmp_path / "file" / "journal").start()
    assert "writable" in caught.value.fix


@pytest.mark.fault("kill -9 of the watchdog before the pause", "refused before anything is paused")
def test_it_is_found_dead_before_pausing(double: Double, watchdog: Watchdog) -> None:
    pid = pid_of(watchdog)
    os.kill(pid, signal.SIGKILL)
    until(lambda: gone(pid), "the watchdog dies")
    with window([double.endpoint()], keeper=watchdog) as guard:
        guard.begin()
        assert guard.ended.wait(10)
        assert isinstance(guard.error, ArmingError)
        assert guard.error.fix
    assert not double.calls("pause")


@pytest.mark.fault("kill -9 of the pausing task after it has found that one pause is somebody else's", "that one stays; ours is lifted")
def test_it_leaves_what_is_not_ours(watchdog: Watchdog) -> None:
    with Double() as ours, Double() as theirs:
        dog = Watchdog([ours.endpoint(), theirs.endpoint()], journal=watchdog.journal.with_name("other.jsonl"))
        dog.start()
        dog.about_to_pause(dict.fromkeys((ours.address, theirs.address), time.monotonic()), time.monotonic() + 20)
        for double in (ours, theirs):
            double.control(foreign="pause")
        dog.answered([ours.address])
        dog.not_ours([theirs.address])
        dog.close()
        until(lambda: not ours.paused, "ours is lifted")
        until(lambda: "unpaused" in dog.journal.read_text(), "the watchdog is done")
        assert theirs.paused
        assert not theirs.calls("unpause")


# -- the network of the watchdog --------------------------------------------------------------------------------------------------------


@pytest.mark.fault(
    "kill -9 of the pausing task while the network to an endpoint is cut", "the watchdog unpauses it within a second of being reachable"
)
@pytest.mark.parametrize("how", ["cut", "freeze"])
def test_killed_behind_a_cut_network(double: Double, tmp_path: Path, how: str) -> None:
    with wire(double.address) as proxy:
        pausing = Task(tmp_path / "journal", [proxy.address], deadline=20)
        try:
            pausing.said("ready")
            pausing.said("opened")
            getattr(proxy, how)()
            pausing.kill()
            time.sleep(1.5)
            assert double.paused
            healed = time.monotonic()
            proxy.heal()
            until(lambda: not double.paused, "the watchdog unpauses")
            assert unpaused_at(double) <= healed + 1 + SLACK
            pausing.watchdog_ended()
        finally:
            pausing.close()
