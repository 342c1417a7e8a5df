"""The parts that the other tests stand on are the real ones, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import cache, launch
from tests.stack.airflow import LocalAirflow
from tests.stack.bank import Bank
from tests.stack.postgres import Postgres
from tests.stack.processes import Port, Processes, StackError, poll
from tests.stack.scalardb import ScalarDB
from tests.stack.stack import Stack

#: an owner whose child starts a grandchild in a session of its own, without the marker
OWNER = """
import sys, time
from pathlib import Path
from tests.stack.processes import Processes
child = "import subprocess, time; subprocess.Popen(['setsid', 'env', '-i', '/bin/sleep', '600']); print('up', flush=True); time.sleep(600)"
processes = Processes(Path(sys.argv[1]))
process = processes.start("child", [sys.executable, "-c", child])
process.wait_ready(lambda: "up" in process.log_tail(), 10)
print(processes.marker, process.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    owner = Processes(tmp_path / "processes")
    yield owner
    owner.stop()


def test_the_children_of_a_killed_owner_end(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        marker, pid = owner.stdout.readline().split()
        family = [int(pid), *launch.descendants(int(pid))]
        assert len(family) == 2
        owner.send_signal(signal.SIGKILL)
    poll("the end of the family", lambda: not [one for one in family if _runs(one)] or None, timeout=30)
    poll("the end of their guard", lambda: None if launch.marked(marker) else True, timeout=10)


def _runs(pid: int) -> bool:
    """Whether the process exists and is more than a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_child_that_ignores_the_polite_signal_is_killed(processes: Processes) -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    process = processes.start("stubborn", [sys.executable, "-c", stubborn], grace=0.3)
    process.wait_ready(lambda: "up" in process.log_tail(), 10)
    process.stop()
    assert not _runs(process.pid)
    assert processes.left() == []


def test_a_failed_start_shows_the_log(processes: Processes) -> None:
    process = processes.start("broken", [sys.executable, "-c", "import sys; sys.exit('no such disk')"])
    with pytest.raises(StackError, match=r"(?s)broken ended with exit status 1.*no such disk"):
        process.wait_ready(lambda: False, 10)


def test_a_reserved_port_is_given_to_nobody_else() -> None:
    ports = [Port() for _ in range(200)]
    asked_for = [Port(preferred=18080), Port(preferred=18080)]
    numbers = [port.number for port in ports + asked_for]
    for port in ports + asked_for:
        port.release()
    assert len(set(numbers)) == len(numbers)


def test_a_half_filled_cache_entry_is_never_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDTIME_CACHE", str(tmp_path))

    def fails(directory: Path) -> None:
        (directory / "half").touch()
        raise OSError("no network")

    with pytest.raises(OSError, match="no network"):
        cache.entry("thing", fails)
    assert [path.name for path in cache.entry("thing", lambda directory: (directory / "whole").touch()).iterdir()] == ["whole"]


def test_postgresql_wants_its_password_and_survives_a_crash(processes: Processes) -> None:
    server = Postgres(processes, "own").start()
    server.create_database("some")
    server.execute("CREATE TABLE kept AS SELECT 42 AS value", "some")
    server.kill()
    assert not server.running
    server.start()
    assert server.execute("SELECT value FROM kept", "some") == [(42,)]
    server.password = "wrong"
    with pytest.raises(Exception, match="password authentication failed"):
        server.execute("SELECT 1")
    server.close()


def test_postgresql_is_the_version_of_the_clients(postgres_server: Postgres) -> None:
    client = subprocess.run([postgres_server.bin_dir / "pg_dump", "--version"], capture_output=True, text=True, check=True)
    ((version,),) = postgres_server.execute("SHOW server_version")
    assert client.stdout.split()[-1] == version.split()[0]


def test_transfers_keep_the_sum_and_a_pause_stops_them(bank: Bank, scalardb: ScalarDB) -> None:
    bank.start(threads=4)
    try:
        poll("some transfers", lambda: bank.commits > 100 or None, timeout=60)
        scalardb.admin("pause")
        time.sleep(0.2)
        paused_at = bank.commits
        time.sleep(0.3)
        assert bank.commits == paused_at
        assert "true" in scalardb.admin("check_paused")
        scalardb.admin("unpause")
        poll("transfers again", lambda: bank.commits > paused_at or None, timeout=30)
    finally:
        bank.stop()
    assert bank.total() == bank.expected_total
    assert bank.longest_gap() > 0.3


def test_the_transfers_are_in_postgresql(bank: Bank, postgres_server: Postgres) -> None:
    assert bank.total() == bank.expected_total  # a read through ScalarDB mends records that a transfer left prepared
    assert postgres_server.execute("SELECT sum(balance), count(*) FROM bank.acct", "bank") == [(bank.expected_total, len(bank.accounts))]


@pytest.mark.timeout(180)
def test_airflow_is_healthy_and_guards_its_api(local_airflow: LocalAirflow) -> None:
    assert local_airflow.healthy()
    assert local_airflow.import_errors() == {}
    viewer = local_airflow.viewer()
    try:
        assert viewer.request("GET", "/api/v2/dags").status_code == 200
        assert viewer.request("POST", "/api/v2/connections", json={"connection_id": "x", "conn_type": "http"}).status_code == 403
    finally:
        viewer.close()
    local_airflow.add_connection("smoke", "postgres://us%40er:p%2Fw@127.0.0.1:5/bank?sslmode=disable")
    connection = local_airflow.call("GET", "/connections/smoke")
    assert (connection["login"], connection["port"], connection["schema"]) == ("us@er", 5, "bank")


@pytest.mark.timeout(180)
def test_nothing_of_this_test_run_is_an_orphan(local_airflow: LocalAirflow, stack: Stack) -> None:
    assert local_airflow.component("scheduler").alive
    assert set(stack.processes.left()) <= set(launch.descendants(os.getpid()))
