"""Where instants lie in any window: behind every fence row and every Coordinator's capture, before the captures that wait for them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from midtime.model.clocks import ClockReading, StoreClock
from midtime.model.window import Window
from midtime.window_clocks import WindowClocks, choice_of
from midtime.window_fences import WindowFences
from midtime.window_marks import WindowMarks, captured_first, marked_first
from tests.unit.builders import LEDGER, topology

START = datetime(2026, 11, 21, 2, 0, 0, tzinfo=UTC)
milliseconds = st.integers(0, 3000).map(lambda number: timedelta(milliseconds=number))
offsets = st.integers(-5000, 5000).map(lambda number: timedelta(milliseconds=number))


@st.composite
def clocks(draw: st.DrawFn, name: str, *, coordinator: bool = False) -> tuple[StoreClock, timedelta]:
    """A clock as it was read, and its true offset."""
    low = draw(offsets)
    high = low + draw(st.integers(0, 200)) * timedelta(milliseconds=1)
    before, after = (ClockReading(low, high, at) for at in (START - timedelta(seconds=1), START + timedelta(seconds=60)))
    early = timedelta(seconds=draw(st.integers(0, 1)))
    made = StoreClock(name, before, after, fleet=draw(st.booleans()), coordinator=coordinator, early=early)
    return made, draw(st.sampled_from([low, high]))


pairs = st.tuples(clocks("a", coordinator=True), clocks("b"))


@given(pairs, milliseconds, milliseconds)
def test_between_rows_and_captures(pair: tuple[tuple[StoreClock, timedelta], ...], row: timedelta, later: timedelta) -> None:
    """An instant is always found by the moment at which the waiting captures are let go, and it has passed by then, tail and all.

    Nor does a restore that lands early land before the row, or before the Coordinator's.
    """
    window_clocks = WindowClocks(topology(), [clock for clock, _ in pair])
    window_clocks.begins = START + row
    let_go = window_clocks.ends = window_clocks.last_needed(START) + later
    window = Window(START, let_go + timedelta(seconds=1))
    choice = window_clocks.choose(window)
    for clock, offset in pair:
        on_ours = choice.instants[clock.store] - offset
        assert START + row <= on_ours - clock.early
        assert on_ours + clock.tail <= let_go
    (one, ours), (other, theirs) = pair
    assert choice.instants[one.store] - ours <= choice.instants[other.store] - theirs - other.early
    said = {"window": window.to_dict(), "span": window_clocks.span(window).to_dict(), "clocks": window_clocks.to_list()}
    assert choice_of(said) == choice


def test_the_window_is_the_span_where_nothing_is_known_of_it() -> None:
    window = Window(START, START + timedelta(seconds=9))
    assert WindowClocks(topology()).span(window) == window


def test_nothing_waits_where_all_are_captured() -> None:
    marks = WindowMarks(topology("accounts", "points"), WindowClocks(topology()), WindowFences([]))
    assert marks.ready
    assert marks.look([], lambda _: START, 0.0) is None
    assert not marks.passed(START + timedelta(days=1))
    assert marks.evidence(Window(START, START)) == {"clocks": []}


def test_who_is_first() -> None:
    dumped = {"name": "accounts", "engine": "postgresql", "conn_id": "db"}
    managed = {"name": "points", "engine": "dynamodb", "region": "eu-west-1", "namespaces": ["bank"]}
    for coordinator, first, waits in (("accounts", ["accounts"], False), ("points", [], True)):
        made = topology(products=[LEDGER], stores=[dumped, managed], scalardb={"coordinators": [{"store": coordinator}]})
        assert (captured_first(made), marked_first(made)) == (first, waits)
