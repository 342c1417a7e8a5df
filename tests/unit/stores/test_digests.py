"""Sums of hashes: order is no matter, everything else is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from midtime.stores.digests import BUCKETS, ContentTally

rows = st.lists(st.binary(max_size=8), max_size=30)


def content(found: list[bytes]) -> tuple[str, ...]:
    tally = ContentTally()
    for row in found:
        tally.add(row[:2], row)
    return tally.content("t", "m").buckets


@given(rows, st.randoms())
def test_order_is_no_matter(found: list[bytes], random: object) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert content(shuffled) == content(found)
    assert len(content(found)) == BUCKETS


@given(rows.filter(bool), st.binary(max_size=8))
def test_a_row_more_less_or_other_is(found: list[bytes], other: bytes) -> None:
    assert content(found[1:]) != content(found)
    assert content([*found, found[0]]) != content(found)
    assert (content([other, *found[1:]]) == content(found)) == (other == found[0])


def test_an_empty_bucket_is_not_one_whose_rows_cancel_out() -> None:
    assert content([]) == ("0:0000000000000000",) * BUCKETS
