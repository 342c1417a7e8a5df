"""The MariaDB and the MySQL that the tests stand on are real ones, and ScalarDB runs on either alone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.providers.mysql.hooks.mysql import MySqlHook
from airflow.sdk import Connection

from tests.stack.bank import Bank
from tests.stack.mariadb import MariaDB
from tests.stack.mysql import MySQL
from tests.stack.processes import Processes, poll
from tests.stack.scalardb import ScalarDB, account_schema, jdbc_storage


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    owner = Processes(tmp_path / "processes")
    yield owner
    owner.stop()


LONG = pytest.mark.long
"""MySQL wants a library that no package registry has (libnuma), so its tests are not among those that every machine must pass."""


@pytest.fixture(params=["mariadb", pytest.param("mysql", marks=LONG)])
def server(request: pytest.FixtureRequest) -> MariaDB:
    """Either server of the session."""
    found: MariaDB = request.getfixturevalue(f"{request.param}_server")
    return found


@LONG
@pytest.mark.parametrize("kind", [MariaDB, MySQL])
def test_it_wants_its_password_and_survives_a_crash(processes: Processes, kind: type[MariaDB]) -> None:
    server = kind(processes, "own", settings={"max-connections": 33}, password="it's \\ 100%").start()
    server.create_database("some")
    server.execute("CREATE TABLE kept AS SELECT 42 AS value", "some")
    server.kill()
    assert not server.running
    server.start()
    assert server.execute("SELECT value, @@max_connections FROM kept", "some") == [(42, 33)]
    others = {user for (user,) in server.execute("SELECT user FROM mysql.user")} - {server.user}
    assert not [user for user in others if not user.startswith(("mariadb.", "mysql."))]
    server.password = "wrong"
    with pytest.raises(Exception, match="Access denied"):
        server.execute("SELECT 1")
    server.close()


def test_airflow_reaches_it(server: MariaDB) -> None:
    server.create_database("seen")
    hook = MySqlHook(connection=Connection.from_uri(server.conn_uri("seen"), conn_id="seen"))
    assert hook.get_first("SELECT database(), @@port") == ("seen", server.port)


def test_it_is_what_it_is_called(mariadb_server: MariaDB) -> None:
    assert mariadb_server.execute("SELECT @@version") == [("11.4.5-MariaDB",)]


@LONG
def test_so_is_the_other(mysql_server: MySQL) -> None:
    assert mysql_server.execute("SELECT @@version, @@version_comment") == [("8.0.12", "MySQL Community Server - GPL")]


@pytest.mark.parametrize("name", ["mariadb-dump", "mysqldump"])
def test_the_client_dumps_it(server: MariaDB, name: str) -> None:
    server.create_database("dumped")
    server.execute("DROP TABLE IF EXISTS dumped.t; CREATE TABLE dumped.t AS SELECT 'here' AS found")
    login = [f"--host={server.host}", f"--port={server.port}", f"--user={server.user}"]
    command = [server.bin_dir / name, "--no-defaults", *login, "dumped"]
    done = subprocess.run(command, env={"MYSQL_PWD": server.password}, capture_output=True, text=True, check=True)
    assert "INSERT INTO `t` VALUES\n('here');" in done.stdout


@pytest.mark.long  # the banks of test_torn_sets.py run on it beside another
def test_scalardb_runs_on_it_alone(server: MariaDB, processes: Processes) -> None:
    scalardb = ScalarDB(processes, jdbc_storage(server), schema=account_schema("bank.acct"))
    bank = Bank(scalardb.start().address, accounts=20).load()
    try:
        bank.start(threads=4)
        poll("some transfers", lambda: bank.commits > 100 or None, timeout=60)
        bank.stop()
        assert bank.total() == bank.expected_total
    finally:
        bank.close()
        scalardb.close()
    assert server.execute("SELECT sum(balance), count(*) FROM bank.acct") == [(bank.expected_total, 20)]
    ((commits,),) = server.execute("SELECT count(*) FROM coordinator.state WHERE tx_state = 3")
    assert commits >= bank.commits
    server.execute("DROP DATABASE bank; DROP DATABASE coordinator; DROP DATABASE scalardb")
