"""RDS, Aurora and Azure Database for MySQL with ``method: dump``: the whole round with a login that has no SUPER, and what it may not do."""

from __future__ import annotations

from pathlib import Path

import pytest

from midtime.errors import ArtifactError
from midtime.model.topology import Target as TargetWish
from midtime.stores.base import ask
from tests.integration.mysql_setting import PROGRAMS, MysqlSetting
from tests.stack.mariadb import MariaDB

pytestmark = pytest.mark.integration
TRIGGER = "CREATE TRIGGER {bank}.audit BEFORE UPDATE ON {bank}.acct FOR EACH ROW INSERT INTO {bank}.empty VALUES (NEW.id)"


def test_backup_and_copy_beside(each_managed_mysql: MysqlSetting) -> None:
    """Views and routines whose definer is another login come back with ours."""
    setting = each_managed_mysql
    setting.execute(PROGRAMS)
    checks = list(ask("accounts", setting.store.questions()))
    assert all(check.ok for check in checks), checks
    assert {check.question: check.detail for check in checks}["is reached over TLS"].startswith("NOT ENCRYPTED, as the connection says")
    manifest, target = setting.restored()
    assert manifest.stores[0].engine == setting.topology.stores[0].engine
    found = setting.look(manifest, target)
    assert found.good, found.summary()
    setting.place(manifest, target)
    copy = f"bank_{setting.mark}_restored_abc123"
    assert setting.server.execute(f"SELECT count(*), {copy}.total() FROM {copy}.rich") == [(500, 500_000)]
    definers = "SELECT DISTINCT definer FROM information_schema.views WHERE table_schema = %s"
    assert setting.server.execute(definers, args=(copy,)) == [(f"master_{setting.mark}@%",)]


def test_in_place(managed_mysql: MysqlSetting) -> None:
    manifest, target = managed_mysql.restored(in_place=True)
    assert all(check.ok for check in ask("accounts", managed_mysql.store.restore_questions(target, manifest.stores[0])))
    managed_mysql.execute("UPDATE {bank}.acct SET balance = 0")
    assert managed_mysql.look(manifest, target).good
    managed_mysql.place(manifest, target)
    assert managed_mysql.execute("SELECT sum(balance) FROM {bank}.acct") == [(500_000,)]
    managed_mysql.store.put_back(manifest.stores[0], target)
    assert managed_mysql.execute("SELECT sum(balance) FROM {bank}.acct") == [(0,)]


def test_a_drill_on_oracle_s_server(managed_oracle: MysqlSetting) -> None:
    assert all(check.ok for check in ask("accounts", managed_oracle.store.questions()))
    manifest, target = managed_oracle.restored(drill=True)
    assert managed_oracle.look(manifest, target).good
    managed_oracle.store.discard(target)
    assert len(managed_oracle.databases()) == 3


def test_a_drill_on_another_server(managed_mysql: MysqlSetting, other_managed: MariaDB) -> None:
    """Where triggers cannot be had it goes without, and says so."""
    managed_mysql.execute(TRIGGER + "; DROP TABLE {bank}.`Odd ``Name`")
    manifest, target = managed_mysql.restored(wish=TargetWish(data_conn_id="other_db"), drill=True)
    assert target.conn_id == "other_db"
    said = {check.question: check.detail for check in ask("accounts", managed_mysql.store.restore_questions(target, manifest.stores[0]))}
    assert "the drill leaves triggers and functions out: 1419" in said["has views, triggers and routines"]
    assert managed_mysql.look(manifest, target).good
    other_managed.execute(f"DELETE FROM {managed_mysql.working(target)['bank']}.acct WHERE id = 7")
    assert "499 rows instead of 500" in str(managed_mysql.look(manifest, target).differences)
    managed_mysql.store.discard(target)
    assert not [name for (name,) in other_managed.execute("SHOW DATABASES") if name.startswith("midtime")]


def test_a_copy_without_its_triggers_is_refused(managed_mysql: MysqlSetting, other_managed: MariaDB) -> None:
    """The server logs, and lends no SUPER: one parameter is missing, and a person can set it."""
    managed_mysql.execute(TRIGGER + "; DROP TABLE {bank}.`Odd ``Name`")
    _, backup = managed_mysql.back_up()
    target = managed_mysql.target(TargetWish(to="other_db"))
    error = managed_mysql.refusal(target, backup)
    assert "may create no trigger" in error.message
    assert "log_bin_trust_function_creators" in error.fix
    other_managed.execute("SET GLOBAL log_bin_trust_function_creators = 1")
    assert all(check.ok for check in ask("accounts", managed_mysql.store.restore_questions(target, backup)))
    assert not [name for (name,) in other_managed.execute("SHOW DATABASES") if name.startswith("midtime")]


def test_without_triggers_nothing_is_asked_of_the_server(managed_mysql: MysqlSetting, other_managed: MariaDB) -> None:
    managed_mysql.execute("DROP TABLE {bank}.`Odd ``Name`")
    _, backup = managed_mysql.back_up()
    assert all(
        check.ok
        for check in ask("accounts", managed_mysql.store.restore_questions(managed_mysql.target(TargetWish(to="other_db")), backup))
    )


def test_capital_letters_that_would_become_small_ones(managed_mysql: MysqlSetting, other_managed: MariaDB) -> None:
    """Two tables could become one, and the application would look for neither."""
    _, backup = managed_mysql.back_up()
    error = managed_mysql.refusal(managed_mysql.target(TargetWish(to="other_db")), backup)
    assert "would write Odd `Name in small letters" in error.message
    assert "lower_case_table_names = 0" in error.fix


def test_capital_letters_that_begin_to_count(managed_mysql: MysqlSetting) -> None:
    _, backup = managed_mysql.back_up()
    assert backup.details["folds_names"] is False
    backup.details["folds_names"] = True
    answers = {
        check.question: check.detail for check in ask("accounts", managed_mysql.store.restore_questions(managed_mysql.target(), backup))
    }
    assert "where capital letters in names count, as they did not on the original" in answers["can be restored to"]


def test_a_namespace_that_the_server_writes_in_small_letters(
    managed_mysql: MysqlSetting, other_managed: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_MYSQL_DB", f"mysql://master_{managed_mysql.mark}:secret@{other_managed.host}:{other_managed.port}/?ssl_disabled=1"
    )
    other_managed.execute(f"CREATE DATABASE Bank_{managed_mysql.mark}")
    managed_mysql.change_store(namespaces=[f"Bank_{managed_mysql.mark}"])
    assert f"has no database Bank_{managed_mysql.mark}" in managed_mysql.failing().message
    assert "small letters" in managed_mysql.failing().message


@pytest.mark.parametrize("extra", ["", "?ssl_disabled=true"])
def test_tls_is_used_where_it_is_there(managed_mysql: MysqlSetting, monkeypatch: pytest.MonkeyPatch, extra: str) -> None:
    """And where the login is let in with it only, also by the dump client and the one that restores."""
    managed_mysql.execute(f"ALTER USER master_{managed_mysql.mark} REQUIRE {'SSL' if not extra else 'NONE'}")
    server = managed_mysql.server
    monkeypatch.setenv("AIRFLOW_CONN_MYSQL_DB", f"mysql://master_{managed_mysql.mark}:secret@{server.host}:{server.port}/{extra}")
    answers = {check.question: check.detail for check in ask("accounts", managed_mysql.store.questions())}
    assert answers["is reached over TLS"].startswith("NOT" if extra else "TLS")
    manifest, target = managed_mysql.restored(drill=True)
    assert managed_mysql.look(manifest, target).good


def test_a_server_without_tls(managed_oracle: MysqlSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver falls back to plain text without a word."""
    server = managed_oracle.server
    monkeypatch.setenv("AIRFLOW_CONN_MYSQL_DB", f"mysql://master_{managed_oracle.mark}:secret@{server.host}:{server.port}/")
    error = managed_oracle.failing()
    assert "was reached without TLS" in error.message
    assert "ssl_verify_identity" in error.fix


def test_an_artifact_that_was_damaged_is_named(managed_mysql: MysqlSetting) -> None:
    point, backup = managed_mysql.back_up()
    path = Path(managed_mysql.catalog.folder(point).path) / backup.artifacts[0].path
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError):
        managed_mysql.store.restore(backup, managed_mysql.shelf(point), managed_mysql.target(drill=True), lambda _: None)
    assert not [name for name in managed_mysql.databases() if name.startswith("midtime")]
