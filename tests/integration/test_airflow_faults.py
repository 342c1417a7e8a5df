"""Faults in a real Airflow: whatever is killed, no half restore point is seen, nothing live is touched, and the next try succeeds."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.model.topology import Topology
from midtime.stores import open_store
from tests.integration.fixtures import ROWS, SCHEMA, Installation
from tests.stack.postgres import Postgres
from tests.stack.processes import poll

pytestmark = [pytest.mark.integration, pytest.mark.airflow]
MANUAL = {"drill": {"after_backup": False}}


def kill_worker(task: int) -> None:
    """The task and the executor's worker above it, which supervises it: nobody is left to clean up."""
    worker = int(Path(f"/proc/{task}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(worker, signal.SIGKILL)
    os.kill(task, signal.SIGKILL)


@pytest.fixture(scope="module")
def fleet(installation: Installation, postgres_server: Postgres) -> dict[str, Topology]:
    """A topology and a database for each test: Airflow finds all of them at once."""
    found = {}
    for place in ("dump", "upload", "publish", "restore", "rivals", "swept", "damage", "outage"):
        database = f"kill_{place}"
        postgres_server.create_database(database)
        postgres_server.execute(SCHEMA + ROWS, database)
        notifier = {"notifier": "tests.integration.notifier.FileNotifier", "args": {"path": str(installation.folder / "failures")}}
        found[place] = installation.write_topology(f"kill-{place}", database, **MANUAL, notifications={"on_failure": [notifier]})
    for topology in found.values():
        installation.wait_for(topology)
    return found


def test_a_worker_killed_anywhere_in_a_backup(installation: Installation, fleet: dict[str, Topology]) -> None:
    """Three topologies at once: killed during the dump, during the upload, and between upload and manifest."""
    topologies = {place: fleet[place] for place in ("dump", "upload", "publish")}
    flags = {place: installation.stop_at(topology.name, place) for place, topology in topologies.items()}
    runs = {place: installation.airflow.trigger(f"{topology.name}__backup") for place, topology in topologies.items()}
    for place, topology in topologies.items():
        pid = installation.reached(flags[place])
        kill_worker(pid)
        assert list(installation.catalog(topology).entries()) == []
    for flag in flags.values():
        flag.unlink()
    for place, topology in topologies.items():
        installation.succeeded(f"{topology.name}__backup", runs[place], timeout=180)
        catalog = installation.catalog(topology)
        assert len(list(catalog.entries())) == 1
        assert catalog.half_written(thorough=True) == []
        installation.run(f"{topology.name}__drill")


@pytest.mark.long  # test_placing_set.py kills it everywhere, without Airflow
def test_a_worker_killed_during_a_restore(installation: Installation, fleet: dict[str, Topology], postgres_server: Postgres) -> None:
    """What is live keeps its rows; the working copy is removed; the next try succeeds."""
    topology = fleet["restore"]
    installation.run("kill-restore__backup")
    flag = installation.stop_at("kill-restore", "restore")
    run_id = installation.airflow.trigger("kill-restore__restore", {"targets": {"accounts": "kill_restore_copy"}})
    kill_worker(installation.reached(flag))
    databases = {name for (name,) in postgres_server.execute("SELECT datname FROM pg_database")}
    assert "kill_restore_copy" not in databases
    assert postgres_server.execute("SELECT count(*) FROM bank.acct", "kill_restore") == [(500,)]
    flag.unlink()
    installation.succeeded("kill-restore__restore", run_id)
    assert postgres_server.execute("SELECT count(*) FROM bank.acct", "kill_restore_copy") == [(500,)]
    assert topology.name == "kill-restore"
    _no_working_copies(postgres_server)


def _no_working_copies(server: Postgres, timeout: float = 30) -> None:
    find = "SELECT datname FROM pg_database WHERE datname LIKE 'midtime_tmp_%'"
    poll("the end of all working copies", lambda: None if server.execute(find) else True, timeout)


def test_two_backups_of_a_topology_at_once(installation: Installation, fleet: dict[str, Topology]) -> None:
    """Another installation is at work: the preflight fails and says who it is; when that one is done the retry succeeds."""
    topology = fleet["rivals"]
    catalog = installation.catalog(topology)
    catalog.leases.acquire(BACKUP_LEASE, "another airflow/manual__1")
    run_id = installation.airflow.trigger(f"{topology.name}__backup")
    installation.airflow.wait_task(f"{topology.name}__backup", run_id, "preflight", lambda state: state == "up_for_retry", 90)
    assert "another airflow/manual__1 works on 'backup'" in installation.airflow.task_log(f"{topology.name}__backup", run_id, "preflight")
    catalog.leases.release(BACKUP_LEASE, "another airflow/manual__1")
    installation.succeeded(f"{topology.name}__backup", run_id)


@pytest.mark.long  # every minute of the clock counts here
def test_a_drill_whose_machine_died_is_swept(
    installation: Installation, fleet: dict[str, Topology], postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No task of the run lives to clean up: ``midtime__sweep`` removes what the expired lease names, within two minutes."""
    topology = fleet["swept"]
    monkeypatch.setenv("AIRFLOW_CONN_KILL_SWEPT_DB", postgres_server.conn_uri("kill_swept"))
    store = open_store(topology, "accounts")
    target = store.target(None, run="dead00", drill=True, in_place=False)
    postgres_server.create_database(target.working)
    leases = installation.catalog(topology).leases
    leases.acquire("drill-dead00", "dead/run", details={"targets": [target.to_dict()]}, ttl=timedelta(minutes=-16))
    installation.catalog(topology).begin("20260101T000000Z-dead00")
    half = installation.catalog(topology).folder("20260101T000000Z-dead00")
    half.mkdir(parents=True)
    (half / "rest.dat").write_bytes(b"x")  # type: ignore[no-untyped-call]
    _no_working_copies(postgres_server, timeout=150)
    poll("the lease to be released", lambda: getattr(leases.current("drill-dead00"), "released", None) or None, 20)
    assert not half.exists()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: flip(next(folder.glob("accounts/*.dat.gz"))), "SHA-256 differs"),
        pytest.param(lambda folder: _edit(folder / "manifest.json"), "was edited", marks=pytest.mark.long),
        pytest.param(lambda folder: _cut(next(folder.glob("accounts/*.dat.gz"))), "bytes, its manifest says", marks=pytest.mark.long),
        pytest.param(lambda folder: next(folder.glob("accounts/*.dat.gz")).unlink(), "is missing", marks=pytest.mark.long),
        pytest.param(lambda folder: (folder / "manifest.json").write_text("{"), "is unreadable", marks=pytest.mark.long),
    ],
    ids=["flipped", "edited", "truncated", "missing", "unreadable"],
)
def test_drills_and_restores_refuse_what_was_damaged(
    installation: Installation, fleet: dict[str, Topology], postgres_server: Postgres, damage: Callable[[Path], Any], said: str
) -> None:
    """And say which file it is; nothing is created."""
    damaged = fleet["damage"]
    point = installation.airflow.xcom(f"{damaged.name}__backup", installation.run(f"{damaged.name}__backup"), "publish")
    folder = installation.folder / "restore-points" / damaged.name / point
    damage(folder)
    runs = {kind: installation.airflow.trigger(f"{damaged.name}__{kind}", {"restore_point": point}) for kind in ("drill", "restore")}
    for kind, run_id in runs.items():
        assert installation.airflow.wait_run(f"{damaged.name}__{kind}", run_id) == "failed"
        report = installation.airflow.failure_report(f"{damaged.name}__{kind}", run_id)
        assert said in report
        assert str(folder) in report
        told = f"{damaged.name}__{kind} {run_id}"
        poll("the notification", lambda told=told: told in _failures(installation) or None, 60)  # type: ignore[misc]
    _no_working_copies(postgres_server)


def _failures(installation: Installation) -> list[str]:
    """The runs for which Airflow called the notifier that the topology names."""
    path = installation.folder / "failures"
    return path.read_text().splitlines() if path.exists() else []


def flip(path: Path) -> None:
    """One bit; done twice the file is what it was."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _edit(path: Path) -> None:
    path.write_text(path.read_text().replace('"rows": 500', '"rows": 499'))


@pytest.mark.long  # a backup's retry, which test_two_backups_of_a_topology_at_once shows as well
def test_the_database_goes_away_and_comes_back(installation: Installation, postgres_server: Postgres, fleet: dict[str, Topology]) -> None:
    """The retry of the preflight finds it again; a short outage at two in the morning wakes nobody."""
    topology = fleet["outage"]
    postgres_server.kill()
    try:
        run_id = installation.airflow.trigger(f"{topology.name}__backup")
        installation.airflow.wait_task(f"{topology.name}__backup", run_id, "preflight", lambda state: state == "up_for_retry", 90)
        assert "does not answer" in installation.airflow.task_log(f"{topology.name}__backup", run_id, "preflight")
    finally:
        postgres_server.start()
    installation.succeeded(f"{topology.name}__backup", run_id)
