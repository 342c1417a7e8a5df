"""What is no good start for a dump of MySQL or MariaDB: tables, names, rights, connections."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from midtime.errors import CopyError, StoreAccessError, StoreUnreachableError, ToolError
from midtime.stores.mysql import connections, tools
from midtime.stores.mysql.connections import Login
from midtime.stores.processes import read_output, streaming_tool
from tests.integration.mysql_setting import BACKUP_RIGHTS, ROWS, SCHEMA, MysqlSetting
from tests.stack.mariadb import MariaDB

pytestmark = pytest.mark.integration


REFUSED = {
    "MyISAM": ("CREATE TABLE {bank}.x (a int) ENGINE=MyISAM", r"not InnoDB.*bank_\w+\.x \(MyISAM\)"),
    "Aria": ("CREATE TABLE {bank}.x (a int) ENGINE=Aria", r"bank_\w+\.x \(Aria\)"),
    "MEMORY": ("CREATE TABLE {coordinator}.x (a int) ENGINE=MEMORY", r"coordinator_\w+\.x \(MEMORY\)"),
    "FLOAT": ("CREATE TABLE {bank}.x (a int, f float)", r"FLOAT columns bank_\w+\.x\.f"),
    "system-versioned": ("CREATE TABLE {bank}.x (a int) WITH SYSTEM VERSIONING", r"system-versioned bank_\w+\.x"),
    "a foreign key that leaves": (
        "CREATE DATABASE {bank}_other; CREATE TABLE {bank}_other.p (id int PRIMARY KEY); "
        "CREATE TABLE {bank}.x (a int, FOREIGN KEY (a) REFERENCES {bank}_other.p (id))",
        "point to databases that are not backed up",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_snapshot_covers(mysql_setting: MysqlSetting, name: str) -> None:
    statement, said = REFUSED[name]
    mysql_setting.execute(statement)
    error = mysql_setting.failing()
    assert isinstance(error, StoreAccessError)
    with pytest.raises(StoreAccessError, match=said), mysql_setting.store.capture():
        pass


def test_missing_namespace_and_coordinator(mysql_setting: MysqlSetting) -> None:
    mysql_setting.execute("DROP TABLE {coordinator}.state")
    assert "no Coordinator table coordinator_" in mysql_setting.failing().message
    mysql_setting.change_store(namespaces=[f"bank_{mysql_setting.mark}", "loans"])
    assert "has no database loans" in mysql_setting.failing().message


def test_a_database_whose_name_differs_in_case(mysql_setting: MysqlSetting) -> None:
    """information_schema compares names generously; it is none of ours."""
    mysql_setting.execute("CREATE DATABASE BANK_%s; CREATE TABLE BANK_%s.x (a int) ENGINE=MyISAM" % ((mysql_setting.mark,) * 2))
    manifest, target = mysql_setting.restored(drill=True)
    assert mysql_setting.look(manifest, target).good
    assert len(manifest.stores[0].tables) == 5


def test_a_login_that_cannot_see_a_table_is_refused(mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dump client would leave it out without a word."""
    uri = mysql_setting.login(
        "part",
        f"{BACKUP_RIGHTS} ON {{coordinator}}.*",
        f"{BACKUP_RIGHTS} ON {{scalardb}}.*",
        "SELECT ON {bank}.acct",
        "SELECT ON {bank}.empty",
    )
    monkeypatch.setenv("AIRFLOW_CONN_MYSQL_DB", uri)
    assert "lacks EVENT, EXECUTE, SELECT, SHOW VIEW, TRIGGER on all of database 'bank_" in mysql_setting.failing().message
    mysql_setting.execute(f"GRANT {BACKUP_RIGHTS} ON `ban%`.* TO part_{mysql_setting.mark}")
    mysql_setting.back_up()
    mysql_setting.execute(f"GRANT INSERT ON {{bank}}.* TO part_{mysql_setting.mark}")
    assert "lacks EVENT" in mysql_setting.failing().message, "now this line fits better, and the wildcard is not heeded any more"


def test_a_role_s_grants(mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = mysql_setting.login("member")
    role, user = f"role_{mysql_setting.mark}", f"member_{mysql_setting.mark}"
    mysql_setting.execute(f"CREATE ROLE {role}; GRANT {BACKUP_RIGHTS} ON *.* TO {role}; GRANT {role} TO {user}")
    monkeypatch.setenv("AIRFLOW_CONN_MYSQL_DB", uri)
    try:
        assert mysql_setting.failing()
        mysql_setting.execute(f"SET DEFAULT ROLE {role} FOR {user}")
        assert mysql_setting.back_up()[1].rows == 1004
    finally:
        mysql_setting.execute(f"DROP ROLE {role}")


def test_connections_that_do_not_work(mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = mysql_setting.server.conn_uri()
    monkeypatch.setenv("AIRFLOW_CONN_MYSQL_DB", uri.replace(mysql_setting.server.password, "wrong-secret"))
    error = mysql_setting.failing()
    assert isinstance(error, StoreAccessError)
    assert "Access denied" in error.message
    assert "wrong-secret" not in str(error)
    monkeypatch.setenv("AIRFLOW_CONN_MYSQL_DB", "mysql://u:p@127.0.0.1:1/")
    assert isinstance(error := mysql_setting.failing(), StoreUnreachableError)
    assert error.retryable
    monkeypatch.delenv("AIRFLOW_CONN_MYSQL_DB")
    assert "airflow connections add" in mysql_setting.failing().fix
    monkeypatch.setenv("AIRFLOW_CONN_MYSQL_DB", mysql_setting.server.conn_uri("no_such_database"))
    assert mysql_setting.back_up()[1].rows == 1004, "the schema may be what was lost"


def test_a_server_that_accepts_and_never_answers(mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hung:
        monkeypatch.setenv("AIRFLOW_CONN_MYSQL_DB", f"mysql://u:p@127.0.0.1:{hung.getsockname()[1]}/")
        monkeypatch.setattr(connections, "CONNECT_SECONDS", 1)
        assert isinstance(mysql_setting.failing(), StoreUnreachableError)


def test_an_older_client_is_refused(mysql_setting: MysqlSetting, tmp_path: Path) -> None:
    for name in ("mysqldump", "mysql"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'mysqldump  Ver 10.19 Distrib 10.11.6-MariaDB, for debian-linux-gnu (x86_64)'\n")
        (tmp_path / name).chmod(0o755)
    mysql_setting.change_store(client_path=str(tmp_path))
    error = mysql_setting.failing()
    assert isinstance(error, ToolError)
    assert "is mariadb-dump 10.11.6" in error.message


def test_tls_is_verified_by_the_clients_as_by_the_driver(
    mysql_setting: MysqlSetting, other_server: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MariaDB's clients switch verification off for a password that comes through the environment, unless they are told otherwise."""
    folder = other_server.data_dir.parent.parent

    def connection(authority: str, **extra: Any) -> None:
        extra |= {"ssl_ca": str(folder / f"{authority}.pem")}
        monkeypatch.setenv(
            "AIRFLOW_CONN_MYSQL_DB",
            json.dumps(
                {"conn_type": "mysql", "host": "127.0.0.1", "port": other_server.port, "login": other_server.user,
                 "password": other_server.password, "extra": extra}
            ),
        )  # fmt: skip

    monkeypatch.setattr(mysql_setting, "server", other_server)
    mysql_setting.execute(SCHEMA + ROWS)
    for extra in ({}, {"ssl_verify_identity": True}):
        connection("right", **extra)
        mysql_setting.restored(drill=True)
        connection("wrong", **extra)
        error = mysql_setting.failing()
        assert "CERTIFICATE_VERIFY_FAILED" in str(error)
    wrong = Login(
        "127.0.0.1",
        other_server.port,
        other_server.user,
        other_server.password,
        {"ssl_ca": str(folder / "wrong.pem"), "ssl_verify_cert": True},
    )
    clients = tools.find_clients(mariadb=True, server=(11, 4))
    for command in (tools.dump_command(clients, wrong, ["mysql"]), tools.restore_command(clients, wrong)):
        with (
            pytest.raises(CopyError, match="NOT trusted"),
            streaming_tool(command, env=tools.environment(wrong), failed=tools.dump_failed, stdout=PIPE) as process,
        ):
            assert b"".join(read_output(process)) == b""
