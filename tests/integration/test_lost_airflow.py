"""Airflow, its metadata and the topology files are gone; the destination is there. A second Airflow, empty, goes on from that alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from midtime.catalog import Catalog, objects
from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.model.instants import restore_point_id, utc_now
from midtime.model.restore_point import State
from midtime.model.topology import Topology, load_topology
from tests.integration.fixtures import ROWS, SCHEMA, Installation
from tests.stack.airflow import LocalAirflow
from tests.stack.postgres import Postgres
from tests.stack.processes import Processes

pytestmark = [pytest.mark.integration, pytest.mark.airflow, pytest.mark.long, pytest.mark.timeout(600)]  # two Airflows are started
DEAD = "lost__backup/scheduled__2026-11-21T02:00:00+00:00 started 2026-11-21T02:00:00.123456Z"


@pytest.fixture(scope="module")
def lost(installation: Installation, postgres_server: Postgres) -> Topology:
    """One backup, and then nothing but its destination: file and connection are removed as well."""
    postgres_server.create_database("lost")
    postgres_server.execute(SCHEMA + ROWS, "lost")
    topology = installation.add_topology(
        "lost",
        "lost",
        destination=f"file://{installation.folder}/what-is-left",
        drill={"after_backup": False, "targets": {"accounts": "lost_drill_server"}},
        checks=[{"store": "accounts", "name": "all there", "sql": "SELECT count(*) FROM bank.acct", "expect": 500}],
    )
    installation.run("lost__backup")
    assert topology.source is None or topology.source.exists()
    (installation.airflow.topologies_dir / "lost.yaml").unlink()
    installation.airflow.call("DELETE", "/connections/lost_db")
    return topology


@dataclass
class Fresh:
    """The second Airflow, and its command line."""

    airflow: LocalAirflow
    topologies: Path

    def midtime(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("midtime")), *arguments]
        return subprocess.run(command, env=self.airflow.environment(), capture_output=True, text=True, timeout=60)

    def add_connection(self, line: str, server: Postgres) -> None:
        """What `midtime recover` printed, edited as a person does."""
        for capitals, value in (("HOST", "127.0.0.1"), ("5432", str(server.port)), ("DATABASE", "lost"), ("LOGIN", server.user)):
            assert capitals in line
            line = line.replace(capitals, value)
        env = {**self.airflow.environment(), "PASSWORD": server.password}
        done = subprocess.run(["bash", "-c", line], env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    def run(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        run_id = self.airflow.trigger(dag_id, conf)
        assert self.airflow.wait_run(dag_id, run_id, 180) == "success", self.airflow.failure_report(dag_id, run_id)
        return run_id


@pytest.fixture(scope="module")
def fresh(installation: Installation, lost: Topology, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fresh]:
    folder = tmp_path_factory.mktemp("fresh")
    topologies = folder / "topologies"
    topologies.mkdir()
    installation.stack.metadata.create_database("airflow_again")
    processes = Processes(folder)
    airflow = LocalAirflow(processes, folder / "airflow", installation.stack.metadata.dsn("airflow_again"), topologies_dir=topologies)
    try:
        airflow.start()
        yield Fresh(airflow, topologies)
    finally:
        airflow.close()
        processes.stop()


@pytest.fixture(scope="module")
def recovered(fresh: Fresh, lost: Topology, postgres_server: Postgres) -> Fresh:
    """As docs/runbooks/lost-airflow.md says."""
    done = fresh.midtime("recover", lost.destination, "--into", str(fresh.topologies), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = json.loads(done.stdout)["topologies"]
    assert [(each["conn_id"], each["conn_type"]) for each in found["connections"]] == [
        ("lost_db", "postgres"),
        ("lost_drill_server", "postgres"),
    ]
    for each in found["connections"]:
        fresh.add_connection(each["command"], postgres_server)
    for kind in ("backup", "restore", "drill"):
        fresh.airflow.wait_dag(f"lost__{kind}", timeout=90)
    return fresh


@pytest.fixture
def catalog(lost: Topology) -> Catalog:
    return Catalog(lost.destination, lost.name)


def test_the_files_are_what_they_were(recovered: Fresh, lost: Topology) -> None:
    assert load_topology(recovered.topologies / "lost.yaml").digest == lost.digest
    assert recovered.midtime("check", "lost").returncode == 0
    listed = json.loads(recovered.midtime("list", "--json").stdout)
    assert [each["state"] for each in listed] == ["RESTORABLE"]
    assert recovered.midtime("verify", "latest", "--topology", "lost").returncode == 0


def test_no_secret_was_needed_to_know_that(catalog: Catalog, postgres_server: Postgres) -> None:
    manifest = objects.read(catalog.folder(catalog.resolve("latest").id) / "manifest.json")
    assert b"topology_file" in manifest
    assert postgres_server.password.encode() not in manifest


def test_restored_beside(recovered: Fresh, postgres_server: Postgres) -> None:
    recovered.run("lost__restore", {"restore_point": "latest", "targets": {"accounts": "lost_beside"}})
    assert postgres_server.execute("SELECT count(*) FROM bank.acct", "lost_beside") == [(500,)]


def test_drilled_good(recovered: Fresh, catalog: Catalog) -> None:
    recovered.run("lost__drill")
    entry = catalog.entry(catalog.resolve("latest").id)
    assert entry is not None
    assert entry.state is State.DRILLED
    assert recovered.midtime("drills", "lost").returncode == 0


def test_the_lease_of_the_lost_airflow_runs_out(recovered: Fresh, lost: Topology, catalog: Catalog) -> None:
    """Its last backup died in the middle: it keeps the next one out until its lease has expired, says until when, and is cleared up."""
    half = restore_point_id(utc_now(), DEAD)
    catalog.begin(half)
    objects.create(catalog.folder(half) / "accounts" / "toc.dat", b"half")
    lease = catalog.leases.acquire(BACKUP_LEASE, DEAD, ttl=timedelta(seconds=30))
    said = recovered.midtime("recover", lost.destination, "--into", str(recovered.topologies))
    assert f"{DEAD} holds 'backup' until" in said.stdout
    assert "is there already and says the same" in said.stdout

    before = catalog.resolve("latest").id
    run_id = recovered.run("lost__backup")  # its second or third try is after that
    first = recovered.airflow.task_log("lost__backup", run_id, "preflight", 1)
    assert f"{DEAD} works on 'backup' until {lease.expires_at.isoformat().replace('+00:00', 'Z')} at least" in first
    assert catalog.resolve("latest").id > before
    assert half not in catalog.folders()
