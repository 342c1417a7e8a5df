"""Every way in which a copy may go wrong, and what a file may be that is none."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from midtime.errors import ArtifactError, CopyError, RestoreFailedError, StagingSpaceError, StoreAccessError, ToolError
from midtime.stores.base import ask
from midtime.stores.sqlite import packing, placing
from tests.answers import refusal
from tests.unit.processes import kill_when_it_says_so
from tests.unit.stores.sqlite.setting import (
    ROWS,
    SCHEMA,
    SqliteSetting,
    elsewhere,
    execute,
    make_database,
    setting_of,
    unprivileged,
)


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """What a full disk does to whoever writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def overwrite(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def test_a_broken_page(setting: SqliteSetting) -> None:
    ((root,),) = execute(setting.path, "SELECT rootpage FROM sqlite_schema WHERE name = 'bank$acct'")
    overwrite(setting.path, (root - 1) * 4096, b"\xff" * 4096)
    with pytest.raises(CopyError, match=r"bank.db is damaged: .*page"):
        setting.back_up()
    assert not (setting.catalog.root / "bank").exists()


def test_one_letter_that_no_page_s_structure_shows(setting: SqliteSetting) -> None:
    """Rows can be read and counted; only SQLite's full check sees that index and table differ."""
    raw = setting.path.read_bytes()
    overwrite(setting.path, raw.index(b"owner 77t77"), b"owner 78t77")
    with pytest.raises(CopyError, match=r"missing from index index\$bank\$acct\$owner"):
        setting.back_up()


def test_a_broken_schema_is_found_by_the_preflight(setting: SqliteSetting) -> None:
    overwrite(setting.path, 100, b"\xff" * 3000)
    assert isinstance(refusal(setting.store.questions()), StoreAccessError)


@pytest.mark.parametrize(
    ("statement", "said"),
    [("CREATE TABLE t (a COLLATE mine PRIMARY KEY)", "no such collation sequence: mine"), ("CREATE TABLE t (a CHECK (mine(a)))", "mine()")],
)
def test_what_only_the_application_can_check(setting: SqliteSetting, statement: str, said: str) -> None:
    with closing(sqlite3.connect(setting.path)) as session:
        session.create_collation("mine", lambda one, other: (one > other) - (one < other))
        session.create_function("mine", 1, lambda value: value, deterministic=True)
        session.execute(statement)
    error = refusal(setting.store.questions())
    assert isinstance(error, StoreAccessError)
    assert said in error.message


def test_a_full_staging_disk(setting: SqliteSetting, tmp_path: Path) -> None:
    with no_file_longer_than(setting.path.stat().st_size // 2), pytest.raises(StagingSpaceError, match="cannot write"):
        setting.back_up()
    assert list((tmp_path / "staging").iterdir()) == []
    assert elsewhere(setting.path, "DELETE FROM notes", timeout=0) == "[]"


def test_a_staging_disk_that_is_too_small(setting: SqliteSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 10))
    assert isinstance(refusal(setting.store.questions()), StagingSpaceError)
    with pytest.raises(StagingSpaceError):
        setting.back_up()


def test_a_full_target_disk(setting: SqliteSetting) -> None:
    manifest = setting.published()
    target = setting.store.target(None, run="abc123", drill=True, in_place=False)
    with no_file_longer_than(setting.path.stat().st_size // 2), pytest.raises(StagingSpaceError, match="cannot write"):
        setting.restore(manifest, target)
    setting.restore(manifest, target)
    assert setting.look(manifest, target).good


def test_a_target_disk_that_is_too_small(setting: SqliteSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = setting.published()
    target = setting.store.target(None, run="abc123", drill=True, in_place=False)
    size = setting.path.stat().st_size
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(size, 1, size - 1))
    assert "bytes free" in refusal(setting.store.restore_questions(target, manifest.stores[0])).message
    assert "bytes free" in refusal(setting.store.drill_questions()).message


def test_killed_while_copying(setting: SqliteSetting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midtime.stores.sqlite.capture.STEP", 4096)

    def work(here: Callable[[], NoReturn]) -> None:
        store = setting.store
        with store.capture() as capture:
            store.copy(capture, setting.shelf(), lambda _: here())

    kill_when_it_says_so(work)
    (left,) = (tmp_path / "staging").iterdir()
    assert stat.S_IMODE(left.stat().st_mode) == 0o700
    assert elsewhere(setting.path, "UPDATE notes SET b = 'free'", timeout=0) == "[]"
    setting.back_up()
    assert list((tmp_path / "staging").iterdir()) == []


def test_killed_while_restoring(setting: SqliteSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = setting.published()
    target = setting.store.target(None, run="abc123", drill=False, in_place=True)

    def work(here: Callable[[], NoReturn]) -> None:
        monkeypatch.setattr(os, "fsync", lambda _: here())
        setting.restore(manifest, target)

    kill_when_it_says_so(work)
    assert stat.S_IMODE(os.stat(target.working).st_mode) == 0o600
    setting.restore(manifest, target)
    assert setting.look(manifest, target).good
    Path(f"{target.working}-wal").write_bytes(b"x")
    setting.store.discard(target)
    setting.store.discard(target)
    assert setting.files() == {"bank.db"}


def test_an_artifact_that_was_altered_touches_nothing(setting: SqliteSetting) -> None:
    manifest = setting.published()
    target = setting.store.target(None, run="abc123", drill=True, in_place=False)
    local = Path(str(setting.catalog.folder(manifest.id)).removeprefix("file://")) / manifest.stores[0].artifacts[0].path
    overwrite(local, 1000, b"\x00\x01\x02\x03")
    with pytest.raises(ArtifactError):
        setting.restore(manifest, target)
    assert setting.files() == {"bank.db"}


def test_another_size_than_was_captured(setting: SqliteSetting) -> None:
    _, backup = setting.back_up()
    target = setting.store.target(None, run="abc123", drill=True, in_place=False)
    point, backup = setting.back_up()
    changed = backup.model_copy(update={"details": {**backup.details, "size": 1}})
    with pytest.raises(RestoreFailedError, match="not 1"):
        setting.store.restore(changed, setting.shelf(point), target, lambda _: None)


def test_a_target_disk_that_changes_what_it_is_given(setting: SqliteSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    unpack = packing.unpack

    def spoil(artifact: Path, target: str, size: int) -> None:
        unpack(artifact, target, size)
        overwrite(Path(target), 4096 * 3, b"\xff" * 4096)

    monkeypatch.setattr(packing, "unpack", spoil)
    with pytest.raises(RestoreFailedError, match="is damaged"):
        setting.restored(drill=True)


@pytest.mark.parametrize("compression", ["zstd", "zstd:3", "lz4"])
def test_compressions_that_python_lacks(setting: SqliteSetting, tmp_path: Path, compression: str) -> None:
    setting = setting_of(tmp_path, setting.path, store={"compression": compression})
    error = refusal(setting.store.questions())
    assert isinstance(error, ToolError)
    assert "gzip" in error.fix


def test_long_runs_of_nothing(folder: Path, tmp_path: Path) -> None:
    """They come out a thousand times longer than they went in, and are not gathered in memory."""
    script = SCHEMA + ROWS + "INSERT INTO notes VALUES (1, zeroblob(30000000));"
    setting = setting_of(tmp_path, make_database(folder / "bank.db", script=script))
    manifest, target = setting.restored()
    assert setting.look(manifest, target).good
    (artifact,) = (Path(setting.topology.destination.removeprefix("file://")) / "bank" / manifest.id).rglob("*.gz")
    assert artifact.stat().st_size < 1_000_000


class TestWhatIsNoDatabase:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "is empty"),
            (b"hello", "is no SQLite database"),
            (b"SQLite format 3\0", "is no SQLite"),
            (os.urandom(8192), "is no SQLite"),
        ],
        ids=["empty", "text", "a header alone", "noise"],
    )
    def test_other_files(self, folder: Path, tmp_path: Path, content: bytes, said: str) -> None:
        (folder / "other.db").write_bytes(content)
        setting = setting_of(tmp_path, folder / "other.db")
        error = refusal(setting.store.questions())
        assert isinstance(error, StoreAccessError)
        assert said in error.message
        with pytest.raises(StoreAccessError, match=said):
            setting.back_up()
        assert (folder / "other.db").read_bytes() == content

    def test_a_missing_file_is_not_made(self, folder: Path, tmp_path: Path) -> None:
        setting = setting_of(tmp_path, folder / "missing.db")
        assert "there is no file" in refusal(setting.store.questions()).message
        with pytest.raises(StoreAccessError, match="there is no file"):
            setting.back_up()
        assert list(folder.iterdir()) == []

    def test_a_folder_and_a_pipe(self, folder: Path, tmp_path: Path) -> None:
        os.mkfifo(folder / "pipe")
        for path in (folder, folder / "pipe"):
            assert "is not a file" in refusal(setting_of(tmp_path, path).store.questions()).message

    def test_a_file_that_we_may_not_read(self, open_folder: Path, tmp_path: Path) -> None:
        setting = setting_of(tmp_path, make_database(open_folder / "bank.db"))
        setting.path.chmod(0)
        with unprivileged():
            assert "cannot be read" in refusal(setting.store.questions()).message

    def test_a_file_that_we_may_only_read(self, open_folder: Path, tmp_path: Path) -> None:
        """Beside a journal that is enough; a log needs the right to write."""
        journal = setting_of(tmp_path, make_database(open_folder / "journal.db", journal_mode="delete"))
        log = setting_of(tmp_path, make_database(open_folder / "log.db"))
        for path in (journal.path, log.path):
            path.chmod(0o444)
        open_folder.chmod(0o555)
        with unprivileged():
            assert all(check.ok for check in ask("accounts", journal.store.questions()))
            with journal.store.capture() as capture:
                assert capture.pages
            error = refusal(log.store.questions())
            assert isinstance(error, StoreAccessError)
            assert "write-ahead log" in error.fix


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ('DROP TABLE "bank$acct"', "has no table bank$..."),
        ('DROP TABLE "coordinator$state"; CREATE TABLE "coordinator$other" (a)', "has no Coordinator table coordinator$state"),
        ('ALTER TABLE "coordinator$state" RENAME TO "coordinatorstate"', "has no table coordinator$..."),
        ('ALTER TABLE "scalardb$metadata" RENAME TO "meta"', "has no table scalardb$..."),
    ],
)
def test_namespaces_that_are_not_there(folder: Path, tmp_path: Path, statement: str, said: str) -> None:
    setting = setting_of(tmp_path, make_database(folder / "bank.db", script=SCHEMA + statement))
    assert said in refusal(setting.store.questions()).message


def test_a_working_name_is_required(setting: SqliteSetting) -> None:
    manifest = setting.published()
    target = setting.store.target(None, run="abc123", drill=True, in_place=False)
    for path in (str(setting.path), f"/midtime_tmp_x/{setting.path.name}"):
        wrong = type(target)(target.store, "", path, path)
        with pytest.raises(Exception, match="is no working name"):
            setting.store.discard(wrong)
        with pytest.raises(Exception, match="is no working name"):
            setting.restore(manifest, wrong)
    assert setting.path.exists()
    assert placing.taken(str(setting.path)) == [str(setting.path)]
