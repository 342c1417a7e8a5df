"""Trends of drills: what is called rising rises, whatever the unit, and no single drill makes a trend."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.model.drills import ENOUGH_BYTES, FEWEST, NEWEST, Direction, percentile, summarise, trend
from midtime.model.restore_point import DrillReport
from tests.unit.builders import MIDTIME, days_later, drill_report

seconds = st.floats(1, 1e5)
rows = st.lists(seconds, min_size=FEWEST, max_size=40)
OPPOSITE = {Direction.RISING: Direction.FALLING, Direction.FALLING: Direction.RISING, Direction.STEADY: Direction.STEADY}


def drilled(day: int, *, good: bool = True, rto: float = 60.0, size: int = 0, backfilled: bool = False) -> DrillReport:
    report = drill_report(days_later(day), good=good).model_copy(update={"rto_seconds": rto, "bytes": size})
    later = MIDTIME + timedelta(days=400)
    return report.model_copy(update={"as_of": report.started_at, "started_at": later, "finished_at": later}) if backfilled else report


class TestTrend:
    @given(rows, st.floats(0.001, 1000))
    def test_the_unit_does_not_matter(self, row: list[float], factor: float) -> None:
        found, scaled = trend(row), trend([value * factor for value in row])
        if found.direction is scaled.direction:  # a change of exactly a tenth may fall to either side
            assert scaled.change == pytest.approx(found.change, rel=1e-6, abs=1e-6)
        else:
            assert abs(found.change) == pytest.approx(0.1, rel=1e-6) or len(set(row)) != len({value * factor for value in row})

    @given(rows)
    def test_backwards_it_is_the_opposite(self, row: list[float]) -> None:
        there, back = trend(row), trend(row[::-1])
        assert back.direction is OPPOSITE[there.direction]
        assert back.change == pytest.approx(-there.change)

    @given(st.lists(seconds, max_size=FEWEST - 1))
    def test_a_few_say_nothing(self, row: list[float]) -> None:
        assert trend(row).direction is Direction.UNKNOWN

    @given(seconds, st.integers(FEWEST, 40))
    def test_the_same_again_and_again_is_steady(self, value: float, count: int) -> None:
        assert trend([value] * count) == trend([value] * count).__class__(Direction.STEADY, 0.0, count)

    @given(st.floats(10, 1000), st.floats(0.02, 10), st.integers(FEWEST, 40))
    def test_a_straight_line_is_measured_exactly(self, base: float, step: float, count: int) -> None:
        row = [base * (1 + step * each) for each in range(count)]
        found = trend(row)
        assert found.direction is Direction.RISING
        assert found.change == pytest.approx(base * step * (count - 1) / row[count // 2] if count % 2 else found.change)

    @given(st.integers(12, 40), st.data())
    def test_one_drill_makes_no_trend(self, count: int, data: st.DataObject) -> None:
        row = [60.0 + each % 2 / 10 for each in range(count)]
        row[data.draw(st.integers(0, count - 1))] = data.draw(st.sampled_from([0.001, 1e9]))
        assert trend(row).direction is Direction.STEADY

    def test_noise_is_rarely_called_a_trend(self) -> None:
        """5 % by design; the tenth that it also takes makes it fewer."""
        noise = random.Random(7)
        called = [trend([noise.gauss(60, 20) for _ in range(30)]).direction for _ in range(400)]
        assert sum(each is not Direction.STEADY for each in called) <= 30

    def test_significant_but_small_is_steady(self) -> None:
        assert trend([60 + each / 100 for each in range(40)]).direction is Direction.STEADY

    def test_large_but_by_chance_is_steady(self) -> None:
        """The slope alone would say 27 %; eight drills that jump about do not prove it."""
        assert trend([60, 95, 50, 110, 62, 100, 58, 112]).direction is Direction.STEADY

    def test_ties_do_not_hide_a_step(self) -> None:
        """Whole seconds, four and four: without the ties' share of the variance this would not be significant."""
        assert trend([60.0] * 4 + [120.0] * 4).direction is Direction.RISING

    def test_only_the_newest_count(self) -> None:
        found = trend([1.0] * 500 + [60.0] * NEWEST)
        assert (found.direction, found.count) == (Direction.STEADY, NEWEST)


@given(st.lists(seconds, min_size=1, max_size=60), st.floats(0.01, 1))
def test_a_percentile_is_one_of_the_values(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values) + 1e-9


def test_the_sum_of_all() -> None:
    drills = [drilled(3, good=False, rto=1.0), None, drilled(2, rto=90.0), drilled(1, rto=60.0)]
    found = summarise(drills)
    assert (found.count, found.good, found.unreadable, found.newest_good) == (4, 2, 1, False)
    assert found.rto == (75.0, 90.0, 90.0)  # of the good ones: the failed one was quick to fail
    assert found.share == 0.5
    assert found.last_good == drills[2]
    assert found.days_since(drilled(12).started_at) == pytest.approx(10)


def test_nothing_to_sum() -> None:
    found = summarise([])
    assert (found.count, found.share, found.newest_good, found.rto, found.last_good, found.days_since(MIDTIME)) == (
        0,
        0.0,
        False,
        None,
        None,
        None,
    )


def test_an_unreadable_newest_one_is_not_good() -> None:
    assert not summarise([None, drilled(1)]).newest_good


def test_a_backfilled_drill_is_as_old_as_its_date() -> None:
    """Else one backfill of last month would say that all is well today."""
    found = summarise([drilled(1, backfilled=True)])
    assert found.days_since(drilled(31).started_at) == pytest.approx(30)


def test_whether_the_data_grow_or_the_restore_slows_down() -> None:
    growing = [drilled(each, rto=60.0 + 6 * each, size=ENOUGH_BYTES * (10 + each)) for each in range(10)]
    found = summarise(growing[::-1])
    assert found.trend.direction is Direction.RISING
    assert found.trend_per_gb is not None
    assert found.trend_per_gb.direction is Direction.STEADY
    slowing = [drilled(each, rto=60.0 + 6 * each, size=ENOUGH_BYTES * 10) for each in range(10)]
    per_gb = summarise(slowing[::-1]).trend_per_gb
    assert per_gb is not None
    assert per_gb.direction is Direction.RISING


def test_small_drills_have_no_seconds_per_gigabyte() -> None:
    assert summarise([drilled(each, size=ENOUGH_BYTES - 1) for each in range(10)]).trend_per_gb is None


def test_json() -> None:
    body = summarise([drilled(each) for each in range(9, -1, -1)]).to_dict(drilled(10).started_at)
    assert body["rto_seconds"] == {"median": 60.0, "p95": 60.0, "max": 60.0}
    assert body["trend"] == {"direction": "steady", "change": 0.0, "drills": 10}
    assert body["days_since_good"] == 1
