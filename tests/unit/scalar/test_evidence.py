"""What a window leaves behind: every poll of a small one, the sums of a large one, and who opened what."""

from __future__ import annotations

import json

import pytest

from midtime.scalar.endpoint import Endpoint
from midtime.scalar.evidence import POLLS, EndpointEvidence, Poll, length, opened_by, to_dicts

ADDRESS = "10.0.0.1:60053"


def seen(*polls: Poll, address: str = ADDRESS, unpauses: int = 1) -> EndpointEvidence:
    return EndpointEvidence(Endpoint("bank", "scalardb-cluster", address), 100.0, 100.01, list(polls), unpauses, 103.0)


def watched(count: int) -> list[Poll]:
    """One before the Pause, and then one each 100 ms."""
    return [Poll(99.0, 99.002, False), *(Poll(100 + 0.1 * n, 100.001 + 0.1 * n, True) for n in range(1, count))]


def test_every_poll_of_a_small_window() -> None:
    (said,) = to_dicts([seen(*watched(3))], 100.0)
    assert said["polls"] == [
        {"sent_ms": -1000.0, "round_trip_ms": 2.0, "paused": False},
        {"sent_ms": 100.0, "round_trip_ms": 1.0, "paused": True},
        {"sent_ms": 200.0, "round_trip_ms": 1.0, "paused": True},
    ]
    assert "polls_in_all" not in said


@pytest.mark.parametrize(("endpoints", "polls", "every"), [(20, POLLS // 20, True), (20, POLLS // 20 + 1, False), (1, POLLS + 1, False)])
def test_how_many_are_too_many(endpoints: int, polls: int, every: bool) -> None:
    said = to_dicts([seen(*watched(polls))] * endpoints, 100.0)
    assert {len(each["polls"]) for each in said} == {polls if every else 2}


def test_the_sums_of_a_large_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midtime.scalar.evidence.POLLS", 4)
    polls = [
        Poll(99, 99.002, False),
        Poll(100.1, 100.13, True),
        Poll(100.2, 100.25, None),
        Poll(100.7, 100.701, True),
        Poll(100.8, 100.8, True),
    ]
    (said,) = to_dicts([seen(*polls)], 100.0)
    assert [poll["sent_ms"] for poll in said["polls"]] == [-1000.0, 800.0]
    sums = {key: said[key] for key in ("polls_in_all", "polls_not_paused", "longest_gap_ms", "longest_round_trip_ms")}
    assert sums == {"polls_in_all": 5, "polls_not_paused": 2, "longest_gap_ms": 600.0, "longest_round_trip_ms": 50.0}
    assert said["pause"] == {"sent_ms": 0.0, "answered_ms": 10.0}


def test_the_sums_of_next_to_nothing() -> None:
    assert seen().to_dict(100.0, every_poll=False)["polls"] == []
    said = seen(Poll(99, 99.5, False)).to_dict(100.0, every_poll=False)
    assert (len(said["polls"]), said["polls_in_all"], said["longest_gap_ms"], said["longest_round_trip_ms"]) == (1, 1, None, 500.0)


def test_a_thousand_endpoints_stay_small_enough_for_xcom() -> None:
    said = to_dicts([seen(*watched(300))] * 1000, 100.0)
    assert len(json.dumps(said)) < 1_000_000


class TestWho:
    def test_the_task(self) -> None:
        assert opened_by(seen(), is_open=True, by_watchdog=()) == "the pausing task"

    def test_the_watchdog(self) -> None:
        assert opened_by(seen(unpauses=0), is_open=True, by_watchdog={ADDRESS}) == "the watchdog"
        assert opened_by(seen(unpauses=1), is_open=True, by_watchdog={ADDRESS}) == "the watchdog"

    def test_nobody_that_is_known(self) -> None:
        assert opened_by(seen(unpauses=0), is_open=True, by_watchdog={"10.0.0.2:60053"}) == "somebody unknown"

    def test_nobody_yet(self) -> None:
        assert opened_by(seen(unpauses=1), is_open=False, by_watchdog=()) == "nobody yet"

    def test_how_long(self) -> None:
        assert length(100, 101, 101.5, {"the pausing task"}) == {"seconds_paused": 1.5}
        for openers in ({"the watchdog"}, {"the pausing task", "the watchdog"}, {"somebody unknown"}):
            assert length(100, 101, 109, openers) == {"seconds_paused": None, "seconds_paused_between": [1, 9]}
        assert length(100, 101, 109, {"the pausing task", "nobody yet"})["seconds_paused_between"] == [1, None]
