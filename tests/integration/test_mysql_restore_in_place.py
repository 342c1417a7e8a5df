"""MySQL and MariaDB restored in place: nothing is lost, whatever holds the tables and whoever dies when."""

from __future__ import annotations

import time
from typing import Any

import pytest

from midtime.errors import (
    StoreAccessError,
    StoreUnreachableError,
)
from midtime.stores.base import ask
from midtime.stores.mysql import connections
from midtime.stores.mysql.connections import Session
from tests.integration.mysql_setting import PROGRAMS, MysqlSetting, checksums

pytestmark = pytest.mark.integration


def test_in_place_keeps_what_was_there(mysql_setting: MysqlSetting) -> None:
    mysql_setting.execute(
        "CREATE SEQUENCE {bank}.numbers START WITH 5; "
        "CREATE TABLE {bank}.counted (id int AUTO_INCREMENT PRIMARY KEY, n int DEFAULT nextval({bank}.numbers)); "
        "INSERT INTO {bank}.counted () VALUES (), (), (); DELETE FROM {bank}.counted WHERE id = 3; "
        "CREATE TABLE {scalardb}.kid (id int, CONSTRAINT k FOREIGN KEY (id) REFERENCES {bank}.acct (id)); "
        "CREATE VIEW {bank}.seen AS SELECT sum(balance) AS b FROM {bank}.acct"
    )
    manifest, target = mysql_setting.restored(in_place=True)
    assert mysql_setting.look(manifest, target).good
    mysql_setting.execute("UPDATE {bank}.acct SET balance = 0; CREATE TABLE {bank}.since (a int)")
    said = list(ask("accounts", mysql_setting.store.restore_questions(target, manifest.stores[0])))
    assert all(each.ok for each in said), said
    for _ in range(2):  # again, as a retry would
        mysql_setting.place(manifest, target)
        assert mysql_setting.execute("SELECT b FROM {bank}.seen") == [(500_000,)]
    aside = f"bank_{mysql_setting.mark}_before_abc123"
    assert mysql_setting.server.execute(f"SELECT sum(balance) FROM {aside}.acct") == [(0,)]
    assert mysql_setting.server.execute(f"SELECT count(*) FROM {aside}.since") == [(0,)]
    assert mysql_setting.execute(
        "SELECT count(*) FROM information_schema.tables WHERE table_name = 'since' AND table_schema = '{bank}'"
    ) == [(0,)]
    ((number,),) = mysql_setting.execute("INSERT INTO {bank}.counted () VALUES (); SELECT max(id) FROM {bank}.counted")
    assert number == 4, "AUTO_INCREMENT goes on"
    mysql_setting.server.execute(f"DROP TABLE {aside}.since")
    with pytest.raises(Exception, match="foreign key"):
        mysql_setting.execute("INSERT INTO {scalardb}.kid VALUES (777)")
    mysql_setting.execute("INSERT INTO {scalardb}.kid VALUES (7)")
    mysql_setting.store.discard(target)
    assert mysql_setting.execute("SELECT count(*) FROM {bank}.acct") == [(500,)]
    mysql_setting.server.execute(f"INSERT INTO {aside}.counted () VALUES ()")


def test_in_place_of_databases_that_are_lost(mysql_setting: MysqlSetting) -> None:
    mysql_setting.execute(PROGRAMS)
    point, backup = mysql_setting.back_up()
    manifest = mysql_setting.publish(point, backup)
    for name in sorted(mysql_setting.databases()):
        mysql_setting.server.execute(f"DROP DATABASE {name}")
    target = mysql_setting.target(in_place=True)
    assert all(each.ok for each in ask("accounts", mysql_setting.store.restore_questions(target, backup)))
    mysql_setting.store.restore(backup, mysql_setting.shelf(point), target, lambda _: None)
    assert mysql_setting.look(manifest, target).good
    mysql_setting.place(manifest, target)
    mysql_setting.place(manifest, target)
    assert mysql_setting.execute("SELECT count(*), {bank}.total() FROM {bank}.rich") == [(500, 500_000)]
    assert mysql_setting.execute("UPDATE {bank}.acct SET balance = 1 WHERE id = 3; SELECT id FROM {bank}.empty") == [(3,)]
    query = "SELECT routine_name FROM information_schema.routines WHERE routine_schema = '{bank}' ORDER BY 1"
    assert mysql_setting.execute(query) == [("sneaky",), ("total",)], "under its own name nothing has to be left out"
    assert mysql_setting.execute("SELECT status FROM information_schema.events WHERE event_schema = '{bank}'") == [("ENABLED",)]


HOLDS = {
    "a trigger": ("CREATE TRIGGER {bank}.t BEFORE INSERT ON {bank}.acct FOR EACH ROW SET NEW.id = NEW.id", "acct has triggers"),
    "a foreign key from outside": (
        "CREATE DATABASE {bank}_out; CREATE TABLE {bank}_out.x (id int, CONSTRAINT fk FOREIGN KEY (id) REFERENCES {bank}.acct (id))",
        r"foreign key fk of bank_\w+_out\.x",
    ),
}


@pytest.mark.parametrize("name", HOLDS)
def test_what_holds_the_live_tables_is_refused_before_anything_is_touched(mysql_setting: MysqlSetting, name: str) -> None:
    manifest, target = mysql_setting.restored(in_place=True)
    mysql_setting.execute(HOLDS[name][0])
    before = checksums(mysql_setting)
    error = mysql_setting.refusal(target, manifest.stores[0])
    assert isinstance(error, StoreAccessError)
    with pytest.raises(StoreAccessError, match=HOLDS[name][1]):
        mysql_setting.place(manifest, target)
    assert checksums(mysql_setting) == before
    assert mysql_setting.look(manifest, target).good


def test_a_table_in_use_is_an_error_and_nothing_moves(mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, target = mysql_setting.restored(in_place=True)
    before = checksums(mysql_setting)
    monkeypatch.setattr(connections, "LOCK_WAIT_SECONDS", 1)
    with mysql_setting.server.connect(autocommit=False) as user, user.cursor() as cursor:
        cursor.execute(mysql_setting.names("SELECT count(*) FROM {bank}.acct"))
        cursor.fetchall()
        started = time.monotonic()
        with pytest.raises(StoreUnreachableError, match="a table is in use"):
            mysql_setting.place(manifest, target)
        assert time.monotonic() - started < 10
    assert checksums(mysql_setting) == before
    mysql_setting.place(manifest, target)


def test_a_working_copy_that_is_gone_is_no_success(mysql_setting: MysqlSetting) -> None:
    manifest, target = mysql_setting.restored(in_place=True)
    mysql_setting.store.discard(target)
    with pytest.raises(StoreAccessError, match="working copy is gone"):
        mysql_setting.place(manifest, target)
    assert mysql_setting.execute("SELECT count(*) FROM {bank}.acct") == [(500,)]


def test_rights_on_the_names_that_are_restored_to_are_asked_for_before(
    mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those on the working names are not enough: the rename would fail with the products stopped."""
    manifest, target = mysql_setting.restored(in_place=True)
    names = ("bank", "coordinator", "scalardb")
    uri = mysql_setting.login("restorer", "ALL ON `midtime\\_tmp\\_%`.*", *(f"ALL ON {{{name}}}.*" for name in names))
    monkeypatch.setenv("AIRFLOW_CONN_MYSQL_DB", uri)
    error = mysql_setting.refusal(target, manifest.stores[0])
    assert isinstance(error, StoreAccessError)
    assert "lacks ALTER, CREATE, DROP, INSERT, SELECT on all of database" in error.message
    assert "_before_abc123" in error.message
    for name in names:
        mysql_setting.execute(f"GRANT ALL ON `{{{name}}}\\_before\\_%`.* TO restorer_{mysql_setting.mark}")
    assert all(check.ok for check in ask("accounts", mysql_setting.store.restore_questions(target, manifest.stores[0])))
    mysql_setting.place(manifest, target)


class Killed(BaseException):
    """As if the process had died."""


def test_killed_anywhere_it_goes_on_where_it_was(mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each statement of place() that changes something: the next try finishes, and what was live is kept, whole, once."""
    mysql_setting.execute(
        "CREATE SEQUENCE {bank}.s; CREATE TABLE {bank}.d (id int PRIMARY KEY DEFAULT nextval({bank}.s)); CREATE VIEW {bank}.v AS SELECT 1 AS one; "
        "CREATE FUNCTION {bank}.total() RETURNS int READS SQL DATA RETURN (SELECT sum(balance) FROM {bank}.acct)"
    )
    point, backup = mysql_setting.back_up()
    manifest = mysql_setting.publish(point, backup)
    mysql_setting.execute("UPDATE {bank}.acct SET balance = 0; DROP FUNCTION {bank}.total")
    real, calls, last = Session.rows, 0, 0

    def rows(self: Session, query: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        nonlocal calls
        found = real(self, query, parameters)
        calls += not query.lstrip().startswith(("SELECT", "SHOW", "SET", "USE"))
        if calls == last:
            raise Killed
        return found

    died = True
    while died:
        last += 1
        run = f"{last:06d}"
        target = mysql_setting.target(in_place=True, run=run)
        mysql_setting.store.restore(backup, mysql_setting.shelf(point), target, lambda _: None)
        with monkeypatch.context() as patch:
            patch.setattr(Session, "rows", rows)
            calls, died = 0, False
            try:
                mysql_setting.place(manifest, target)
            except Killed:
                died = True
        mysql_setting.place(manifest, target)
        assert mysql_setting.execute("SELECT sum(balance), {bank}.total() FROM {bank}.acct") == [(500_000, 500_000)], last
        assert mysql_setting.server.execute(f"SELECT sum(balance) FROM bank_{mysql_setting.mark}_before_{run}.acct") == [(0,)], last
        mysql_setting.execute("INSERT INTO {bank}.d VALUES (); UPDATE {bank}.acct SET balance = 0; DROP FUNCTION {bank}.total")
        mysql_setting.store.discard(target)
    assert last > 9, "six databases, a marker, a rename, a sequence's followers, a function"


def test_grants_stay_with_the_names(mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = mysql_setting.login("reader", "SELECT ON {bank}.acct")
    manifest, target = mysql_setting.restored(in_place=True)
    mysql_setting.place(manifest, target)
    monkeypatch.setenv("AIRFLOW_CONN_READER", reader)
    with connections.connect("reader") as session:
        assert session.value(mysql_setting.names("SELECT count(*) FROM {bank}.acct")) == 500
