"""The window: two instants in order, there and back through text, and its middle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.model.window import Window, captured_midtime
from tests.unit.builders import instants

START = datetime(2026, 11, 21, 2, 0, 7, 250_000, tzinfo=UTC)
lengths = st.timedeltas(timedelta(0), timedelta(minutes=10))


@given(instants, lengths)
def test_there_and_back_without_loss(start: datetime, length: timedelta) -> None:
    window = Window(start, start + length)
    assert Window.from_dict(window.to_dict()) == window
    assert window.length == length


@given(instants, lengths)
def test_the_midtime_of_captures_is_the_middle_to_the_microsecond(start: datetime, length: timedelta) -> None:
    window = Window(start, start + length)
    middle = captured_midtime(window)
    assert window.start <= middle <= window.end
    assert abs((middle - window.start) - (window.end - middle)) <= timedelta(microseconds=1)
    assert middle.utcoffset() == timedelta(0)


def test_it_is_written_in_utc() -> None:
    tokyo = START.astimezone(timezone(timedelta(hours=9)))
    assert Window(tokyo, tokyo).to_dict() == {"start": "2026-11-21T02:00:07.250000Z", "end": "2026-11-21T02:00:07.250000Z"}


def test_an_end_before_the_start_is_refused() -> None:
    with pytest.raises(ValueError, match=r"before it starts at 2026-11-21T02:00:07\.250000Z"):
        Window(START, START - timedelta(microseconds=1))


@pytest.mark.parametrize(("start", "end"), [(START.replace(tzinfo=None), START), (START, START.replace(tzinfo=None))])
def test_naive_instants_are_refused(start: datetime, end: datetime) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        Window(start, end)
