"""The watchdog of a plain chain, which stays when the pausing task has ended."""

from __future__ import annotations

import os
import signal
import time

import pytest

from midtime.scalar.double import Double
from tests.unit.processes import until
from tests.unit.scalar.windows import SLACK, TaskOf, open_by_the_watchdog, unpaused_at


@pytest.mark.fault("a plain chain whose unpausing task never runs", "the watchdog unpauses at the deadline")
def test_it_stays_until_the_deadline_after_a_plain_pause(double: Double, task: TaskOf) -> None:
    pausing = task(double, plain=True, deadline=2)
    pausing.said("ready")
    deadline = pausing.said("paused")
    assert pausing.process.wait(30) == 0
    assert double.paused
    open_by_the_watchdog(double, pausing, "the deadline has passed")
    assert deadline <= unpaused_at(double) <= deadline + 1 + SLACK


@pytest.mark.fault("kill -9 of a plain chain's pausing task in its Pause", "the watchdog unpauses at once")
def test_killed_in_a_plain_pause(double: Double, task: TaskOf) -> None:
    double.control(outstanding=1)
    pausing = task(double, plain=True, drain=1)
    until(lambda: double.paused, "the gate closes")
    pausing.kill()
    open_by_the_watchdog(double, pausing, "the pausing task died")


@pytest.mark.fault("somebody else pauses after a plain chain's pause was lifted", "the watchdog leaves their pause alone")
def test_it_forgets_what_somebody_unpaused(double: Double, task: TaskOf) -> None:
    pausing = task(double, plain=True, deadline=20)
    pausing.said("ready")
    deadline = pausing.said("paused")
    double.control(foreign="unpause")
    pausing.watchdog_ended()  # it has seen that, and has nothing left to do
    assert time.monotonic() < deadline
    double.control(foreign="pause")
    assert double.paused
    assert not double.calls("unpause")


@pytest.mark.fault("the watchdog of a plain chain dies while it pauses", "the pause is lifted again; the task fails")
def test_a_plain_pause_without_a_watchdog_is_undone(double: Double, task: TaskOf) -> None:
    double.control(pause={"delay": 0.7})
    pausing = task(double, plain=True)
    pausing.said("ready")
    until(lambda: double.calls("pause"), "the Pause comes")
    os.kill(pausing.watchdog, signal.SIGKILL)
    told = pausing.said("failed")
    assert told["error"] == "WindowVoidError"
    assert told["fix"]
    assert not double.paused
