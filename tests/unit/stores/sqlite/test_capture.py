"""The instant: what other processes commit before, at and after it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from midtime.errors import CopyError, StoreAccessError, StoreUnreachableError
from midtime.model.instants import utc_now
from midtime.stores import staging
from midtime.stores.sqlite import capture as module
from midtime.stores.sqlite import files
from tests.unit.stores.sqlite.setting import (
    HOLDER,
    TOTAL,
    SqliteSetting,
    elsewhere,
    execute,
    make_database,
    process,
    setting_of,
)

WRITER = """
import sqlite3, sys, time
session = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
session.execute("PRAGMA synchronous = OFF")
print("up", flush=True)
for number in range(10 ** 9):
    began = time.time()
    session.execute("BEGIN IMMEDIATE")
    session.execute("INSERT INTO notes VALUES (?, 'w')", (number,))
    session.execute("UPDATE \\"bank$acct\\" SET balance = balance - 1 WHERE id = ?", (number % 250 + 1,))
    session.execute("UPDATE \\"bank$acct\\" SET balance = balance + 1 WHERE id = ?", (number % 250 + 251,))
    session.execute("COMMIT")
    print(number, began, time.time(), flush=True)
    time.sleep(float(sys.argv[2]))
"""
TRANSFER = 'UPDATE "bank$acct" SET balance = balance + CASE WHEN id <= 250 THEN -10 ELSE 10 END'


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small file is copied in many."""
    monkeypatch.setattr(module, "STEP", 4096)


@pytest.mark.parametrize("pause", ["0", "0.001"])
def test_what_is_committed_before_is_in_what_is_committed_after_is_not(setting: SqliteSetting, tmp_path: Path, pause: str) -> None:
    with process(WRITER, str(setting.path), pause) as writer:
        time.sleep(0.3)
        for _ in range(5):
            with module.armed_file(str(setting.path), tmp_path / "copy.db") as armed:
                capture = armed.fix(lambda _: time.sleep(0.01))
                capture.copy_pages(lambda _: time.sleep(0.01))
            instant = capture.midtime.timestamp()
            held = {number for (number,) in execute(tmp_path / "copy.db", "SELECT a FROM notes WHERE b = 'w'")}
            assert execute(tmp_path / "copy.db", 'SELECT sum(balance) FROM "bank$acct"') == [(TOTAL,)]
            (tmp_path / "copy.db").unlink()
            told = []
            while not told or told[-1][1] < instant:
                assert writer.stdout
                number, began, ended = writer.stdout.readline().split()
                told.append((int(number), float(began), float(ended)))
            for number, began, ended in told:
                assert number in held or ended >= instant, f"committed {instant - ended:.6f} s before the midtime, and not in it"
                assert number not in held or began <= instant, f"begun {began - instant:.6f} s after the midtime, and in it"
        assert len(told) >= 1


def test_writers_go_on_beside_a_log_and_the_copy_does_not_see_them(wal: SqliteSetting) -> None:
    said: list[str] = []

    def say(line: str) -> None:
        said.append(elsewhere(wal.path, "UPDATE notes SET b = 'late'") if line.startswith("copied") else line)

    store = wal.store
    with store.capture() as capture:
        elsewhere(wal.path, "DELETE FROM notes WHERE a IS NULL")
        backup = store.copy(capture, wal.shelf(), say)
    assert said[:-1] == ["[]"] * 10  # every write went through, and no page was copied twice
    assert {table.name: table.rows for table in backup.tables}["notes"] == 3
    manifest = backup.tables
    assert wal.back_up()[1].tables != manifest


@pytest.mark.parametrize("journal_mode", ["delete", "truncate", "persist"])
def test_commits_wait_for_the_copy_beside_a_journal(setting: SqliteSetting, tmp_path: Path) -> None:
    """Each of them would make SQLite begin again; and the lock goes with the pages, not with the upload."""
    said: list[str] = []

    def commit(_: str) -> None:
        said.append(elsewhere(setting.path, "UPDATE notes SET b = 'late'", timeout=0))

    with module.armed_file(str(setting.path), tmp_path / "copy.db") as armed:
        armed.fix(commit).copy_pages(commit)
        commit("")
    assert said[:-1] == ["sqlite3.OperationalError: database is locked"] * 10
    assert said[-1] == "[]"


@pytest.mark.parametrize("journal_mode", ["delete", "truncate", "persist"])
def test_commits_wait_for_nothing_but_the_pages(setting: SqliteSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for the sweeping of staging folders before, nor for the destination, which is asked between capture and copy."""
    said: list[str] = []

    def commit() -> None:
        said.append(elsewhere(setting.path, "UPDATE notes SET b = 'late'", timeout=0))

    sweep = staging.sweep
    monkeypatch.setattr(staging, "sweep", lambda root: (commit(), sweep(root))[1])
    store = setting.store
    with store.capture() as capture:
        commit()
        store.copy(capture, setting.shelf(), lambda _: commit())
    assert len(said) >= 3
    assert set(said) == {"[]"}


def test_a_file_reached_by_another_name(wal: SqliteSetting, folder: Path) -> None:
    """SQLite would look for the log beside the link, and what was committed last would be missing without a word."""
    os.link(wal.path, folder / "link.db")
    with pytest.raises(StoreAccessError, match="has other names") as caught:
        wal.back_up()
    assert not caught.value.retryable
    (folder / "link.db").rename(folder / "midtime_tmp_1f2e3d_accounts.db")
    with pytest.raises(StoreUnreachableError, match="being put in place") as waiting:
        wal.back_up()
    assert waiting.value.retryable
    (folder / "midtime_tmp_1f2e3d_accounts.db").unlink()
    assert wal.back_up()


def test_a_commit_between_snapshot_and_clock_is_noticed(wal: SqliteSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = []

    def now() -> object:
        if not clock:
            elsewhere(wal.path, "INSERT INTO notes VALUES (2, 'between')")
        clock.append(utc_now())
        return clock[-1]

    monkeypatch.setattr(module, "utc_now", now)
    _, backup = wal.back_up()
    assert len(clock) == 2
    assert backup.midtime == clock[1]
    assert {table.name: table.rows for table in backup.tables}["notes"] == 4


def test_commits_without_end(wal: SqliteSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRIES", 3)
    monkeypatch.setattr(module, "utc_now", lambda: elsewhere(wal.path, "INSERT INTO notes VALUES (2, 'again')"))
    with pytest.raises(StoreUnreachableError, match="commits come too fast"):
        wal.back_up()


def test_a_log_that_a_killed_program_left(wal: SqliteSetting) -> None:
    """Its last commits are nowhere else. A plain copy of the file lacks them: the negative control."""
    with process(
        HOLDER, str(wal.path), "PRAGMA wal_autocheckpoint = 0", "UPDATE notes SET b = 'in the log'", "DELETE FROM notes WHERE a = 1"
    ):
        plain = make_copy(wal.path)
    assert {"bank.db-wal", "bank.db-shm"} <= wal.files()
    _, backup = wal.back_up()
    assert {table.name: table.rows for table in backup.tables}["notes"] == 1
    assert execute(plain, "SELECT count(*) FROM notes") == [(3,)]


def test_a_journal_that_a_killed_program_left(folder: Path, tmp_path: Path) -> None:
    """What it did not commit is undone before it is copied."""
    setting = setting_of(tmp_path, make_database(folder / "bank.db", journal_mode="delete"))
    with process(HOLDER, str(setting.path), "PRAGMA cache_size = 1", "BEGIN", 'UPDATE "bank$acct" SET balance = 0'):
        plain = make_copy(setting.path)
    assert "bank.db-journal" in setting.files()
    _, target = setting.restored()
    assert execute(target.working, 'SELECT sum(balance) FROM "bank$acct"') == [(TOTAL,)]
    assert execute(plain, 'SELECT sum(balance) FROM "bank$acct"') != [(TOTAL,)]


def test_a_plain_copy_under_load_is_torn_and_ours_is_not(setting: SqliteSetting, tmp_path: Path) -> None:
    """The same transfer in the middle of both."""
    with setting.path.open("rb", buffering=0) as source:
        plain = source.read(setting.path.read_bytes().index(b"owner 250t250"))
        elsewhere(setting.path, TRANSFER)
        plain += source.read()
    (tmp_path / "plain.db").write_bytes(plain)
    broken = elsewhere(tmp_path / "plain.db", "PRAGMA integrity_check")
    total = elsewhere(tmp_path / "plain.db", 'SELECT sum(balance) FROM "bank$acct"')
    assert (broken, total) != ("[('ok',)]", f"[({TOTAL},)]")

    def transfer(_: str) -> None:
        elsewhere(setting.path, TRANSFER, timeout=0)

    with module.armed_file(str(setting.path), tmp_path / "ours.db") as armed:
        armed.fix(transfer).copy_pages(transfer)
    assert elsewhere(tmp_path / "ours.db", "PRAGMA integrity_check") == "[('ok',)]"
    assert elsewhere(tmp_path / "ours.db", 'SELECT sum(balance) FROM "bank$acct"') == f"[({TOTAL},)]"


def test_somebody_s_lock(setting: SqliteSetting, journal_mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BUSY_SECONDS", 0.2)
    with process(HOLDER, str(setting.path), "PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE", "DELETE FROM notes"):
        with pytest.raises(StoreUnreachableError, match="locked") as caught:
            setting.back_up()
        assert caught.value.retryable
    assert setting.back_up()


@pytest.mark.parametrize("journal_mode", ["delete"])
def test_a_short_lock_is_waited_for_and_the_clock_is_read_afterwards(setting: SqliteSetting) -> None:
    commit = "time.sleep(0.5); print(time.time(), flush=True); session.execute('COMMIT'); time.sleep(60)"
    with process(HOLDER.replace("time.sleep(60)", commit), str(setting.path), "BEGIN EXCLUSIVE", "DELETE FROM notes") as holder:
        _, backup = setting.back_up()
        assert holder.stdout
        assert backup.midtime.timestamp() > float(holder.stdout.readline())
    assert backup.rows == 1000


def test_a_capture_that_is_given_up_lets_go(setting: SqliteSetting) -> None:
    def fail() -> None:
        with setting.store.capture():
            raise CopyError("no")

    with pytest.raises(CopyError):
        fail()
    assert elsewhere(setting.path, "DELETE FROM notes", timeout=0) == "[]"


def make_copy(path: Path) -> Path:
    plain = path.parent.parent / "plain.db"
    plain.write_bytes(path.read_bytes())
    return plain
