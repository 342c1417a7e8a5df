"""What the tests of this store get: a database in a folder of its own, in each journal mode."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from midtime.model.restore_point import RestorePoint
from midtime.stores.base import Target
from tests.unit.stores.sqlite.setting import EMPTY, SqliteSetting, elsewhere, make_database, setting_of


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the database lies, and nothing else."""
    (tmp_path / "staging").mkdir()
    monkeypatch.setenv("MIDTIME_STAGING", str(tmp_path / "staging"))
    made = tmp_path / "data"
    made.mkdir()
    return made


@pytest.fixture(params=["wal", "delete"])
def journal_mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def setting(folder: Path, tmp_path: Path, journal_mode: str) -> SqliteSetting:
    """In either journal mode."""
    return setting_of(tmp_path, make_database(folder / "bank.db", journal_mode=journal_mode))


@pytest.fixture
def wal(folder: Path, tmp_path: Path) -> SqliteSetting:
    """With a write-ahead log."""
    return setting_of(tmp_path, make_database(folder / "bank.db"))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder to which every user finds the way, as pytest's are root's alone."""
    made = Path(tempfile.mkdtemp(prefix="midtime-test-"))
    made.chmod(0o777)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def planned(setting: SqliteSetting) -> tuple[RestorePoint, Target]:
    """Restored, to be placed over a live file that has changed since."""
    found = setting.restored(in_place=True)
    elsewhere(setting.path, EMPTY)
    return found
