"""What endpoints, networks and other people do to a window: it is void, everything of ours is open, and nothing of theirs is lifted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from midtime.errors import (
    AdminUnreachableError,
    DrainTimeoutError,
    EarlierPauseError,
    ForeignPauseError,
    MidtimeError,
    OldPauseFailedError,
    PauseInProgressError,
    PauseUnknownError,
    StillPausedError,
    UnpausedInDrainError,
    WindowVoidError,
)
from midtime.scalar.client import AdminClient
from midtime.scalar.double import Double
from midtime.scalar.guard import POLL_TIMEOUT, Guard
from tests.unit.processes import until
from tests.unit.scalar.conftest import Connect
from tests.unit.scalar.windows import SLACK, done, ended, opened, unpaused_at, window, wire


@pytest.fixture(scope="module")
def trio() -> Iterator[Double]:
    with Double(count=3) as double:
        yield double


@pytest.fixture
def three(trio: Double) -> Double:
    """Three endpoints as after a start."""
    trio.control(reset=True)
    return trio


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Pause may close a gate for half a second after its limit, instead of one."""
    monkeypatch.setattr("midtime.scalar.guard.LATE_SECONDS", 0.5)


def void(guard: Guard, kind: type[MidtimeError], *words: str) -> None:
    """No evidence, no restore point: it says why, of whom, and what to do."""
    assert type(guard.error) is kind, guard.error
    assert guard.end is None
    assert all(word in guard.error.message for word in words)
    assert guard.error.fix


def undisturbed(double: Double, *numbers: int) -> None:
    """Nobody called Unpause there."""
    assert not [call for call in double.calls("unpause") if call["endpoint"] in numbers]


# -- other people -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.fault("somebody else has paused an endpoint before", "refused before anything is paused; their pause stays")
def test_a_foreign_pause_before_ours(three: Double) -> None:
    three.control(endpoint=1, foreign="pause")
    with window([three.endpoint(number) for number in range(3)]) as guard:
        done(guard)
    void(guard, ForeignPauseError, three.addresses[1])
    assert not three.calls("pause")
    assert not three.calls("unpause")
    assert three.control(state=True)["paused"] == [False, True, False]


def test_a_foreign_pause_of_the_second_group(three: Double) -> None:
    three.control(endpoint=1, foreign="pause")
    with window([three.endpoint(0)], [three.endpoint(1)]) as guard:
        done(guard)
    void(guard, ForeignPauseError, three.addresses[1])
    undisturbed(three, 1)
    assert three.control(state=True)["paused"] == [False, True, False]


@pytest.mark.fault(
    "somebody else pauses between our check and our Pause", "not seen, since a pause has no owner: our Unpause lifts theirs too"
)
def test_the_documented_race_between_our_check_and_our_pause(double: Double) -> None:
    """Both Pauses return OK and CheckPaused cannot tell them apart. Leases keep Midtime's own windows apart, not other people."""
    with window([double.endpoint()], before_pause=lambda: double.control(foreign="pause")) as guard:
        done(guard)
    assert guard.error is None
    assert not double.paused


@pytest.mark.fault("somebody else unpauses in mid-window", "all others are unpaused at once; no restore point")
def test_a_foreign_unpause(three: Double) -> None:
    with window([three.endpoint(number) for number in range(3)]) as guard:
        opened(guard)
        three.control(endpoint=1, foreign="unpause")
        ended(guard)
    void(guard, WindowVoidError, three.addresses[1])
    assert not three.paused
    undisturbed(three, 1)


@pytest.mark.fault("somebody else unpauses in mid-window and then pauses for themselves", "no restore point; their pause stays")
def test_a_foreign_unpause_and_then_a_foreign_pause(three: Double) -> None:
    with window([three.endpoint(0), three.endpoint(1)]) as guard:
        opened(guard)
        three.control(endpoint=1, lie={"check_paused": False})  # seen open, and closed again by the time of our Unpause
        ended(guard)
    assert isinstance(guard.error, WindowVoidError)
    assert three.control(state=True)["paused"] == [False, True, False]
    undisturbed(three, 1)


@pytest.mark.fault(
    "somebody else pauses an endpoint right after we have unpaused it, while another hangs", "their pause stays; the watchdog knows"
)
def test_a_foreign_pause_while_we_still_unpause_others(three: Double) -> None:
    with wire(three.addresses[0]) as slow, window([slow.endpoint(), three.endpoint(1)]) as guard:
        opened(guard)
        slow.freeze()
        three.control(endpoint=1, unpause={"hang": True, "times": 1})  # beyond the first group's head start
        guard.abort("told to end")
        until(lambda: guard.is_open(three.addresses[1]), "the other one is open")
        assert not guard.ended.is_set()
        three.control(endpoint=1, foreign="pause")
        assert list(guard._keeper.ours) == [slow.address]  # type: ignore[attr-defined]
        slow.heal()
        ended(guard)
    assert three.control(state=True)["paused"] == [False, True, False]
    assert len([call for call in three.calls("unpause") if call["endpoint"] == 1]) == 2


@pytest.mark.fault(
    "an old server's failed Pause lifts another's pause", "the window that is lifted sees it: no restore point; documented of old servers"
)
def test_two_windows_over_one_old_server(old_double: Double) -> None:
    checked, go = threading.Event(), threading.Event()

    def before_pause() -> None:
        checked.set()
        go.wait()

    with (
        window([old_double.endpoint()], drain=0.2, before_pause=before_pause) as late,
        window([old_double.endpoint()]) as watching,
    ):
        late.begin()
        checked.wait()
        opened(watching)
        old_double.control(outstanding=1)
        go.set()
        ended(late)
        ended(watching)
    void(late, OldPauseFailedError, old_double.address)
    void(watching, WindowVoidError, old_double.address)
    assert not old_double.paused
    assert not old_double.calls("unpause")  # the failed Pause itself had opened it


# -- Pause --------------------------------------------------------------------------------------------------------------------------------


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


# -- Unpause ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.fault(
    "Unpause fails three times", "it is tried again, four times a second, until it is seen to have worked; the window is good"
)
def test_unpause_fails_three_times(double: Double) -> None:
    double.control(unpause={"fail": "UNAVAILABLE", "times": 3})
    with window([double.endpoint()]) as guard:
        done(guard)
    assert guard.error is guard.stuck is None
    assert not double.paused
    times = [call["at"] for call in double.calls("unpause")]
    assert len(times) == 4
    assert all(later - earlier >= 0.2 for earlier, later in pairwise(times))


@pytest.mark.fault("Unpause hangs", "it is tried again after a second; the window is good")
def test_unpause_hangs(double: Double) -> None:
    double.control(unpause={"hang": True, "times": 1})
    with window([double.endpoint()]) as guard:
        done(guard)
    assert guard.error is guard.stuck is None
    assert not double.paused


@pytest.mark.fault("the answer to Unpause is lost", "CheckPaused tells that it has worked; the window is good")
def test_the_reply_of_unpause_is_lost(double: Double) -> None:
    double.control(unpause={"fail": "UNAVAILABLE", "act": True, "times": 1})
    with window([double.endpoint()]) as guard:
        done(guard)
    assert guard.error is guard.stuck is None
    assert len(double.calls("unpause")) == 1


@pytest.mark.fault("Unpause is refused for ever", "the others are unpaused; an alarm names the endpoint; the watchdog goes on trying")
def test_unpause_is_refused_for_ever(three: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midtime.scalar.guard.PATIENCE", 0.5)
    three.control(endpoint=1, unpause={"fail": "INTERNAL"})
    with window([three.endpoint(0), three.endpoint(1)], deadline=1) as guard:
        done(guard)
    assert isinstance(guard.stuck, StillPausedError)
    assert three.addresses[1] in guard.stuck.message
    assert three.addresses[0] not in guard.stuck.message
    assert "stuck-pause.md" in guard.stuck.fix
    assert three.control(state=True)["paused"] == [False, True, False]
    assert list(guard._keeper.ours) == [three.addresses[1]]  # type: ignore[attr-defined]
    assert not guard.is_open(three.addresses[1])


@pytest.mark.fault("unpausing breaks down inside the pausing task", "an alarm; the watchdog unpauses")
def test_unpausing_breaks_down(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    with window([double.endpoint()]) as guard:
        opened(guard)
        with monkeypatch.context() as broken:

            def fail(*_: Any, **__: Any) -> None:
                raise RuntimeError("can't start new thread")

            broken.setattr(AdminClient, "begin_unpause", fail)
            broken.setattr("midtime.scalar.guard.PATIENCE", 0.2)
            broken.setattr(guard, "limits", type(guard.limits)(1, 0, 1))
            guard.abort("told to end")
            ended(guard)
        assert isinstance(guard.stuck, StillPausedError)
        assert "can't start new thread" in guard.stuck.message
        assert list(guard._keeper.ours) == [double.address]  # type: ignore[attr-defined]


# -- restarts and networks ----------------------------------------------------------------------------------------------------------------


@pytest.mark.fault("an endpoint is restarted in mid-window", "the others are unpaused at once; no restore point")
def test_an_endpoint_is_restarted(three: Double) -> None:
    with Double() as other, window([three.endpoint(0), other.endpoint()]) as guard:
        opened(guard)
        other.restart()
        ended(guard)
        void(guard, WindowVoidError, other.address)
        assert not three.paused
        assert not other.paused


@pytest.mark.fault(
    "the network to one of three endpoints is cut while paused", "two are unpaused at once, the third within a second of being reachable"
)
@pytest.mark.parametrize("how", ["cut", "freeze"])
def test_a_cut_network(three: Double, how: str) -> None:
    with wire(three.addresses[2]) as proxy, window([three.endpoint(0), three.endpoint(1), proxy.endpoint()]) as guard:
        opened(guard)
        was_cut = time.monotonic()
        getattr(proxy, how)()
        until(lambda: three.control(state=True)["paused"] == [False, False, True], "the two others are open")
        assert unpaused_at(three) <= was_cut + POLL_TIMEOUT + 1 + SLACK
        time.sleep(1)
        healed = time.monotonic()
        proxy.heal()
        ended(guard)
        (reached, *_) = [call["at"] for call in three.calls("unpause") if call["endpoint"] == 2]
        assert healed <= reached <= healed + 1 + SLACK
    void(guard, WindowVoidError, proxy.address)
    assert guard.stuck is None
    assert not three.paused


@pytest.mark.fault(
    "the network to an endpoint is cut right before its Pause", "no restore point; it is watched until nothing can close it late"
)
def test_a_network_that_is_cut_before_the_pause(three: Double) -> None:
    with wire(three.addresses[1]) as proxy, window([three.endpoint(0)], [proxy.endpoint()], drain=0.3, before_pause=lambda: None) as guard:
        proxy.freeze()
        guard.begin()
        until(lambda: three.calls("unpause"), "the first one is open again")
        proxy.heal()
        ended(guard)
    assert type(guard.error) is AdminUnreachableError
    assert guard.error.fix
    assert not three.paused
    undisturbed(three, 1)


def test_a_slow_look_is_still_a_look(double: Double) -> None:
    with window([double.endpoint()]) as guard:
        opened(guard)
        double.control(check_paused={"reply_delay": 0.4, "times": 2})
        time.sleep(1)
        guard.finish()
        ended(guard)
    assert guard.error is None


@pytest.mark.fault("an endpoint does not answer CheckPaused for a second in mid-window", "unpaused; no restore point")
def test_a_look_that_is_too_slow(double: Double) -> None:
    with window([double.endpoint()]) as guard:
        opened(guard)
        double.control(check_paused={"hang": True, "times": 1})
        ended(guard)
    void(guard, WindowVoidError, double.address, "was lost", "DEADLINE_EXCEEDED")
    assert not double.paused


@pytest.mark.fault("the worker's clock is set in mid-window", "no restore point")
def test_the_clock_is_set(double: Double) -> None:
    with window([double.endpoint()]) as guard:
        opened(guard)
        guard.clock.wall -= timedelta(seconds=2)
        guard.finish()
        ended(guard)
    assert type(guard.error) is WindowVoidError
    assert "clock" in guard.error.message
    assert not double.paused


def test_a_real_foreign_client_sees_nothing_of_ours_left(double: Double, connect: Connect) -> None:
    with window([double.endpoint()]) as guard:
        done(guard)
    assert connect(double.endpoint()).check_paused(timeout=5) is False
