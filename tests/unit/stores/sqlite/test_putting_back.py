"""The swap undone, however far it came, and death at every step of the way back."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from midtime.errors import RestoreFailedError, StoreAccessError, StoreUnreachableError
from midtime.model.restore_point import RestorePoint
from midtime.stores.base import Target
from midtime.stores.sqlite import placing
from tests.unit.stores.sqlite.setting import HOLDER, SqliteSetting, elsewhere, process
from tests.unit.stores.sqlite.test_placing import EMPTY, LIVE, RESTORED, SUM, bring_into, killed_at, place

Planned = tuple[RestorePoint, Target]


@pytest.fixture
def planned(setting: SqliteSetting) -> Planned:
    """Restored, to be placed over a live file that has changed since."""
    found = setting.restored(in_place=True)
    elsewhere(setting.path, EMPTY)
    return found


def put_back(setting: SqliteSetting, planned: Planned) -> None:
    setting.store.put_back(planned[0].stores[0], planned[1])


def content(folder: Path) -> dict[str, bytes]:
    """Everything but the working copy, which is ours, and what a killed client of SQLite leaves: its shared memory, and a log without a page."""
    found = {each.name: each.read_bytes() for each in folder.iterdir() if "midtime_tmp_" not in each.name}
    return {name: held for name, held in found.items() if held and not name.endswith("-shm")}


def test_there_and_back_and_there_again(setting: SqliteSetting, planned: Planned) -> None:
    before, inode = content(setting.path.parent), setting.path.stat().st_ino
    for _ in range(2):
        place(setting, planned)
        assert elsewhere(setting.path, SUM) == RESTORED
        for _ in range(2):
            put_back(setting, planned)
            assert content(setting.path.parent) == before
            assert (setting.path.stat().st_ino, setting.path.stat().st_nlink) == (inode, 1)
    setting.store.discard(planned[1])
    assert setting.files() == {setting.path.name}
    assert elsewhere(setting.path, SUM) == LIVE


def test_beside_the_name_is_free_again(setting: SqliteSetting) -> None:
    planned = setting.restored()
    place(setting, planned)
    put_back(setting, planned)
    assert not os.path.lexists(planned[1].final)
    place(setting, planned)
    assert elsewhere(planned[1].final, SUM) == RESTORED


def test_what_was_never_placed_stays(setting: SqliteSetting, planned: Planned) -> None:
    """Somebody has the name that was to keep it: the swap refused, and the way back touches neither."""
    Path(planned[1].aside or "").write_bytes(b"somebody's")
    before = content(setting.path.parent)
    with pytest.raises(Exception, match="exists already"):
        place(setting, planned)
    put_back(setting, planned)
    assert content(setting.path.parent) == before


def test_somebody_else_s_file_beside_stays(setting: SqliteSetting) -> None:
    planned = setting.restored()
    Path(planned[1].final).write_bytes(b"somebody's")
    put_back(setting, planned)
    assert Path(planned[1].final).read_bytes() == b"somebody's"


def test_a_drill_has_nothing_to_put_back(setting: SqliteSetting) -> None:
    planned = setting.restored(drill=True)
    put_back(setting, planned)
    assert elsewhere(planned[1].working, SUM) == RESTORED


def test_what_somebody_wrote_into_the_placed_file_goes_with_it(wal: SqliteSetting) -> None:
    """Its log must not be left beside the former file: SQLite would take it for that one's."""
    planned = wal.restored(in_place=True)
    elsewhere(wal.path, EMPTY)
    place(wal, planned)
    with process(HOLDER, str(wal.path), "PRAGMA wal_autocheckpoint = 0", 'UPDATE "bank$acct" SET balance = 7'):
        pass
    assert os.path.getsize(f"{wal.path}-wal")
    put_back(wal, planned)
    assert elsewhere(wal.path, SUM) == LIVE
    assert elsewhere(wal.path, "PRAGMA integrity_check") == "[('ok',)]"


def test_a_placed_file_in_use(wal: SqliteSetting) -> None:
    planned = wal.restored(in_place=True)
    elsewhere(wal.path, EMPTY)
    place(wal, planned)
    with process(HOLDER, str(wal.path), "BEGIN IMMEDIATE", EMPTY), pytest.raises(StoreUnreachableError, match="in use"):
        put_back(wal, planned)
    put_back(wal, planned)
    assert elsewhere(wal.path, SUM) == LIVE


def test_a_working_copy_that_is_gone_cannot_tell(setting: SqliteSetting, planned: Planned) -> None:
    place(setting, planned)
    before = content(setting.path.parent)
    os.unlink(planned[1].working)
    with pytest.raises(RestoreFailedError, match="cannot be told"):
        put_back(setting, planned)
    assert content(setting.path.parent) == before


def test_a_file_system_that_refuses(setting: SqliteSetting, planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: str) -> None:
        raise OSError(errno.EBUSY, "busy")

    place(setting, planned)
    with monkeypatch.context() as patch:
        patch.setattr(placing.os, "replace", busy)
        with pytest.raises(StoreAccessError, match="cannot be put back: busy"):
            put_back(setting, planned)
    put_back(setting, planned)
    assert elsewhere(setting.path, SUM) == LIVE


@pytest.mark.parametrize("state", ["at rest", "with a log", "damaged with a log", "lost with a log", "beside"])
def test_killed_at_every_step_of_either_way(wal: SqliteSetting, tmp_path: Path, state: str) -> None:
    manifest, target = wal.restored(in_place=state != "beside")
    bring_into(state, wal.path)
    shutil.copytree(wal.path.parent, tmp_path / "saved")
    before = content(wal.path.parent)

    def forth() -> None:
        wal.store.place(manifest.stores[0], target)

    def back() -> None:
        wal.store.put_back(manifest.stores[0], target)

    def check() -> None:
        back()
        if state == "with a log":  # which is in the file by now
            assert elsewhere(wal.path, SUM) == LIVE
            assert not [name for name in wal.files() if "_before_" in name]
        else:
            assert content(wal.path.parent) == before
        forth()
        assert elsewhere(target.final, SUM) == RESTORED

    def again() -> None:
        shutil.rmtree(wal.path.parent)
        shutil.copytree(tmp_path / "saved", wal.path.parent)

    for there, death in ((lambda: None, forth), (forth, back)):
        assert _each_step(there, death, check, again) >= 2


def _each_step(there: Callable[[], None], death: Callable[[], None], check: Callable[[], None], again: Callable[[], None]) -> int:
    steps = 0
    there()
    while killed_at(steps, death):
        check()
        again()
        there()
        steps += 1
    check()
    again()
    return steps
