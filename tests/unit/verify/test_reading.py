"""All stores are read at once: nothing is lost, nothing is read far ahead, and whoever leaves early leaves no reader behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.verify.reading import AHEAD, read_ahead
from midtime.verify.records import Record
from tests.unit.verify.fakes import FakeStore


def records(store: str, count: int) -> list[Record]:
    return [Record(store, f"ns.t{number % 3}", str(number), "tx", 3) for number in range(count)]


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("read-")]


class Endless:
    """Counts what was taken of it."""

    def __init__(self) -> None:
        self.given = 0

    def tables(self) -> Sequence[str]:
        return ["ns.t"]

    def non_transactional(self) -> Sequence[str]:
        return []

    def records(self, table: str) -> Iterator[Sequence[Record]]:
        while True:
            self.given += 1
            yield [Record("a", table, str(self.given), "tx", 3)]


class Broken(Endless):
    def records(self, table: str) -> Iterator[Sequence[Record]]:
        yield [Record("a", table, "1", "tx", 3)]
        raise ConnectionError("the server went away")


@given(st.dictionaries(st.sampled_from("abc"), st.integers(0, 20), max_size=3))
def test_every_record_once_under_its_own_name(counts: dict[str, int]) -> None:
    with read_ahead({store: FakeStore(records(store, count)) for store, count in counts.items()}) as batches:
        found = [(batch.store, batch.table, record) for batch in batches for record in batch.records]
    assert all((store, table) == (record.store, record.table) for store, table, record in found)
    assert sorted((record.store, int(record.key)) for _, _, record in found) == [
        (store, number) for store in sorted(counts) for number in range(counts[store])
    ]


def test_stores_are_read_side_by_side() -> None:
    """A store that does not go on keeps nobody from reading the others."""
    gate = threading.Event()

    class Stuck(Endless):
        def records(self, table: str) -> Iterator[Sequence[Record]]:
            gate.wait(30)
            yield [Record("stuck", table, "1", "tx", 3)]

    with read_ahead({"stuck": Stuck(), "other": FakeStore(records("other", 9))}) as batches:
        first = [next(batches) for _ in range(3)]
        gate.set()
        rest = list(batches)
    assert {batch.store for batch in first} == {"other"}
    assert [batch.store for batch in rest if batch.store == "stuck"] == ["stuck"]


def test_memory_is_bounded() -> None:
    endless = Endless()
    with read_ahead({"a": endless}) as batches:
        taken = [next(batches) for _ in range(50)]
        assert endless.given <= len(taken) + AHEAD + 2  # one in its hands, one on its way
    assert readers() == []


def test_what_a_store_raises_comes_out() -> None:
    with read_ahead({"a": Broken(), "b": Endless()}) as batches, pytest.raises(ConnectionError, match="went away"):
        list(batches)
    assert readers() == []


def test_whoever_fails_leaves_no_reader() -> None:
    with pytest.raises(RuntimeError), read_ahead({"a": Endless(), "b": Endless()}) as batches:
        next(batches)
        raise RuntimeError("the judge died")
    assert readers() == []
