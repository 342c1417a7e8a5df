"""RDS, Aurora and Azure Database for PostgreSQL with ``method: dump``: the whole round with a login that is no superuser, and what it may not do."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from midtime.errors import ArtifactError, StoreAccessError, StoreStatementError, StoreUnreachableError
from midtime.model.topology import Target as TargetWish
from midtime.stores.base import ask
from midtime.stores.postgresql import databases
from tests.answers import refusal
from tests.integration.managed_postgresql import ManagedSetting

pytestmark = pytest.mark.integration
EXTENSION = "CREATE EXTENSION hstore; CREATE TABLE bank.tags (id int PRIMARY KEY, tags hstore); INSERT INTO bank.tags VALUES (1, 'a=>1')"


def test_backup_and_copy_beside(each_managed: ManagedSetting) -> None:
    each_managed.as_master(EXTENSION)
    checks = list(ask("accounts", each_managed.store.questions()))
    assert all(check.ok for check in checks), checks
    assert {check.question: check.detail for check in checks}["is reached over TLS"].startswith("NOT ENCRYPTED, as the connection says")
    target = each_managed.target()
    manifest, said = each_managed.restored(target)
    assert manifest.stores[0].engine == each_managed.topology.stores[0].engine
    assert not [line for line in said if "LEFT OUT" in line]
    found = each_managed.look(manifest, target)
    assert found.good, found.summary()
    each_managed.store.place(manifest.stores[0], target)
    assert each_managed.as_master("SELECT tags -> 'a' FROM bank.tags", f"{each_managed.database.name}_restored_abc123") == [("1",)]


def test_in_place_while_applications_are_connected(managed: ManagedSetting) -> None:
    """It ends their sessions, as pg_signal_backend lets it."""
    app = f"app_{managed.master[-8:]}"
    managed.as_master(f"CREATE ROLE {app} LOGIN PASSWORD 'app'; GRANT USAGE ON SCHEMA bank TO {app}; GRANT SELECT ON bank.acct TO {app}")
    target = managed.target(in_place=True)
    manifest, _ = managed.restored(target)
    assert all(check.ok for check in ask("accounts", managed.store.restore_questions(target, manifest.stores[0])))
    managed.as_master("UPDATE bank.acct SET balance = 0")
    assert managed.look(manifest, target).good
    dsn = managed.dsn(managed.database.name).replace(f"{managed.master}:master-secret", f"{app}:app")
    with psycopg.connect(dsn) as session:
        managed.store.place(manifest.stores[0], target)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    with psycopg.connect(dsn) as session:
        assert session.execute("SELECT sum(balance) FROM bank.acct").fetchone() == (500_000,), "its rights came back with the rows"
    managed.store.put_back(manifest.stores[0], target)
    assert managed.as_master("SELECT sum(balance) FROM bank.acct") == [(0,)]


def test_a_drill_on_another_server(managed: ManagedSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DRILL_PG", managed.conn_uri("postgres"))
    wish = TargetWish(data_conn_id="drill_pg")
    target = managed.target(wish, drill=True)
    assert target.conn_id == "drill_pg"
    manifest, _ = managed.restored(target)
    assert managed.look(manifest, target).good
    managed.as_master("DELETE FROM bank.acct WHERE id = 7", target.working)
    assert "bank.acct: 499 rows instead of 500" in str(managed.look(manifest, target).differences)
    managed.store.discard(target)
    assert target.working not in managed.database.databases()


def test_an_artifact_that_was_damaged_is_named(managed: ManagedSetting) -> None:
    point, backup = managed.back_up()
    victim = max(backup.artifacts, key=lambda artifact: artifact.size)
    path = Path(managed.catalog.folder(point).path) / victim.path
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    target = managed.target(drill=True)
    with pytest.raises(ArtifactError, match=victim.path.replace(".", r"\.")):
        managed.store.restore(backup, managed.shelf(point), target, lambda _: None)
    assert target.working not in managed.database.databases()


def test_an_owner_of_whom_the_login_is_no_member(managed: ManagedSetting) -> None:
    """It made that role, and may not hand anything over to it since PostgreSQL 16: found before, not in the middle of pg_restore."""
    app = f"app_{managed.master[-8:]}"
    managed.database.execute(
        f"CREATE ROLE {app}; ALTER SCHEMA bank OWNER TO {app}; ALTER TABLE bank.acct OWNER TO {app};"
        f"GRANT SELECT ON bank.acct TO {managed.master}; GRANT USAGE ON SCHEMA bank TO {managed.master};"
        f'ALTER TABLE bank."Odd ""Name" OWNER TO {app}; GRANT SELECT ON bank."Odd ""Name" TO {managed.master}'
    )
    point, backup = managed.back_up()
    error = refusal(managed.store.restore_questions(managed.target(in_place=True), backup))
    assert isinstance(error, StoreAccessError)
    assert f"the owners {app} " in error.message
    beside = managed.target()
    said = {check.question: check.detail for check in ask("accounts", managed.store.restore_questions(beside, backup))}
    assert f"may not hand over to {app}" in said["has the roles"]
    managed.store.restore(backup, managed.shelf(point), beside, lambda _: None)
    assert managed.as_master("SELECT tableowner FROM pg_tables WHERE tablename = 'acct'", beside.working) == [(managed.master,)]
    managed.database.server.execute(f"GRANT {app} TO {managed.master}")
    managed.store.restore(backup, managed.shelf(point), beside, lambda _: None)
    assert managed.as_master("SELECT tableowner FROM pg_tables WHERE tablename = 'acct'", beside.working) == [(app,)]


def test_an_owner_that_is_a_guest_in_a_schema(managed: ManagedSetting) -> None:
    """Its right to be there comes back after what it owns, so that the server would refuse to make it the owner."""
    app = f"app_{managed.master[-8:]}"
    managed.database.execute(
        f"CREATE ROLE {app}; GRANT {app} TO {managed.master}; GRANT ALL ON SCHEMA bank TO {app}; ALTER TABLE bank.acct OWNER TO {app}"
    )
    target = managed.target()
    manifest, _ = managed.restored(target)
    assert managed.look(manifest, target).good
    said = {check.question: check.detail for check in ask("accounts", managed.store.restore_questions(target, manifest.stores[0]))}
    assert f"may not hand over to {app}" in said["has the roles"]


def test_a_live_database_that_is_somebody_else_s_is_not_renamed_over(managed: ManagedSetting) -> None:
    _, backup = managed.back_up()
    managed.database.server.execute(f"ALTER DATABASE {managed.database.name} OWNER TO midtime")
    error = refusal(managed.store.restore_questions(managed.target(in_place=True), backup))
    assert "may not rename database" in error.message
    assert 'GRANT "midtime" TO it' in error.fix


SUPERUSERS = """
CREATE FUNCTION bank.log() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER service_log ON ddl_command_end EXECUTE FUNCTION bank.log();
CREATE PUBLICATION everything FOR ALL TABLES;
"""


def test_what_only_a_superuser_may_create_is_left_out_and_said(managed: ManagedSetting) -> None:
    """Of a migration service, for example. It is no data: a restore that fails for it would be worse."""
    managed.database.execute(SUPERUSERS + f"ALTER DATABASE {managed.database.name} SET log_min_duration_statement = 7")
    target = managed.target()
    manifest, said = managed.restored(target)
    left_out = " ".join(line for line in said if line.startswith("LEFT OUT"))
    for name in ("service_log", "FOR ALL TABLES", "log_min_duration_statement"):
        assert name in left_out
    assert managed.look(manifest, target).good


def test_an_extension_that_the_service_made_in_its_own_name(managed: ManagedSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its comment is then not ours to write; the data are."""
    managed.as_master(EXTENSION)
    real = databases.mark

    def mark(session: databases.Session, name: str, text: str) -> None:
        real(session, name, text)
        managed.database.server.execute("CREATE EXTENSION IF NOT EXISTS hstore", name)

    monkeypatch.setattr(databases, "mark", mark)
    target = managed.target()
    manifest, said = managed.restored(target)
    assert "must be owner of extension hstore" in " ".join(said)
    assert managed.look(manifest, target).good


@pytest.mark.parametrize("setting", ["azure.extensions", "rds.allowed_extensions"])
@pytest.mark.parametrize(("allowed", "refused"), [("PG_TRGM,CITEXT", True), ("PG_TRGM, HSTORE", False), ("*", False)])
def test_an_extension_that_the_service_does_not_allow(managed: ManagedSetting, setting: str, allowed: str, refused: bool) -> None:
    managed.as_master(EXTENSION)
    _, backup = managed.back_up()
    managed.database.server.execute(f"ALTER ROLE {managed.master} SET {setting} = '{allowed}'")
    checks = [
        check
        for check in ask("accounts", managed.store.restore_questions(managed.target(), backup))
        if check.question == "has the extensions"
    ]
    assert [check.ok for check in checks] == [not refused]
    assert (f"add it to {setting}" in checks[0].detail) == refused


def test_extensions_that_are_not_there_or_a_superuser_s(managed: ManagedSetting) -> None:
    managed.database.execute("CREATE EXTENSION pageinspect")
    _, backup = managed.back_up()
    answers = {check.question: check.detail for check in ask("accounts", managed.store.restore_questions(managed.target(), backup))}
    assert "a superuser's, unless the service creates them for us: pageinspect" in answers["has the extensions"]
    backup.details["extensions"].append("aws_s3")
    assert "no extension aws_s3" in refusal(managed.store.restore_questions(managed.target(), backup)).message


def test_tables_of_an_extension_are_not_ours_to_read(managed: ManagedSetting) -> None:
    """The service's own bookkeeping, of which a dump takes nothing."""
    managed.as_master("CREATE EXTENSION hstore")
    managed.database.execute(
        "CREATE SCHEMA service; CREATE TABLE service.jobs (id int); ALTER EXTENSION hstore ADD TABLE service.jobs;"
        "ALTER EXTENSION hstore ADD SCHEMA service"
    )
    assert all(check.ok for check in ask("accounts", managed.store.questions()))
    target = managed.target()
    manifest, _ = managed.restored(target)
    assert managed.look(manifest, target).good


def test_rows_that_a_policy_hides(managed: ManagedSetting) -> None:
    managed.as_master("CREATE POLICY own ON bank.acct USING (id < 100); ALTER TABLE bank.acct ENABLE ROW LEVEL SECURITY")
    assert all(check.ok for check in ask("accounts", managed.store.questions())), "an owner sees them all"
    managed.as_master("ALTER TABLE bank.acct FORCE ROW LEVEL SECURITY")
    error = managed.failing()
    assert "may not read bank.acct" in error.message
    assert "BYPASSRLS" in error.fix


def test_a_connection_that_is_not_encrypted(managed: ManagedSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    """libpq falls back to plain text without a word."""
    monkeypatch.setenv("AIRFLOW_CONN_ACCOUNTS_DB", managed.conn_uri(managed.database.name).replace("?sslmode=disable", ""))
    error = managed.failing()
    assert "was reached without TLS" in error.message
    assert "verify-full" in error.fix


def test_a_session_that_nobody_may_end_is_no_lack_of_rights(managed: ManagedSetting) -> None:
    """An autovacuum worker counts as a superuser's and ends by itself, where it is not asked to by force; anybody else is named."""
    target = managed.target(drill=True)
    managed.restored(target)
    with psycopg.connect(managed.database.server.dsn(target.working)), pytest.raises(StoreStatementError, match="accessed by other users"):
        managed.store.discard(target)
    managed.store.discard(target)
    assert target.working not in managed.database.databases()


def test_a_session_that_may_not_be_ended_keeps_nobody_else_s(managed: ManagedSetting) -> None:
    """The service's own monitoring: the sessions that we may end are ended, and what stays is told as what it is."""
    target = managed.target(in_place=True)
    manifest, _ = managed.restored(target)
    with psycopg.connect(managed.database.server.dsn(managed.database.name)), psycopg.connect(managed.dsn(managed.database.name)) as ours:
        with pytest.raises(StoreUnreachableError, match="is in use"):
            managed.store.place(manifest.stores[0], target)
        with pytest.raises(psycopg.OperationalError):
            ours.execute("SELECT 1")
    managed.store.place(manifest.stores[0], target)
    assert managed.as_master("SELECT count(*) FROM bank.acct") == [(500,)]
