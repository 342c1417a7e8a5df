"""Records and Coordinator rows of a Cassandra cluster."""

from __future__ import annotations

from typing import Any

import pytest

from midtime.stores.cassandra.records import IDS, CassandraCoordinator, CassandraRecords, shapes
from midtime.stores.scalardb_records import MARKS
from midtime.verify.records import CoordinatorRow, Record
from tests.unit.stores.cassandra.cql_fakes import FakeCluster

NAMES = [("bank", "acct"), ("bank", "notes"), ("coordinator", "state")]
MARKED = [("bank", "acct", mark, "regular", -1) for mark in MARKS]
KEYS = [
    ("bank", "acct", "late", "clustering", 1),
    ("bank", "acct", "early", "clustering", 0),
    ("bank", "acct", "second", "partition_key", 1),
    ("bank", "acct", "first", "partition_key", 0),
]
OTHERS = [
    ("bank", "notes", "a", "partition_key", 0),
    ("bank", "a_view", "a", "partition_key", 0),
    ("coordinator", "state", "tx_id", "partition_key", 0),
    ("coordinator", "state", "tx_state", "regular", -1),
    ("coordinator", "state", "tx_created_at", "regular", -1),
]
CHILDREN = ("coordinator", "state", "tx_child_ids", "regular", -1)


def cluster(*more: tuple[Any, ...], **tables: Any) -> FakeCluster:
    return FakeCluster({"system_schema.tables": NAMES, "system_schema.columns": [*MARKED, *KEYS, *OTHERS, *more], **tables})


def test_shapes() -> None:
    found = shapes(cluster(), ["bank", "none"])
    assert set(found) == {("bank", "acct"), ("bank", "notes")}, "a view is no table"
    assert found["bank", "acct"].partition == ("first", "second")
    assert found["bank", "acct"].key == ("first", "second", "early", "late")


def test_records() -> None:
    row = (7, 3, 1, 10, 20, "a/b", 2, b"\xff", "x")
    records = CassandraRecords(cluster(acct=[row]), ["bank", "coordinator"], "ring", [("coordinator", "state")])
    assert records.tables() == ["bank.acct"]
    assert records.non_transactional() == ["bank.notes"]
    found = [record for batch in records.records("bank.acct") for record in batch]
    assert found == [Record("ring", "bank.acct", "a\\/b/2/ff/x", 7, 3, 1, 10, 20)]  # type: ignore[arg-type]


def coordinator(rows: list[tuple[Any, ...]], *more: tuple[Any, ...]) -> tuple[CassandraCoordinator, FakeCluster]:
    made = cluster(*more, **{'"coordinator"': rows})
    return CassandraCoordinator(made, "ring", "coordinator"), made


def test_a_coordinator_of_ids() -> None:
    numbers = [f"t{number}" for number in range(3 * IDS + 1)]
    found, made = coordinator([(tx_id, 3, 5) for tx_id in numbers])
    assert found.exists()
    looked_up = found.lookup([*numbers, "unknown"])
    assert looked_up == {tx_id: CoordinatorRow(tx_id, 3, 5) for tx_id in numbers}
    assert len([query for query, _ in made.asked if " IN ?" in query]) == 4
    assert found.lookup([]) == {}


def test_a_look_up_that_fails_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midtime.stores.cassandra.cql.pause", lambda _: None)
    found, made = coordinator([("t1", 3, 5)])
    assert found.exists()
    made.failing = iter([True, True, True])
    assert found.lookup(["t1"])


def test_children_are_read_where_there_are_any() -> None:
    found, _ = coordinator([("t1", 3, 5, "a,b"), ("t2", 3, 5, None)], CHILDREN)
    assert found.lookup(["t1", "t2"]) == {"t1": CoordinatorRow("t1", 3, 5, ("a", "b")), "t2": CoordinatorRow("t2", 3, 5)}


def test_no_coordinator() -> None:
    assert not CassandraCoordinator(cluster(), "ring", "elsewhere").exists()


def scanned(*rows: tuple[Any, ...]) -> tuple[CassandraCoordinator, FakeCluster]:
    """The fake takes the first column for the token."""
    return coordinator([(number, *row) for number, row in enumerate(rows)])


def test_rows_by_time_and_the_oldest_of_one_reading() -> None:
    found, made = scanned((3, 30), (4, 10), (3, None), (3, 20))
    assert [row.created_at for row in found.rows_newer_than(10)] == [30, 20]
    asked = len(made.asked)
    assert found.oldest_created_at() == 10
    assert len(made.asked) == asked


def test_the_oldest_alone() -> None:
    found, made = scanned((3, 30), (4, 10))
    assert found.oldest_created_at() == 10
    asked = len(made.asked)
    assert found.oldest_created_at() == 10
    assert len(made.asked) == asked
    assert scanned()[0].oldest_created_at() is None
