"""The swap: who is in the way, what lies beside, and death at every step."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from midtime.errors import StoreUnreachableError
from midtime.model.restore_point import RestorePoint
from midtime.stores.base import Target
from midtime.stores.sqlite import placing
from tests.answers import refusal
from tests.unit.processes import FORK
from tests.unit.stores.sqlite.setting import (
    EMPTY,
    HOLDER,
    LIVE,
    RESTORED,
    SUM,
    SqliteSetting,
    elsewhere,
    execute,
    good,
    make_database,
    place,
    process,
    setting_of,
)


def leave_a_log(path: Path) -> None:
    """A program commits into the log alone, and is killed."""
    with process(HOLDER, str(path), "PRAGMA journal_mode = WAL", "PRAGMA wal_autocheckpoint = 0", EMPTY):
        pass
    assert os.path.getsize(f"{path}-wal")


def bring_into(state: str, path: Path) -> None:
    """Change the live file after its backup: emptied, and then ``with a log``, ``damaged``, ``lost``, as the words say."""
    elsewhere(path, EMPTY)
    if "log" in state:
        elsewhere(path, 'UPDATE "bank$acct" SET balance = 1')
        leave_a_log(path)
    if "damaged" in state:
        path.write_bytes(b"no database any more")
    if "lost" in state:
        path.unlink()


def test_again_as_a_retry_would(setting: SqliteSetting, planned: tuple[RestorePoint, Target]) -> None:
    place(setting, planned)
    good(setting, planned[1])
    place(setting, planned)
    good(setting, planned[1])
    setting.store.discard(planned[1])
    good(setting, planned[1], names=2)


def test_the_products_may_write_before_it_is_tried_again(setting: SqliteSetting, planned: tuple[RestorePoint, Target]) -> None:
    place(setting, planned)
    elsewhere(setting.path, "DELETE FROM notes")
    place(setting, planned)
    assert elsewhere(setting.path, "SELECT count(*) FROM notes") == "[(0,)]"
    good(setting, planned[1])


def test_a_log_is_written_back_and_not_into_the_new_file(wal: SqliteSetting) -> None:
    planned = wal.restored(in_place=True)
    leave_a_log(wal.path)
    place(wal, planned)
    assert not [name for name in wal.files() if name.endswith("-wal")]  # what is kept is whole without
    good(wal, planned[1])


def test_the_log_alone_would_undo_the_restore(wal: SqliteSetting) -> None:
    """The negative control: what SQLite does with an old log beside a new file."""
    _, target = wal.restored(in_place=True)
    leave_a_log(wal.path)
    os.replace(target.working, wal.path)
    assert elsewhere(wal.path, SUM) == LIVE
    assert elsewhere(wal.path, "PRAGMA integrity_check") == "[('ok',)]"  # and nothing tells


def test_a_hot_journal_is_rolled_back_first(folder: Path, tmp_path: Path) -> None:
    setting = setting_of(tmp_path, make_database(folder / "bank.db", journal_mode="delete"))
    planned = setting.restored(in_place=True)
    elsewhere(setting.path, EMPTY)
    with process(HOLDER, str(setting.path), "PRAGMA cache_size = 1", "BEGIN", 'UPDATE "bank$acct" SET balance = 7'):
        pass
    assert "bank.db-journal" in setting.files()
    place(setting, planned)
    good(setting, planned[1])


@pytest.mark.parametrize("end", ["-wal", "-journal"])
def test_a_damaged_file_is_replaced_with_all_that_belongs_to_it(wal: SqliteSetting, end: str) -> None:
    """It cannot be opened, so its log cannot be written back: it is kept, and does not meet the new file."""
    planned = wal.restored(in_place=True)
    leave_a_log(wal.path)
    log = Path(f"{wal.path}-wal").read_bytes()
    os.rename(f"{wal.path}-wal", f"{wal.path}{end}")
    wal.path.write_bytes(b"no database any more")
    place(wal, planned)
    assert planned[1].aside
    assert elsewhere(wal.path, SUM) == RESTORED
    assert Path(planned[1].aside).read_bytes() == b"no database any more"
    assert Path(f"{planned[1].aside}{end}").read_bytes() == log
    assert not (wal.files() & {"bank.db-wal", "bank.db-shm", "bank.db-journal"})


def test_a_file_whose_pages_are_broken_is_replaced(setting: SqliteSetting, planned: tuple[RestorePoint, Target]) -> None:
    with setting.path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3000)
    place(setting, planned)
    assert elsewhere(setting.path, SUM) == RESTORED


@pytest.mark.parametrize("end", ["-wal", "-journal"])
def test_a_lost_file_whose_log_is_left(wal: SqliteSetting, end: str) -> None:
    planned = wal.restored(in_place=True)
    leave_a_log(wal.path)
    os.rename(f"{wal.path}-wal", f"{wal.path}{end}")
    wal.path.unlink()
    place(wal, planned)
    assert elsewhere(wal.path, SUM) == RESTORED
    assert Path(f"{planned[1].aside}{end}").stat().st_size


def test_a_lost_file(setting: SqliteSetting) -> None:
    """The disaster itself: there is nothing to open and nothing to keep aside."""
    setting.path.chmod(0o640)
    manifest = setting.published()
    setting.path.unlink()
    target = setting.store.target(None, run="abc123", drill=False, in_place=True)
    assert all(ok for ok in (check.ok for check in _asked(setting, target, manifest)))
    setting.restore(manifest, target)
    for _ in range(2):
        setting.store.place(manifest.stores[0], target)
    setting.store.discard(target)
    assert elsewhere(setting.path, SUM) == RESTORED
    assert setting.files() == {"bank.db"}
    assert stat.S_IMODE(setting.path.stat().st_mode) == 0o640


def _asked(setting: SqliteSetting, target: Target, manifest: RestorePoint) -> list[Any]:
    from midtime.stores.base import ask

    return list(ask("accounts", setting.store.restore_questions(target, manifest.stores[0])))


@pytest.mark.parametrize("statements", [("BEGIN", "SELECT * FROM notes"), ("BEGIN IMMEDIATE", "DELETE FROM notes"), ("BEGIN EXCLUSIVE",)])
def test_somebody_has_it_locked(setting: SqliteSetting, planned: tuple[RestorePoint, Target], statements: tuple[str, ...]) -> None:
    with process(HOLDER, str(setting.path), *statements):
        with pytest.raises(StoreUnreachableError, match="is in use") as caught:
            place(setting, planned)
        assert caught.value.retryable
        assert not os.path.lexists(planned[1].aside or "")
    assert elsewhere(setting.path, SUM) == LIVE
    place(setting, planned)
    with suppress(FileNotFoundError):  # of the killed program; SQLite takes it for none, and we take no chances
        os.unlink(f"{planned[1].aside}-journal")
    good(setting, planned[1])


def test_somebody_has_it_open_with_a_log_and_does_nothing(wal: SqliteSetting) -> None:
    planned = wal.restored(in_place=True)
    with process(HOLDER, str(wal.path), EMPTY), pytest.raises(StoreUnreachableError, match="is in use"):
        place(wal, planned)
    assert elsewhere(wal.path, SUM) == LIVE


def test_nobody_gets_in_between(setting: SqliteSetting, planned: tuple[RestorePoint, Target], monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    replace = os.replace

    def look_first(source: str, target: str) -> None:
        said.append(elsewhere(target, "DELETE FROM notes", timeout=0))
        replace(source, target)

    monkeypatch.setattr(placing.os, "replace", look_first)
    place(setting, planned)
    assert said == ["sqlite3.OperationalError: database is locked"]
    good(setting, planned[1])


def test_a_program_that_begins_with_the_new_file_while_we_still_close_the_old_one(
    wal: SqliteSetting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite, closing the old file, must not take away what now belongs to the new one."""
    planned = wal.restored(in_place=True)
    leave_a_log(wal.path)
    replace, begun = os.replace, []

    def begin(source: str, target: str) -> None:
        replace(source, target)
        begun.append(process(HOLDER, target, "UPDATE notes SET b = 'new'"))
        begun[0].__enter__()

    monkeypatch.setattr(placing.os, "replace", begin)
    place(wal, planned)
    assert {"bank.db-wal", "bank.db-shm"} <= wal.files()
    begun[0].__exit__(None, None, None)
    assert elsewhere(wal.path, "SELECT DISTINCT b FROM notes") == "[('new',)]"
    assert elsewhere(planned[1].aside or "", SUM) == LIVE


def killed_at(step: int, work: Callable[[], None]) -> bool:
    """Fork a process that is killed before its step-th change of the file system; False when it came to its end."""

    def run() -> None:
        left = [step]
        for name in ("link", "unlink", "rename", "replace", "chmod", "chown", "fsync"):
            setattr(os, name, _counting(getattr(os, name), left))
        work()
        os._exit(0)

    child = FORK.Process(target=run, daemon=True)
    child.start()
    child.join(60)
    assert child.exitcode in (0, -signal.SIGKILL)
    return child.exitcode != 0


def _counting(function: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    def counted(*args: Any, **kwargs: Any) -> Any:
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return function(*args, **kwargs)

    return counted


@pytest.mark.parametrize("state", ["at rest", "with a log", "damaged with a log", "lost with a log"])
@pytest.mark.parametrize("then", ["tried again", "given up"])
def test_killed_at_every_step(wal: SqliteSetting, tmp_path: Path, state: str, then: str) -> None:
    manifest, target = wal.restored(in_place=True)
    bring_into(state, wal.path)
    shutil.copytree(wal.path.parent, tmp_path / "saved")
    before = wal.path.read_bytes() if wal.path.exists() else None
    steps = 0
    while killed_at(steps, lambda: wal.store.place(manifest.stores[0], target)):
        steps += 1
        assert os.path.lexists(wal.path) or before is None, "the name vanished"
        if then == "tried again":
            wal.store.place(manifest.stores[0], target)
            assert elsewhere(wal.path, SUM) == RESTORED
            check_what_was_kept(target, before)
        wal.store.discard(target)
        assert not [name for name in wal.files() if name.startswith("midtime_tmp_")]
        if then == "given up":
            check_what_is_live(wal, target, before)
        shutil.rmtree(wal.path.parent)
        shutil.copytree(tmp_path / "saved", wal.path.parent)
    assert steps >= 6


def check_what_was_kept(target: Target, before: bytes | None) -> None:
    assert target.aside
    if before is None or before.startswith(b"no database"):
        assert os.path.getsize(f"{target.aside}-wal")
    else:
        assert elsewhere(target.aside, SUM) == LIVE


def check_what_is_live(setting: SqliteSetting, target: Target, before: bytes | None) -> None:
    """The old file with its log, or the new one without; and no second name of either."""
    now = setting.path.read_bytes() if setting.path.exists() else None
    if now is None:
        assert any(os.path.exists(f"{path}-wal") and os.path.getsize(f"{path}-wal") for path in (setting.path, target.aside))
    elif now == before and before.startswith(b"no database"):
        assert os.path.getsize(f"{setting.path}-wal"), "it has its log back"
        assert not os.path.lexists(f"{target.aside}-wal")
    else:
        assert elsewhere(setting.path, SUM) in (LIVE, RESTORED)
        assert setting.path.stat().st_nlink == 1
        assert not os.path.lexists(f"{setting.path}-wal")


def test_an_older_library(setting: SqliteSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    execute(setting.path, "CREATE TABLE s (a INT) STRICT")
    manifest = setting.published()
    target = setting.store.target(None, run="abc123", drill=True, in_place=False)
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    assert "needs SQLite 3.37.0" in refusal(setting.store.restore_questions(target, manifest.stores[0])).message
