"""Reading a whole table in parts of the ring: every row once, whatever fails on the way."""

from __future__ import annotations

from collections import Counter
from itertools import chain, cycle, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.errors import StoreUnreachableError
from midtime.stores.cassandra import cql, scanning
from midtime.stores.cassandra.scanning import PARTS, RINGS, Scan, parts
from tests.unit.stores.cassandra.cql_fakes import FakeCluster

FIRST, LAST = -(2**63) + 1, 2**63 - 1
"""Of Murmur3's tokens; the one before the first is no row's."""
TOKENS = st.integers(FIRST, LAST) | st.sampled_from(
    [FIRST, -1, 0, 1, LAST, *(edge for part in parts("Murmur3Partitioner") for edge in part[1:])]
)


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "pause", lambda _: None)
    monkeypatch.setattr(cql, "pause", lambda _: None)


@given(st.sampled_from(sorted(RINGS)), st.integers(1, 5000))
def test_parts_are_the_ring(partitioner: str, count: int) -> None:
    before, last = RINGS[partitioner]
    found = parts(partitioner, count)
    assert len(found) == count
    assert (found[0][0], found[-1][1]) == (before, last)
    assert all(left[1] == right[0] for left, right in pairwise(found)), "each begins where the one before it ends"
    assert all(after < to for after, to in found), "and none is empty or runs backwards"


def test_tokens_that_are_no_numbers_are_read_in_one_part() -> None:
    assert parts("ByteOrderedPartitioner") == [()]


@given(st.lists(TOKENS, max_size=300), st.lists(st.booleans(), max_size=200), st.sampled_from([1, 2, 7, 1000]))
def test_every_row_comes_once(tokens: list[int], failures: list[bool], page: int) -> None:
    """Not one is lost or doubled at an edge of a part, of a page, or where a page had to be asked for again."""
    rows = [(token, number) for number, token in enumerate(tokens)]
    cluster = FakeCluster({"acct": rows}, _never_too_often(failures))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanning._Part, "__init__", _starting_with(page))
        patch.setattr(scanning, "SMALLEST_PAGE", 1)
        found = list(chain.from_iterable(_scan(cluster).pages()))
    assert Counter(found) == Counter(rows)


def _starting_with(page: int):  # type: ignore[no-untyped-def]
    whole = scanning._Part.__init__

    def init(self, bounds, wait) -> None:  # type: ignore[no-untyped-def]
        whole(self, bounds, wait, page=page)

    return init


def _never_too_often(failures: list[bool]):  # type: ignore[no-untyped-def]
    """As many in a row as the scan puts up with, for one part."""
    in_a_row = 0
    for fails in failures:
        in_a_row = in_a_row + 1 if fails else 0
        yield fails and in_a_row < scanning.TRIES


def test_a_page_that_fails_is_asked_for_again_in_smaller_pieces() -> None:
    rows = [(LAST, number) for number in range(4500)]
    cluster = FakeCluster({"acct": rows}, iter([False] * PARTS + [True, True]))
    found = list(chain.from_iterable(_scan(cluster).pages()))
    assert found == rows
    assert max(cluster.pages) == 1000
    assert cluster.pages[-1] == 62


def test_failures_that_are_overcome_do_not_count() -> None:
    rows = [(LAST, number) for number in range(4500)]
    cluster = FakeCluster({"acct": rows}, chain([False] * (PARTS - 1), cycle([True, False])))
    assert list(chain.from_iterable(_scan(cluster).pages())) == rows


def test_it_is_not_asked_for_ever() -> None:
    cluster = FakeCluster({"acct": [(5, 1)]}, iter([True] * 10_000))
    with pytest.raises(StoreUnreachableError, match="a node is gone"):
        list(_scan(cluster).pages())
    assert len(cluster.asked) < scanning.TRIES * scanning.IN_FLIGHT + scanning.IN_FLIGHT


def test_memory_is_bounded() -> None:
    """What was asked for and not taken yet: a page of each part in flight."""
    cluster = FakeCluster({"acct": [(token * 2**52, token) for token in range(-2000, 2000)]})
    pages = _scan(cluster).pages()
    next(pages)
    assert len(cluster.asked) <= scanning.IN_FLIGHT + 1
    taken = 1 + sum(1 for _ in pages)
    assert taken >= PARTS - 1


def test_names_are_quoted() -> None:
    cluster = FakeCluster({})
    list(Scan(cluster, ("Bank", 'a"b'), ["tx_id", "Id"], ["Id", "c"]).pages())
    assert cluster.asked[0][0] == 'SELECT "tx_id", "Id" FROM "Bank"."a""b" WHERE token("Id", "c") > ? AND token("Id", "c") <= ?'


def _scan(cluster: FakeCluster) -> Scan:
    return Scan(cluster, ("bank", "acct"), ("id",), ("id",))
