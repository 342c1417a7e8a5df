"""`airflow backfill create` of drills, in a real Airflow: each date drills what was newest then, or says why it drills nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from midtime.catalog import Catalog, drill_reports
from midtime.catalog.drill_reports import Found
from midtime.model.instants import from_rfc3339
from midtime.model.restore_point import DrillReport, RestorePoint
from midtime.model.topology import Topology
from tests.integration.fixtures import ROWS, SCHEMA, Installation
from tests.integration.restore_points_of_old import moved
from tests.stack.postgres import Postgres
from tests.stack.processes import StackError, poll

pytestmark = [pytest.mark.integration, pytest.mark.airflow]
AT_ONCE = 3


def day(number: int, hour: int = 5, minute: int = 0) -> datetime:
    return datetime(2026, 11, number, hour, minute, tzinfo=UTC)


@dataclass
class Backfilled:
    """What there was, and what became of each date."""

    installation: Installation
    topology: Topology
    points: dict[str, RestorePoint]
    runs: dict[datetime, dict[str, Any]]

    @property
    def catalog(self) -> Catalog:
        return self.installation.catalog(self.topology)

    def found(self) -> dict[datetime, Found]:
        """The backfill's reports by the date that they stand for; of two of one date the newer."""
        return {each.report.as_of: each for each in reversed(drill_reports.every(self.catalog)) if each.report and each.report.as_of}

    def states(self, at: datetime) -> dict[str, str | None]:
        return self.installation.airflow.task_states("old__drill", self.runs[at]["dag_run_id"])


def _add(installation: Installation, server: Postgres, name: str, **changes: Any) -> Topology:
    server.create_database(name)
    server.execute(SCHEMA + ROWS, name)
    return installation.write_topology(name, name, **changes)


@pytest.fixture(scope="module")
def topologies(installation: Installation, postgres_server: Postgres) -> dict[str, Topology]:
    """Two with a schedule, one with the asset alone: Airflow finds all of them at once."""
    found = {
        "old": _add(installation, postgres_server, "old", drill={"schedule": "0 5 * * *"}),
        "clock": _add(installation, postgres_server, "clock", drill={"schedule": "0 5 * * *", "after_backup": False}),
        "unclocked": _add(installation, postgres_server, "unclocked"),
    }
    for topology in found.values():
        installation.wait_for(topology)
    return found


def backfill(installation: Installation, topology: str, since: str, until: str, *more: str) -> list[dict[str, Any]]:
    """As a person types it; the runs when all are over, oldest first."""
    dates = ["--from-date", since, "--to-date", until]
    installation.airflow.airflow("backfill", "create", "--dag-id", f"{topology}__drill", *dates, *more)

    def over() -> list[dict[str, Any]] | None:
        known = installation.airflow.call("GET", "/backfills", params={"dag_id": f"{topology}__drill"})["backfills"]
        runs = [run for run in installation.airflow.runs(f"{topology}__drill") if run["run_type"] == "backfill"]
        done = all(run["state"] in ("success", "failed") for run in runs) and all(each["completed_at"] for each in known)
        return runs if done else None

    return sorted(poll("the backfill", over, 240, every=0.5), key=lambda run: run["logical_date"])


@pytest.fixture(scope="module")
def backfilled(installation: Installation, topologies: dict[str, Topology]) -> Backfilled:
    topology = topologies["old"]
    catalog = installation.catalog(topology)
    installation.run("old__backup")
    real = catalog.resolve("latest")
    points = {
        "tenth": moved(catalog, real, day(10, 2)),
        "twelfth": moved(catalog, real, day(12, 2)),
        "invalid": moved(catalog, real, day(13, 2)),
        "slow": moved(catalog, real, day(14, 4, 30), finished=day(14, 5, 30)),
        "removed": moved(catalog, real, day(16, 2)),
    }
    catalog.invalidate(points["invalid"].id, "its disk was lost")
    removed = points["removed"]
    drill_reports.add(catalog, _report(removed))
    drill_reports.archive(catalog, removed.id)
    catalog.folder(removed.id).fs.rm(catalog.folder(removed.id).path, recursive=True)
    runs = backfill(installation, "old", "2026-11-09", "2026-11-16T23:00:00", "--max-active-runs", str(AT_ONCE))
    failed = [installation.airflow.failure_report("old__drill", run["dag_run_id"]) for run in runs if run["state"] == "failed"]
    assert not failed, failed[0]
    return Backfilled(installation, topology, points, {from_rfc3339(run["logical_date"]): run for run in runs})


def _report(of: RestorePoint) -> DrillReport:
    body: dict[str, Any] = {"restore_point": of.id, "topology": of.topology, "dag_id": "old__drill", "run_id": "long ago", "good": True}
    times = {"started_at": of.finished_at, "finished_at": of.finished_at, "rto_seconds": 1.0, "rpo_seconds": 1.0}
    return DrillReport(**body, **times, store_seconds={}, bytes=1, rows=1, verdict={"good": True, "summary": "good"})


def test_each_date_drills_what_was_newest_then(backfilled: Backfilled) -> None:
    """Not what was invalid, and not what was still being written at that date."""
    reports = backfilled.found()
    chosen = {at: found.restore_point for at, found in reports.items()}
    points = {name: point.id for name, point in backfilled.points.items()}
    assert chosen == {
        day(10): points["tenth"],
        day(11): points["tenth"],
        day(12): points["twelfth"],
        day(13): points["twelfth"],
        day(14): points["twelfth"],
        day(15): points["slow"],
    }
    for at, found in reports.items():
        assert found.report is not None
        assert found.report.good, backfilled.installation.airflow.failure_report("old__drill", found.report.run_id)
        assert found.report.run_id == backfilled.runs[at]["dag_run_id"]
        assert backfilled.runs[at]["state"] == "success"


def test_the_rpo_is_that_of_the_date(backfilled: Backfilled) -> None:
    """What a loss at that date would have cost; the months since then have nothing to do with it."""
    rpo = {at.day: found.report.rpo_seconds / 3600 for at, found in backfilled.found().items() if found.report}
    assert rpo == {10: 3, 11: 27, 12: 3, 13: 27, 14: 51, 15: 24.5}


@pytest.mark.parametrize(
    ("number", "said"), [(9, "had no restorable restore point at 2026-11-09T05:00:00Z"), (16, "was removed by retention")]
)
def test_a_date_without_its_restore_point_is_skipped_and_says_why(backfilled: Backfilled, number: int, said: str) -> None:
    run = backfilled.runs[day(number)]
    assert run["state"] == "success"  # nothing failed
    states = backfilled.states(day(number))
    assert {task: states[task] for task in ("plan", "restore_accounts", "verify", "report", "done")} == dict.fromkeys(
        ("plan", "restore_accounts", "verify", "report", "done"), "skipped"
    )
    assert states["discard"] == "success"
    airflow = backfilled.installation.airflow
    assert said in airflow.task_log("old__drill", run["dag_run_id"], "plan")
    assert said in airflow.xcom("old__drill", run["dag_run_id"], "plan", "skipped")  # where the UI shows it without a log


def test_several_at_once_do_not_collide(backfilled: Backfilled) -> None:
    spans = [(from_rfc3339(run["start_date"]), from_rfc3339(run["end_date"])) for run in backfilled.runs.values()]
    at_once = [sum(begin <= moment < end for begin, end in spans) for moment, _ in spans]
    assert 2 <= max(at_once) <= AT_ONCE
    airflow = backfilled.installation.airflow
    plans = [airflow.xcom("old__drill", backfilled.runs[at]["dag_run_id"], "plan") for at in backfilled.found()]
    assert len({target["working"] for plan in plans for target in plan["targets"]}) == len(plans)
    assert len({plan["lease"] for plan in plans}) == len(plans)
    leases = backfilled.catalog.leases
    for plan in plans:
        lease = leases.current(plan["lease"])
        assert lease is None or lease.released
    working = {target["working"] for plan in plans for target in plan["targets"]}
    there = {name for (name,) in backfilled.installation.stack.postgres.execute("SELECT datname FROM pg_database")}
    assert not working & there


def test_the_report_over_all_drills(backfilled: Backfilled) -> None:
    command = [str(Path(sys.executable).with_name("midtime")), "drills", "old", "--json", "--limit", "100"]
    environment = backfilled.installation.airflow.environment()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    body = json.loads(done.stdout)
    dates = [each["as_of"] or each["started_at"] for each in body["drills"]]
    assert dates == sorted(dates, reverse=True)
    assert {f"2026-11-{number}T05:00:00Z" for number in range(10, 16)} <= set(dates)
    assert backfilled.points["removed"].id in {each["restore_point"] for each in body["drills"]}
    (summary,) = body["topologies"]
    assert summary["drills"] == len(body["drills"]) >= 7
    assert summary["share_good"] == 1


@pytest.mark.long
def test_a_second_backfill_drills_only_what_is_missing_or_asked_for(backfilled: Backfilled) -> None:
    """A run of a date is cleared and done again when it is asked for, under a lease and a working name of its own."""
    before = backfilled.found()
    backfill(backfilled.installation, "old", "2026-11-10", "2026-11-11T06:00:00")
    assert backfilled.found() == before
    runs = backfill(
        backfilled.installation, "old", "2026-11-10", "2026-11-10T06:00:00", "--reprocess-behavior", "completed", "--max-active-runs", "1"
    )
    assert runs[1]["state"] == "success", backfilled.installation.airflow.failure_report("old__drill", runs[1]["dag_run_id"])
    after = backfilled.found()
    assert after.keys() == before.keys()
    assert after[day(10)].name != before[day(10)].name
    assert after[day(11)].name == before[day(11)].name


def test_a_drill_that_cannot_even_be_planned_leaves_a_report(backfilled: Backfilled) -> None:
    """An artifact is gone: nothing is restored, but an auditor will ask what became of that drill."""
    catalog, airflow = backfilled.catalog, backfilled.installation.airflow
    point = backfilled.points["slow"]
    artifact = next(Path(catalog.folder(point.id).path).glob("accounts/*.dat.gz"))
    aside = artifact.rename(artifact.with_name("aside"))
    try:
        run_id = airflow.trigger("old__drill", {"restore_point": point.id})
        assert airflow.wait_run("old__drill", run_id) == "failed"
    finally:
        aside.rename(artifact)
    report = drill_reports.of(catalog, point.id)[-1]
    assert (report.run_id, report.good, report.bytes, report.as_of) == (run_id, False, 0, None)
    assert "is missing" in report.verdict["summary"]
    assert airflow.task_states("old__drill", run_id) | {"report": "failed", "discard": "success"} == airflow.task_states(
        "old__drill", run_id
    )


def test_a_drill_whose_restore_failed_leaves_a_report(backfilled: Backfilled) -> None:
    """Spoilt in a way that only reading shows, so that the plan is content."""
    catalog, airflow = backfilled.catalog, backfilled.installation.airflow
    point = backfilled.points["twelfth"]
    artifact = next(Path(catalog.folder(point.id).path).glob("accounts/*.dat.gz"))
    content = artifact.read_bytes()
    artifact.write_bytes(bytes([*content[:-1], content[-1] ^ 1]))
    try:
        run_id = airflow.trigger("old__drill", {"restore_point": point.id})
        assert airflow.wait_run("old__drill", run_id) == "failed"
    finally:
        artifact.write_bytes(content)
    report = drill_reports.of(catalog, point.id)[-1]
    assert (report.run_id, report.good) == (run_id, False)
    assert report.verdict["summary"].startswith("not restored: accounts")


@pytest.mark.long
def test_a_drill_by_the_clock_alone_is_backfilled_as_well(installation: Installation, topologies: dict[str, Topology]) -> None:
    (run,) = backfill(installation, "clock", "2026-11-19", "2026-11-19T06:00:00")
    assert run["state"] == "success"
    assert installation.airflow.task_states("clock__drill", run["dag_run_id"])["plan"] == "skipped"


@pytest.mark.long
def test_without_a_drill_schedule_there_are_no_dates_to_fill(installation: Installation, topologies: dict[str, Topology]) -> None:
    with pytest.raises(StackError, match="non-periodic schedule that does not support backfills"):
        backfill(installation, "unclocked", "2026-11-19", "2026-11-19T06:00:00")
