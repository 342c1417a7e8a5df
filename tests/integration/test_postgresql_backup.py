"""Backup of a real PostgreSQL: what the dump holds, at which instant, and every way in which it may fail."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import psycopg
import pytest

from midtime.errors import CopyError, MidtimeError, StagingSpaceError, StoreAccessError, StoreUnreachableError, ToolError
from midtime.preflight import backup_checks, require
from midtime.stores.base import ask
from midtime.stores.postgresql import tools
from tests.integration.fixtures import Setting, topology_of
from tests.stack.processes import poll

pytestmark = pytest.mark.integration


def failing(setting: Setting) -> MidtimeError:
    """The error of the first question that fails."""
    bad = [check for check in ask("accounts", setting.store.questions()) if not check.ok]
    assert len(bad) == 1
    assert bad[0].error is not None
    return bad[0].error


def test_a_good_store_answers_every_question(setting: Setting) -> None:
    checks = require(backup_checks(setting.topology, setting.catalog))
    assert [check.question for check in checks] == [
        "can be written",
        "is in use by",
        "what it holds is replaced",
        "is reachable",
        "has every namespace",
        "lets us read every table",
        "has client tools",
        "has staging space",
    ]


def test_what_is_committed_after_the_capture_is_not_in_the_dump(setting: Setting) -> None:
    """The instant is the capture's, not the dump's: rows come, a table is truncated, and the dump does not see it."""
    store = setting.store
    with store.capture() as capture:
        setting.database.execute("INSERT INTO bank.acct (id) VALUES (9999)")
        setting.database.execute("UPDATE bank.acct SET balance = 0 WHERE id = 1")
        backup = store.copy(capture, setting.shelf("20260101T000000Z-000000"), lambda _: None)
    rows = {table.name: table.rows for table in backup.tables}
    assert rows == {"bank.acct": 500, 'bank.Odd "Name': 3, "coordinator.state": 500, "scalardb.metadata": 0}


def test_what_is_committed_between_arming_and_the_capture_is_in_the_dump(setting: Setting) -> None:
    """Arming must not fix the snapshot: in a pause window it is minutes before the instant."""
    store = setting.store
    with store.arm() as armed:
        setting.database.execute("INSERT INTO bank.acct (id) VALUES (9999)")
        capture = armed.fix()
        setting.database.execute("INSERT INTO bank.acct (id) VALUES (10000)")
        backup = store.copy(capture, setting.shelf("20260101T000000Z-000000"), lambda _: None)
    assert {table.rows for table in backup.tables if table.name == "bank.acct"} == {501}


def test_truncate_waits_for_the_dump(setting: Setting) -> None:
    """TRUNCATE ignores snapshots: without the locks the dump would hold no rows although the snapshot shows them."""
    store = setting.store
    with store.capture() as capture:
        with psycopg.connect(setting.database.server.dsn(setting.database.name), autocommit=True) as other:
            other.execute("SET lock_timeout = '300ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute("TRUNCATE bank.acct")
        store.copy(capture, setting.shelf("20260101T000000Z-000000"), lambda _: None)


def test_ddl_that_waits_for_the_snapshot_s_locks_blocks_nobody_for_ever(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """The DDL waits for the capture, pg_dump for the DDL, the capture for pg_dump: PostgreSQL cannot see that circle, so pg_dump gives up."""
    monkeypatch.setattr(tools, "LOCK_WAIT_MS", 500)

    def ddl() -> None:
        setting.database.execute("ALTER TABLE bank.acct ADD COLUMN extra int")

    store = setting.store
    thread = threading.Thread(target=ddl)
    started = time.monotonic()
    with pytest.raises(CopyError, match="LOCK TABLE"), store.capture() as capture:
        thread.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        poll("the DDL to wait", lambda: setting.database.server.execute(waiting) != [(0,)] or None, 10)
        store.copy(capture, setting.shelf("20260101T000000Z-000000"), lambda _: None)
    thread.join(10)
    assert not thread.is_alive()
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("name", ["a b", "line\nbreak", "ünïcödé", "per%cent", 'quo"te', "x" * 63, "UPPER"])
def test_odd_names(setting: Setting, name: str) -> None:
    quoted = name.replace('"', '""')
    setting.database.execute(f'CREATE TABLE bank."{quoted}" (id int PRIMARY KEY); INSERT INTO bank."{quoted}" VALUES (1)')
    _, backup = setting.back_up()
    assert {table.rows for table in backup.tables if table.name == f"bank.{name}"} == {1}


def test_a_sequence_that_we_may_not_read_is_found_before_the_dump(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    server, name = setting.database.server, setting.database.name
    setting.database.execute(
        "CREATE SEQUENCE bank.numbers; CREATE ROLE reader2 LOGIN PASSWORD 'reader'; GRANT USAGE ON SCHEMA bank, coordinator, scalardb TO reader2; "
        "GRANT SELECT ON ALL TABLES IN SCHEMA bank, coordinator, scalardb TO reader2"
    )
    try:
        monkeypatch.setenv("AIRFLOW_CONN_ACCOUNTS_DB", f"postgres://reader2:reader@{server.host}:{server.port}/{name}")
        assert "may not read bank.numbers" in failing(setting).message
    finally:
        setting.database.execute("DROP OWNED BY reader2; DROP ROLE reader2")


def test_arming_fixes_no_snapshot(setting: Setting) -> None:
    """A row that is committed while the tables are being locked, before the export, belongs to the capture."""
    blocker = psycopg.connect(setting.database.server.dsn(setting.database.name))
    blocker.execute("LOCK TABLE bank.acct IN ACCESS EXCLUSIVE MODE")
    found: list[int] = []

    def capture() -> None:
        with setting.store.capture() as capture:
            found.append(next(table.rows for table in capture.content() if table.name == "bank.acct"))  # type: ignore[attr-defined]

    thread = threading.Thread(target=capture)
    thread.start()
    time.sleep(0.7)  # it has begun its transaction and waits for the lock
    blocker.execute("INSERT INTO bank.acct (id) VALUES (9999)")
    blocker.commit()
    blocker.close()
    thread.join(30)
    assert found == [501]


def test_artifacts_are_compressed_and_the_staging_disk_is_left_clean(setting: Setting, tmp_path: Path) -> None:
    _, backup = setting.back_up()
    assert backup.details["compression"] == "gzip"  # what this build of pg_dump and pg_restore has
    assert any(artifact.path.endswith(".dat.gz") for artifact in backup.artifacts)
    assert list((tmp_path / "staging").iterdir()) == []


def test_uncompressed_on_request(setting: Setting, tmp_path: Path) -> None:
    setting.topology = topology_of(tmp_path, store={"compression": "none"})
    _, backup = setting.back_up()
    assert not [artifact for artifact in backup.artifacts if artifact.path.endswith(".gz")]


def test_a_compression_that_the_build_lacks_is_refused_before_anything_starts(setting: Setting, tmp_path: Path) -> None:
    setting.topology = topology_of(tmp_path, store={"compression": "zstd"})
    assert isinstance(failing(setting), ToolError)


def test_wrong_password(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    server = setting.database.server
    monkeypatch.setenv("AIRFLOW_CONN_ACCOUNTS_DB", server.conn_uri(setting.database.name).replace(server.password, "wrong-secret"))
    error = failing(setting)
    assert isinstance(error, StoreAccessError)
    assert "password authentication failed" in str(error)
    assert "wrong-secret" not in str(error)


def test_unknown_connection(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_ACCOUNTS_DB")
    error = failing(setting)
    assert isinstance(error, StoreAccessError)
    assert "accounts_db" in error.message
    assert "airflow connections add" in error.fix


def test_nobody_listens(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ACCOUNTS_DB", "postgres://u:p@127.0.0.1:1/bank")
    error = failing(setting)
    assert isinstance(error, StoreUnreachableError)
    assert error.retryable


def test_a_server_that_accepts_and_never_answers(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hung:
        monkeypatch.setenv("AIRFLOW_CONN_ACCOUNTS_DB", f"postgres://u:p@127.0.0.1:{hung.getsockname()[1]}/bank?connect_timeout=2")
        assert isinstance(failing(setting), StoreUnreachableError)


def test_missing_database(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ACCOUNTS_DB", setting.database.server.conn_uri("no_such_database"))
    assert isinstance(failing(setting), StoreAccessError)


def test_missing_namespace(setting: Setting, tmp_path: Path) -> None:
    setting.topology = topology_of(tmp_path, store={"namespaces": ["bank", "loans"]})
    error = failing(setting)
    assert "has no schema loans" in error.message


def test_missing_coordinator_table(setting: Setting) -> None:
    setting.database.execute("DROP TABLE coordinator.state")
    assert "no Coordinator table coordinator.state" in failing(setting).message


def test_a_login_that_may_not_read_everything(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    server, name = setting.database.server, setting.database.name
    setting.database.execute(
        "CREATE ROLE reader LOGIN PASSWORD 'reader'; GRANT USAGE ON SCHEMA bank TO reader; GRANT SELECT ON bank.acct TO reader"
    )
    try:
        monkeypatch.setenv("AIRFLOW_CONN_ACCOUNTS_DB", f"postgres://reader:reader@{server.host}:{server.port}/{name}")
        error = failing(setting)
        assert "may not read" in error.message
        assert "coordinator.state" in error.message
        assert "bank.acct" not in error.message
    finally:
        setting.database.execute("DROP OWNED BY reader; DROP ROLE reader")


def test_no_client_tools(setting: Setting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tools, "FOLDERS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    error = failing(setting)
    assert isinstance(error, ToolError)
    assert "postgresql-client-18" in error.fix


def test_an_older_pg_dump_is_refused(setting: Setting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("pg_dump", "pg_restore"):
        script = tmp_path / name
        script.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) 15.9'\n")
        script.chmod(0o755)
    monkeypatch.setattr(tools, "FOLDERS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    error = failing(setting)
    assert isinstance(error, ToolError)
    assert "is version 15" in error.message


def put_before_pg_dump(folder: Path, monkeypatch: pytest.MonkeyPatch, *, on_dump: str) -> Path:
    """A pg_dump of our own in front of the real one: ``on_dump`` is what it does when it dumps; ``$REAL`` is the real one's path."""
    tools_folder = folder / "tools"
    tools_folder.mkdir()
    script = f'#!/bin/sh\nREAL={shutil.which("pg_dump")}\ncase "$*" in *--snapshot*) {on_dump};; *) exec $REAL "$@";; esac\n'
    (tools_folder / "pg_dump").write_text(script)
    (tools_folder / "pg_dump").chmod(0o755)
    (tools_folder / "pg_restore").symlink_to(str(shutil.which("pg_restore")))
    monkeypatch.setenv("PATH", str(tools_folder), prepend=":")
    return tools_folder


def test_the_password_is_in_no_argument(setting: Setting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A pg_dump that tells what it was given."""
    folder = put_before_pg_dump(tmp_path, monkeypatch, on_dump='echo "$@" >> $(dirname $0)/argv; exec $REAL "$@"')
    setting.back_up()
    argv = (folder / "argv").read_text()
    assert "--snapshot=" in argv
    assert setting.database.server.password not in argv


def test_a_killed_dump_process(setting: Setting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put_before_pg_dump(tmp_path, monkeypatch, on_dump="kill -9 $$")
    with pytest.raises(CopyError, match="SIGKILL"):
        setting.back_up()
    assert list((tmp_path / "staging").iterdir()) == []


def test_a_dump_that_ends_well_but_lacks_a_table(setting: Setting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Exit code 0 proves nothing: this pg_dump leaves a table out."""
    put_before_pg_dump(tmp_path, monkeypatch, on_dump='exec $REAL "$@" --exclude-table-data=coordinator.state')
    with pytest.raises(CopyError, match=r"lacks the data of coordinator\.state"):
        setting.back_up()


def test_the_database_goes_away_during_the_dump(setting: Setting) -> None:
    store = setting.store
    with pytest.raises(MidtimeError) as caught, store.capture() as capture:
        setting.database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'midtime'")
        store.copy(capture, setting.shelf("20260101T000000Z-000000"), lambda _: None)
    assert caught.value.retryable


def test_too_little_staging_space_is_found_before_the_dump(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert isinstance(failing(setting), StagingSpaceError)


FULL_DISK = """
mount -t tmpfs -o size=3m none "$MIDTIME_STAGING" && exec "$0" -m tests.integration.back_up_once
"""


def test_a_disk_that_fills_up_during_the_dump(setting: Setting, tmp_path: Path) -> None:
    """A real file system of 3 MB, in a mount namespace of its own."""
    setting.database.execute("INSERT INTO bank.acct (id, name) SELECT g, repeat(md5(g::text), 40) FROM generate_series(1000, 9000) g")
    isolate = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    environment = {**os.environ, "MIDTIME_TEST_FOLDER": str(tmp_path), "MIDTIME_TEST_COMPRESSION": "none", "PYTHONPATH": os.getcwd()}
    import sys

    done = subprocess.run([*isolate, "sh", "-c", FULL_DISK, sys.executable], env=environment, capture_output=True, text=True, timeout=120)
    assert "StagingSpaceError" in done.stdout, done.stdout + done.stderr
    assert "filled up during pg_dump" in done.stdout
    assert "left in staging: []" in done.stdout


def test_kill_nine_during_the_dump_leaves_nothing_visible(setting: Setting, tmp_path: Path) -> None:
    """The process dies in the middle; its pg_dump dies with it; the next backup clears up and succeeds."""
    import sys

    environment = {**os.environ, "MIDTIME_TEST_FOLDER": str(tmp_path), "MIDTIME_TEST_HANG": "1", "PYTHONPATH": os.getcwd()}
    child = subprocess.Popen([sys.executable, "-m", "tests.integration.back_up_once"], env=environment, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert any(line.startswith("dumping") for line in child.stdout)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert list(setting.catalog.entries()) == []
    assert len(list((tmp_path / "staging").iterdir())) == 1
    setting.back_up()
    assert list((tmp_path / "staging").iterdir()) == []
