"""Instants on other people's clocks: every claim against every true clock that the readings allow, and against brute force."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midtime.errors import NoInstantError, WindowVoidError
from midtime.model.clocks import (
    Choice,
    ClockReading,
    StoreClock,
    choose,
    earliest_end,
    hold_needed,
)
from midtime.model.window import Window, captured_midtime

START = datetime(2026, 11, 21, 2, 0, 7, 250_000, tzinfo=UTC)
NO_TIME = timedelta(0)
MICROSECOND = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RESOLUTIONS = [timedelta(milliseconds=250), SECOND, 1.5 * SECOND, 2 * SECOND]

examples = settings(max_examples=300)


def ms(count: float) -> timedelta:
    return timedelta(milliseconds=count)


def between(low: timedelta, high: timedelta) -> st.SearchStrategy[timedelta]:
    """The extremes as often as everything between them."""
    return st.sampled_from([low, high]) | st.timedeltas(low, high)


def reading(low: float, high: float, at: datetime = START) -> ClockReading:
    """Bounds in milliseconds."""
    return ClockReading(ms(low), ms(high), at)


def store(low: float = -20, high: float = 20, *, end: datetime | None = None, **fields: Any) -> StoreClock:
    """Read right before :data:`START`, and right after ``end`` with the same result."""
    after = reading(low, high, end) if end else None
    return StoreClock(**({"store": "points", "before": reading(low, high), "after": after, "drift": NO_TIME} | fields))


starts = st.timedeltas(NO_TIME, 2 * SECOND).map(lambda shift: START + shift)


@dataclass
class Truth:
    """A store, and what its clock really does: its offset at the readings and in the window."""

    clock: StoreClock
    offset: timedelta


@st.composite
def truths(draw: st.DrawFn, start: datetime, name: str) -> Truth:
    """Readings that are true, of a clock that drifts as much as it may; the second one is dated later, see :func:`cases`."""
    drift = draw(st.sampled_from([NO_TIME, ms(10), ms(100)]))
    offset = draw(st.sampled_from([NO_TIME, SECOND, 3 * SECOND, -5 * SECOND]) | between(-5 * SECOND, 5 * SECOND))
    before, after = (offset + draw(between(-drift, drift)) for _ in range(2))
    if abs(after - before) > drift:
        after = before
    margins = [draw(between(NO_TIME, draw(st.sampled_from([NO_TIME, ms(30), SECOND])))) for _ in range(4)]
    clock = StoreClock(
        name,
        ClockReading(before - margins[0], before + margins[1], start - ms(1)),
        ClockReading(after - margins[2], after + margins[3], start),
        resolution=draw(st.sampled_from(RESOLUTIONS)),
        fleet=draw(st.booleans()),
        coordinator=draw(st.booleans()),
        drift=drift,
    )
    return Truth(clock, offset)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Window, list[Truth]]:
    """Windows of every length, most of them about as long as they have to be, where every bound counts."""
    start = draw(starts)
    every = [draw(truths(start, f"store{number}")) for number in range(draw(st.integers(1, 3)))]
    needed = earliest_end(start, [truth.clock for truth in every]) - start
    about = st.sampled_from([-SECOND, -MICROSECOND, NO_TIME, MICROSECOND, SECOND]) | st.timedeltas(-2 * SECOND, 3 * SECOND)
    length = draw(st.timedeltas(NO_TIME, 9 * SECOND) | about.map(lambda more: max(NO_TIME, needed + more)))
    for truth in every:
        assert truth.clock.after
        truth.clock.after = replace(truth.clock.after, taken_at=start + length + ms(1))
    return Window(start, start + length), every


def fits(window: Window, clock: StoreClock, instant: datetime, offset: timedelta) -> bool:
    """The restore's whole second(s) lie in the window, in true time."""
    tail = max(SECOND, clock.resolution) + clock.fleet * SECOND
    return window.start <= instant - offset and instant + tail - offset <= window.end


def possible(window: Window, clock: StoreClock) -> list[datetime]:
    """Every T of the store's grid that fits at both extremes, one by one."""
    known = clock.bounds()
    first = (window.start + known.low - EPOCH) // clock.resolution
    last = (window.end + known.high - EPOCH) // clock.resolution + 1
    grid = [EPOCH + number * clock.resolution for number in range(first, last + 1)]
    return [instant for instant in grid if fits(window, clock, instant, known.low) and fits(window, clock, instant, known.high)]


def exists(window: Window, clocks: Sequence[StoreClock]) -> bool:
    """Whether any combination is in the window and in order, all tried."""
    return any(in_order(clocks, instants) for instants in itertools.product(*(possible(window, clock) for clock in clocks)))


def in_order(clocks: Sequence[StoreClock], instants: Sequence[datetime]) -> bool:
    marks = list(zip(clocks, instants, strict=True))
    firsts = [instant - clock.bounds().low for clock, instant in marks if clock.coordinator]
    others = [instant - clock.bounds().high for clock, instant in marks if not clock.coordinator]
    return all(first <= other for first in firsts for other in others)


def found(window: Window, clocks: Sequence[StoreClock]) -> Choice | None:
    try:
        return choose(window, clocks)
    except NoInstantError:
        return None


class TestChoice:
    @examples
    @given(cases())
    def test_what_is_chosen_lies_in_the_window_on_every_true_clock(self, case: tuple[Window, list[Truth]]) -> None:
        window, truths = case
        choice = found(window, [truth.clock for truth in truths])
        if choice is None:
            return
        assert window.start <= choice.midtime <= window.end
        assert choice.midtime.microsecond == 0
        for truth in truths:
            instant = choice.instants[truth.clock.store]
            assert (instant - EPOCH) % truth.clock.resolution == NO_TIME
            known = choice.clocks[truth.clock.store]
            assert known.low <= truth.offset <= known.high
            for offset in (truth.offset, known.low, known.high):
                assert fits(window, truth.clock, instant, offset)

    @examples
    @given(cases())
    def test_the_coordinator_is_never_later_on_any_true_clock(self, case: tuple[Window, list[Truth]]) -> None:
        window, truths = case
        choice = found(window, [truth.clock for truth in truths])
        if choice is None:
            return
        at = {truth.clock.store: choice.instants[truth.clock.store] - truth.offset for truth in truths}
        firsts = [at[truth.clock.store] for truth in truths if truth.clock.coordinator]
        others = [at[truth.clock.store] for truth in truths if not truth.clock.coordinator]
        if firsts and others:
            assert choice.coordinator_lead is not None
            assert NO_TIME <= choice.coordinator_lead <= min(others) - max(firsts)
        else:
            assert choice.coordinator_lead is None

    @pytest.mark.parametrize("longer", [0, 300, 700, 1100, 1600])
    def test_the_order_is_proven_wherever_in_a_second_the_window_opens(self, longer: float) -> None:
        for shift in range(0, 1000, 50):
            start = START + ms(shift)
            clocks = [store(-700, 700, coordinator=True), store(-700, 700, store="accounts")]
            end = earliest_end(start, clocks) + ms(longer)
            for clock in clocks:
                clock.after = replace(clock.before, taken_at=end)
            lead = choose(Window(start, end), clocks).coordinator_lead
            assert lead is not None
            assert lead >= NO_TIME

    @examples
    @given(cases())
    def test_none_is_chosen_only_where_none_exists(self, case: tuple[Window, list[Truth]]) -> None:
        window, truths = case
        clocks = [truth.clock for truth in truths]
        assert (found(window, clocks) is not None) == exists(window, clocks)

    def test_one_store_gets_the_middle_second(self) -> None:
        window = Window(START, START + 10 * SECOND)  # 07.25 to 17.25
        choice = choose(window, [store(end=window.end)])
        assert choice.midtime == choice.instants["points"] == START.replace(second=12, microsecond=0)

    def test_one_second_for_all_where_it_fits(self) -> None:
        window = Window(START, START + 10 * SECOND)
        choice = choose(window, [store(1500, 1600, end=window.end), store(-900, -800, end=window.end, store="accounts")])
        assert set(choice.instants.values()) == {choice.midtime}

    def test_a_clock_that_is_off_gets_its_own_second(self) -> None:
        window = Window(START, START + 5 * SECOND)
        choice = choose(window, [store(5000, 5010, end=window.end), store(end=window.end, store="accounts")])
        assert window.start <= choice.midtime <= window.end < choice.instants["points"]
        assert choice.instants["accounts"] < choice.instants["points"]

    def test_a_second_for_all_that_would_reverse_the_order_is_not_taken(self) -> None:
        """Both clocks show it within the window, the Coordinator's three seconds after the other."""
        window = Window(START, START + 30 * SECOND)
        choice = choose(window, [store(-3000, -2990, end=window.end, coordinator=True), store(end=window.end, store="accounts")])
        assert choice.instants["points"] + timedelta(seconds=3) <= choice.instants["accounts"]

    @pytest.mark.parametrize(("fleet", "seconds"), [(False, 2), (True, 3)])
    def test_a_fleet_needs_a_second_more(self, fleet: bool, seconds: int) -> None:
        start = START.replace(microsecond=1)
        enough = Window(start, start + seconds * SECOND)
        too_short = Window(start, enough.end - 2 * MICROSECOND)
        assert choose(enough, [store(0, 0, end=enough.end, fleet=fleet, before=reading(0, 0, start))])
        with pytest.raises(NoInstantError):
            choose(too_short, [store(0, 0, end=enough.end, fleet=fleet, before=reading(0, 0, start))])

    def test_what_may_land_early_needs_a_second_more_at_the_start(self) -> None:
        """Oracle and SQL Server: what a restore to T brings back lies between a second before it and its tail."""
        start = START.replace(microsecond=0)
        early = {"early": SECOND, "before": reading(0, 0, start)}
        enough = Window(start, start + 2 * SECOND)
        choice = choose(enough, [store(0, 0, end=enough.end, **early)])
        assert choice.instants["points"] == start + SECOND
        assert earliest_end(start, [store(0, 0, **early)]) == enough.end
        assert hold_needed([store(0, 0, **early)], factor=1, least=NO_TIME) == 3 * SECOND
        with pytest.raises(NoInstantError):
            choose(Window(start, enough.end - MICROSECOND), [store(0, 0, end=enough.end - MICROSECOND, **early)])

    def test_a_clock_that_jumped_is_not_hidden_by_it(self) -> None:
        window = Window(START, START + 10 * SECOND)
        with pytest.raises(WindowVoidError, match="jumped"):
            choose(window, [store(0, 0, early=SECOND, after=reading(500, 500, window.end))])

    def test_without_clocks_it_is_the_middle(self) -> None:
        window = Window(START, START + ms(35))
        assert choose(window, []) == Choice(captured_midtime(window))

    def test_too_short_a_window_says_how_much_was_missing(self) -> None:
        window = Window(START, START + SECOND)
        with pytest.raises(NoInstantError, match=r"1\.000 s fits the clocks of points: it had to be held 0\.770 s longer") as raised:
            choose(window, [store(end=window.end)])  # from 07.25 + 0.02, so 08, to 09 + 0.02 on the worker's clock
        assert "or to 3s at least" in raised.value.fix  # wherever in a second the next window opens: 2.04 s
        assert raised.value.retryable

    def test_for_json(self) -> None:
        window = Window(START, START + 10 * SECOND)
        clocks = [store(end=window.end, coordinator=True), store(end=window.end, store="accounts")]
        body = json.loads(json.dumps(choose(window, clocks).to_dict()))
        assert body["instants"].keys() == body["clocks"].keys() == {"points", "accounts"}
        assert body["coordinator_lead_seconds"] >= 0

    def test_a_clock_that_was_not_read_again_voids_the_window(self) -> None:
        with pytest.raises(WindowVoidError, match="store points was not read after the window"):
            choose(Window(START, START + 10 * SECOND), [store()])

    @pytest.mark.parametrize(("before", "after"), [(1, 10_000), (0, 9_999)])
    def test_readings_inside_the_window_are_refused(self, before: float, after: float) -> None:
        clock = store(before=reading(0, 0, START + ms(before)), after=reading(0, 0, START + ms(after)), drift=SECOND)
        with pytest.raises(ValueError, match="inside the window"):
            choose(Window(START, START + 10 * SECOND), [clock])

    @pytest.mark.parametrize("wrong", [{"resolution": NO_TIME}, {"drift": -MICROSECOND}])
    def test_a_store_without_sense_is_refused(self, wrong: dict[str, timedelta]) -> None:
        with pytest.raises(ValueError, match="store points"):
            store(**wrong)


class TestHold:
    @examples
    @given(cases(), st.timedeltas(NO_TIME, 3 * SECOND))
    def test_from_the_earliest_end_on_there_is_an_instant(self, case: tuple[Window, list[Truth]], longer: timedelta) -> None:
        window, truths = case
        clocks = [truth.clock for truth in truths]
        end = earliest_end(window.start, [replace(clock, after=None) for clock in clocks]) + longer
        later = [replace(clock, after=replace(clock.after, taken_at=end)) for clock in clocks if clock.after]
        assert found(Window(window.start, end), later) is not None

    @examples
    @given(cases())
    def test_a_microsecond_before_it_there_is_none(self, case: tuple[Window, list[Truth]]) -> None:
        """With the bounds of the first reading, which are all that was known."""
        window, truths = case
        clocks = [replace(truth.clock, after=None) for truth in truths]
        end = earliest_end(window.start, clocks)
        assert exists(Window(window.start, end), clocks)
        assert not exists(Window(window.start, end - MICROSECOND), clocks)

    @examples
    @given(cases(), starts)
    def test_auto_is_enough_whenever_the_window_opens(self, case: tuple[Window, list[Truth]], start: datetime) -> None:
        clocks = [truth.clock for truth in case[1]]
        assert start + hold_needed(clocks, factor=1, least=NO_TIME) >= earliest_end(start, clocks)

    def test_auto_is_not_much_more_than_the_worst_case(self) -> None:
        clocks = [store(coordinator=True), store(store="accounts", fleet=True)]
        worst = max(earliest_end(START + ms(shift), clocks) - START - ms(shift) for shift in range(1000))
        assert NO_TIME <= hold_needed(clocks, factor=1, least=NO_TIME) - worst <= ms(5) + clocks[0].before.width * 2

    def test_auto_is_twice_that_and_five_seconds_at_least(self) -> None:
        once = hold_needed([store(-500, 500)], factor=1, least=NO_TIME)
        assert once == 3 * SECOND
        assert hold_needed([store(-500, 500)]) == 2 * once
        assert hold_needed([store()]) == 5 * SECOND

    def test_captures_alone_need_none(self) -> None:
        assert hold_needed([]) == NO_TIME
        assert earliest_end(START, []) == START

    def test_a_naive_start_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no time zone"):
            earliest_end(START.replace(tzinfo=None), [store()])
