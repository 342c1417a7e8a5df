"""What a Pause that fails, hangs, comes late or lies does to a window: it is void, everything of ours is open, nothing of theirs is lifted."""

# ruff: noqa: F811 - fixtures of the other half are imported
from __future__ import annotations

import time

import pytest

from midtime.errors import (
    DrainTimeoutError,
    EarlierPauseError,
    MidtimeError,
    OldPauseFailedError,
    PauseInProgressError,
    PauseUnknownError,
    UnpausedInDrainError,
    WindowVoidError,
)
from midtime.scalar.double import Double
from tests.unit.processes import until
from tests.unit.scalar.test_guard_faults import hurry, three, trio, undisturbed, void  # noqa: F401
from tests.unit.scalar.windows import done, ended, unpaused_at, window


@pytest.mark.fault("outstanding requests never end (a leaking client)", "the drain ends at its limit; everything is open; no restore point")
@pytest.mark.parametrize(("contract", "kind"), [("new", DrainTimeoutError), ("old", OldPauseFailedError)])
def test_the_drain_never_ends(doubles: dict[str, Double], three: Double, contract: str, kind: type[MidtimeError]) -> None:
    double = doubles[contract]
    double.control(reset=True)
    double.control(outstanding=1)
    with window([three.endpoint(0), double.endpoint()], drain=0.3) as guard:
        done(guard)
    void(guard, kind, double.address)
    assert not double.paused
    assert not double.calls("unpause")  # its gate is open again, and may be anybody's
    assert not three.paused
    assert not guard._keeper.ours  # type: ignore[attr-defined]


@pytest.mark.fault("one endpoint fails its Pause at once while others drain", "the draining ones are unpaused at once")
def test_one_failure_is_enough(three: Double) -> None:
    three.control(endpoint=0, outstanding=1)
    three.control(endpoint=1, pause={"fail": "INVALID_ARGUMENT"})
    with window([three.endpoint(0), three.endpoint(1)], drain=3) as guard:
        guard.begin()
        until(lambda: three.calls("unpause"), "the draining one is unpaused")
        assert guard.began is not None
        assert unpaused_at(three) < guard.began + 3
        until(lambda: not three.paused, "it is open")
        ended(guard)
    assert guard.end is None
    undisturbed(three, 1)


@pytest.mark.fault("Pause never answers", "unpaused when the drain limit is over, and watched until it can close nothing any more")
@pytest.mark.parametrize("act", [True, False])
def test_pause_hangs(double: Double, act: bool) -> None:
    double.control(pause={"hang": True, "act": act})
    with window([double.endpoint()], drain=0.2) as guard:
        done(guard)
    void(guard, PauseUnknownError, double.address)
    assert not double.paused
    assert guard.stuck is None


@pytest.mark.fault("Pause takes effect only after our own deadline for it", "it is lifted all the same; no restore point")
def test_pause_is_late(double: Double) -> None:
    double.control(pause={"delay": 0.6})
    with window([double.endpoint()], drain=0.2) as guard:
        guard.begin()
        until(lambda: double.calls("pause"), "the Pause comes")
        guard.abort("told to end")  # so that the Unpause comes before the gate closes
        ended(guard)
    (call,) = double.calls("pause")
    assert call["answered"] is not None, "the guard ended before the Pause took effect"
    assert unpaused_at(double) < call["answered"]
    assert not double.paused
    assert len(double.calls("unpause")) >= 2


@pytest.mark.fault(
    "an endpoint stands still over our Pause and carries it out when it goes on", "it is lifted all the same; no restore point"
)
def test_pause_lies_in_a_frozen_server() -> None:
    with Double() as frozen:
        with window([frozen.endpoint()], drain=0.1, before_pause=frozen.stop_process) as guard:
            guard.begin()
            time.sleep(1.5)
            frozen.resume()
            ended(guard)
        void(guard, PauseUnknownError, frozen.address)
        assert guard.stuck is None
        assert not frozen.paused


@pytest.mark.fault("Pause ends as GATE_OPEN, PAUSE_IN_PROGRESS or TIMED_OUT_STILL_PAUSED", "no restore point; nothing of theirs is lifted")
@pytest.mark.parametrize(
    ("code", "reason", "kind", "stays"),
    [
        ("ABORTED", "GATE_OPEN", UnpausedInDrainError, False),
        ("ABORTED", "PAUSE_IN_PROGRESS", PauseInProgressError, True),
        ("FAILED_PRECONDITION", "TIMED_OUT_STILL_PAUSED", EarlierPauseError, True),
    ],
)
def test_a_pause_that_is_not_ours(three: Double, code: str, reason: str, kind: type[MidtimeError], stays: bool) -> None:
    three.control(endpoint=1, pause={"fail": code, "reason": reason})

    def meanwhile() -> None:
        if stays:
            three.control(endpoint=1, foreign="pause")

    with window([three.endpoint(0), three.endpoint(1)], before_pause=meanwhile) as guard:
        done(guard)
    void(guard, kind, three.addresses[1])
    assert three.control(state=True)["paused"] == [False, stays, False]
    undisturbed(three, 1)


@pytest.mark.fault(
    "somebody pauses and drains right before our Pause, and requests never end", "TIMED_OUT_STILL_PAUSED: theirs stays; no restore point"
)
def test_timed_out_under_an_earlier_pause(double: Double) -> None:
    def earlier() -> None:
        double.control(foreign="pause")
        double.control(outstanding=1)

    with window([double.endpoint()], drain=0.2, before_pause=earlier) as guard:
        done(guard)
    void(guard, EarlierPauseError, double.address)
    assert double.paused
    assert not double.calls("unpause")


@pytest.mark.fault("somebody unpauses while requests drain", "no restore point; nothing is lifted")
def test_unpaused_in_the_drain(double: Double) -> None:
    double.control(outstanding=1)
    with window([double.endpoint()], drain=5) as guard:
        guard.begin()
        until(lambda: double.paused, "the gate closes")
        double.control(foreign="unpause")
        ended(guard)
    void(guard, UnpausedInDrainError, double.address)
    assert not double.calls("unpause")


@pytest.mark.fault(
    "somebody unpauses an old server while requests drain, and Pause is OK all the same", "the first look sees it: no restore point"
)
def test_unpaused_in_the_drain_of_an_old_server(old_double: Double) -> None:
    old_double.control(outstanding=1)
    with window([old_double.endpoint()], drain=5) as guard:
        guard.begin()
        until(lambda: old_double.paused, "the gate closes")
        old_double.control(foreign="unpause")
        old_double.control(outstanding=0)
        ended(guard)
    void(guard, WindowVoidError, old_double.address)
    assert not guard.opened.is_set()


@pytest.mark.fault("Pause answers OK and the endpoint is not paused", "the first look sees it: no restore point")
def test_a_lying_server(three: Double) -> None:
    three.control(endpoint=1, lie={"pause": True})
    with window([three.endpoint(0), three.endpoint(1)]) as guard:
        done(guard)
    void(guard, WindowVoidError, three.addresses[1])
    assert not guard.opened.is_set()
    assert not three.paused


@pytest.mark.fault("an endpoint dies during its Pause", "the others are unpaused at once; the dead one is asked again when it is back")
def test_an_endpoint_dies_during_its_pause(three: Double) -> None:
    with Double() as dying:
        dying.control(outstanding=1)
        with window([three.endpoint(0), dying.endpoint()], drain=5) as guard:
            guard.begin()
            until(lambda: dying.paused, "the gate closes")
            dying.kill()
            until(lambda: three.calls("unpause"), "the other is unpaused")
            assert not guard.ended.is_set()
            dying.start()
            until(lambda: dying.calls("check_paused"), "it is asked again")
            ended(guard)
        void(guard, PauseUnknownError, dying.address)
        assert guard.stuck is None
        assert not dying.paused
    assert not three.paused
