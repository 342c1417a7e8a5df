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
    ForeignPauseError,
    MidtimeError,
    OldPauseFailedError,
    StillPausedError,
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
