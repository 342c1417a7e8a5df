"""Restore of a real MariaDB: beside, to another server, in place; what is refused, what a death in the middle leaves, what verification finds."""

from __future__ import annotations

import gzip
import hashlib
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from midtime.errors import (
    ArtifactError,
    CopyError,
    MidtimeError,
    RequestError,
    RestoreFailedError,
    StoreAccessError,
    StoreUnreachableError,
    TargetExistsError,
)
from midtime.model.restore_point import Artifact
from midtime.model.topology import Target as TargetWish
from midtime.stores.base import Target, ask
from midtime.stores.mysql import connections
from midtime.stores.mysql.connections import Session
from tests.integration.mysql_setting import MysqlSetting
from tests.stack.mariadb import MariaDB

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


def test_to_another_server(mysql_setting: MysqlSetting, other_server: MariaDB) -> None:
    """The databases get their own names there; the original server may be gone by then, and a dying one is an error."""
    mysql_setting.execute(PROGRAMS)
    manifest, target = mysql_setting.restored(wish=TargetWish(to="other_db"))
    assert (target.conn_id, target.final) == ("other_db", "*")
    assert mysql_setting.look(manifest, target).good
    mysql_setting.place(manifest, target)
    count = mysql_setting.names("SELECT count(*), (SELECT count(*) FROM {bank}.rich), {bank}.total() FROM {bank}.acct")
    assert other_server.execute(count) == [(500, 500, 500_000)]
    events = mysql_setting.names("SELECT status FROM information_schema.events WHERE event_schema = '{bank}'")
    assert other_server.execute(events) == [("DISABLED",)]
    refused = mysql_setting.refusal(mysql_setting.target(TargetWish(to="other_db")), manifest.stores[0])
    assert isinstance(refused, TargetExistsError)
    drill = mysql_setting.target(TargetWish(to="other_db"), run="fed321", drill=True)
    death = threading.Timer(0.3, other_server.kill)
    death.start()
    with pytest.raises(MidtimeError) as caught:
        for _ in range(50):
            mysql_setting.store.restore(manifest.stores[0], mysql_setting.shelf(manifest.id), drill, lambda _: None)
    death.join()
    assert caught.value.retryable


def test_names_as_odd_and_long_as_they_may_be(mysql_setting: MysqlSetting) -> None:
    long, odd = f"{mysql_setting.mark}{'x' * 56}", f"o.d-d_{mysql_setting.mark}"
    mysql_setting.server.execute(
        f"CREATE DATABASE `{long}`; CREATE TABLE `{long}`.p (id int PRIMARY KEY); INSERT INTO `{long}`.p VALUES (1); CREATE DATABASE `{odd}`; "
        f"CREATE TABLE `{odd}`.`it's` (id int PRIMARY KEY COMMENT 'it''s', CONSTRAINT `f's` FOREIGN KEY (id) REFERENCES `{long}`.p (id)); "
        f"INSERT INTO `{odd}`.`it's` VALUES (1)"
    )
    mysql_setting.change_store(namespaces=[f"bank_{mysql_setting.mark}", long, odd])
    manifest, target = mysql_setting.restored()
    found = mysql_setting.look(manifest, target)
    assert found.good, found.summary()
    mysql_setting.place(manifest, target)
    mysql_setting.server.execute(f"SET foreign_key_checks = 0; DROP DATABASE `{long}`; SET foreign_key_checks = 1")
    with pytest.raises(Exception, match="foreign key"):
        mysql_setting.server.execute(f"INSERT INTO `{odd}_restored_abc123`.`it's` VALUES (2)")


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
        except Exception as error:  # noqa: BLE001 - told to the test
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


def test_a_failed_restore_repeats_no_rows(mysql_setting: MysqlSetting) -> None:
    mysql_setting.execute("CREATE TABLE {bank}.cards (id int PRIMARY KEY, number text)")
    mysql_setting.execute("INSERT INTO {bank}.cards SELECT seq, concat('4111-1111-', seq, repeat('x', 500)) FROM {bank}.seq_1_to_3000")
    point, backup = mysql_setting.back_up()
    mysql_setting.server.execute("SET GLOBAL max_allowed_packet = 524288")
    try:
        refused = mysql_setting.refusal(mysql_setting.target(drill=True), backup)
        with pytest.raises(RestoreFailedError) as caught:
            mysql_setting.store.restore(backup, mysql_setting.shelf(point), mysql_setting.target(drill=True), lambda _: None)
    finally:
        mysql_setting.server.execute("SET GLOBAL max_allowed_packet = 16777216")
    assert "4111-1111" not in str(caught.value)
    assert "max_allowed_packet = 1048576" in refused.fix


def test_a_row_that_the_target_does_not_take_is_refused(mysql_setting: MysqlSetting) -> None:
    """In a dump a byte takes two, and a server that took the row does not take it back."""
    mysql_setting.execute("CREATE TABLE {bank}.big (id int PRIMARY KEY, b longblob)")
    mysql_setting.execute("INSERT INTO {bank}.big SELECT 1, repeat(unhex('ab'), 9000000)")
    store, told = mysql_setting.store, list[str]()
    with store.capture() as capture:
        backup = store.copy(capture, mysql_setting.shelf("20260101T000000Z-000000"), told.append)
    assert backup.details["longest_row"] > 18_000_000
    assert [line for line in told if "more than max_allowed_packet (16777216)" in line]
    error = mysql_setting.refusal(mysql_setting.target(drill=True), backup)
    assert isinstance(error, StoreAccessError)
    assert "SET GLOBAL max_allowed_packet = 18874368" in error.fix
    mysql_setting.server.execute("SET GLOBAL max_allowed_packet = 18874368")
    try:
        assert all(check.ok for check in ask("accounts", store.restore_questions(mysql_setting.target(drill=True), backup)))
        store.restore(backup, mysql_setting.shelf("20260101T000000Z-000000"), mysql_setting.target(drill=True), lambda _: None)
    finally:
        mysql_setting.server.execute("SET GLOBAL max_allowed_packet = 16777216")


BROKEN = """
CREATE TABLE {bank}.gone (id int PRIMARY KEY); CREATE VIEW {bank}.dangling AS SELECT id FROM {bank}.gone;
CREATE VIEW {bank}.onto_it AS SELECT id FROM {bank}.dangling; DROP TABLE {bank}.gone; CREATE VIEW {bank}.good AS SELECT id FROM {bank}.acct
"""


def test_views_that_do_not_work_are_left_out_and_named(mysql_setting: MysqlSetting, caplog: pytest.LogCaptureFixture) -> None:
    mysql_setting.execute(BROKEN)
    detail = {check.question: check.detail for check in ask("accounts", mysql_setting.store.questions()) if check.ok}
    said = detail["lets us read views, triggers and routines"]
    assert "do not work now" in said
    assert ".dangling" in said
    assert ".onto_it" in said
    assert ".good" not in said
    point, backup = mysql_setting.back_up()
    manifest, target, told = mysql_setting.publish(point, backup), mysql_setting.target(in_place=True), list[str]()
    mysql_setting.store.restore(backup, mysql_setting.shelf(point), target, told.append)
    assert sorted(line.split(" is LEFT OUT")[0].split(".")[-1] for line in told if "LEFT OUT" in line) == ["dangling", "onto_it"]
    assert "dangling is LEFT OUT" in caplog.text
    assert mysql_setting.look(manifest, target).good
    mysql_setting.execute("DROP VIEW {bank}.dangling; DROP VIEW {bank}.onto_it; DROP VIEW {bank}.good")
    mysql_setting.place(manifest, target)
    assert mysql_setting.execute("SELECT count(*) FROM {bank}.good") == [(500,)]


def test_a_view_into_a_database_that_only_its_server_has(mysql_setting: MysqlSetting, other_server: MariaDB) -> None:
    outside = f"outside_{mysql_setting.mark}"
    mysql_setting.execute(
        f"CREATE DATABASE {outside}; CREATE TABLE {outside}.t (id int); CREATE VIEW {{bank}}.v AS SELECT id FROM {outside}.t"
    )
    manifest, target = mysql_setting.restored(wish=TargetWish(to="other_db"), drill=True)
    assert mysql_setting.look(manifest, target).good
    mysql_setting.store.discard(target)


@pytest.mark.parametrize("line", ["DELETE FROM {bank}.acct;", "\\! touch {file}"])
def test_an_artifact_that_is_more_than_a_dump_does_nothing(mysql_setting: MysqlSetting, tmp_path: Path, line: str) -> None:
    """Whoever can write to the destination is not thereby a user of the server or of the worker."""
    point, backup = mysql_setting.back_up()
    path = Path(mysql_setting.catalog.folder(point).path) / backup.artifacts[0].path
    bad = line.format(bank=mysql_setting.names("{bank}"), file=tmp_path / "file").encode()
    text = gzip.compress(gzip.decompress(path.read_bytes()).replace(b"-- Dump completed", bad + b"\n-- Dump completed"))
    path.write_bytes(text)
    artifact = Artifact(path=backup.artifacts[0].path, size=len(text), sha256=hashlib.sha256(text).hexdigest())
    changed = backup.model_copy(update={"artifacts": (artifact,)})
    with pytest.raises(CopyError, match="not known"):
        mysql_setting.store.restore(changed, mysql_setting.shelf(point), mysql_setting.target(drill=True), lambda _: None)
    assert mysql_setting.execute("SELECT count(*) FROM {bank}.acct") == [(500,)]
    assert not (tmp_path / "file").exists()


def test_probes_at_once_do_not_meet(mysql_setting: MysqlSetting) -> None:
    errors, barrier = list[Exception](), threading.Barrier(2)

    def probes() -> None:
        for _ in range(8):
            barrier.wait()
            try:
                assert all(question() for _, question in mysql_setting.store.drill_questions())
            except Exception as error:  # noqa: BLE001 - told to the test
                errors.append(error)

    threads = [threading.Thread(target=probes) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(mysql_setting.databases()) == 3


# -- verification ------------------------------------------------------------------------------------------------------------------------

CONTENT = "content differs in bucket"
MUTATIONS = [
    ("DELETE FROM {} WHERE id = 7", "19 rows instead of 20"),
    ("INSERT INTO {} (id) VALUES (900)", "21 rows instead of 20"),
    ("UPDATE {} SET balance = 1001 WHERE id = 7", CONTENT),
    ("UPDATE {} SET ratio = ratio + 1e-15 WHERE id = 7", CONTENT),
    ("UPDATE {} SET name = concat(name, ' ') WHERE id = 7", CONTENT),
    ("UPDATE {} SET raw = unhex('00270A5D') WHERE id = 7", CONTENT),
    ("UPDATE {} SET raw = '' WHERE id = 8", CONTENT),  # it was NULL
    ("UPDATE {} SET name = 'NULL' WHERE id = 8", CONTENT),
    ("UPDATE {} SET balance = 3 - balance WHERE id IN (1, 2)", CONTENT),  # two rows trade places
    ("DROP TABLE {}", "missing"),
    ("RENAME TABLE {0} TO {0}x", "x: unexpected"),
    ("ALTER TABLE {} MODIFY id bigint", "has another shape"),
    ("ALTER TABLE {} MODIFY name varchar(100) COLLATE utf8mb4_bin", "has another shape"),
    ("DROP INDEX acct_name ON {}", "has another shape"),
    ("CREATE INDEX x ON {} (balance)", "has another shape"),
    ("DROP INDEX acct_name ON {0}; CREATE INDEX acct_name ON {0} (name(5))", "has another shape"),
]


def test_verification_names_what_differs(mysql_setting: MysqlSetting) -> None:
    """Each on a table of its own; the others are not named."""
    for number in range(len(MUTATIONS)):
        mysql_setting.execute(
            f"CREATE TABLE {{bank}}.m{number:02d} LIKE {{bank}}.acct; INSERT INTO {{bank}}.m{number:02d} SELECT * FROM {{bank}}.acct WHERE id <= 20; "
            f"UPDATE {{bank}}.m{number:02d} SET raw = NULL, name = NULL WHERE id = 8; UPDATE {{bank}}.m{number:02d} SET balance = id WHERE id < 3"
        )
    manifest, target = mysql_setting.restored(drill=True)
    found = mysql_setting.look(manifest, target)
    assert found.good, found.summary()
    for number, (statement, _) in enumerate(MUTATIONS):
        mysql_setting.in_copy(target, statement.format(f"{{bank}}.m{number:02d}"))
    mysql_setting.in_copy(target, "DELETE FROM {coordinator}.state WHERE tx_id = 't7'")
    found = mysql_setting.look(manifest, target)
    for number, (statement, said) in enumerate(MUTATIONS):
        assert [each for each in found.differences if f".m{number:02d}" in each and said in each], (statement, found.differences)
    assert not [each for each in found.differences if ".acct" in each or ".empty" in each]
    assert "unknown-to-coordinator" in str(found.to_dict())


def test_a_copy_that_points_into_the_original_is_found(mysql_setting: MysqlSetting) -> None:
    mysql_setting.execute("CREATE TABLE {bank}.c (id int, CONSTRAINT k FOREIGN KEY (id) REFERENCES {bank}.acct (id))")
    manifest, target = mysql_setting.restored(drill=True)
    assert mysql_setting.look(manifest, target).good
    copy = mysql_setting.working(target)["bank"]
    mysql_setting.server.execute(f"ALTER TABLE {copy}.c DROP FOREIGN KEY k")
    mysql_setting.execute(f"ALTER TABLE {copy}.c ADD CONSTRAINT k FOREIGN KEY (id) REFERENCES {{bank}}.acct (id)")
    assert ".c has another shape" in str(mysql_setting.look(manifest, target).differences)


def test_a_coordinator_that_was_not_backed_up_is_never_looked_for_among_the_live(mysql_setting: MysqlSetting) -> None:
    manifest, target = mysql_setting.restored(drill=True)
    other = f"coordinator2_{mysql_setting.mark}"
    mysql_setting.execute(f"CREATE DATABASE {other}; CREATE TABLE {other}.state LIKE {{coordinator}}.state")
    mysql_setting.change(
        scalardb={"coordinators": [{"store": "accounts", "namespace": other}], "metadata_namespace": f"scalardb_{mysql_setting.mark}"}
    )
    with (
        mysql_setting.store.restored(manifest.stores[0], target) as restored,
        pytest.raises(RequestError, match=f"has no database {other}, where the topology has the Coordinator"),
    ):
        restored.coordinators()


TORN = {
    "committed, its transaction unknown": ("DELETE FROM {coordinator}.state WHERE tx_id = 't42'", "acct[42]"),
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


def test_checks_read_the_copy_and_change_nothing(mysql_setting: MysqlSetting) -> None:
    mysql_setting.execute(PROGRAMS)
    manifest, target = mysql_setting.restored(drill=True)
    mysql_setting.execute("DELETE FROM {bank}.acct WHERE id > 100")
    reading = [
        "SELECT count(*) FROM {bank}.acct", "SELECT count(*) FROM acct", "SELECT count(*) FROM `{bank}` . `acct`", "SELECT count(*) FROM {bank}.rich",
        "WITH x AS (SELECT * FROM {bank}.acct) SELECT count(*) FROM x", "SELECT count(*) FROM {coordinator}.state WHERE tx_id <> '{bank}.x'",
        "(SELECT {bank}.total() DIV 1000)",
    ]  # fmt: skip
    refused = [
        "SELECT count(*) FROM {bank}/**/.acct", "SELECT count(*) FROM /*!{bank}.*/ acct", "SELECT {bank}.id FROM acct {bank}",
        "SELECT 1; DROP TABLE acct", "COMMIT; DELETE FROM acct", "DELETE FROM acct", "DROP TABLE acct", "SET GLOBAL max_connections = 5", "COMMIT",
        "SELECT 1 INTO OUTFILE '/tmp/midtime_outfile'", "CALL sneaky()", "UPDATE {bank}.acct SET balance = 0", "FLUSH TABLES",
        "WITH x AS (SELECT 1) DELETE FROM acct", "SELECT 1 FROM nowhere", "SELECT id FROM {bank}.acct FOR UPDATE",
    ]  # fmt: skip
    with mysql_setting.store.restored(manifest.stores[0], target) as restored:
        for sql in reading:
            assert restored.scalar(mysql_setting.names(sql)) == 500, sql
        for sql in refused:
            with pytest.raises(RequestError):
                restored.scalar(mysql_setting.names(sql))
    mysql_setting.change(checks=[{"store": "accounts", "sql": mysql_setting.names(reading[0]), "expect": 501, "name": "one more"}])
    assert mysql_setting.look(manifest, target).failed_checks == ("check 'one more' of store accounts gave 500, expected 501",)
    assert mysql_setting.in_copy(target, "SELECT count(*), sum(balance) FROM {bank}.acct") == [(500, 500_000)]
    assert mysql_setting.execute("SELECT count(*) FROM {bank}.acct") == [(100,)]


# -- in place ----------------------------------------------------------------------------------------------------------------------------


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


def test_a_misspelt_drill_target_does_not_become_databases_on_the_live_server(mysql_setting: MysqlSetting) -> None:
    with pytest.raises(RequestError, match="no such Airflow connection"):
        mysql_setting.target(TargetWish(to="drill_dbb"), drill=True)
    assert all(question() for _, question in mysql_setting.store.drill_questions())
    assert len(mysql_setting.databases()) == 3


@pytest.mark.long  # the server wants libnuma, which no package registry has
def test_on_oracle_s_server(oracle_setting: MysqlSetting) -> None:
    """Another information_schema, another SHOW CREATE, another RENAME TABLE: beside and in place, with everything that belongs to a database."""
    oracle_setting.execute("CREATE TABLE {bank}.z (id int, g int AS (id + 1) STORED)")
    assert "generated columns bank_" in oracle_setting.failing().message
    kid = "CREATE TABLE {scalardb}.kid (id int, CONSTRAINT k FOREIGN KEY (id) REFERENCES {bank}.acct (id))"
    zero = "CREATE TABLE {bank}.z (id int PRIMARY KEY, d double, j json); INSERT INTO {bank}.z VALUES (1, -0e0, '[1]')"
    oracle_setting.execute(f"DROP TABLE {{bank}}.z; {zero}; {kid}; {PROGRAMS}")
    for in_place in (False, True):
        manifest, target = oracle_setting.restored(in_place=in_place, run=f"abc12{int(in_place)}")
        found = oracle_setting.look(manifest, target)
        assert found.good, found.summary()
        if in_place:
            assert "acct has triggers" in oracle_setting.refusal(target, manifest.stores[0]).message
            oracle_setting.execute("DROP TRIGGER {bank}.audit; UPDATE {bank}.acct SET balance = 0")
        for _ in range(2):
            oracle_setting.place(manifest, target)
        oracle_setting.store.discard(target)
    assert oracle_setting.execute("SELECT sum(balance), {bank}.total() FROM {bank}.acct") == [(500_000, 500_000)]
    ((_, created),) = oracle_setting.execute("SHOW CREATE TABLE {scalardb}.kid")
    assert oracle_setting.names("REFERENCES `{bank}`.`acct`") in created
