"""A real MariaDB or MySQL as a managed service hands it out: an administrator's login without SUPER, RELOAD, PROCESS and the like."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.managed_postgresql import AZURE
from tests.integration.mysql_setting import MysqlSetting, drop_all, setting_on
from tests.stack.mariadb import MariaDB
from tests.stack.mysql import MySQL
from tests.stack.processes import Processes

ENGINES: dict[str, dict[str, Any]] = {
    "rds": {"engine": "rds", "dialect": "mysql", "region": "eu-west-1", "instance": "bank"},
    "aurora": {"engine": "aurora", "dialect": "mysql", "region": "eu-west-1", "cluster": "bank"},
    "azure_mysql": {"engine": "azure_mysql", **AZURE},
}
"""What each topology says beside the connection to the data."""
MASTER = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, SHOW DATABASES, CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, "
    "CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER ON *.*"
)


def managed_on(server: MariaDB, engine: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **keys: Any) -> Iterator[MysqlSetting]:
    """One engine's; the control plane's connection does not exist."""
    for setting in setting_on(server, folder, monkeypatch):
        setting.change(
            stores=[
                {
                    "name": "accounts",
                    "method": "dump",
                    "conn_id": "no_control_plane",
                    "data_conn_id": "mysql_db",
                    "namespaces": [f"bank_{setting.mark}"],
                    **ENGINES[engine],
                    **keys,
                }
            ]
        )
        monkeypatch.setenv("AIRFLOW_CONN_MYSQL_DB", setting.login("master", MASTER))
        yield setting


@pytest.fixture(params=sorted(ENGINES))
def each_managed_mysql(
    request: pytest.FixtureRequest, mariadb_server: MariaDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MysqlSetting]:
    """One after the other."""
    yield from managed_on(mariadb_server, request.param, tmp_path, monkeypatch)


@pytest.fixture
def managed_mysql(mariadb_server: MariaDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MysqlSetting]:
    """Azure's, where the engines do not differ."""
    yield from managed_on(mariadb_server, "azure_mysql", tmp_path, monkeypatch)


@pytest.fixture
def managed_oracle(mysql_server: MySQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MysqlSetting]:
    """On Oracle's server, with MariaDB's client."""
    yield from managed_on(mysql_server, "rds", tmp_path, monkeypatch, client="mariadb-dump")


@pytest.fixture(scope="session")
def _other_managed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    processes = Processes(tmp_path_factory.mktemp("managed") / "processes")
    yield MariaDB(processes, "managed", settings={"log-bin": "bin", "server-id": 9, "lower-case-table-names": 1})
    processes.stop()


@pytest.fixture
def other_managed(_other_managed_server: MariaDB, managed_mysql: MysqlSetting, monkeypatch: pytest.MonkeyPatch) -> Iterator[MariaDB]:
    """A second server as Azure makes them: it logs, trusts nobody's functions, and writes names in small letters."""
    server = _other_managed_server.start()
    user = f"master_{managed_mysql.mark}"
    server.execute(
        f"CREATE USER `{user}` IDENTIFIED BY 'secret'; GRANT {MASTER} TO `{user}`; SET GLOBAL log_bin_trust_function_creators = 0"
    )
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_DB", f"mysql://{user}:secret@{server.host}:{server.port}/?ssl_disabled=true")
    yield server
    drop_all(server, managed_mysql.mark)
