"""The main job in a real Airflow on a real ScalarDB bank: back up, list, restore, drill, each as a person or a clock would start it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from midtime.model.instants import from_rfc3339
from midtime.model.restore_point import State
from midtime.model.topology import Topology
from tests.integration.fixtures import Installation
from tests.stack.bank import Bank
from tests.stack.processes import poll
from tests.stack.scalardb import ScalarDB

pytestmark = [pytest.mark.integration, pytest.mark.airflow]


@pytest.fixture(scope="module")
def bank_topology(installation: Installation, bank: Bank) -> Topology:
    """The bank under ScalarDB; drilled after each backup and by the clock."""
    port = installation.stack.scalardb.port
    return installation.add_topology(
        "bank",
        installation.stack.DATABASE,
        description="Accounts of the bank",
        products=[{"kind": "scalardb-server", "endpoints": {"static": [f"127.0.0.1:{port}"]}}],
        drill={"schedule": "* * * * *"},
        checks=[{"store": "accounts", "name": "no money lost", "sql": _SUM, "expect": bank.expected_total}],
    )


# Lazy recovery has not touched the restored set: a record that is PREPARED counts with its value only if its transaction committed.
_SUM = """
    SELECT sum(CASE WHEN a.tx_state = 3 OR c.tx_state = 3 THEN a.balance ELSE a.before_balance END)
    FROM bank.acct a LEFT JOIN coordinator.state c ON c.tx_id = a.tx_id"""


def _drills(installation: Installation, kind: str) -> list[dict[str, Any]]:
    return [run for run in installation.airflow.runs("bank__drill") if run["run_type"] == kind and run["state"] in ("success", "failed")]


def test_the_main_path(installation: Installation, bank_topology: Topology, bank: Bank) -> None:
    """Backup under load, its restore point, the drill that its asset starts, a restore beside the original."""
    airflow, catalog = installation.airflow, installation.catalog(bank_topology)
    bank.start(threads=2, think=0.02)
    try:
        before = datetime.now(UTC)
        run_id = installation.run("bank__backup")
        after = datetime.now(UTC)
    finally:
        bank.stop()

    midtime = airflow.xcom("bank__backup", run_id, "midtime", "midtime")
    assert before < from_rfc3339(midtime) < after
    point = catalog.resolve("latest")
    assert airflow.xcom("bank__backup", run_id, "publish") == point.id
    assert point.midtime == from_rfc3339(midtime)
    assert {table.name for table in point.stores[0].tables} >= {"bank.acct", "coordinator.state", "scalardb.metadata"}

    drill = poll("the drill that the backup's asset starts", lambda: _drills(installation, "asset_triggered") or None, 90)[0]
    assert drill["state"] == "success", airflow.failure_report("bank__drill", drill["dag_run_id"])
    report = catalog.drill_reports(point.id)[0]
    assert report.good
    assert report.rto_seconds > 0
    assert report.rpo_seconds > 0
    assert report.verdict["records"]["records_read"] >= 50
    entry = catalog.entry(point.id)
    assert entry is not None
    assert entry.state is State.DRILLED

    run_id = installation.run("bank__restore", {"restore_point": point.id, "targets": {"accounts": "bank_beside"}})
    assert airflow.task_states("bank__restore", run_id)["approve"] == "success"
    assert installation.stack.postgres.execute(_SUM, "bank_beside") == [(bank.expected_total,)]
    assert bank.total() == bank.expected_total
    _nothing_temporary_is_left(installation)


def _nothing_temporary_is_left(installation: Installation) -> None:
    def left() -> bool:
        found = installation.stack.postgres.execute("SELECT datname FROM pg_database WHERE datname LIKE 'midtime_tmp_%'")
        busy = [run for dag in ("bank__drill", "bank__restore") for run in installation.airflow.runs(dag) if run["state"] == "running"]
        return not found or bool(busy)

    poll("no working copies of runs that are over", lambda: left() or None, 30)


def test_a_drill_by_the_clock(installation: Installation, bank_topology: Topology) -> None:
    """The topology says every minute."""
    if not list(installation.catalog(bank_topology).entries()):
        installation.run("bank__backup")
    good = poll("a scheduled drill", lambda: [run for run in _drills(installation, "scheduled") if run["state"] == "success"] or None, 150)
    assert installation.airflow.task_states("bank__drill", good[0]["dag_run_id"])["discard"] == "success"


def test_a_drill_by_hand(installation: Installation, bank_topology: Topology) -> None:
    run_id = installation.run("bank__drill", {"restore_point": "latest", "targets": {}})
    report = installation.airflow.xcom("bank__drill", run_id, "report")
    assert report["good"]
    assert "no money lost" not in json.dumps(report["verdict"]["failed_checks"])


def test_a_drill_of_a_restore_point_that_is_not_there(installation: Installation, bank_topology: Topology) -> None:
    """Fails, says so, and is not shown as success because its last task was left out."""
    run_id = installation.airflow.trigger("bank__drill", {"restore_point": "20200101T000000Z-abcdef"})
    assert installation.airflow.wait_run("bank__drill", run_id) == "failed"
    assert "has no restore point 20200101T000000Z-abcdef" in installation.airflow.task_log("bank__drill", run_id, "plan")


@pytest.mark.parametrize(
    ("conf", "said"),
    [
        ({"in_place": True, "approve": False}, "never done without approval"),
        ({"targets": {"accounts": "bank"}}, "exists on the target"),
        ({"inplace": True}, "inplace"),
    ],
)
def test_a_restore_that_is_refused_before_anything_is_touched(
    installation: Installation, bank_topology: Topology, conf: dict[str, Any], said: str
) -> None:
    run_id = installation.airflow.trigger("bank__restore", conf)
    assert installation.airflow.wait_run("bank__restore", run_id) == "failed"
    states = installation.airflow.task_states("bank__restore", run_id)
    assert (states["plan"], states["restore_accounts"]) == ("failed", "upstream_failed")
    assert said in installation.airflow.task_log("bank__restore", run_id, "plan")


def test_in_place_needs_a_person_and_stopped_products(
    installation: Installation, bank_topology: Topology, bank: Bank, scalardb: ScalarDB
) -> None:
    """Rejected: nothing happens. Approved while the product answers: refused. Approved with the product stopped: replaced."""
    airflow, server = installation.airflow, installation.stack.postgres
    installation.run("bank__backup")
    server.execute("UPDATE bank.acct SET owner = 'after the backup'", "bank")

    rejected = _decide(installation, "Reject")
    assert airflow.task_states("bank__restore", rejected)["restore_accounts"] == "skipped"

    refused = _decide(installation, "Approve")
    assert airflow.run_state("bank__restore", refused) == "failed"
    assert "still answers at" in airflow.task_log("bank__restore", refused, "place")
    assert server.execute("SELECT count(*) FROM bank.acct WHERE owner = 'after the backup'", "bank")[0][0] > 0

    scalardb.stop()
    try:
        approved = _decide(installation, "Approve")
        assert airflow.run_state("bank__restore", approved) == "success", airflow.failure_report("bank__restore", approved)
    finally:
        scalardb.start()
    assert server.execute("SELECT count(*) FROM bank.acct WHERE owner = 'after the backup'", "bank") == [(0,)]
    plan = airflow.xcom("bank__restore", approved, "plan")
    assert server.execute("SELECT count(*) FROM bank.acct WHERE owner = 'after the backup'", plan["targets"][0]["aside"])[0][0] > 0
    assert bank.total() == bank.expected_total


def _decide(installation: Installation, answer: str) -> str:
    run_id = installation.airflow.trigger("bank__restore", {"restore_point": "latest", "in_place": True, "approve": True})
    poll("the question", lambda: installation.airflow.hitl_pending("bank__restore", run_id) or None, 60)
    time.sleep(1.5)  # an answer in the first moment is lost (facts/airflow.md 9)
    installation.airflow.hitl_respond("bank__restore", run_id, "approve", [answer])
    installation.airflow.wait_run("bank__restore", run_id)
    return run_id


@pytest.mark.long  # ten starts of Python; tests/unit/cli has each command
def test_the_command_line_beside_airflow(installation: Installation, bank_topology: Topology) -> None:
    environment = {**installation.airflow.environment(), "COLUMNS": "200"}

    def midtime(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("midtime")), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    installation.run("bank__backup")
    checked = midtime("check", "bank", "--json")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert json.loads(checked.stdout)["good"]
    listed = json.loads(midtime("list", "bank", "--json").stdout)
    assert [each["id"] for each in listed] == sorted((each["id"] for each in listed), reverse=True)
    point = listed[0]["id"]
    assert point in midtime("list").stdout
    assert midtime("show", point).returncode == 0
    assert midtime("verify", point).returncode == 0
    artifact = next(installation.folder.glob(f"restore-points/bank/{point}/accounts/*.dat.gz"))
    content = bytearray(artifact.read_bytes())
    content[len(content) // 2] ^= 1
    artifact.write_bytes(content)
    spoilt = midtime("verify", point)
    assert spoilt.returncode == 1
    assert artifact.name in re.sub(r"\s", "", spoilt.stdout)
    content[len(content) // 2] ^= 1
    artifact.write_bytes(content)
    assert midtime("verify", "nonsense").returncode == 2
    assert midtime("check", "nonsense").returncode == 2


def test_no_password_in_any_log_or_xcom(installation: Installation, bank_topology: Topology) -> None:
    password = installation.stack.postgres.password
    logs = [path for path in (installation.airflow.home / "logs").rglob("*") if path.is_file()]
    assert logs
    assert [path for path in logs if password.encode() in path.read_bytes()] == []
    manifests = list(installation.folder.rglob("*.json"))
    assert manifests
    assert [path for path in manifests if password.encode() in path.read_bytes()] == []
    xcoms = installation.stack.metadata.execute("SELECT count(*) FROM xcom WHERE value::text LIKE %s", "airflow", (f"%{password}%",))
    assert xcoms == [(0,)]
    assert os.environ.get("PGPASSWORD") is None


def test_a_bad_topology_file_hides_no_good_one(installation: Installation, bank_topology: Topology) -> None:
    bad = installation.topology_file("broken")
    bad.write_text("name: broken\ndestination: file:///tmp/x\nstores:\n  - {name: a, engine: postgresql, conn_id: c, jbos: 3}\n")
    try:
        errors = poll(
            "the import error", lambda: {k: v for k, v in installation.airflow.import_errors().items() if "broken.yaml" in v} or None, 60
        )
        (said,) = errors.values()
        assert "broken.yaml:4" in said
        assert "jbos" in said
        installation.airflow.wait_dag("bank__backup")
    finally:
        bad.unlink()
    poll("the error to go", lambda: not [v for v in installation.airflow.import_errors().values() if "broken.yaml" in v] or None, 60)
