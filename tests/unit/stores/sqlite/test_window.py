"""Armed long before the instant: what is committed meanwhile is in, who commits then is not held up, and what changed below us is noticed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from midtime.errors import CopyError, StoreAccessError, StoreUnreachableError
from midtime.stores.sqlite import capture as module
from midtime.stores.sqlite import files
from tests.unit.stores.sqlite.setting import HOLDER, SqliteSetting, elsewhere, execute, make_database, process

NOTE = "INSERT INTO notes VALUES (9, 'new')"
NOTES = "SELECT count(*) FROM notes WHERE a = 9"


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small file is copied in many."""
    monkeypatch.setattr(module, "STEP", 4096)


@contextmanager
def armed_on(setting: SqliteSetting, file: Path) -> Iterator[module.ArmedFile]:
    with module.armed_file(str(setting.path), file) as armed:
        yield armed


def copying() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("pages")]


def test_what_is_committed_between_arming_and_the_capture_is_in(setting: SqliteSetting, tmp_path: Path) -> None:
    with armed_on(setting, tmp_path / "copy.db") as armed:
        assert elsewhere(setting.path, NOTE, timeout=0) == "[]", "nobody waits for what is only armed"
        capture = armed.fix()
        elsewhere(setting.path, NOTE)
        capture.copy_pages(lambda _: None)
    assert execute(tmp_path / "copy.db", NOTES) == [(1,)]


def test_an_armed_file_that_is_left_leaves_nothing(setting: SqliteSetting, tmp_path: Path) -> None:
    before = setting.files()
    with setting.store.arm():
        pass
    assert copying() == []
    assert elsewhere(setting.path, "VACUUM", timeout=0) == "[]"
    assert setting.files() == before


@pytest.mark.parametrize("journal_mode", ["delete"])
def test_beside_a_journal_the_lock_ends_with_the_pages_whoever_waits(setting: SqliteSetting, tmp_path: Path) -> None:
    """The window and the catalog come between capture and copy; neither keeps a commit waiting."""
    begun, go_on = threading.Event(), threading.Event()

    def say(_: str) -> None:
        begun.set()
        go_on.wait(60)

    with armed_on(setting, tmp_path / "copy.db") as armed:
        capture = armed.fix(say)
        assert begun.wait(60), "fix() returns, and the pages are on their way"
        assert elsewhere(setting.path, NOTE, timeout=0).endswith("database is locked")
        go_on.set()
        assert elsewhere(setting.path, NOTE, timeout=60) == "[]", "nobody asked for the copy yet"
        capture.copy_pages(say)
    assert execute(tmp_path / "copy.db", NOTES) == [(0,)]


@pytest.mark.parametrize("journal_mode", ["delete"])
def test_a_capture_that_is_given_up_while_it_is_copied(setting: SqliteSetting, tmp_path: Path) -> None:
    said: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def say(line: str) -> None:
        said.append(line)
        begun.set()
        go_on.wait(60)

    def give_up() -> None:
        with armed_on(setting, tmp_path / "copy.db") as armed:
            armed.fix(say)
            assert begun.wait(60)
            armed.given_up.set()  # as on leaving, which would wait for the step that is on its way
            go_on.set()
            raise CopyError("the window is void")

    with pytest.raises(CopyError, match="void"):
        give_up()
    assert len(said) == 1, "the rest of the pages was not copied"
    assert copying() == []
    assert elsewhere(setting.path, NOTE, timeout=0) == "[]"


@pytest.mark.parametrize("journal_mode", ["delete"])
def test_leaving_gives_up(setting: SqliteSetting, tmp_path: Path) -> None:
    with armed_on(setting, tmp_path / "copy.db") as armed:
        assert not armed.given_up.is_set()
    assert armed.given_up.is_set()


def test_a_file_that_was_replaced(setting: SqliteSetting, tmp_path: Path) -> None:
    """SQLite would go on reading the old one, which nobody uses any more."""
    make_database(tmp_path / "other.db")
    with armed_on(setting, tmp_path / "copy.db") as armed:
        os.replace(tmp_path / "other.db", setting.path)
        with pytest.raises(CopyError, match="is another file"):
            armed.fix()


def test_a_file_that_is_gone(setting: SqliteSetting, tmp_path: Path) -> None:
    with armed_on(setting, tmp_path / "copy.db") as armed:
        setting.path.rename(tmp_path / "gone.db")
        with pytest.raises((CopyError, StoreUnreachableError)):
            armed.fix()


def test_a_second_name_since_then(wal: SqliteSetting, tmp_path: Path) -> None:
    with armed_on(wal, tmp_path / "copy.db") as armed:
        os.link(wal.path, tmp_path / "link.db")
        with pytest.raises(StoreAccessError, match="has other names"):
            armed.fix()


@pytest.mark.parametrize("journal_mode", ["delete"])
def test_a_log_since_then(setting: SqliteSetting, tmp_path: Path) -> None:
    """Commits go on beside it, so the clock must be read between two of them, and no copy is begun behind the window's back."""
    with armed_on(setting, tmp_path / "copy.db") as armed:
        assert elsewhere(setting.path, "PRAGMA journal_mode = wal") == "[('wal',)]"
        capture = armed.fix()
        assert capture.wal
        assert capture.copying is None
        assert elsewhere(setting.path, NOTE, timeout=0) == "[]"
        capture.copy_pages(lambda _: None)
    assert execute(tmp_path / "copy.db", NOTES) == [(0,)]


@pytest.mark.parametrize("journal_mode", ["delete"])
def test_a_lock_at_the_instant_is_an_error_of_ours(setting: SqliteSetting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BUSY_SECONDS", 0.1)
    with (
        armed_on(setting, tmp_path / "copy.db") as armed,
        process(HOLDER, str(setting.path), "BEGIN EXCLUSIVE", "DELETE FROM notes"),
        pytest.raises(StoreUnreachableError, match="locked"),
    ):
        armed.fix()


@pytest.mark.parametrize("journal_mode", ["delete"])
def test_what_the_copy_met_is_told_to_whoever_waits_for_it(setting: SqliteSetting, tmp_path: Path) -> None:
    with armed_on(setting, tmp_path / "no folder" / "copy.db") as armed:
        capture = armed.fix()
        with pytest.raises(StoreAccessError, match="no folder"):
            capture.copy_pages(lambda _: None)
