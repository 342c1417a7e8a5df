"""Whose file is whose, and whose rights it has, when an SQLite file is replaced."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from midtime.errors import RestoreFailedError, StoreAccessError, TargetExistsError
from midtime.model.restore_point import RestorePoint
from midtime.model.topology import Target as TargetWish
from midtime.stores.base import Target
from midtime.stores.sqlite import placing
from tests.answers import refusal
from tests.unit.stores.sqlite.setting import (
    EMPTY,
    LIVE,
    RESTORED,
    SUM,
    SqliteSetting,
    elsewhere,
    good,
    make_database,
    place,
    setting_of,
    unprivileged,
)


class TestNames:
    def test_beside_replaces_nothing(self, setting: SqliteSetting) -> None:
        manifest, target = setting.restored()
        Path(target.final).write_bytes(b"somebody's")
        assert isinstance(refusal(setting.store.restore_questions(target, manifest.stores[0])), TargetExistsError)
        with pytest.raises(TargetExistsError, match="appeared"):
            setting.store.place(manifest.stores[0], target)
        assert Path(target.final).read_bytes() == b"somebody's"

    def test_it_appears_at_the_last_moment(self, setting: SqliteSetting, monkeypatch: pytest.MonkeyPatch) -> None:
        manifest, target = setting.restored()
        monkeypatch.setattr(placing, "taken", lambda _: Path(target.final).write_bytes(b"somebody's") and [])
        with pytest.raises(TargetExistsError, match="appeared"):
            setting.store.place(manifest.stores[0], target)
        assert Path(target.final).read_bytes() == b"somebody's"

    @pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
    def test_a_stray_log_beside_the_final_name(self, setting: SqliteSetting, end: str) -> None:
        manifest, target = setting.restored()
        Path(f"{target.final}{end}").write_bytes(b"x")
        assert isinstance(refusal(setting.store.restore_questions(target, manifest.stores[0])), TargetExistsError)
        with pytest.raises(TargetExistsError, match="appeared"):
            setting.store.place(manifest.stores[0], target)

    @pytest.mark.parametrize("end", ["", "-wal"])
    def test_what_is_to_be_kept_has_its_name_taken(self, setting: SqliteSetting, planned: tuple[RestorePoint, Target], end: str) -> None:
        manifest, target = planned
        Path(f"{target.aside}{end}").write_bytes(b"somebody's")
        assert "exists already" in refusal(setting.store.restore_questions(target, manifest.stores[0])).message
        if not end:
            with pytest.raises(TargetExistsError, match="exists already"):
                place(setting, planned)
        setting.store.discard(target)
        assert Path(f"{target.aside}{end}").read_bytes() == b"somebody's"
        assert elsewhere(setting.path, SUM) == LIVE

    def test_the_working_copy_is_gone(self, setting: SqliteSetting, planned: tuple[RestorePoint, Target]) -> None:
        os.unlink(planned[1].working)
        with pytest.raises(RestoreFailedError, match="is gone"):
            place(setting, planned)

    def test_a_link_stays_a_link(self, setting: SqliteSetting, tmp_path: Path) -> None:
        link = setting.path.parent.parent / "link.db"
        link.symlink_to(setting.path)
        linked = setting_of(tmp_path, link)
        manifest, target = linked.restored(in_place=True)
        assert target.final == str(setting.path)
        assert Path(target.working).parent == setting.path.parent
        elsewhere(link, EMPTY)
        linked.store.place(manifest.stores[0], target)
        assert link.is_symlink()
        assert elsewhere(link, SUM) == RESTORED
        good(setting, target)

    def test_owner_and_mode_are_the_live_one_s(self, setting: SqliteSetting, planned: tuple[RestorePoint, Target]) -> None:
        setting.path.chmod(0o664)
        if not os.geteuid():
            os.chown(setting.path, 1234, 4321)
        before = setting.path.stat()
        place(setting, planned)
        after = setting.path.stat()
        assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
        assert after.st_ino != before.st_ino


class TestRights:
    def test_a_folder_that_we_may_not_write_to(self, open_folder: Path, tmp_path: Path) -> None:
        setting = setting_of(tmp_path, make_database(open_folder / "bank.db"))
        manifest = setting.published()
        open_folder.chmod(0o555)
        target = setting.store.target(None, run="abc123", drill=True, in_place=False)
        with unprivileged():
            for questions in (setting.store.drill_questions(), setting.store.restore_questions(target, manifest.stores[0])):
                error = refusal(questions)
                assert isinstance(error, StoreAccessError)
                assert "may not write" in error.message

    def test_somebody_else_s_file_is_not_replaced(self, open_folder: Path, tmp_path: Path) -> None:
        if os.geteuid():
            pytest.skip("needs another user's file")
        setting = setting_of(tmp_path, make_database(open_folder / "bank.db"))
        manifest = setting.published()
        target = setting.store.target(None, run="abc123", drill=False, in_place=True)
        with unprivileged():
            assert "belongs to user 0" in refusal(setting.store.restore_questions(target, manifest.stores[0])).message

    def test_a_folder_that_is_not_there(self, setting: SqliteSetting) -> None:
        manifest = setting.published()
        wish = TargetWish(path="/nowhere/at/all.db")
        target = setting.store.target(wish, run="abc123", drill=True, in_place=False)
        assert "there is no folder /nowhere/at" in refusal(setting.store.restore_questions(target, manifest.stores[0])).message

    @pytest.mark.parametrize("number", [errno.EPERM, errno.EXDEV, errno.EROFS])
    def test_a_file_system_without_links(
        self, setting: SqliteSetting, planned: tuple[RestorePoint, Target], monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        def no_links(*_: str) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(placing.os, "link", no_links)
        with pytest.raises(StoreAccessError, match="cannot be put in place: "):
            place(setting, planned)
        assert elsewhere(setting.path, SUM) == LIVE

    def test_a_rename_that_fails_leaves_no_second_name(
        self, setting: SqliteSetting, planned: tuple[RestorePoint, Target], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def busy(*_: str) -> None:
            raise OSError(errno.EBUSY, "busy")

        monkeypatch.setattr(placing.os, "replace", busy)
        with pytest.raises(StoreAccessError, match="busy"):
            place(setting, planned)
        assert setting.path.stat().st_nlink == 1
        assert not os.path.lexists(planned[1].aside or "")
