"""Retention in a real Airflow: asked first, done then, and never the restore point that a person is still to approve."""

from __future__ import annotations

import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from midtime.catalog import Catalog, drill_reports
from midtime.catalog.restore_points import MANIFEST
from midtime.model.instants import restore_point_id, utc_now
from midtime.model.restore_point import DrillReport, RestorePoint, State
from midtime.model.topology import Topology
from tests.integration.fixtures import ROWS, SCHEMA, Installation
from tests.stack.postgres import Postgres
from tests.stack.processes import poll

pytestmark = [pytest.mark.integration, pytest.mark.airflow]
DAG = "midtime__retention"


@pytest.fixture(scope="module")
def old_bank(installation: Installation, postgres_server: Postgres) -> Topology:
    """A topology whose restore points stay for a day, and the newest one for ever."""
    postgres_server.create_database("retained")
    postgres_server.execute(SCHEMA + ROWS, "retained")
    rules = {"keep_last": 1, "keep_days": 1}
    topology = installation.add_topology("retained", "retained", retention=rules, drill={"after_backup": False})

    def offered() -> bool:
        schema = installation.airflow.call("GET", f"/dags/{DAG}/details")["params"]["topology"]["schema"]
        return topology.name in schema["enum"]

    poll("the topology in the form of retention", lambda: offered() or None, 60)
    return topology


def aged(catalog: Catalog, point: RestorePoint, days: int) -> str:
    """The same restore point, as if it had been made so many days ago."""
    midtime = utc_now() - timedelta(days=days)
    older = point.model_copy(update={"id": restore_point_id(midtime, "old"), "midtime": midtime})
    shutil.copytree(Path(catalog.folder(point.id).path), Path(catalog.folder(older.id).path), ignore=shutil.ignore_patterns(MANIFEST))
    catalog.publish(older)
    return older.id


def drilled(catalog: Catalog, restore_point: str) -> None:
    now = utc_now()
    body: dict[str, Any] = {"rto_seconds": 1.0, "rpo_seconds": 1.0, "store_seconds": {}, "bytes": 1, "rows": 1, "verdict": {}, "good": True}
    body |= {"started_at": now, "finished_at": now, "dag_id": "retained__drill", "run_id": "manual"}
    catalog.add_drill_report(DrillReport(restore_point=restore_point, topology=catalog.topology, **body))


def test_from_the_dry_run_to_the_end(installation: Installation, old_bank: Topology) -> None:
    airflow, catalog = installation.airflow, installation.catalog(old_bank)
    newest = airflow.xcom("retained__backup", installation.run("retained__backup"), "publish")
    point = catalog.load(newest)
    proven, awaited, first = (aged(catalog, point, days) for days in (10, 20, 30))
    for each in (proven, first):
        drilled(catalog, each)
    restore = airflow.trigger("retained__restore", {"restore_point": awaited, "in_place": True})
    poll("the question", lambda: airflow.hitl_pending("retained__restore", restore) or None, 60)

    def retain(**conf: Any) -> tuple[dict[str, Any], str]:
        run_id = installation.run(DAG, {"topology": old_bank.name, **conf})
        outcome: dict[str, Any] = airflow.xcom(DAG, run_id, "retention")
        assert list(outcome) == [old_bank.name]
        return outcome[old_bank.name], airflow.task_log(DAG, run_id, "retention")

    said, log = retain(dry_run=True)
    assert (said["removed"], said["kept"], said["dry_run"]) == ([first], 3, True)
    assert f"Would remove {first}, 30 d old, {point.size:,} bytes: older than 1 day, and not one of the newest 1" in log
    assert catalog.folders() == [newest, proven, awaited, first]
    assert [entry.state for entry in catalog.entries()] == [State.RESTORABLE, State.DRILLED, State.RESTORABLE, State.DRILLED]

    done, log = retain()
    assert (done["removed"], done["reasons"]) == (said["removed"], said["reasons"])
    assert f"Kept {newest}: the newest that can be restored" in log
    assert f"Kept {proven}: the newest that was drilled" in log
    assert f"Kept {awaited}: retained__restore/{restore}" in log
    assert catalog.folders() == [newest, proven, awaited]
    assert first in [found.restore_point for found in drill_reports.every(catalog)], "an auditor still sees its drill"

    time.sleep(1.5)  # an answer in the first moment is lost (facts/airflow.md 9)
    airflow.hitl_respond("retained__restore", restore, "approve", ["Reject"])
    airflow.wait_run("retained__restore", restore)
    assert retain()[0]["removed"] == [awaited]
    assert catalog.folders() == [newest, proven]

    drill = airflow.trigger("retained__drill", {"restore_point": awaited})
    assert airflow.wait_run("retained__drill", drill) == "failed"
    assert f"has no restore point {awaited}" in airflow.task_log("retained__drill", drill, "plan")


def test_a_misspelt_dry_run_removes_nothing(installation: Installation, old_bank: Topology) -> None:
    catalog = installation.catalog(old_bank)
    before = catalog.folders()
    run_id = installation.airflow.trigger(DAG, {"dryrun": True})
    assert installation.airflow.wait_run(DAG, run_id) == "failed"
    assert "unknown parameters: dryrun" in installation.airflow.task_log(DAG, run_id, "retention")
    assert catalog.folders() == before
