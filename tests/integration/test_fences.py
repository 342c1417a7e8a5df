"""Fence rows on the real databases: in the snapshot, or not in it, exactly as they were written before or after it."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from midtime.catalog import Catalog
from midtime.errors import StoreError
from midtime.fencing import fenced
from midtime.model.instants import restore_point_id
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.stores.base import RestoredSet, Shelf
from midtime.stores.copied import CopiedStore
from tests.integration.fixtures import Setting
from tests.integration.mysql_setting import MysqlSetting
from tests.unit.stores.sqlite.setting import SqliteSetting, elsewhere, make_database, setting_of

pytestmark = pytest.mark.integration
WINDOW = "a1b2c3d4e5f6"


class AnySetting(Protocol):
    """What the engines' settings have in common."""

    @property
    def topology(self) -> Topology: ...

    @property
    def catalog(self) -> Catalog: ...

    @property
    def store(self) -> CopiedStore: ...


@pytest.fixture(params=["postgresql", "mysql", "sqlite"])
def any_setting(request: pytest.FixtureRequest, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> AnySetting:
    if request.param != "sqlite":
        found: AnySetting = request.getfixturevalue({"postgresql": "setting", "mysql": "mysql_setting"}[request.param])
        return found
    (tmp_path / "staging").mkdir()
    monkeypatch.setenv("MIDTIME_STAGING", str(tmp_path / "staging"))
    return setting_of(tmp_path, make_database(tmp_path / "bank.db"))


def capture(setting: AnySetting, order: Sequence[str]) -> tuple[str, StoreBackup]:
    """Armed, then these in this order: ``before``, ``fix``, ``after``."""
    store, taken = setting.store, []
    with fenced(store) as fence, store.arm() as armed:
        fence.connect()
        for step in order:
            if step == "fix":
                taken.append(armed.fix())
            else:
                fence.write(WINDOW, step)  # type: ignore[arg-type]
        point = restore_point_id(taken[0].midtime, uuid.uuid4().hex)
        return point, store.copy(taken[0], Shelf(setting.catalog.folder(point), "accounts"), lambda _: None)


def first(setting: AnySetting) -> str:
    return setting.topology.all_namespaces("accounts")[0]


@contextmanager
def restored(setting: AnySetting, point: str, backup: StoreBackup) -> Iterator[RestoredSet]:
    store = setting.store
    target = store.target(None, run=uuid.uuid4().hex[:6], drill=True, in_place=False)
    try:
        store.restore(backup, Shelf(setting.catalog.folder(point), "accounts"), target, lambda _: None)
        with store.restored(backup, target) as found:
            yield found
    finally:
        store.discard(target)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (("before", "fix", "after"), {"before"}),
        (("fix", "before", "after"), set()),
        (("before", "after", "fix"), {"before", "after"}),
    ],
    ids=["in the window", "too early", "too late"],
)
def test_where_a_capture_landed(any_setting: AnySetting, order: tuple[str, ...], expected: set[str]) -> None:
    point, backup = capture(any_setting, order)
    with restored(any_setting, point, backup) as found:
        assert found.fences(WINDOW, first(any_setting)) == expected
        assert found.fences("another", first(any_setting)) == frozenset()
        assert found.fences(WINDOW, "elsewhere") == frozenset()
        assert sorted(table for table in found.records().tables() if "fence" in table) == []
        assert not [said for said in found.schema_differences() if "fence" in said]
        before = {table.name: (table.rows, table.buckets) for table in backup.tables}
        assert {table.name: (table.rows, table.buckets) for table in found.content()} == before


def test_a_store_without_the_table_holds_no_rows(any_setting: AnySetting) -> None:
    store = any_setting.store
    with store.capture() as taken:
        point = restore_point_id(taken.midtime, uuid.uuid4().hex)
        backup = store.copy(taken, Shelf(any_setting.catalog.folder(point), "accounts"), lambda _: None)
    with restored(any_setting, point, backup) as found:
        assert found.fences(WINDOW, first(any_setting)) == frozenset()


def test_old_rows_go(any_setting: AnySetting, monkeypatch: pytest.MonkeyPatch) -> None:
    with fenced(any_setting.store) as fence, monkeypatch.context() as patch:
        patch.setattr("midtime.stores.fences._milliseconds", lambda: 1_600_000_000_000)
        fence.write("long ago", "before")
    point, backup = capture(any_setting, ("before", "fix", "after"))
    with restored(any_setting, point, backup) as found:
        assert (found.fences("long ago", first(any_setting)), found.fences(WINDOW, first(any_setting))) == (frozenset(), {"before"})


def test_two_captures_of_one_window_are_an_error(any_setting: AnySetting) -> None:
    with fenced(any_setting.store) as fence:
        fence.write(WINDOW, "before")
        assert fence.why == ""
        fence.write(WINDOW, "before")
        assert fence.why != ""
        assert fence.fence is not None
        with pytest.raises(StoreError):
            fence.fence.write(WINDOW, "before")


class TestARightThatLacks:
    """Reading is enough for a backup. The table may also be made by somebody who may, and be only written to."""

    def test_postgresql(self, setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
        role, database = f"reader_{uuid.uuid4().hex[:6]}", setting.database
        database.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'; GRANT pg_read_all_data TO {role}")
        server = database.server
        monkeypatch.setenv("AIRFLOW_CONN_ACCOUNTS_DB", f"postgres://{role}:secret@{server.host}:{server.port}/{database.name}")
        try:
            with fenced(setting.store) as fence:
                assert fence.fence is None
                assert "permission denied" in fence.why
            database.execute(
                "CREATE TABLE bank.midtime_fence (window_id varchar(32), place varchar(8), written_at bigint, PRIMARY KEY (window_id, place));"
                f"GRANT INSERT, DELETE ON bank.midtime_fence TO {role}"
            )
            with fenced(setting.store) as fence:
                fence.write(WINDOW, "before")
            assert database.execute("SELECT window_id, place FROM bank.midtime_fence") == [(WINDOW, "before")]
        finally:
            database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")

    def test_mysql(self, mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_MYSQL_DB", mysql_setting.login("reader", "SELECT, SHOW VIEW, TRIGGER, EVENT ON *.*"))
        with fenced(mysql_setting.store) as fence:
            assert fence.fence is None
            assert "denied" in fence.why

    def test_a_read_only_file(self, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Root may write to any file, so the file system's answer is played."""
        made: SqliteSetting = setting_of(tmp_path, make_database(tmp_path / "bank.db"))
        monkeypatch.setattr("midtime.stores.sqlite.store.LIVE", "mode=ro")
        with fenced(made.store) as fence:
            assert fence.fence is None
            assert "readonly" in fence.why


STRANGER = """
import sqlite3, sys
session = sqlite3.connect(sys.argv[1], isolation_level=None)
session.execute("INSERT INTO notes VALUES (7, 'from elsewhere')")
session.close()
"""


def test_a_fence_takes_no_lock_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that closes the file last removes the log, unless it sees our locks; with the log goes what we, and others, still need of it."""
    (tmp_path / "staging").mkdir()
    monkeypatch.setenv("MIDTIME_STAGING", str(tmp_path / "staging"))
    file = make_database(tmp_path / "bank.db")
    setting = setting_of(tmp_path, file)

    def somebody_else() -> None:
        subprocess.run([sys.executable, "-I", "-c", STRANGER, str(file)], check=True, timeout=60)

    store = setting.store
    with fenced(store) as fence, store.arm() as armed:
        fence.connect()
        fence.write(WINDOW, "before")
        capture = armed.fix()
        somebody_else()
        assert Path(f"{file}-wal").exists()
        fence.write(WINDOW, "after")
        somebody_else()
        point = restore_point_id(capture.midtime, uuid.uuid4().hex)
        backup = store.copy(capture, Shelf(setting.catalog.folder(point), "accounts"), lambda _: None)
    with restored(setting, point, backup) as found:
        assert found.fences(WINDOW, "bank") == {"before"}
        assert found.scalar("SELECT count(*) FROM notes WHERE a = 7") == 0
    assert elsewhere(file, "PRAGMA integrity_check") == "[('ok',)]"
    assert elsewhere(file, "SELECT count(*) FROM notes WHERE a = 7") == "[(2,)]"
