"""A window that nobody disturbs is where it says it is; and everything is open after it, however it ends."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from midtime.errors import DrainTimeoutError, NoInstantError, WindowVoidError
from midtime.scalar.double import Double
from midtime.scalar.guard import HEAD_START, Guard
from midtime.scalar.keeper import Limits
from tests.unit.processes import until
from tests.unit.scalar.windows import SLACK, Notes, done, ended, opened, unpaused_at, window, wire


@pytest.fixture(scope="module")
def trio() -> Iterator[Double]:
    with Double(count=3) as double:
        yield double


@pytest.fixture
def three(trio: Double) -> Double:
    """Three endpoints as after a start."""
    trio.control(reset=True)
    return trio


def inside(double: Double, guard: Guard) -> None:
    """The window lies between the last answer to a Pause and the first Unpause, on the double's own clock."""
    assert guard.start is not None
    assert guard.end is not None
    assert max(call["answered"] for call in double.calls("pause")) <= guard.start <= guard.end <= unpaused_at(double)


def test_the_window_lies_between_the_last_pause_and_the_first_unpause(three: Double) -> None:
    three.control(endpoint=1, pause={"reply_delay": 0.3})
    with window([three.endpoint(number) for number in range(3)]) as guard:
        opened(guard)
        guard.finish()
        ended(guard)
    assert guard.error is guard.stuck is None
    inside(three, guard)
    assert not three.paused
    assert not guard._keeper.ours  # type: ignore[attr-defined]


def test_all_are_paused_at_once_with_the_drain_limit(three: Double) -> None:
    three.control(pause={"reply_delay": 0.4})
    with window([three.endpoint(number) for number in range(3)], drain=7) as guard:
        done(guard)
    calls = three.calls("pause")
    assert len(calls) == 3
    assert max(call["at"] for call in calls) < min(call["answered"] for call in calls)
    assert all(call["wait"] and 6000 < call["limit_ms"] <= 7000 < 1000 * call["timeout"] for call in calls)


def test_the_evidence_is_complete(three: Double) -> None:
    with window([three.endpoint(number) for number in range(3)], hold=0.3) as guard:
        done(guard)
    assert guard.began is not None
    for number, address in enumerate(three.addresses):
        evidence = guard.evidence[address].to_dict(guard.began)
        asked = [call for call in three.calls("check_paused") if call["endpoint"] == number]
        assert [poll["paused"] for poll in evidence["polls"]] == [False] + [True] * (len(evidence["polls"]) - 1)
        assert len(evidence["polls"]) == len(asked) - 1 >= 4  # the last call proved that it is open
        assert evidence["pause"]["answered_ms"] >= evidence["pause"]["sent_ms"] >= 0
        assert evidence["unpause"]["calls"] == 1
        assert evidence["unpause"]["open_ms"] >= 300


# -- hold and deadline --------------------------------------------------------------------------------------------------------------------


def test_it_is_held(double: Double) -> None:
    with window([double.endpoint()], hold=0.7) as guard:
        done(guard)
    inside(double, guard)
    assert guard.start is not None
    assert guard.end is not None
    assert guard.end - guard.start >= 0.7


def test_it_is_held_for_longer_where_a_store_needs_it(double: Double) -> None:
    with window([double.endpoint()], hold=0.1, earliest_end=lambda start: start + timedelta(seconds=0.8)) as guard:
        done(guard)
    inside(double, guard)
    assert guard.start is not None
    assert guard.end is not None
    assert guard.end - guard.start >= 0.8


def test_what_is_learned_in_the_window_makes_the_hold_longer(double: Double) -> None:
    """A fence row that took long: known when everybody has reported, and counted from then on."""
    ends = [0.1]
    with window([double.endpoint()], earliest_end=lambda start: start + timedelta(seconds=ends[0])) as guard:
        opened(guard)
        ends[0] = 0.9
        guard.finish()
        ended(guard)
    assert guard.error is None
    assert guard.start
    assert guard.end
    assert guard.end - guard.start >= 0.9


@pytest.mark.fault("the stores' clocks need a longer hold than the deadline leaves", "unpaused at once; no restore point")
def test_a_hold_that_the_deadline_does_not_leave(double: Double) -> None:
    with window([double.endpoint()], deadline=5, earliest_end=lambda start: start + timedelta(seconds=4.9)) as guard:
        done(guard)
    assert isinstance(guard.error, NoInstantError)
    assert "pause.deadline" in guard.error.fix
    assert guard.end is None
    assert not guard.opened.is_set()
    assert not double.paused


@pytest.mark.fault("the captures never report", "unpaused before the deadline; no restore point")
def test_the_captures_never_report(double: Double) -> None:
    with window([double.endpoint()], deadline=1.2) as guard:
        opened(guard)
        ended(guard)
    assert isinstance(guard.error, WindowVoidError)
    assert "did not report" in guard.error.message
    assert guard.error.fix
    assert guard.began is not None
    assert not double.paused
    assert unpaused_at(double) <= guard.began + 1.2 + 1 + SLACK


def test_a_hold_is_not_begun_by_finish(double: Double) -> None:
    with window([double.endpoint()], hold=5) as guard:
        opened(guard)
        guard.finish()
        assert not guard.ended.wait(0.3)
        assert double.paused


# -- abort --------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.fault("the pausing task is told to end at any moment", "unpaused at once; no restore point")
def test_abort_at_any_moment(three: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midtime.scalar.guard.LATE_SECONDS", 0.1)
    moments, aborted = random.Random(5), 0
    for _ in range(40):
        three.control(reset=True)
        three.control(pause={"delay": moments.choice([0, 0.02])}, outstanding=moments.choice([0, 1]), **{"for": 0.02})
        with window([three.endpoint(0)], [three.endpoint(1), three.endpoint(2)], drain=0.2, hold=0.05) as guard:
            guard._keeper.log = _Aborting(guard, moments.uniform(0, 0.12))  # type: ignore[attr-defined]
            guard.begin()
            guard.finish()
            ended(guard)
            asked = guard._keeper.log.asked  # type: ignore[attr-defined]
            assert not three.paused
            assert not guard._keeper.ours  # type: ignore[attr-defined]
            if asked is not None and asked < (guard.over or 0):
                assert isinstance(guard.error, WindowVoidError), guard.error
                assert guard.error.message == "told to end"
                assert guard.error.fix
                aborted += 1
    assert aborted > 10


class _Aborting(list[str]):
    """Aborts so many seconds after the guard first says something."""

    def __init__(self, guard: Guard, seconds: float) -> None:
        super().__init__()
        self.asked: float | None = None
        self._guard, self._timer = guard, threading.Timer(seconds, self._abort)

    def append(self, said: str) -> None:
        if not self:
            self._timer.start()
        super().append(said)

    def _abort(self) -> None:
        self.asked = time.monotonic()
        self._guard.abort("told to end")


def test_abort_before_it_begins(double: Double) -> None:
    with window([double.endpoint()]) as guard:
        guard.abort("told to end")
        done(guard)
    assert guard.error is not None
    assert not double.calls("pause")


def test_abort_while_it_unpauses(double: Double) -> None:
    double.control(unpause={"reply_delay": 0.5})
    with window([double.endpoint()]) as guard:
        guard.begin()
        guard.finish()
        until(lambda: double.calls("unpause"), "it unpauses")
        guard.abort("a capture was not good after all")
        ended(guard)
    assert isinstance(guard.error, WindowVoidError)
    assert "not good" in guard.error.message


def test_abort_in_a_long_drain_does_not_wait_for_it(double: Double) -> None:
    double.control(outstanding=1)
    with window([double.endpoint()], drain=2) as guard:
        guard.begin()
        until(lambda: double.paused, "the gate closes")
        aborted = time.monotonic()
        guard.abort("told to end")
        until(lambda: not double.paused, "it is opened")
        ended(guard)
    assert guard.over is not None
    assert guard.over > (guard.began or 0) + 2  # until then our Pause may have closed it again, for all that is known
    assert unpaused_at(double) < aborted + 2


# -- the plain chain ----------------------------------------------------------------------------------------------------------------------


def test_a_plain_pause_stays(double: Double) -> None:
    with window([double.endpoint()]) as guard:
        guard.pause_only()
        assert double.paused
        assert guard.start is not None
        assert not guard.is_open(double.address)


def test_a_plain_pause_that_fails_is_undone(three: Double) -> None:
    three.control(endpoint=1, outstanding=1)
    with window([three.endpoint(0), three.endpoint(1)], drain=0.2) as guard:
        with pytest.raises(DrainTimeoutError):
            guard.pause_only()
        assert guard.is_open(three.addresses[0])
    assert not three.paused


# -- strict order -------------------------------------------------------------------------------------------------------------------------


def test_strict_order(three: Double) -> None:
    three.control(pause={"reply_delay": 0.1})
    with window([three.endpoint(0)], [three.endpoint(1), three.endpoint(2)]) as guard:
        done(guard)
    assert guard.error is None
    (auditor,) = [call for call in three.calls("pause") if call["endpoint"] == 0]
    assert all(auditor["answered"] <= call["at"] for call in three.calls("pause") if call["endpoint"])
    (auditor,) = [call for call in three.calls("unpause") if call["endpoint"] == 0]
    assert all(call["answered"] <= auditor["at"] for call in three.calls("unpause") if call["endpoint"])
    inside(three, guard)


def test_a_ledger_that_does_not_drain_leaves_the_auditor_open(three: Double) -> None:
    three.control(endpoint=1, outstanding=1)
    with window([three.endpoint(0)], [three.endpoint(1)], drain=0.4) as guard:
        done(guard)
    assert isinstance(guard.error, DrainTimeoutError)
    assert not three.paused


@pytest.mark.fault("the Ledger cannot be reached for its Unpause in strict mode", "the Auditor waits half a second for it, no longer")
def test_an_unreachable_ledger_hardly_delays_the_auditor(three: Double) -> None:
    with wire(three.addresses[1]) as ledger, window([three.endpoint(0)], [ledger.endpoint()]) as guard:
        opened(guard)
        ledger.freeze()
        aborted = time.monotonic()
        guard.abort("told to end")
        until(lambda: three.calls("unpause"), "the Auditor is unpaused")
        (auditor,) = three.calls("unpause")
        assert auditor["endpoint"] == 0
        assert aborted + HEAD_START <= auditor["at"] <= aborted + HEAD_START + 1 + SLACK
        ledger.heal()
        ended(guard)
    assert guard.stuck is None
    assert not three.paused


# -- many ---------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.fault("one of 1,000 endpoints is unpaused by somebody", "the others are unpaused at once; no restore point")
def test_a_thousand_endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midtime.scalar.guard.POLL_TIMEOUT", 20)  # one process plays them all, on a machine that may be busy
    with Double(count=1000) as many:
        endpoints = [many.endpoint(number) for number in range(1000)]
        keeper = Notes()
        with window(endpoints, drain=60, deadline=120, keeper=keeper) as guard:
            opened(guard)
            assert all(many.control(state=True)["paused"])
            assert list(keeper.ours.values()) == [None] * 1000
            assert all(seen.pause_answered and seen.polls[-1].paused for seen in guard.evidence.values())
            many.control(endpoint=777, foreign="unpause")
            ended(guard)
            assert isinstance(guard.error, WindowVoidError)
            assert many.addresses[777] in guard.error.message
            assert not many.paused
            assert not keeper.ours
            unpaused = sorted({call["endpoint"] for call in many.calls("unpause")})  # twice where an answer took too long
            assert unpaused == [number for number in range(1000) if number != 777]


@pytest.mark.fault("something between us and the service fails a Pause that it has sent on", "it is lifted all the same; no restore point")
@pytest.mark.parametrize(
    "fails", [{"fail": "UNAVAILABLE", "message": "upstream connect error: SSL_ERROR certificate"}, {"fail": "PERMISSION_DENIED"}]
)
def test_a_pause_that_was_sent_on(double: Double, fails: dict[str, str]) -> None:
    double.control(pause={**fails, "act": True})
    with window([double.endpoint()], drain=0.2) as guard:
        guard.begin()
        assert guard.ended.wait(20)
    assert guard.error is not None
    assert not double.paused
    assert guard.is_open(double.address)


def test_the_clock_is_taken_anew() -> None:
    """Minutes may lie between the guard's making and its window; other clocks are compared with this one right before."""
    guard = Guard([], Limits(1, 0, 2), Notes())
    guard.clock.wall += timedelta(seconds=3)
    assert abs(guard.clock.stepped()) > timedelta(seconds=2)
    guard.set_clock()
    assert abs(guard.clock.stepped()) < timedelta(milliseconds=50)
