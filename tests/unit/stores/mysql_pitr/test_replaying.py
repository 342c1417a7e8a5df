"""What a server is told in a replay: row events under working databases' names, and nothing else."""

from __future__ import annotations

from base64 import b64decode
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.errors import RestoreFailedError, TargetExistsError
from midtime.stores.mysql.connections import Session
from midtime.stores.mysql_pitr import events, replaying
from midtime.stores.mysql_pitr.events import FIRST, ROWS, Event, Kind
from midtime.stores.mysql_pitr.segments import Segment
from tests.unit.stores.mysql_pitr.binlog import BORN, Log, query

NAMES = {"bank": "midtime_tmp_1_bank", "coordinator": "midtime_tmp_1_coordinator"}
DATABASES = ["bank", "coordinator", "other", "mysql", "midtime_tmp_1_bank"]
STATEMENTS = st.lists(st.tuples(st.sampled_from(DATABASES), st.sampled_from("ab"), st.integers(1, 200)), min_size=1, max_size=4)


class Server:
    """Takes statements."""

    mariadb = True

    def __init__(self) -> None:
        self.said: list[str] = []

    def rows(self, query: str) -> list[Any]:
        self.said.append(query)
        return []

    def value(self, query: str) -> int:
        return 1

    @property
    def executed(self) -> list[list[Event]]:
        """The events of each BINLOG statement."""
        packed = [said.removeprefix("BINLOG '").removesuffix("'") for said in self.said if said.startswith("BINLOG")]
        return [[events.parse(raw, checksum=True) for raw in replaying.split([b64decode(each)])] for each in packed]


def segment(log: Log) -> Segment:
    return Segment(after=f"bin.000001:{FIRST}", file="bin.000001", start=FIRST, end=log.at, born=BORN, longest=0)


def run(log: Log, names: dict[str, str] = NAMES) -> Server:
    server = Server()
    replaying.replay(cast(Session, server), names, [(segment(log), iter(log.raws))], lambda _: None)
    return server


@given(st.lists(STATEMENTS, max_size=5))
def test_nothing_but_rows_of_ours_under_working_names(transactions: list[list[tuple[str, str, int]]]) -> None:
    log = Log()
    for statements in transactions:
        log.transaction(*statements)
    server = run(log)
    assert {said for said in server.said if not said.startswith("BINLOG '")} <= {
        "SET SESSION binlog_annotate_row_events = OFF",
        "START TRANSACTION",
        "COMMIT",
    }
    assert [said for said in server.said if not said.startswith("BINLOG '")][-1] == "COMMIT"
    header, *batches = server.executed
    assert [event.kind for event in header] == [Kind.FORMAT]
    expected = [(NAMES[db], table) for stmts in transactions for db, table, count in stmts if db in NAMES for _ in range(count)]
    assert [table for batch in batches for table in _tables_of_rows(batch)] == expected


def _tables_of_rows(batch: list[Event]) -> list[tuple[str, str]]:
    """As a server understands a statement: it ends with a statement's end, and each statement announces its tables."""
    assert {event.kind for event in batch} <= ROWS | {Kind.TABLE_MAP}
    assert events.ends_statement(batch[-1])
    known: dict[bytes, tuple[str, str]] = {}
    found = []
    for event in batch:
        if event.kind == Kind.TABLE_MAP:
            known[events.table_id(event)] = events.table(event)
        else:
            found.append(known[events.table_id(event)])
            if events.ends_statement(event):
                known.clear()
    return found


def test_small_statements_go_together_and_large_ones_are_cut() -> None:
    small = Log()
    for _ in range(300):
        small.transaction(("bank", "a", 1))
    assert 2 < len(run(small).executed) < 50
    assert 2 < len(run(Log().transaction(("bank", "a", 1000))).executed) < 50


def test_long_replays_are_committed_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "COMMIT", 10_000)
    log = Log()
    for _ in range(1000):
        log.transaction(("bank", "a", 1))
    said = run(log).said
    assert said.count("COMMIT") == said.count("START TRANSACTION") > 5


@pytest.mark.parametrize("name", ["bank", "", "tmp", "xmidtime_tmp_1"])
def test_names_that_are_no_working_names(name: str) -> None:
    with pytest.raises(TargetExistsError):
        run(Log().transaction(("bank", "a", 1)), {"bank": name})


def test_what_cannot_be_replayed() -> None:
    """It was refused when it was kept: now it is not what it was."""
    with pytest.raises(RestoreFailedError, match="changes more than rows"):
        run(Log().add(Kind.QUERY, query("TRUNCATE bank.acct")))
    cut = Log().transaction(("bank", "a", 1))
    cut.at -= len(cut.raws.pop())
    with pytest.raises(RestoreFailedError, match="within a transaction"):
        run(cut)


def test_another_file() -> None:
    log = Log()
    other = segment(log).model_copy(update={"born": 1})
    with pytest.raises(RestoreFailedError, match="begun anew"):
        replaying.replay(cast(Session, Server()), NAMES, [(other, iter(log.raws))], lambda _: None)
