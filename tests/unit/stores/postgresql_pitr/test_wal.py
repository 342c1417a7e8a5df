"""Positions and segments: the arithmetic that decides which files a restore needs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.stores.postgresql_pitr.wal import Span, format_lsn, parse_lsn, segment_name, segment_number, timeline_of

MB = 1 << 20
sizes = st.integers(0, 10).map(lambda power: MB << power)
"""What initdb allows: 1 MB to 1 GB."""
timelines = st.integers(1, (1 << 32) - 1)
positions = st.integers(1, (1 << 63) - 1)


@given(positions)
def test_positions_survive(position: int) -> None:
    assert parse_lsn(format_lsn(position)) == position


@given(timelines, st.integers(0, 1 << 42), sizes)
def test_names_survive(timeline: int, position: int, size: int) -> None:
    number = position // size
    name = segment_name(timeline, number, size)
    assert len(name) == 24
    assert (timeline_of(name), segment_number(name, size)) == (timeline, number)


@given(timelines, st.integers(1, 1 << 42), st.integers(1, 64 * MB), sizes)
def test_a_span_covers_every_byte_and_no_segment_more(timeline: int, start: int, length: int, size: int) -> None:
    span = Span(timeline, start, start + length, size)
    assert span.first * size <= span.start < (span.first + 1) * size
    assert span.last * size < span.end <= (span.last + 1) * size
    assert len(span) == span.last - span.first + 1


@given(timelines, st.integers(1, 1 << 42), st.integers(1, 64 * MB), sizes)
def test_names_are_in_order_and_without_a_gap(timeline: int, start: int, length: int, size: int) -> None:
    span = Span(timeline, start, start + length, size)
    names = list(span.names())
    assert names == sorted(names)
    assert [segment_number(name, size) for name in names] == list(range(span.first, span.last + 1))
    assert {timeline_of(name) for name in names} == {timeline}
    assert Span.from_dict(span.to_dict()) == span


@pytest.mark.parametrize(
    ("lsn", "size", "name"),
    [  # as pg_walfile_name() of real servers says
        ("0/E00090", MB, "00000001000000000000000E"),
        ("0/1000000", 16 * MB, "000000010000000000000000"),
        ("0/1000001", 16 * MB, "000000010000000000000001"),
        ("1/0", 16 * MB, "0000000100000000000000FF"),
        ("16/B374D848", 16 * MB, "0000000100000016000000B3"),
        ("1/0", 1024 * MB, "000000010000000000000003"),
    ],
)
def test_the_segment_of_a_records_end(lsn: str, size: int, name: str) -> None:
    span = Span(1, 0, parse_lsn(lsn), size)
    assert span.name(span.last) == name
