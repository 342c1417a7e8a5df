"""A SQLite file under a real ScalarDB Server: backed up while the bank runs, drilled, and put back under a server that was stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from midtime.errors import StoreUnreachableError
from midtime.preflight import backup_checks, require, restore_checks
from tests.stack.bank import START_BALANCE, Bank
from tests.stack.processes import Processes
from tests.stack.scalardb import ScalarDB, account_schema
from tests.unit.stores.sqlite.setting import SqliteSetting, elsewhere, setting_of

pytestmark = pytest.mark.integration

ACCOUNTS = 40
SUM = 'SELECT sum(balance) FROM "bank$acct"'


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    parts = Processes(tmp_path_factory.mktemp("sqlite-stack"))
    yield parts
    parts.stop()


@contextmanager
def scalardb_over(file: Path, processes: Processes, name: str) -> Iterator[ScalarDB]:
    properties = {"scalar.db.storage": "jdbc", "scalar.db.contact_points": f"jdbc:sqlite:{file}?busy_timeout=10000"}
    server = ScalarDB(processes, properties, schema=account_schema("bank.acct"), name=name)
    try:
        yield server.start()
    finally:
        server.close()


@contextmanager
def running(bank: Bank) -> Iterator[Bank]:
    try:
        yield bank
    finally:
        bank.close()


def total_of_records(path: str | Path) -> str:
    """Only where nothing is half done."""
    return elsewhere(path, SUM)


@pytest.mark.parametrize("journal_mode", [pytest.param("delete", marks=pytest.mark.long), "wal"])
def test_backed_up_under_load(tmp_path: Path, processes: Processes, journal_mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "staging").mkdir()
    monkeypatch.setenv("MIDTIME_STAGING", str(tmp_path / "staging"))
    (tmp_path / "data").mkdir()
    setting = setting_of(tmp_path, tmp_path / "data" / "bank.db")
    elsewhere(setting.path, f"PRAGMA journal_mode = {journal_mode}")
    with (
        scalardb_over(setting.path, processes, f"scalardb-{journal_mode}") as server,
        running(Bank(server.address, ACCOUNTS).load()) as bank,
    ):
        require(backup_checks(setting.topology, setting.catalog))
        bank.start(threads=2)
        drill(setting, bank)
        bank.stop()
        assert bank.total() == START_BALANCE * ACCOUNTS
        manifest = setting.published()
        in_use(setting, manifest.id, server)
        server.stop()
        replace(setting, manifest.id)
        server.start()
        assert bank.total() == START_BALANCE * ACCOUNTS


def drill(setting: SqliteSetting, bank: Bank) -> None:
    """Every restore point of a running bank is good, and the bank goes on meanwhile."""
    for _ in range(3):
        before = bank.commits
        deadline = time.monotonic() + 20
        while bank.commits < before + 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert bank.commits >= before + 5, bank.summary()
        manifest, target = setting.restored(drill=True)
        found = setting.look(manifest, target)
        assert found.good, found.summary()
        assert found.verdict
        assert found.verdict.records_read == ACCOUNTS
        setting.store.discard(target)
        time.sleep(1.1)  # restore points of one run are told apart by the second


def in_use(setting: SqliteSetting, point: str, server: ScalarDB) -> None:
    """A server that nobody stopped: it is refused, or the server has no lock at this instant and only a journal."""
    manifest = setting.catalog.resolve(point)
    target = setting.store.target(None, run="fed321", drill=False, in_place=True)
    require(restore_checks(setting.topology, manifest, {"accounts": target}))
    if elsewhere(setting.path, "PRAGMA journal_mode") == "[('wal',)]":
        setting.restore(manifest, target)
        with pytest.raises(StoreUnreachableError, match="is in use"):
            setting.store.place(manifest.stores[0], target)
        setting.store.discard(target)


def replace(setting: SqliteSetting, point: str) -> None:
    manifest = setting.catalog.resolve(point)
    target = setting.store.target(None, run="abc123", drill=False, in_place=True)
    setting.restore(manifest, target)
    assert setting.look(manifest, target).good
    elsewhere(setting.path, 'DELETE FROM "bank$acct"')
    setting.store.place(manifest.stores[0], target)
    setting.store.discard(target)
    assert total_of_records(setting.path) == f"[({START_BALANCE * ACCOUNTS},)]"
    assert setting.files() == {"bank.db", "bank_before_abc123.db"}
