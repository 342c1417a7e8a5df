"""Records and Coordinator rows as every store of tables hands them over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from midtime.stores.scalardb_records import MARKS, Table, TableCoordinator, TableRecords, printable
from midtime.verify.records import CoordinatorRow, Record


class Records(TableRecords):
    found: Mapping[Table, Sequence[str]] = {
        ("bank", "acct"): ("id", *MARKS),
        ("bank", "split_tx_metadata"): ("id", *MARKS),
        ("bank", "split"): ("id",),
        ("bank", "split_data"): ("id",),
        ("bank", "split_other"): ("id",),
        ("bank", "almost"): ("id", *MARKS[:-1]),
        ("coordinator", "state"): ("tx_id", *MARKS),
    }

    def columns(self) -> Mapping[Table, Sequence[str]]:
        return self.found

    def read(self, table: Table) -> Iterator[Sequence[tuple[Any, ...]]]:
        yield [(table[1], "t1", 3, 1, 10, 20)]


RECORDS = Records("accounts", [("coordinator", "state")])


def test_tables_are_found_by_their_columns() -> None:
    assert RECORDS.tables() == ["bank.acct", "bank.split"]
    assert RECORDS.non_transactional() == ["bank.almost", "bank.split_other"]


def test_marks_that_stand_apart_are_read_there() -> None:
    assert list(RECORDS.records("bank.split")) == [[Record("accounts", "bank.split", "split_tx_metadata", "t1", 3, 1, 10, 20)]]


class Coordinator(TableCoordinator):
    def exists(self) -> bool:
        return True

    def lookup_rows(self, tx_ids: Sequence[str]) -> list[tuple[Any, ...]]:
        return [(tx_id, 3, 5, "a,b" if tx_id == "group" else None) for tx_id in tx_ids]

    def newer_rows(self, instant: int) -> Iterator[tuple[Any, ...]]:
        yield ("t", 4, instant + 1, "")

    def oldest_created_at(self) -> int | None:
        return None


def test_coordinator_rows() -> None:
    coordinator = Coordinator("accounts", "coord")
    assert (coordinator.name, coordinator.table) == ("accounts/coord", ("coord", "state"))
    assert coordinator.lookup({"group"}) == {"group": CoordinatorRow("group", 3, 5, ("a", "b"))}
    assert coordinator.lookup({"t"})["t"].child_ids == ()
    assert list(coordinator.rows_newer_than(7)) == [CoordinatorRow("t", 4, 8)]


def test_different_keys_stay_different() -> None:
    keys = [("a/b",), ("a", "b"), ("a\\", "b"), ("a\\/b",), (b"\x01", 7), ("01", "7", "")]
    assert len({printable(key) for key in keys}) == len(keys)
    assert printable(("a", b"\xff", 7)) == "a/ff/7"
