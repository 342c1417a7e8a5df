"""Counts, digests and names: what must differ differs, what is the same is the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import combinations

import pytest

from midtime.stores.sqlite import content
from midtime.stores.sqlite.records import SqliteCoordinator, SqliteRecords
from midtime.verification import Verification
from tests.unit.stores.sqlite.setting import ROWS, SCHEMA, SqliteSetting, execute

VALUES = [
    "1",
    "1.0",
    "'1'",
    "x'31'",
    "NULL",
    "''",
    "x''",
    "0",
    "0.0",
    "-1",
    "1e300",
    "9e999",
    "-9e999",
    "'a'",
    "'A'",
    "'a '",
    "9223372036854775807",
]
VALUES += [
    "cast(x'ff' AS TEXT)",
    "x'ff'",
    "cast(x'fe' AS TEXT)",
    "'ä'",
    "'a' || char(0) || 'b'",
    "9223372036854775806",
    "9.2233720368547758e18",
]


@pytest.fixture
def session() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        yield made


def digest(session: sqlite3.Connection, *rows: str, table: str = "t (a, b)") -> tuple[str, ...]:
    session.executescript(f"DROP TABLE IF EXISTS t; CREATE TABLE {table}; " + "".join(f"INSERT INTO t VALUES ({row});" for row in rows))
    return content.content(session)[0].buckets


def test_no_value_is_taken_for_another(session: sqlite3.Connection) -> None:
    found = [digest(session, f"7, {value}", table="t (k PRIMARY KEY, v)") for value in VALUES]
    for (one, first), (other, second) in combinations(zip(VALUES, found, strict=True), 2):
        assert first != second, f"{one} and {other}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["'a', 'bc'"], ["'ab', 'c'"]),
        (["1, 2"], ["2, 1"]),
        (["1, 2", "3, 4"], ["1, 4", "3, 2"]),
        (["1, 1"], ["1, 1", "1, 1"]),
        (["NULL, 1"], ["1, NULL"]),
        (["11, 1"], ["1, 11"]),
        (["'1;', 'i'"], ["'1', ';i'"]),
        (["'at', 'b'"], ["'a', 'tb'"]),
        ([], ["NULL, NULL"]),
    ],
)
def test_no_row_is_taken_for_another(session: sqlite3.Connection, one: list[str], other: list[str]) -> None:
    assert digest(session, *one) != digest(session, *other)


def test_the_order_of_rows_does_not_matter(session: sqlite3.Connection) -> None:
    assert digest(session, "1, 2", "3, 4") == digest(session, "3, 4", "1, 2")


def test_names_for_people() -> None:
    names = ["bank$acct", "bank.acct", '"bank$acct', "notes", "$x", "a$b$c", "a$b.c", "a.b$c", '"a.b$c"', "", "$", "a$"]
    assert [content.label(name) for name in names[:4]] == ["bank.acct", '"bank.acct"', '"""bank$acct"', "notes"]
    assert len({content.label(name) for name in names}) == len(names)
    assert content.place("a$b$c") == ("a", "b$c")


def test_a_virtual_column_needs_no_function_of_the_application(session: sqlite3.Connection) -> None:
    session.create_function("mine", 1, lambda value: value, deterministic=True)
    session.execute("CREATE TABLE t (a, v AS (mine(a)) VIRTUAL, s AS (a + 1) STORED)")
    assert [(column.name, column.generated) for column in content.columns(session, "t")] == [("a", False), ("s", True)]


@pytest.mark.parametrize(
    ("statement", "needs"),
    [
        ("CREATE TABLE t (a)", "3.8.0"),
        ("CREATE TABLE t (a, b AS (a))", "3.31.0"),
        ("CREATE TABLE t (a, b AS (a)); CREATE TABLE u (a INT) STRICT", "3.37.0"),
    ],
)
def test_the_oldest_library(session: sqlite3.Connection, statement: str, needs: str) -> None:
    session.executescript(statement)
    assert content.oldest_library(session) == needs


class TestWhatVerificationSees:
    """Somebody changed the restored file before it was placed."""

    @pytest.mark.parametrize(
        ("statement", "said"),
        [
            ('UPDATE "bank$acct" SET balance = balance + 1 WHERE id = 7', "bank.acct: content differs"),
            ('UPDATE "bank$acct" SET balance = 1000.0 WHERE id = 7', "good"),  # an INT column makes an integer of it
            ('UPDATE "bank$acct" SET owner = cast(owner AS BLOB) WHERE id = 7', "bank.acct: content differs"),
            ("DELETE FROM notes WHERE a IS NULL", "notes: 2 rows instead of 3"),
            ("DROP TABLE notes", "notes: missing"),
            ('CREATE TABLE "bank$other" (a)', "bank.other: unexpected"),
            ('DROP INDEX "index$bank$acct$owner"', "bank.acct has another shape"),
            ("CREATE INDEX i ON notes (a)", "notes has another shape"),
            ("CREATE TRIGGER g AFTER INSERT ON notes BEGIN SELECT 1; END", "notes has another shape"),
            ("CREATE VIEW w AS SELECT 1", "w has another shape"),
            ("ALTER TABLE notes ADD COLUMN c", "notes has another shape"),
            ("PRAGMA user_version = 9", "user_version is 9 instead of 0"),
            ("PRAGMA application_id = 9", "application_id is 9 instead of 0"),
            ("PRAGMA journal_mode = DELETE", "wal is False instead of True"),
            ("UPDATE \"bank$acct\" SET tx_id = 'nobody' WHERE id = 7", "content differs"),
        ],
    )
    def test_changes(self, wal: SqliteSetting, statement: str, said: str) -> None:
        manifest, target = wal.restored(drill=True)
        execute(target.working, statement)
        found = wal.look(manifest, target)
        assert said in found.summary()

    def judged(self, setting: SqliteSetting, statement: str) -> Verification:
        execute(setting.path, statement)
        manifest, target = setting.restored(drill=True)
        return setting.look(manifest, target)

    def test_a_torn_set(self, wal: SqliteSetting) -> None:
        found = self.judged(wal, "DELETE FROM \"coordinator$state\" WHERE tx_id = 't7'")
        assert not found.good
        assert found.verdict
        assert "unexplained" in found.verdict.summary() or "torn" in found.verdict.summary()

    def test_prepared_records_are_decided_by_the_coordinator(self, wal: SqliteSetting) -> None:
        found = self.judged(wal, 'UPDATE "bank$acct" SET tx_state = 1, tx_committed_at = NULL WHERE id = 7')
        assert found.good, found.summary()

    def test_tables_of_others_are_named(self, wal: SqliteSetting) -> None:
        found = self.judged(wal, "CREATE TABLE look_alike (tx_id, tx_state, tx_version, tx_prepared_at, tx_committed_at)")
        assert found.verdict
        assert found.verdict.to_dict()["non_transactional"] == ["accounts: look_alike", "accounts: notes", "accounts: scalardb.metadata"]


class TestRecords:
    @pytest.fixture
    def bank(self, session: sqlite3.Connection) -> sqlite3.Connection:
        session.executescript(SCHEMA + ROWS)
        return session

    def test_the_coordinator_is_asked_while_records_are_streamed(self, bank: sqlite3.Connection) -> None:
        coordinator = SqliteCoordinator(bank, "s", "coordinator")
        records = SqliteRecords(bank, "s", [coordinator.table])
        assert records.tables() == ["bank.acct"]
        (batch,) = records.records("bank.acct")
        assert len(coordinator.lookup([record.tx_id or "" for record in batch])) == 500
        assert (batch[0].key, batch[0].tx_id, batch[0].tx_state) == ("1", "t1", 3)
        assert coordinator.oldest_created_at() == 1763700000001
        assert [row.tx_id for row in coordinator.rows_newer_than(1763700000499)] == ["t500"]

    def test_more_transactions_than_a_statement_has_parameters(self, bank: sqlite3.Connection) -> None:
        bank.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
        wanted = [f"t{number}" for number in range(3000)]
        assert len(SqliteCoordinator(bank, "s", "coordinator").lookup(wanted)) == 500

    def test_an_old_coordinator_without_children(self, session: sqlite3.Connection) -> None:
        session.execute('CREATE TABLE "c$state" (tx_id TEXT, tx_state INT, tx_created_at BIGINT)')
        session.execute("INSERT INTO \"c$state\" VALUES ('t', 3, 1)")
        coordinator = SqliteCoordinator(session, "s", "c")
        assert coordinator.exists()
        assert not SqliteCoordinator(session, "s", "d").exists()
        assert coordinator.lookup(["t"])["t"].child_ids == ()

    def test_keys_stay_apart(self, session: sqlite3.Connection) -> None:
        marks = "tx_id, tx_state, tx_version, tx_prepared_at, tx_committed_at"
        session.execute(f'CREATE TABLE "n$two" (b BLOB, a TEXT, {marks}, PRIMARY KEY (a, b))')
        session.execute(f'CREATE TABLE "n$none" ({marks})')
        session.execute("INSERT INTO \"n$two\" VALUES (x'00ff', 'k', 't', 3, 1, 1, 1)")
        session.execute("INSERT INTO \"n$none\" VALUES ('t', 3, 1, 1, 1)")
        records = SqliteRecords(session, "s")
        assert [batch[0].key for table in records.tables() for batch in records.records(table)] == ["1", "k/00ff"]
