"""Which rows a replay gets, and what stands in its way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.errors import CopyError
from midtime.stores.mysql_pitr import events
from midtime.stores.mysql_pitr.changes import Change, Changes
from midtime.stores.mysql_pitr.events import Event, Kind
from tests.unit.stores.mysql_pitr.binlog import Log, event, gtid, query, rotate, rows, table_map

STATEMENTS = st.lists(st.tuples(st.sampled_from(["bank", "Bank", "other"]), st.sampled_from("abc"), st.integers(1, 3)), max_size=4)


def of(found: list[Event]) -> tuple[list[Change], Changes]:
    changes = Changes({"bank"})
    return list(changes.of(found)), changes


def tables(change: Change) -> list[tuple[str, str]]:
    return [events.table(each) for each in change.maps]


@given(st.lists(STATEMENTS))
def test_all_of_ours_and_nothing_else(transactions: list[list[tuple[str, str, int]]]) -> None:
    log = Log()
    for statements in transactions:
        log.transaction(*statements)
    found, changes = of(list(log.events()))
    ours = [(table, count) for statements in transactions for database, table, count in statements if database == "bank"]
    assert [tables(change) for change in found] == [[("bank", table)] for table, count in ours for _ in range(count)]
    assert [change.last for change in found] == [index == count - 1 for _, count in ours for index in range(count)]
    assert not changes.obstacle
    assert not changes.in_transaction


def test_a_statement_over_two_databases() -> None:
    """The last rows of ours end the statement, although others follow; all of our tables are announced, the others are not."""
    found, _ = of(
        [
            event(Kind.TABLE_MAP, table_map(1, "bank", "a")),
            event(Kind.TABLE_MAP, table_map(2, "other", "b")),
            event(Kind.TABLE_MAP, table_map(3, "bank", "c")),
            event(Kind.UPDATE_ROWS, rows(3, last=False)),
            event(Kind.UPDATE_ROWS_1, rows(2, last=False)),
            event(Kind.UPDATE_ROWS_1, rows(1, last=False)),
            event(Kind.DELETE_ROWS_1, rows(2, last=True)),
            event(Kind.XID, b"12345678"),
        ]
    )
    assert [(events.table_id(change.rows)[0], change.last) for change in found] == [(3, False), (1, True)]
    assert [tables(change) for change in found] == [[("bank", "a"), ("bank", "c")]] * 2


def test_rows_that_are_none_end_a_statement() -> None:
    none = rows(0xFFFFFF, b"", last=True)
    found, changes = of(
        [event(Kind.TABLE_MAP, table_map(1, "bank", "a")), event(Kind.WRITE_ROWS, rows(1, last=False)), event(Kind.WRITE_ROWS, none)]
    )
    assert [change.last for change in found] == [True]
    assert changes.in_transaction


@pytest.mark.parametrize("number", [2, 0xFFFFFF])
def test_rows_of_a_table_that_was_not_announced(number: int) -> None:
    with pytest.raises(CopyError, match="was not announced"):
        of([event(Kind.TABLE_MAP, table_map(1, "bank", "a")), event(Kind.WRITE_ROWS, rows(number, last=False))])


def test_a_table_is_announced_for_one_statement() -> None:
    with pytest.raises(CopyError, match="was not announced"):
        of([event(Kind.TABLE_MAP, table_map(1, "bank", "a")), *[event(Kind.WRITE_ROWS, rows(1))] * 2])


def test_a_transaction_that_ends_within_a_statement() -> None:
    with pytest.raises(CopyError, match="ends within a statement"):
        of([event(Kind.TABLE_MAP, table_map(1, "bank", "a")), event(Kind.WRITE_ROWS, rows(1, last=False)), event(Kind.XID, b"1")])


@pytest.mark.parametrize("text", ["TRUNCATE bank.a", "INSERT INTO x VALUES ('secret')"])
def test_an_obstacle_ends_it(text: str) -> None:
    found, changes = of([event(Kind.QUERY, query(text)), *Log().transaction(("bank", "a", 1)).events()])
    assert found == []
    assert changes.obstacle.startswith("a statement that changes more than rows: ")
    assert "secret" not in changes.obstacle


@pytest.mark.parametrize("end", ["ROLLBACK", "ROLLBACK TO `s`", "XA ROLLBACK X'01'", "XA PREPARE"])
@pytest.mark.parametrize("database", ["bank", "other"])
def test_a_transaction_that_is_undone(end: str, database: str) -> None:
    last = event(Kind.XA_PREPARE, b"") if end == "XA PREPARE" else event(Kind.QUERY, query(end))
    begun = [event(Kind.MARIADB_GTID, gtid()), event(Kind.TABLE_MAP, table_map(1, database, "a")), event(Kind.WRITE_ROWS_1, rows(1))]
    _, changes = of([*begun, last])
    assert bool(changes.obstacle) is (database == "bank")


def test_what_was_committed_before_is_not_undone() -> None:
    _, changes = of([*Log().transaction(("bank", "a", 1)).events(), event(Kind.MARIADB_GTID, gtid()), event(Kind.QUERY, query("ROLLBACK"))])
    assert not changes.obstacle


@pytest.mark.parametrize(
    ("found", "inside"),
    [
        ([event(Kind.MARIADB_GTID, gtid())], True),
        ([event(Kind.MARIADB_GTID, gtid()), event(Kind.XID, b"")], False),
        ([event(Kind.MARIADB_GTID, gtid()), event(Kind.QUERY, query("COMMIT"))], False),
        ([event(Kind.MARIADB_GTID, gtid()), event(Kind.QUERY, query("DROP TABLE x"))], True),
        ([event(Kind.MARIADB_GTID, gtid()), event(Kind.QUERY, query("ROLLBACK TO s"))], True),
        ([event(Kind.MARIADB_GTID, gtid()), event(Kind.QUERY, query("ROLLBACK"))], False),
        ([event(Kind.MARIADB_GTID, gtid(alone=True))], True),
        ([event(Kind.MARIADB_GTID, gtid(alone=True)), event(Kind.QUERY, query("DROP TABLE x"))], False),
        ([event(Kind.GTID, b""), event(Kind.QUERY, query("DROP TABLE x"))], False),
        ([event(Kind.ANONYMOUS_GTID, b""), event(Kind.QUERY, query("BEGIN"))], True),
        ([event(Kind.ANONYMOUS_GTID, b""), event(Kind.QUERY, query("BEGIN")), event(Kind.QUERY, query("SAVEPOINT s"))], True),
        ([event(Kind.GTID, b""), event(Kind.QUERY, query("BEGIN")), event(Kind.XID, b"")], False),
        ([event(Kind.GTID, b""), event(Kind.QUERY, query("XA START X'1'")), event(Kind.XA_PREPARE, b"")], False),
        ([event(Kind.TABLE_MAP, table_map(1, "other", "a"))], True),
    ],
)
def test_whether_a_transaction_is_open(found: list[Event], inside: bool) -> None:
    assert of(found)[1].in_transaction is inside


@pytest.mark.parametrize("kind", [Kind.STOP, Kind.INTVAR, Kind.MARIADB_ANNOTATE_ROWS, Kind.MARIADB_CHECKPOINT, Kind.PREVIOUS_GTIDS])
def test_what_is_passed_over(kind: int) -> None:
    assert of([event(kind, b"12345678"), event(Kind.ROTATE, rotate("bin.000002"))])[0] == []


@pytest.mark.parametrize("kind", [1, 26, 39, 40, 165, 166, 250])
def test_a_kind_that_is_not_known(kind: int) -> None:
    """Load files, incidents, packed transactions ...: what it changes nobody knows."""
    with pytest.raises(CopyError, match=f"an event of type {kind}, which is not known"):
        of([event(kind, b"12345678")])


@pytest.mark.parametrize("kind", [Kind.TABLE_MAP, Kind.QUERY, Kind.MARIADB_GTID, Kind.WRITE_ROWS_1])
def test_a_body_that_is_too_short(kind: int) -> None:
    with pytest.raises(CopyError, match="damaged"):
        of([event(kind, b"\3\0\0")])


def test_the_longest() -> None:
    long = event(Kind.WRITE_ROWS_1, rows(1, b"x" * 500))
    _, changes = of([event(Kind.TABLE_MAP, table_map(1, "bank", "a")), long, event(Kind.TABLE_MAP, table_map(1, "x", "a")),
                     event(Kind.WRITE_ROWS_1, rows(1, b"x" * 900))])  # fmt: skip
    assert changes.longest == len(long.raw)
