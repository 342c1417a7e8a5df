"""Restore of a real MariaDB: beside, to another server, in place; what is refused, what a death in the middle leaves, what verification finds."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from midtime.errors import ArtifactError, MidtimeError, RequestError, StoreAccessError, StoreUnreachableError, TargetExistsError
from midtime.model.restore_point import RestorePoint
from midtime.model.topology import Target as TargetWish
from midtime.stores.base import Target, ask
from midtime.stores.mysql import connections
from midtime.stores.mysql.connections import Session
from tests.integration.mysql_setting import MysqlSetting
from tests.stack.mariadb import MariaDB
from tests.stack.processes import Processes

pytestmark = pytest.mark.integration

PROGRAMS = """
CREATE VIEW {bank}.rich AS SELECT a.id AS id, s.tx_state AS st FROM {bank}.acct a JOIN {coordinator}.state s ON s.tx_id = a.tx_id;
CREATE VIEW {bank}.a_first AS SELECT id FROM {bank}.rich;
CREATE TRIGGER {bank}.audit BEFORE UPDATE ON {bank}.acct FOR EACH ROW INSERT INTO {bank}.empty VALUES (NEW.id);
CREATE FUNCTION {bank}.total() RETURNS int READS SQL DATA RETURN (SELECT sum(balance) FROM {bank}.acct);
CREATE PROCEDURE {bank}.sneaky() PREPARE s FROM 'DELETE FROM {bank}.acct';
CREATE EVENT {bank}.nightly ON SCHEDULE EVERY 1 DAY STARTS '2035-01-01 00:00:00' DO DELETE FROM {bank}.acct
"""


def checksums(setting: MysqlSetting) -> list[tuple[Any, ...]]:
    names = [f"`{schema}`.`{table.replace('`', '``')}`" for schema, table in setting.server.execute(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND table_schema IN (%s, %s, %s) ORDER BY 1, 2",
        args=tuple(setting.names("{bank} {coordinator} {scalardb}").split()),
    )]  # fmt: skip
    return setting.server.execute(f"CHECKSUM TABLE {', '.join(names)}")


# -- beside, elsewhere -------------------------------------------------------------------------------------------------------------------


def test_beside_on_the_same_server(mysql_setting: MysqlSetting) -> None:
    """The originals are byte for byte what they were, and the copy reaches nowhere into them."""
    mysql_setting.execute(PROGRAMS)
    before = checksums(mysql_setting)
    manifest, target = mysql_setting.restored()
    assert target.final == "*_restored_abc123"
    said = {check.question: check.detail for check in ask("accounts", mysql_setting.store.restore_questions(target, manifest.stores[0]))}
    assert "left out, because" in said["has views, triggers and routines"]
    assert "sneaky" in said["has views, triggers and routines"]
    found = mysql_setting.look(manifest, target)
    assert found.good, found.summary()
    mysql_setting.place(manifest, target)
    copy = {name: f"{name}_{mysql_setting.mark}_restored_abc123" for name in ("bank", "coordinator", "scalardb")}
    execute = mysql_setting.server.execute
    execute(f"UPDATE {copy['bank']}.acct SET balance = 5 WHERE id = 7; DELETE FROM {copy['coordinator']}.state")
    assert execute(f"SELECT id FROM {copy['bank']}.empty") == [(7,)], "its own trigger, into its own table"
    assert execute(f"SELECT {copy['bank']}.total()") == [(499_005,)]
    assert execute(f"SELECT count(*) FROM {copy['bank']}.rich") == [(0,)]
    assert execute("SELECT status FROM information_schema.events WHERE event_schema = %s", args=(copy["bank"],)) == [("DISABLED",)]
    assert execute("SELECT routine_name FROM information_schema.routines WHERE routine_schema = %s", args=(copy["bank"],)) == [("total",)]
    mysql_setting.store.discard(target)
    assert checksums(mysql_setting) == before
    assert mysql_setting.execute("SELECT count(*) FROM {bank}.rich") == [(500,)]


@pytest.fixture
def other_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MariaDB]:
    processes = Processes(tmp_path / "processes")
    server = MariaDB(processes, "other").start()
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_DB", server.conn_uri())
    yield server
    processes.stop()


def test_to_another_server(mysql_setting: MysqlSetting, other_server: MariaDB) -> None:
    """The databases get their own names there; the original server may be gone by then, and a dying one is an error."""
    mysql_setting.execute(PROGRAMS + "; CREATE USER ghost; CREATE DEFINER=ghost VIEW {bank}.ghosts AS SELECT 1 AS one; DROP USER ghost")
    manifest, target = mysql_setting.restored(wish=TargetWish(to="other_db"))
    assert (target.conn_id, target.final) == ("other_db", "*")
    assert mysql_setting.look(manifest, target).good
    mysql_setting.place(manifest, target)
    count = mysql_setting.names(
        "SELECT count(*), (SELECT count(*) FROM {bank}.rich), {bank}.total(), (SELECT one FROM {bank}.ghosts) FROM {bank}.acct"
    )
    assert other_server.execute(count) == [(500, 500, 500_000, 1)]
    assert other_server.execute("SELECT status FROM information_schema.events") == [("DISABLED",)]
    refused = mysql_setting.refusal(mysql_setting.target(TargetWish(to="other_db")), manifest.stores[0])
    assert isinstance(refused, TargetExistsError)
    monkeyed = mysql_setting.target(TargetWish(to="other_db"), run="fed321", drill=True)
    threading.Timer(0.3, other_server.kill).start()
    with pytest.raises(MidtimeError) as caught:
        for _ in range(50):
            mysql_setting.store.restore(manifest.stores[0], mysql_setting.shelf(manifest.id), monkeyed, lambda _: None)
    assert caught.value.retryable


def test_names_as_odd_and_long_as_they_may_be(mysql_setting: MysqlSetting) -> None:
    long, odd = f"{mysql_setting.mark}{'x' * 56}", f"o`d'd {mysql_setting.mark}"
    quoted = odd.replace("`", "``")
    mysql_setting.server.execute(
        f"CREATE DATABASE `{long}`; CREATE TABLE `{long}`.p (id int PRIMARY KEY); INSERT INTO `{long}`.p VALUES (1); CREATE DATABASE `{quoted}`; "
        f"CREATE TABLE `{quoted}`.`it's` (id int PRIMARY KEY COMMENT 'it''s', CONSTRAINT `f's` FOREIGN KEY (id) REFERENCES `{long}`.p (id)); "
        f"INSERT INTO `{quoted}`.`it's` VALUES (1)"
    )
    mysql_setting.change_store(namespaces=[f"bank_{mysql_setting.mark}", long, odd])
    manifest, target = mysql_setting.restored()
    found = mysql_setting.look(manifest, target)
    assert found.good, found.summary()
    mysql_setting.place(manifest, target)
    mysql_setting.server.execute(f"SET foreign_key_checks = 0; DROP DATABASE `{long}`; SET foreign_key_checks = 1")
    with pytest.raises(Exception, match="foreign key"):
        mysql_setting.server.execute(f"INSERT INTO `{quoted}_restored_abc123`.`it's` VALUES (2)")


def test_onto_existing_tables_is_refused(mysql_setting: MysqlSetting) -> None:
    _, backup = mysql_setting.back_up()
    error = mysql_setting.refusal(mysql_setting.target(TargetWish(to="*")), backup)
    assert isinstance(error, TargetExistsError)
    assert "in_place" in error.fix


def test_tables_that_appeared_since_the_plan_are_not_replaced(mysql_setting: MysqlSetting) -> None:
    manifest, target = mysql_setting.restored()
    mysql_setting.server.execute(
        f"CREATE DATABASE bank_{mysql_setting.mark}_restored_abc123; CREATE TABLE bank_{mysql_setting.mark}_restored_abc123.x (a int)"
    )
    with pytest.raises(TargetExistsError, match="appeared"):
        mysql_setting.place(manifest, target)


def test_tried_again_a_restore_begins_afresh_and_two_runs_do_not_meet(mysql_setting: MysqlSetting) -> None:
    manifest, target = mysql_setting.restored(drill=True)
    other = mysql_setting.target(drill=True, run="fed321")
    mysql_setting.in_copy(target, "DELETE FROM {bank}.acct; CREATE TABLE {bank}.extra (a int)")
    shelf, backup = mysql_setting.shelf(manifest.id), manifest.stores[0]
    errors: list[BaseException] = []

    def run(each: Target) -> None:
        try:
            mysql_setting.store.restore(backup, shelf, each, lambda _: None)
            assert mysql_setting.look(manifest, each).good
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(each,)) for each in (target, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    mysql_setting.store.discard(other)
    assert mysql_setting.look(manifest, target).good
    mysql_setting.store.discard(target)
    mysql_setting.store.discard(target)
    assert not [name for name in mysql_setting.databases() if name.startswith("midtime")]
    with pytest.raises(TargetExistsError):
        mysql_setting.store.discard(Target("accounts", "mysql_db", "bank_*", "bank_*"))
    assert len(mysql_setting.databases()) == 3


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_artifact_is_named_and_nothing_is_created(mysql_setting: MysqlSetting, damage: str) -> None:
    point, backup = mysql_setting.back_up()
    path = Path(mysql_setting.catalog.folder(point).path) / backup.artifacts[0].path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(content if damage == "flip" else content[:-1])
    with pytest.raises(ArtifactError, match=r"dump\.sql\.gz"):
        mysql_setting.store.restore(backup, mysql_setting.shelf(point), mysql_setting.target(drill=True), lambda _: None)
    assert len(mysql_setting.databases()) == 3


# -- verification ------------------------------------------------------------------------------------------------------------------------

ODD = "{bank}.`Odd ``Name`"
CONTENT = "content differs in bucket"
MUTATIONS = {
    "a row is missing": ("DELETE FROM {bank}.acct WHERE id = 7", ".acct: 499 rows instead of 500"),
    "a row is there twice": (f"INSERT INTO {ODD} VALUES (1, 'x')", "Name: 4 rows instead of 3"),
    "a value differs": ("UPDATE {bank}.acct SET balance = 1001 WHERE id = 7", CONTENT),
    "a double's last bit differs": ("UPDATE {bank}.acct SET ratio = ratio + 1e-15 WHERE id = 7", CONTENT),
    "a blank more": ("UPDATE {bank}.acct SET name = concat(name, ' ') WHERE id = 7", CONTENT),
    "bytes differ": ("UPDATE {bank}.acct SET raw = unhex('00270A5D') WHERE id = 7", CONTENT),
    "null became empty": ("UPDATE {bank}.acct SET note = NULL, raw = '' WHERE id = 7", CONTENT),
    "null became its name": (f"UPDATE {ODD} SET b = 'NULL' WHERE a IS NULL", CONTENT),
    "two rows swapped a value": ("UPDATE {bank}.acct SET tx_prepared_at = 1763700000003 - id + 1763700000000 - 1763700000000 WHERE id IN (1, 2)", CONTENT),
    "a table is missing": ("DROP TABLE {bank}.empty", ".empty: missing"),
    "a table is new": ("CREATE TABLE {bank}.extra (a int)", ".extra: unexpected"),
    "a column has another type": ("ALTER TABLE {bank}.empty MODIFY id bigint", ".empty has another shape"),
    "a column has another collation": (f"ALTER TABLE {ODD} MODIFY b text COLLATE utf8mb4_bin", "has another shape"),
    "an index is missing": ("DROP INDEX acct_name ON {bank}.acct", ".acct has another shape"),
    "an index is new": ("CREATE INDEX x ON {bank}.acct (balance)", ".acct has another shape"),
    "a Coordinator row is missing": ("DELETE FROM {coordinator}.state WHERE tx_id = 't7'", "unknown-to-coordinator"),
}  # fmt: skip


def test_verification_names_what_differs(mysql_setting: MysqlSetting) -> None:
    manifest, target = mysql_setting.restored(drill=True)
    backup, shelf = manifest.stores[0], mysql_setting.shelf(manifest.id)
    for name, (statement, said) in MUTATIONS.items():
        mysql_setting.in_copy(target, statement)
        with mysql_setting.store.restored(backup, target):
            found = mysql_setting.look(manifest, target)
        assert not found.good, name
        assert said in json.dumps(found.to_dict()), (name, found.summary())
        mysql_setting.store.restore(backup, shelf, target, lambda _: None)
    assert mysql_setting.look(manifest, target).good


def test_a_copy_that_points_into_the_original_is_found(mysql_setting: MysqlSetting) -> None:
    mysql_setting.execute("CREATE TABLE {bank}.c (id int, CONSTRAINT k FOREIGN KEY (id) REFERENCES {bank}.acct (id))")
    manifest, target = mysql_setting.restored(drill=True)
    assert mysql_setting.look(manifest, target).good
    copy = mysql_setting.working(target)["bank"]
    mysql_setting.server.execute(f"ALTER TABLE {copy}.c DROP FOREIGN KEY k")
    mysql_setting.execute(f"ALTER TABLE {copy}.c ADD CONSTRAINT k FOREIGN KEY (id) REFERENCES {{bank}}.acct (id)")
    assert ".c has another shape" in str(mysql_setting.look(manifest, target).differences)


TORN = {
    "prepared, its transaction unknown": ("INSERT INTO {bank}.acct (id, tx_id, tx_state, tx_version, tx_prepared_at) VALUES (900, 'gone', 1, 1, 1763700000000)", "gone"),
    "committed, its transaction unknown": ("DELETE FROM {coordinator}.state WHERE tx_id = 't42'", "acct[42]"),
    "committed, its transaction aborted": ("UPDATE {coordinator}.state SET tx_state = 4 WHERE tx_id = 't42'", "acct[42]"),
}  # fmt: skip


@pytest.mark.parametrize("name", TORN)
@pytest.mark.parametrize("collation", ["", "utf8mb4_bin"])
def test_a_torn_record_names_table_key_and_transaction(mysql_setting: MysqlSetting, name: str, collation: str) -> None:
    """The databases were torn when they were captured: counts and digests agree, only the records tell."""
    if collation:
        mysql_setting.execute(f"ALTER TABLE {{bank}}.acct CONVERT TO CHARACTER SET utf8mb4 COLLATE {collation}; "
                              f"ALTER TABLE {{coordinator}}.state CONVERT TO CHARACTER SET utf8mb4 COLLATE {collation}")  # fmt: skip
    statement, said = TORN[name]
    mysql_setting.execute(statement)
    manifest, target = mysql_setting.restored(drill=True)
    found = mysql_setting.look(manifest, target)
    assert found.differences == ()
    assert found.verdict is not None
    assert said in str(found.verdict.findings[0]), found.summary()


def check(setting: MysqlSetting, manifest: RestorePoint, target: Target, sql: str, expect: Any) -> tuple[str, ...]:
    setting.change(checks=[{"store": "accounts", "sql": setting.names(sql), "expect": expect}])
    return setting.look(manifest, target).failed_checks


def test_checks_read_the_copy_and_change_nothing(mysql_setting: MysqlSetting) -> None:
    mysql_setting.execute(PROGRAMS)
    manifest, target = mysql_setting.restored(drill=True)
    mysql_setting.execute("DELETE FROM {bank}.acct WHERE id > 100")
    for sql in (
        "SELECT count(*) FROM {bank}.acct", "SELECT count(*) FROM acct", "SELECT count(*) FROM `{bank}` . `acct`", "SELECT count(*) FROM {bank}.rich",
        "WITH x AS (SELECT * FROM {bank}.acct) SELECT count(*) FROM x", "SELECT count(*) FROM {coordinator}.state WHERE tx_id <> '{bank}.x'",
    ):  # fmt: skip
        assert check(mysql_setting, manifest, target, sql, 500) == (), sql
    assert check(mysql_setting, manifest, target, "SELECT {bank}.total()", 500_000) == ()
    for sql in (
        "SELECT count(*) FROM {bank}/**/.acct", "SELECT count(*) FROM /*!{bank}.*/ acct", "SELECT {bank}.id FROM acct {bank}",
        "SELECT 1; DROP TABLE acct", "COMMIT; DELETE FROM acct", "DELETE FROM acct", "DROP TABLE acct", "SET GLOBAL max_connections = 5", "COMMIT",
        "SELECT 1 INTO OUTFILE '/tmp/midtime_outfile'", "CALL sneaky()", "UPDATE {bank}.acct SET balance = 0", "FLUSH TABLES", "",
        "WITH x AS (SELECT 1) DELETE FROM acct", "SELECT 1 FROM nowhere",
    ):  # fmt: skip
        if sql:
            assert len(check(mysql_setting, manifest, target, sql, 1)) == 1, sql
    assert mysql_setting.in_copy(target, "SELECT count(*), sum(balance) FROM {bank}.acct") == [(500, 500_000)]
    assert mysql_setting.execute("SELECT count(*) FROM {bank}.acct") == [(100,)]


# -- in place ----------------------------------------------------------------------------------------------------------------------------


def test_in_place_keeps_what_was_there(mysql_setting: MysqlSetting) -> None:
    mysql_setting.execute(
        "CREATE SEQUENCE {bank}.numbers START WITH 5; CREATE TABLE {bank}.counted (id int AUTO_INCREMENT PRIMARY KEY, n int DEFAULT nextval({bank}.numbers)); "
        "INSERT INTO {bank}.counted () VALUES (), (), (); DELETE FROM {bank}.counted WHERE id = 3; "
        "CREATE TABLE {scalardb}.kid (id int, CONSTRAINT k FOREIGN KEY (id) REFERENCES {bank}.acct (id)); CREATE VIEW {bank}.seen AS SELECT sum(balance) AS b FROM {bank}.acct"
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


class Killed(BaseException):
    """As if the process had died."""


def test_killed_anywhere_it_goes_on_where_it_was(mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before and after every statement of place(): the next try finishes, and what was live is kept, whole, once."""
    mysql_setting.execute(
        "CREATE SEQUENCE {bank}.s; CREATE TABLE {bank}.d (id int PRIMARY KEY DEFAULT nextval({bank}.s)); CREATE VIEW {bank}.v AS SELECT 1 AS one; "
        "CREATE FUNCTION {bank}.total() RETURNS int READS SQL DATA RETURN (SELECT sum(balance) FROM {bank}.acct)"
    )
    point, backup = mysql_setting.back_up()
    manifest = mysql_setting.publish(point, backup)
    mysql_setting.execute("UPDATE {bank}.acct SET balance = 0; DROP FUNCTION {bank}.total")
    real, calls = Session.rows, 0
    last = 10**9

    def rows(self: Session, query: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        nonlocal calls
        if query.lstrip().startswith(("SELECT", "SHOW", "SET", "USE")):
            return real(self, query, parameters)
        calls += 1
        if calls == last and after == "before":
            raise Killed
        found = real(self, query, parameters)
        if calls == last:
            raise Killed
        return found

    for after in ("before", "after"):
        step = 0
        while True:
            step += 1
            run = f"{step:03d}{'b' if after == 'before' else 'a'}00"
            target = mysql_setting.target(in_place=True, run=run)
            mysql_setting.store.restore(backup, mysql_setting.shelf(point), target, lambda _: None)
            calls, last = 0, step
            with monkeypatch.context() as patch:
                patch.setattr(Session, "rows", rows)
                try:
                    mysql_setting.place(manifest, target)
                    died = False
                except Killed:
                    died = True
            mysql_setting.place(manifest, target)
            assert mysql_setting.execute("SELECT sum(balance), {bank}.total() FROM {bank}.acct") == [(500_000, 500_000)], (after, step)
            assert mysql_setting.server.execute(f"SELECT sum(balance) FROM bank_{mysql_setting.mark}_before_{run}.acct") == [(0,)], (
                after,
                step,
            )
            mysql_setting.execute("INSERT INTO {bank}.d VALUES (); UPDATE {bank}.acct SET balance = 0; DROP FUNCTION {bank}.total")
            mysql_setting.store.discard(target)
            if not died:
                break
            step += 2 if step > 6 else 0
        assert step > 6


def test_grants_stay_with_the_names(mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = mysql_setting.login("reader", "SELECT ON {bank}.acct")
    manifest, target = mysql_setting.restored(in_place=True)
    mysql_setting.place(manifest, target)
    monkeypatch.setenv("AIRFLOW_CONN_READER", reader)
    with connections.connect("reader") as session:
        assert session.value(mysql_setting.names("SELECT count(*) FROM {bank}.acct")) == 500


def test_a_misspelt_drill_target_does_not_become_databases_on_the_live_server(mysql_setting: MysqlSetting) -> None:
    with pytest.raises(RequestError, match="no such Airflow connection"):
        mysql_setting.target(TargetWish(to="drill_dbb"), drill=True)
    assert all(question() for _, question in mysql_setting.store.drill_questions())
    assert len(mysql_setting.databases()) == 3
