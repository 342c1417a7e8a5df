"""A server that keeps a binary log, and a store over it that is restored to a point of its history."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.mysql_pitr.setting import LOGGED
from tests.integration.mysql_setting import MysqlSetting, setting_on
from tests.stack.mariadb import MariaDB
from tests.stack.processes import Processes


@pytest.fixture(scope="module")
def logging_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    """A server that keeps a binary log; tests make databases of their own in it, and may restart it."""
    processes = Processes(tmp_path_factory.mktemp("binlog") / "processes")
    yield MariaDB(processes, "logging", settings=LOGGED).start()
    processes.stop()


@pytest.fixture
def pitr(logging_server: MariaDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MysqlSetting]:
    """A store of ``method: pitr`` on it."""
    for setting in setting_on(logging_server, tmp_path, monkeypatch):
        setting.change_store(method="pitr")
        yield setting
