"""Restore of a real MariaDB: beside, to another server, in place; what is refused, what a death in the middle leaves, what verification finds."""

from __future__ import annotations

import gzip
import hashlib
import threading
from pathlib import Path

import pytest

from midtime.errors import (
    ArtifactError,
    CopyError,
    MidtimeError,
    RequestError,
    RestoreFailedError,
    StoreAccessError,
    TargetExistsError,
)
from midtime.model.restore_point import Artifact
from midtime.model.topology import Target as TargetWish
from midtime.stores.base import Target, ask
from tests.integration.mysql_setting import PROGRAMS, MysqlSetting, checksums
from tests.stack.mariadb import MariaDB

pytestmark = pytest.mark.integration


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
