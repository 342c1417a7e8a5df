"""What a point in the history of MySQL or MariaDB cannot be made or restored with, and who says so before anything is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from midtime.errors import RequestError, StoreAccessError
from midtime.model.topology import Target as TargetWish
from midtime.stores.mysql import connections
from midtime.stores.mysql_pitr import checks
from tests.integration.mysql_pitr.setting import LOGGED, balances, restore
from tests.integration.mysql_setting import MysqlSetting
from tests.stack.mariadb import MariaDB

pytestmark = pytest.mark.integration


WRONG = {"binlog_format": "'MIXED'", "binlog_row_image": "'MINIMAL'", "binlog_checksum": "'NONE'", "log_bin_compress": "1"}


@pytest.fixture
def setting_of_server(logging_server: MariaDB) -> Iterator[Callable[[str, str], None]]:
    """Changes a global variable for one test."""
    before: dict[str, str] = {}

    def change(name: str, value: str) -> None:
        before.setdefault(name, logging_server.execute(f"SELECT @@global.{name}")[0][0])
        logging_server.execute(f"SET GLOBAL {name} = {value}")

    yield change
    for name, value in before.items():
        logging_server.execute(f"SET GLOBAL {name} = {value!r}" if isinstance(value, str) else f"SET GLOBAL {name} = {value}")


def test_a_log_that_will_not_do(pitr: MysqlSetting, setting_of_server: Callable[[str, str], None]) -> None:
    assert all(answer() for _, answer in pitr.store.questions())
    setting_of_server("binlog_expire_logs_seconds", "3600")
    assert "binlog_expire_logs_seconds" in pitr.failing().fix
    for name, value in WRONG.items():
        before = pitr.server.execute(f"SELECT @@global.{name}")[0][0]
        setting_of_server(name, value)
        error = pitr.failing()
        assert isinstance(error, StoreAccessError)
        assert name in error.fix
        with pytest.raises(StoreAccessError), pitr.store.arm():
            pass
        setting_of_server(name, repr(before))


def test_a_server_without_a_log(mysql_setting: MysqlSetting) -> None:
    mysql_setting.change_store(method="pitr")
    assert "log_bin = OFF" in str(mysql_setting.failing())


def test_databases_that_are_not_logged(pitr: MysqlSetting) -> None:
    pitr.server.stop()
    try:
        for filters in ({"binlog-ignore-db": pitr.names("{coordinator}")}, {"binlog-do-db": pitr.names("{bank}")}):
            pitr.server._settings.update(filters)
            pitr.server.restart()
            error = pitr.failing()
            assert "leaves" in error.message
            assert pitr.names("{coordinator}") in error.message
            pitr.server._settings.clear()
            pitr.server._settings.update({**LOGGED, "innodb-log-file-size": "32M"})
    finally:
        pitr.server.restart()


RIGHTS = ["SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE, LOCK TABLES ON {bank}.*", "SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON {coordinator}.*",
          "SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON {scalardb}.*"]  # fmt: skip


@pytest.mark.parametrize(
    ("grants", "lacking"),
    [
        ([], "BINLOG MONITOR"),
        (["BINLOG MONITOR ON *.*"], "REPLICATION SLAVE"),
        (["BINLOG MONITOR, REPLICATION SLAVE ON *.*"], ""),
    ],
)
def test_rights_of_a_backup(pitr: MysqlSetting, monkeypatch: pytest.MonkeyPatch, grants: list[str], lacking: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MYSQL_DB", pitr.login("backup", *RIGHTS, *grants))
    if lacking:
        assert lacking in str(pitr.failing())
        return
    pitr.back_up()
    pitr.execute("UPDATE {bank}.acct SET balance = 1 WHERE id = 1")
    pitr.back_up()
    pitr.change_store(binlog={"archive": "file:///tmp"})
    assert "lacks RELOAD" in str(pitr.failing())


def test_rights_of_a_restore(pitr: MysqlSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    pitr.back_up()
    pitr.execute("UPDATE {bank}.acct SET balance = 1 WHERE id = 1")
    point, backup = pitr.back_up()
    target = pitr.target(drill=True)
    monkeypatch.setenv("AIRFLOW_CONN_MYSQL_DB", pitr.login("restorer", "ALL ON `midtime\\_tmp\\_%`.*"))
    assert "BINLOG REPLAY" in pitr.refusal(target, backup).fix
    pitr.execute(f"GRANT BINLOG REPLAY ON *.* TO restorer_{pitr.mark}")
    assert "BINLOG ADMIN" in pitr.refusal(target, backup).fix
    pitr.execute(f"GRANT BINLOG ADMIN ON *.* TO restorer_{pitr.mark}")
    assert all(answer() for _, answer in pitr.store.restore_questions(target, backup))
    pitr.store.restore(backup, pitr.shelf(point), target, lambda _: None)
    assert balances(pitr, target)[1] == 1


def test_a_server_that_would_pass_over_what_does_not_fit(pitr: MysqlSetting, setting_of_server: Callable[[str, str], None]) -> None:
    _, backup = pitr.back_up()
    setting_of_server("slave_exec_mode", "'IDEMPOTENT'")
    assert "slave_exec_mode" in str(pitr.refusal(pitr.target(), backup))


def test_rows_longer_than_a_packet(pitr: MysqlSetting, setting_of_server: Callable[[str, str], None]) -> None:
    """An event of more than 16 MiB comes in pieces, and needs a target that takes it."""
    setting_of_server("max_allowed_packet", str(64 << 20))
    pitr.back_up()
    pitr.execute("UPDATE {bank}.acct SET raw = NULL WHERE id = 1")
    pitr.execute("ALTER TABLE {bank}.acct MODIFY raw longblob")
    pitr.back_up()
    pitr.execute("UPDATE {bank}.acct SET raw = repeat('x', 17 << 20) WHERE id = 1")
    point, backup = pitr.back_up()
    target = restore(pitr, point, backup)
    assert pitr.in_copy(target, "SELECT length(raw) FROM {bank}.acct WHERE id = 1") == [(17 << 20,)]
    setting_of_server("max_allowed_packet", str(17 << 20))
    assert "max_allowed_packet" in str(pitr.refusal(target, backup))


def test_a_server_of_its_own_is_no_target(pitr: MysqlSetting) -> None:
    with pytest.raises(RequestError, match="into a server that runs"):
        pitr.target(TargetWish(data_dir="/tmp/x", port=3307))


def test_a_login_whose_sessions_are_not_logged(pitr: MysqlSetting) -> None:
    with connections.connect("mysql_db") as session:
        session.rows("SET SESSION sql_log_bin = 0")
        with pytest.raises(StoreAccessError, match="does not log the sessions"):
            checks.check_log(session, pitr.topology, "accounts")
