"""Restore of a real PostgreSQL: beside, elsewhere, in place; what is refused, and what verification finds."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import psycopg
import pytest

from midtime.catalog import Catalog
from midtime.errors import ArtifactError, MidtimeError, RequestError, StoreUnreachableError, TargetExistsError
from midtime.model.restore_point import RestorePoint, StoreBackup
from midtime.model.topology import Target as TargetWish
from midtime.stores.base import Target, ask
from midtime.stores.postgresql import databases
from midtime.stores.postgresql.connections import maintenance_session
from midtime.verification import Verification, verify
from tests.integration.fixtures import ROWS, SCHEMA, Setting, topology_of
from tests.unit.builders import published

pytestmark = pytest.mark.integration


def publish(setting: Setting, point: str, backup: StoreBackup) -> RestorePoint:
    return published(setting.catalog, setting.topology, point, backup)


def restored(
    setting: Setting, *, wish: TargetWish | None = None, in_place: bool = False, drill: bool = False
) -> tuple[RestorePoint, Target]:
    """Back up, restore under the working name."""
    point, backup = setting.back_up()
    manifest = publish(setting, point, backup)
    target = setting.store.target(wish, run="abc123", drill=drill, in_place=in_place)
    setting.store.restore(backup, setting.shelf(point), target, lambda _: None)
    return manifest, target


def refusal(setting: Setting, target: Target, backup: StoreBackup) -> MidtimeError:
    bad = [check for check in ask("accounts", setting.store.restore_questions(target, backup)) if not check.ok]
    assert bad
    assert bad[0].error is not None
    return bad[0].error


def look(setting: Setting, manifest: RestorePoint, target: Target) -> Verification:
    return verify(setting.topology, manifest, [target])


def test_beside_by_default(setting: Setting) -> None:
    manifest, target = restored(setting)
    assert target.working.startswith("midtime_tmp_abc123_")
    assert target.final == f"{setting.database.name}_restored_abc123"
    found = look(setting, manifest, target)
    assert found.good, found.summary()
    assert found.rows == 1003
    setting.store.place(manifest.stores[0], target)
    assert {setting.database.name, target.final} <= setting.database.databases()
    assert target.working not in setting.database.databases()


def test_to_a_database_of_that_name(setting: Setting) -> None:
    manifest, target = restored(setting, wish=TargetWish(to="my_copy"))
    setting.store.place(manifest.stores[0], target)
    assert setting.database.server.execute("SELECT count(*) FROM bank.acct", "my_copy") == [(500,)]


def test_to_the_server_and_database_of_a_connection(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_PG", setting.database.server.conn_uri("elsewhere"))
    target = setting.store.target(TargetWish(to="other_pg"), run="abc123", drill=False, in_place=False)
    assert (target.conn_id, target.final) == ("other_pg", "elsewhere")
    manifest, target = restored(setting, wish=TargetWish(to="other_pg"))
    setting.store.place(manifest.stores[0], target)
    assert setting.database.server.execute("SELECT count(*) FROM bank.acct", "elsewhere") == [(500,)]


def test_a_misspelt_drill_target_does_not_become_a_database_on_the_live_server(setting: Setting) -> None:
    with pytest.raises(RequestError, match="no such Airflow connection"):
        setting.store.target(TargetWish(to="drill_pgg"), run="abc123", drill=True, in_place=False)


def test_onto_an_existing_database_is_refused(setting: Setting) -> None:
    _, backup = setting.back_up()
    target = setting.store.target(TargetWish(to=setting.database.name), run="abc123", drill=False, in_place=False)
    error = refusal(setting, target, backup)
    assert isinstance(error, TargetExistsError)
    assert "in_place" in error.fix


def test_in_place_keeps_what_was_there(setting: Setting) -> None:
    manifest, target = restored(setting, in_place=True)
    setting.database.execute("UPDATE bank.acct SET balance = 0")
    setting.store.place(manifest.stores[0], target)
    assert setting.database.execute("SELECT sum(balance) FROM bank.acct") == [(500_000,)]
    assert setting.database.server.execute("SELECT sum(balance) FROM bank.acct", target.aside or "") == [(0,)]
    setting.store.place(manifest.stores[0], target)  # again, as a retry would
    assert setting.database.execute("SELECT sum(balance) FROM bank.acct") == [(500_000,)]


def test_in_place_of_a_database_that_is_lost(setting: Setting) -> None:
    """The disaster itself: there is nothing to connect to, and nothing to keep aside."""
    point, backup = setting.back_up()
    manifest = publish(setting, point, backup)
    setting.database.server.execute(f"DROP DATABASE {setting.database.name}")
    target = setting.store.target(None, run="abc123", drill=False, in_place=True)
    assert target.final == setting.database.name
    assert all(check.ok for check in ask("accounts", setting.store.restore_questions(target, backup)))
    setting.store.restore(backup, setting.shelf(point), target, lambda _: None)
    assert look(setting, manifest, target).good
    setting.store.place(backup, target)
    assert setting.database.execute("SELECT sum(balance) FROM bank.acct") == [(500_000,)]


def test_clients_that_connect_again_and_again_do_not_keep_it_from_its_name(setting: Setting) -> None:
    """A connection pool that nobody stopped: the rename wins, and nobody is locked out afterwards."""
    manifest, target = restored(setting, in_place=True)
    stop = threading.Event()

    def pool() -> None:
        while not stop.is_set():
            try:
                with psycopg.connect(setting.database.server.dsn(setting.database.name)) as session:
                    session.execute("SELECT pg_sleep(10)")
            except psycopg.Error:
                continue

    threads = [threading.Thread(target=pool) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        setting.store.place(manifest.stores[0], target)
        assert target.aside in setting.database.databases()
    finally:
        stop.set()
        evict = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY(%s)"
        setting.database.server.execute(evict, parameters=([target.final, target.aside],))
        for thread in threads:
            thread.join(20)


def test_in_place_gives_back_settings_and_privileges(setting: Setting) -> None:
    name = setting.database.name
    setting.database.execute(f"ALTER DATABASE {name} SET work_mem = '7MB'; REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    manifest, target = restored(setting, in_place=True)
    setting.store.place(manifest.stores[0], target)
    assert setting.database.execute("SHOW work_mem") == [("7MB",)]
    assert setting.database.execute(f"SELECT has_database_privilege('public', '{name}', 'CONNECT')") == [(False,)]


def test_list_settings_stay_lists(setting: Setting) -> None:
    """search_path as one literal would be a single schema with a comma in its name, and the application finds no table."""
    name = setting.database.name
    setting.database.execute(f"""ALTER DATABASE {name} SET search_path = bank, "$user", 'Odd, one'""")
    manifest, target = restored(setting, in_place=True)
    assert look(setting, manifest, target).good
    setting.store.place(manifest.stores[0], target)
    assert setting.database.execute("SELECT count(*) FROM acct") == [(500,)]
    assert setting.database.execute("SHOW search_path") == [('bank, "$user", "Odd, one"',)]


def test_a_search_path_of_the_database_changes_no_digest_and_no_shape(setting: Setting, tmp_path: Path) -> None:
    """How types and regclass values are written depends on it; user checks find tables by it."""
    name = setting.database.name
    setting.database.execute(
        f"ALTER DATABASE {name} SET search_path = bank; CREATE TYPE bank.mood AS ENUM ('a'); "
        "CREATE TABLE bank.m (id int PRIMARY KEY, mood bank.mood, other regclass, price money); "
        "INSERT INTO bank.m VALUES (1, 'a', 'bank.acct', 1.5)"
    )
    manifest, target = restored(setting)
    setting.topology = topology_of(tmp_path, checks=[{"store": "accounts", "sql": "SELECT count(*) FROM acct", "expect": 500}])
    found = look(setting, manifest, target)
    assert found.good, found.summary()


def test_in_place_without_a_role_is_refused(setting: Setting) -> None:
    """Its grants, and with it all others, would be lost without a word."""
    setting.database.execute("CREATE ROLE alice; GRANT SELECT ON bank.acct TO alice")
    try:
        _, backup = setting.back_up()
    finally:
        setting.database.execute("DROP OWNED BY alice; DROP ROLE alice")
    in_place = setting.store.target(None, run="abc123", drill=False, in_place=True)
    assert "lacks the roles alice" in refusal(setting, in_place, backup).message
    beside = setting.store.target(None, run="abc123", drill=False, in_place=False)
    said = {check.question: check.detail for check in ask("accounts", setting.store.restore_questions(beside, backup))}
    assert "no role alice" in said["has the roles"]


def test_a_name_that_appeared_since_the_plan_is_not_taken(setting: Setting) -> None:
    """Nobody approved of replacing it: not even its sessions are ended."""
    manifest, target = restored(setting)
    setting.database.server.create_database(target.final)
    with psycopg.connect(setting.database.server.dsn(target.final)) as session:
        with pytest.raises(TargetExistsError, match="appeared"):
            setting.store.place(manifest.stores[0], target)
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_a_working_copy_that_is_gone_is_no_success(setting: Setting) -> None:
    manifest, target = restored(setting, in_place=True)
    setting.store.discard(target)
    with pytest.raises(MidtimeError):
        setting.store.place(manifest.stores[0], target)
    assert setting.database.execute("SELECT count(*) FROM bank.acct") == [(500,)]


def test_timeouts_of_the_database_cut_nothing_short(setting: Setting) -> None:
    name = setting.database.name
    # Longer than a busy machine takes until we have lifted them, shorter than a dump.
    limits = {"statement_timeout": 20, "idle_session_timeout": 150, "transaction_timeout": 150, "idle_in_transaction_session_timeout": 150}
    setting.database.execute("; ".join(f"ALTER DATABASE {name} SET {limit} = {ms}" for limit, ms in limits.items()))
    manifest, target = restored(setting)
    assert look(setting, manifest, target).good


def test_the_locale_is_the_source_s(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the target's template0 has another provider: the order of texts would change."""
    server = setting.database.server
    server.execute("CREATE DATABASE libc_source TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'")
    server.execute(SCHEMA, "libc_source")
    monkeypatch.setenv("AIRFLOW_CONN_ACCOUNTS_DB", server.conn_uri("libc_source"))
    _, target = restored(setting)
    query = "SELECT datlocprovider::text, datcollate FROM pg_database WHERE datname = %s"
    assert server.execute(query, parameters=(target.working,)) == server.execute(query, parameters=("libc_source",)) == [("c", "C")]


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "EUC_JP"])
def test_other_encodings(setting: Setting, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    server, source = setting.database.server, f"source_{encoding.lower()}"
    server.execute(f"CREATE DATABASE {source} TEMPLATE template0 ENCODING '{encoding}' LOCALE_PROVIDER libc LOCALE 'C'")
    server.execute(SCHEMA + ROWS, source)
    if encoding == "LATIN1":
        server.execute("CREATE TABLE bank.tä (ä text PRIMARY KEY); INSERT INTO bank.tä VALUES ('ö')", source)
    monkeypatch.setenv("AIRFLOW_CONN_ACCOUNTS_DB", server.conn_uri(source))
    assert all(check.ok for check in ask("accounts", setting.store.questions()))
    manifest, target = restored(setting)
    found = look(setting, manifest, target)
    assert found.good, found.summary()


def test_in_place_ends_sessions_and_lets_new_ones_in_afterwards(setting: Setting) -> None:
    manifest, target = restored(setting, in_place=True)
    session = psycopg.connect(setting.database.server.dsn(setting.database.name))
    setting.store.place(manifest.stores[0], target)
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    assert setting.database.execute("SELECT 1") == [(1,)]
    assert setting.database.server.execute("SELECT 1", target.aside or "") == [(1,)]


def test_a_swap_that_fails_changes_nothing(setting: Setting) -> None:
    """The second rename hits an existing name: the first one is undone with it."""
    _, target = restored(setting, in_place=True)
    setting.database.server.create_database(target.aside or "")
    with (
        maintenance_session("accounts_db", target.final) as session,
        maintenance_session("accounts_db", target.final) as other,
        pytest.raises((psycopg.Error, StoreUnreachableError)),
    ):
        databases.swap(session, other, working=target.working, final=target.final, aside=target.aside or "")
    assert setting.database.execute("SELECT count(*) FROM bank.acct") == [(500,)]
    assert target.working in setting.database.databases()


def test_tried_again_a_restore_begins_afresh(setting: Setting) -> None:
    manifest, target = restored(setting)
    setting.database.server.execute("DELETE FROM bank.acct WHERE id < 100", target.working)
    setting.store.restore(manifest.stores[0], setting.shelf(manifest.id), target, lambda _: None)
    assert look(setting, manifest, target).good


def test_discard_removes_the_working_copy_and_nothing_else(setting: Setting) -> None:
    _, target = restored(setting, drill=True)
    with psycopg.connect(setting.database.server.dsn(target.working)):  # somebody looks at it
        setting.store.discard(target)
    setting.store.discard(target)
    assert target.working not in setting.database.databases()
    with pytest.raises(TargetExistsError):
        setting.store.discard(Target("accounts", "accounts_db", setting.database.name, setting.database.name))
    assert setting.database.execute("SELECT count(*) FROM bank.acct") == [(500,)]


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_artifact_is_named_and_nothing_is_created(setting: Setting, damage: str) -> None:
    point, backup = setting.back_up()
    victim = next(artifact for artifact in backup.artifacts if artifact.path.endswith(".gz") and artifact.size > 100)
    path = Path(setting.catalog.folder(point).path) / victim.path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "flip":
        path.write_bytes(content)
    elif damage == "truncate":
        path.write_bytes(content[:-1])
    else:
        path.unlink()
    target = setting.store.target(None, run="abc123", drill=True, in_place=False)
    with pytest.raises(ArtifactError, match=victim.path.replace(".", r"\.")):
        setting.store.restore(backup, setting.shelf(point), target, lambda _: None)
    assert target.working not in setting.database.databases()


MUTATIONS = {
    "a row is missing": ("DELETE FROM bank.acct WHERE id = 7", "bank.acct: 499 rows instead of 500"),
    "a value differs": ("UPDATE bank.acct SET balance = 1001 WHERE id = 7", "bank.acct: content differs in bucket"),
    "a numeric's scale differs": ("UPDATE bank.acct SET price = price * 1.0 WHERE id = 7", "bank.acct: content differs in bucket"),
    "a float's last bit differs": ("UPDATE bank.acct SET ratio = ratio + 1e-15 WHERE id = 7", "bank.acct: content differs in bucket"),
    "null became empty": (
        "UPDATE bank.acct SET name = '' WHERE id = 7; UPDATE bank.acct SET name = NULL WHERE id = 8",
        "bank.acct: content",
    ),
    "json differs": ("""UPDATE bank.acct SET note = '{"a": [2]}' WHERE id = 7""", "bank.acct: content differs in bucket"),
    "two rows swapped a value": (
        "UPDATE bank.acct SET name = CASE id WHEN 1 THEN 'name 2' ELSE 'name 1' END WHERE id IN (1, 2)",
        "bank.acct: content differs in bucket",
    ),
    "a table is missing": ('DROP TABLE bank."Odd ""Name"', 'bank.Odd "Name: missing'),
    "a table is new": ("CREATE TABLE bank.extra (a int)", "bank.extra: unexpected"),
    "a column has another type": ("ALTER TABLE bank.acct ALTER balance TYPE bigint", "table bank.acct has another shape"),
    "an index is missing": ("DROP INDEX bank.acct_name", "table bank.acct has another shape"),
    "a Coordinator row is missing": ("DELETE FROM coordinator.state WHERE tx_id = 't7'", "unknown-to-coordinator"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_verification_names_what_differs(setting: Setting, name: str) -> None:
    statement, said = MUTATIONS[name]
    manifest, target = restored(setting)
    setting.database.server.execute(statement, target.working)
    found = look(setting, manifest, target)
    assert not found.good
    assert said in json.dumps(found.to_dict()).replace('\\"', '"')


def test_a_torn_record_names_table_key_and_transaction(setting: Setting) -> None:
    """The database itself was torn when it was captured: counts and digests agree, only the records tell."""
    setting.database.execute("DELETE FROM coordinator.state WHERE tx_id = 't42'")
    manifest, target = restored(setting)
    found = look(setting, manifest, target)
    assert found.differences == ()
    assert not found.good
    assert found.verdict is not None
    said = str(found.verdict.findings[0])
    assert "bank.acct[42]" in said
    assert "t42" in said


def test_user_checks(setting: Setting, tmp_path: Path) -> None:
    checks = [
        {"store": "accounts", "sql": "SELECT sum(balance) FROM bank.acct", "expect": 500000},
        {"store": "accounts", "sql": "SELECT count(*) FROM bank.acct WHERE balance < 0", "expect": 1, "name": "no debts"},
    ]
    manifest, target = restored(setting)
    setting.topology = topology_of(tmp_path, checks=checks)
    found = look(setting, manifest, target)
    assert found.failed_checks == ("check 'no debts' of store accounts gave 0, expected 1",)


def test_a_user_check_cannot_write(setting: Setting, tmp_path: Path) -> None:
    manifest, target = restored(setting)
    setting.topology = topology_of(tmp_path, checks=[{"store": "accounts", "sql": "DELETE FROM bank.acct RETURNING 1", "expect": 1}])
    assert "read-only" in look(setting, manifest, target).failed_checks[0]
    assert setting.database.server.execute("SELECT count(*) FROM bank.acct", target.working) == [(500,)]


def test_roles_that_the_target_lacks(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Owners and privileges are left out then, instead of failing in the middle."""
    setting.database.execute("CREATE ROLE app_owner; ALTER TABLE bank.acct OWNER TO app_owner")
    try:
        point, backup = setting.back_up()
        assert "app_owner" in backup.details["roles"]
    finally:
        setting.database.execute("REASSIGN OWNED BY app_owner TO midtime; DROP ROLE app_owner")
    target = setting.store.target(None, run="abc123", drill=True, in_place=False)
    setting.store.restore(backup, setting.shelf(point), target, lambda _: None)
    assert look(setting, publish(setting, point, backup), target).good


def test_the_catalog_alone_is_enough(setting: Setting) -> None:
    """Another Airflow, which knows nothing but the topology file, restores it."""
    point, backup = setting.back_up()
    publish(setting, point, backup)
    manifest = Catalog(setting.topology.destination, "bank").resolve("latest")
    target = setting.store.target(None, run="fed321", drill=True, in_place=False)
    setting.store.restore(manifest.stores[0], setting.shelf(manifest.id), target, lambda _: None)
    assert look(setting, manifest, target).good
