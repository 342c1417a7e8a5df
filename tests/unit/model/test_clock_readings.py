"""One clock against this worker's: what readings say of it, one after the other and around a window."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.errors import WindowVoidError
from midtime.model.clocks import ClockReading, StoreClock, agree, choose, combine, from_round_trip
from midtime.model.window import Window
from tests.unit.model.test_clocks import EPOCH, MICROSECOND, NO_TIME, RESOLUTIONS, SECOND, START, between, examples, ms, reading


class TestReading:
    @examples
    @given(
        between(-5 * SECOND, 5 * SECOND),
        st.lists(st.tuples(*[st.timedeltas(NO_TIME, SECOND)] * 3), min_size=1, max_size=5),
        st.sampled_from([MICROSECOND, *RESOLUTIONS]),
    )
    def test_bounds_hold_the_truth(self, offset: timedelta, trips: list[tuple[timedelta, ...]], resolution: timedelta) -> None:
        """Whenever the store looked at its clock between question and answer."""
        readings = []
        for wait, there, back in trips:
            asked = START + wait
            shown = asked + there + offset
            said = shown - (shown - EPOCH) % resolution
            readings.append(from_round_trip(asked, asked + there + back, said, resolution=resolution))
            assert readings[-1].width == there + back + resolution
        together = combine(readings)
        assert together.low <= offset <= together.high
        assert together.width <= min(each.width for each in readings)

    def test_seconds_that_tick_over_tell_more_than_a_second(self) -> None:
        late, early = START.replace(second=9, microsecond=0), START.replace(second=8, microsecond=0)
        ticked = [from_round_trip(START, START + ms(10), early, resolution=SECOND)]
        ticked.append(from_round_trip(START + ms(20), START + ms(30), late, resolution=SECOND))
        assert combine(ticked).width == ms(30)

    def test_contradictions_are_a_jump(self) -> None:
        with pytest.raises(ValueError, match=r"jumped by 0:00:02.100000 or more"):
            combine([reading(-100, 0), reading(2100, 2200)])

    @given(between(-5 * SECOND, 5 * SECOND), st.timedeltas(NO_TIME, SECOND))
    def test_there_and_back_without_loss(self, low: timedelta, width: timedelta) -> None:
        before = ClockReading(low, low + width, START)
        assert ClockReading.from_dict(json.loads(json.dumps(before.to_dict()))) == before

    def test_wrong_input(self) -> None:
        naive = START.replace(tzinfo=None)
        for trip in itertools.product([START, naive], repeat=3):
            if naive in trip:
                with pytest.raises(ValueError, match="no time zone"):
                    from_round_trip(*trip, resolution=SECOND)
        with pytest.raises(ValueError, match="before it was asked"):
            from_round_trip(START, START - MICROSECOND, START, resolution=SECOND)
        with pytest.raises(ValueError, match="no reading"):
            combine([])
        with pytest.raises(ValueError, match="an offset cannot be"):
            reading(2, 1)
        with pytest.raises(ValueError, match="no time zone"):
            reading(1, 2, naive)


class TestAgreement:
    @examples
    @given(between(-5 * SECOND, 5 * SECOND), *[st.timedeltas(NO_TIME, SECOND)] * 4, between(ms(-10), ms(10)))
    def test_a_clock_that_only_drifts_agrees(
        self, offset: timedelta, a: timedelta, b: timedelta, c: timedelta, d: timedelta, drift: timedelta
    ) -> None:
        later = offset + drift
        both = agree("points", ClockReading(offset - a, offset + b, START), ClockReading(later - c, later + d, START + SECOND), ms(10))
        assert both.low <= min(offset, later)
        assert max(offset, later) <= both.high

    @examples
    @given(between(-5 * SECOND, 5 * SECOND), *[st.timedeltas(NO_TIME, SECOND)] * 4, st.booleans())
    def test_a_jump_beyond_the_bounds_voids_the_window(
        self, offset: timedelta, a: timedelta, b: timedelta, c: timedelta, d: timedelta, back: bool
    ) -> None:
        jump = a + b + c + d + ms(10) + MICROSECOND
        later = offset - jump if back else offset + jump
        window = Window(START, START + 5 * SECOND)
        before, after = ClockReading(offset - a, offset + b, START), ClockReading(later - c, later + d, window.end)
        with pytest.raises(WindowVoidError, match="the clock of store points, or this worker's against it, jumped"):
            agree("points", before, after, ms(10))
        with pytest.raises(WindowVoidError, match="store points"):
            choose(window, [StoreClock("points", before, after, drift=ms(10))])

    def test_the_drift_allowance_is_exact(self) -> None:
        assert agree("points", reading(0, 5), reading(15, 20), ms(10))
        with pytest.raises(WindowVoidError, match=r"\+0\.000000 s to \+0\.005000 s before and \+0\.015001 s to \+0\.020000 s after"):
            agree("points", reading(0, 5), reading(15.001, 20), ms(10))

    def test_readings_too_far_apart_for_the_drift_are_refused(self) -> None:
        assert agree("points", reading(0, 5), reading(0, 5, START + 100 * SECOND))
        with pytest.raises(WindowVoidError, match="store points was read 0:01:41 apart"):
            agree("points", reading(0, 5), reading(0, 5, START + 101 * SECOND))
