"""Comparison of counts and digests."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.model.restore_point import TableContent
from midtime.verify.content import ContentDifference, Difference, compare


def _table(
    rows: int = 3, buckets: tuple[str, ...] = ("aa", "bb", "cc"), method: str = "md5/3", name: str = "bank.accounts"
) -> TableContent:
    return TableContent(name=name, rows=rows, buckets=buckets, method=method)


ACCOUNTS = _table()


def _only(captured: list[TableContent], restored: list[TableContent]) -> ContentDifference:
    (difference,) = compare(captured, restored)
    assert ContentDifference.from_dict(json.loads(json.dumps(difference.to_dict()))) == difference
    return difference


def test_the_same_is_the_same() -> None:
    assert compare([ACCOUNTS], [TableContent.model_validate_json(ACCOUNTS.model_dump_json())]) == []


def test_missing_table() -> None:
    difference = _only([ACCOUNTS], [])
    assert (difference.kind, str(difference)) == (Difference.MISSING, "bank.accounts: missing (3 rows were captured)")


def test_unexpected_table() -> None:
    assert str(_only([], [ACCOUNTS])) == "bank.accounts: unexpected (3 rows, not captured)"


def test_fewer_rows_also_name_the_bucket() -> None:
    fewer = _table(2, ("aa", "b-", "cc"))
    rows, buckets = compare([ACCOUNTS], [fewer])
    assert str(rows) == "bank.accounts: 2 rows instead of 3"
    assert (buckets.kind, buckets.buckets) == (Difference.BUCKETS, (1,))


def test_buckets_that_differ_are_numbered() -> None:
    difference = _only([ACCOUNTS], [_table(3, ("a-", "bb", "c-"))])
    assert str(difference) == "bank.accounts: content differs in bucket 0, 2"


@pytest.mark.parametrize("other", [_table(method="sha256/3"), _table(buckets=(), method="")])
def test_digests_of_another_method_are_not_compared(other: TableContent) -> None:
    difference = _only([ACCOUNTS], [other])
    assert difference.kind is Difference.METHOD
    assert "cannot be compared" in str(difference)


def test_a_table_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="named twice"):
        compare([ACCOUNTS, ACCOUNTS], [])


contents = st.builds(_table, st.integers(0, 2), st.tuples(st.sampled_from("xy")), name=st.sampled_from("abc"))
sides = st.lists(contents, unique_by=lambda table: table.name)


@given(sides, sides)
def test_empty_exactly_when_both_sides_are_equal(captured: list[TableContent], restored: list[TableContent]) -> None:
    as_sets = [{table.name: table for table in side} for side in (captured, restored)]
    assert (compare(captured, restored) == []) == (as_sets[0] == as_sets[1])
