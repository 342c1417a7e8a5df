"""The decision: nothing goes that a rule keeps, whatever else there is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from midtime.model.instants import restore_point_id
from midtime.model.restore_point import State
from midtime.model.retention import Decision, Facts, decide
from tests.unit.builders import MIDTIME

NOW = MIDTIME.replace(microsecond=0)
USABLE = (State.RESTORABLE, State.DRILLED)
NO_DAY = "20269999T020007Z-abcdef"


def facts(days: float, state: State = State.RESTORABLE, *, run: str = "run", **changes: Any) -> Facts:
    """One of so many days ago."""
    return Facts(restore_point_id(NOW - timedelta(days=days), run), state, **changes)


def decided(*points: Facts, last: int = 1, days: int = 0) -> list[Decision]:
    return decide(points, keep_last=last, keep_days=days, now=NOW)


def gone(*points: Facts, last: int = 1, days: int = 0) -> list[int]:
    """Which of these go, counted from the first."""
    removed = {decision.id for decision in decided(*points, last=last, days=days) if decision.remove}
    return [number for number, point in enumerate(points) if point.id in removed]


class TestRules:
    def test_by_number(self) -> None:
        points = [facts(day) for day in range(10)]
        assert gone(*points, last=3) == [3, 4, 5, 6, 7, 8, 9]

    def test_by_age(self) -> None:
        points = [facts(day) for day in range(10)]
        assert gone(*points, days=4) == [4, 5, 6, 7, 8, 9]

    def test_either_rule_keeps(self) -> None:
        points = [facts(day) for day in range(0, 100, 10)]
        assert gone(*points, last=2, days=50) == [5, 6, 7, 8, 9]
        assert gone(*points, last=8, days=50) == [8, 9]

    def test_to_the_second(self) -> None:
        second = timedelta(seconds=1) / timedelta(days=1)
        assert gone(facts(0), facts(7 - second), days=7) == []
        assert gone(facts(0), facts(7), days=7) == [1]

    def test_the_newest_drilled_stays_however_old(self) -> None:
        assert gone(facts(0), facts(100), facts(300, State.DRILLED), facts(400, State.DRILLED)) == [1, 3]

    @pytest.mark.parametrize("state", list(State))
    def test_one_that_somebody_works_with_stays(self, state: State) -> None:
        assert gone(facts(0), facts(100, state, holder="restore/1"), last=1, days=1) == []

    def test_what_cannot_be_used_does_not_count(self) -> None:
        assert gone(facts(0, State.INVALID), facts(1, State.INVALID), facts(2), facts(3), last=1, days=0) == [1, 3]

    def test_what_cannot_be_used_stays_as_long_as_all_others(self) -> None:
        assert gone(facts(29.9, State.INVALID), facts(30, State.INVALID), last=7, days=30) == [1]

    @pytest.mark.parametrize(("hours", "goes"), [(23, False), (24, True)])
    def test_and_for_a_day_at_least(self, hours: int, goes: bool) -> None:
        """Without `keep_days` an unreadable manifest would go before anybody saw it."""
        assert gone(facts(hours / 24, State.INVALID), days=0) == ([0] if goes else [])

    def test_not_restorable_yet(self) -> None:
        """It stays as long as all others; then it never will be, and must not pin its base for ever."""
        assert gone(facts(0), facts(29.9, State.MARKED), facts(30, State.MARKED), last=1, days=30) == [2]

    @pytest.mark.parametrize(("hours", "goes"), [(23, False), (24, True)])
    def test_nor_for_a_day_at_least(self, hours: int, goes: bool) -> None:
        assert gone(facts(0), facts(hours / 24, State.MARKED), last=1, days=0) == ([1] if goes else [])

    def test_all_are_invalid(self) -> None:
        assert gone(facts(0, State.INVALID), facts(100, State.INVALID), days=30) == [1]

    def test_nothing_at_all(self) -> None:
        assert decided() == []


class TestNotWhole:
    """Snapshots without a pause: by the same rules among themselves, and no set can be restored from one."""

    def test_takes_no_place_of_a_whole_one(self) -> None:
        assert gone(facts(0, whole=False), facts(1, whole=False), facts(2), facts(3), last=1) == [1, 3]
        assert gone(facts(0, whole=False), facts(2), facts(3), last=2) == []

    def test_by_age(self) -> None:
        assert gone(facts(1, whole=False), facts(29, whole=False), facts(30, whole=False), facts(40), days=30) == [2]

    def test_its_removal_is_ended_whatever_else_there_is(self) -> None:
        """A whole one whose removal was begun stays when nothing newer can be restored any more."""
        assert gone(facts(5, State.EXPIRED, whole=False)) == [0]
        assert gone(facts(5, State.EXPIRED)) == []


class TestNotUnderstood:
    @pytest.mark.parametrize("state", list(State))
    @pytest.mark.parametrize("case", ["not ours", "future", "no day"])
    def test_stays_and_is_told_of(self, state: State, case: str) -> None:
        point = {
            "not ours": facts(400, state, hands_off="of a newer Midtime"),
            "future": facts(-1, state),
            "no day": replace(facts(1, state), id=NO_DAY),
        }[case]
        (decision,) = [each for each in decided(facts(0), point) if each.id == point.id]
        assert not decision.remove
        assert decision.strange

    @pytest.mark.parametrize("state", USABLE)
    def test_counts_for_nothing(self, state: State) -> None:
        """A wrong clock's backup is the newest for ever: the real ones must not go for it."""
        assert gone(facts(-400, state), facts(3, state), facts(4, state)) == [2]
        assert gone(facts(1, state, hands_off="damaged"), facts(3, state), facts(4, state)) == [2]


class TestExpired:
    def test_is_finished(self) -> None:
        assert gone(facts(0), facts(9, State.EXPIRED), days=30) == [1], "whatever the rules say by now: nobody can use it"

    @pytest.mark.parametrize("newer", [State.INVALID, State.EXPIRED, State.MARKED])
    def test_not_when_nothing_newer_can_be_used(self, newer: State) -> None:
        """What was newer when it was marked has turned out to be bad: a person may still want this one."""
        decision = decided(facts(0, newer), facts(9, State.EXPIRED), facts(10))[1]
        assert (decision.remove, decision.strange) == (False, True)

    def test_not_when_it_was_drilled_last(self) -> None:
        drilled = facts(9, State.EXPIRED, was_drilled=True)
        assert gone(facts(0), drilled, facts(10, State.DRILLED)) == []
        assert gone(facts(0, State.DRILLED), drilled) == [1]

    def test_does_not_count(self) -> None:
        assert gone(facts(0), facts(1, State.EXPIRED), facts(2), facts(3), last=2) == [1, 3]


def test_reasons() -> None:
    points = [
        facts(0),
        facts(1),
        facts(5, State.INVALID, why="torn"),
        facts(8, holder="drill/1"),
        facts(9),
        facts(40, State.INVALID, why="x"),
    ]
    assert [decision.reason for decision in decided(*points, last=2, days=7)] == [
        "the newest that can be restored",
        "younger than 7 days",
        "younger than 7 days; invalid: torn",
        "drill/1 works with it",
        "older than 7 days, and not one of the newest 2",
        "older than 7 days; invalid: x",
    ]


# -- whatever there is --------------------------------------------------------------------------------------------------------------------

any_facts = st.builds(
    facts,
    st.integers(-3, 60) | st.floats(-3, 60),
    st.sampled_from(State) | st.sampled_from(USABLE),
    run=st.sampled_from("abc"),
    holder=st.sampled_from(["", "", "", "restore/1"]),
    hands_off=st.sampled_from(["", "", "", "not ours"]),
    was_drilled=st.booleans(),
    whole=st.sampled_from([True, True, False]),
)
many = st.lists(any_facts, max_size=12, unique_by=lambda point: point.id)
rules = st.fixed_dictionaries({"last": st.integers(1, 8), "days": st.integers(0, 60)})


def removed(points: list[Facts], **rules: int) -> set[str]:
    return {decision.id for decision in decided(*points, **rules) if decision.remove}


@given(many, rules)
def test_of_each_something_is_said_once(points: list[Facts], rules: dict[str, int]) -> None:
    decisions = decided(*points, **rules)
    assert [decision.id for decision in decisions] == sorted((point.id for point in points), reverse=True)
    assert all(decision.reason for decision in decisions)


@given(many, rules, st.permutations(range(12)))
def test_the_order_of_the_facts_does_not_matter(points: list[Facts], rules: dict[str, int], order: list[int]) -> None:
    assert decided(*(points[number] for number in order if number < len(points)), **rules) == decided(*points, **rules)


@given(many, rules)
def test_what_always_stays(points: list[Facts], rules: dict[str, int]) -> None:
    went = removed(points, **rules)
    usable = sorted((point for point in points if point.usable(NOW)), key=lambda point: point.id, reverse=True)
    assert not went & {point.id for point in usable[: rules["last"]]}
    assert not went & {point.id for point in [each for each in usable if each.state is State.DRILLED][:1]}
    assert not went & {point.id for point in points if point.holder or point.hands_off or not point.instant or point.instant > NOW}
    young = NOW - timedelta(days=rules["days"])
    assert not went & {point.id for point in points if point.instant and point.instant > young and point.state is not State.EXPIRED}


@example([facts(1, State.MARKED)], {"last": 1, "days": 0})
@given(many, rules)
def test_what_goes_leaves_something_newer_to_restore(points: list[Facts], rules: dict[str, int]) -> None:
    went = removed(points, **rules)
    newest = max((point.id for point in points if point.usable(NOW)), default="")
    useless = (State.INVALID, State.MARKED)
    assert all(point.state in useless or not point.whole or point.id < newest for point in points if point.id in went)
    looked_at = NOW - timedelta(days=max(rules["days"], 1))
    assert all(point.instant and point.instant <= looked_at for point in points if point.id in went and point.state in useless)


@given(many, rules, st.integers(0, 30), st.integers(0, 5))
def test_more_to_keep_never_removes_more(points: list[Facts], rules: dict[str, int], days: int, last: int) -> None:
    assert removed(points, last=rules["last"] + last, days=rules["days"] + days) <= removed(points, **rules)


@given(many, rules)
def test_a_second_run_finds_nothing_more(points: list[Facts], rules: dict[str, int]) -> None:
    went = removed(points, **rules)
    assert removed([point for point in points if point.id not in went], **rules) == set()


@given(many, rules, any_facts)
def test_one_more_holder_keeps_only_more(points: list[Facts], rules: dict[str, int], held: Facts) -> None:
    others = [point for point in points if point.id != held.id]
    assert removed([*others, replace(held, holder="drill/1")], **rules) == removed([*others, replace(held, holder="")], **rules) - {held.id}
