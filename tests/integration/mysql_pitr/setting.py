"""What the tests of points in the history of MySQL and MariaDB share."""

from __future__ import annotations

from pathlib import Path

from midtime.catalog.bases import Bases
from midtime.model.restore_point import StoreBackup
from midtime.stores.base import Target
from midtime.stores.mysql_pitr.store import MysqlPitrStore
from tests.integration.mysql_setting import MysqlSetting

# TLS has tests of its own: it is slow here.
LOGGED = {"log-bin": "bin", "binlog-format": "ROW", "server-id": 7, "ssl": 0}


def store_of(setting: MysqlSetting) -> MysqlPitrStore:
    """As what it is."""
    store = setting.store
    assert isinstance(store, MysqlPitrStore)
    return store


def restore(setting: MysqlSetting, point: str, backup: StoreBackup, run: str = "abc123") -> Target:
    """To that point, beside what is live."""
    target = setting.target(drill=True, run=run)
    setting.store.restore(backup, setting.shelf(point), target, lambda _: None)
    return target


def base_folder(setting: MysqlSetting, backup: StoreBackup) -> Path:
    """Of the full dump that a point starts from, on this machine."""
    return Path(Bases(setting.catalog, "accounts").folder(backup.details["base"]["id"]).path)


def balances(setting: MysqlSetting, target: Target | None = None) -> dict[int, int]:
    """Of the accounts that tests change: live, or in a copy."""
    query = "SELECT id, balance FROM {bank}.acct WHERE id < 4 OR id > 500"
    return dict(setting.in_copy(target, query) if target else setting.execute(query))  # type: ignore[arg-type]
