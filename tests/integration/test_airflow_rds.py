"""RDS for MySQL, PostgreSQL, Oracle and SQL Server, Aurora MySQL and PostgreSQL in a real Airflow: marked without a pause, drilled, restored beside."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

import pytest

from midtime.model.instants import from_rfc3339, to_rfc3339
from midtime.model.restore_point import RestorePoint, State
from tests.integration.airflow_reading import where
from tests.integration.engines import ROWS_OF_ACCT
from tests.integration.fixtures import Installation
from tests.integration.managed_airflow import BEHIND, QUICK
from tests.integration.rds_airflow import TOKEN, settings_of
from tests.integration.rds_services import DATABASE, POSTGRES, UNREAD, Services, live, services_of
from tests.integration.windows import ENDED
from tests.stack.processes import poll
from tests.stack.rds import RDS

pytestmark = [pytest.mark.integration, pytest.mark.airflow, pytest.mark.long, pytest.mark.timeout(1500)]
TASKS = {"preflight", "mark_accounts", "midtime", "publish", "restorable", "done", "release"}
READ = "accounts"
"""The store of each."""


@pytest.fixture(scope="module")
def services(installation: Installation) -> Iterator[Services]:
    with services_of(installation) as made:
        yield made


@pytest.fixture(scope="module")
def backups(services: Services) -> dict[str, str]:
    """Runs that have published, and whose histories do not reach so far. The mark 1 was there before they were due, the mark 2 came later."""
    services.mark(1)
    services.rds.settings(lag=BEHIND)
    runs = services.run("backup")
    for name, run_id in runs.items():
        services.installation.airflow.wait_task(f"{name}__backup", run_id, "publish", lambda state: state in ENDED, timeout=600)
    services.mark(2)
    return runs


@pytest.fixture(scope="module")
def drilled(services: Services, backups: dict[str, str]) -> dict[str, str]:
    """The drills that the assets start, all of them over."""
    services.rds.forget_calls()
    services.rds.settings(lag=QUICK)
    services.succeed("backup", backups)
    airflow, runs = services.installation.airflow, {}
    for name in backups:
        runs[name] = poll("the drill", lambda name=name: airflow.runs(f"{name}__drill") or None, 120)[0]["dag_run_id"]  # type: ignore[misc]
    services.succeed("drill", runs)
    return runs


@pytest.fixture(scope="module")
def restored(services: Services, drilled: dict[str, str]) -> dict[str, str]:
    """Restores beside, under names of one's own."""
    targets = {name: {"targets": {READ: copy(name)}} for name in services.topologies}
    runs = services.run("restore", targets)
    services.succeed("restore", runs)
    return runs


def copy(service: str) -> str:
    return f"{service}-new"


def point_of(services: Services, service: str) -> RestorePoint:
    (entry,) = services.catalog(service).entries()
    assert entry.restore_point
    return entry.restore_point


def test_each_waits_until_it_can_be_restored(services: Services, backups: dict[str, str]) -> None:
    """Without a pause and without a worker, marked at the second at which its run was due; nothing is drilled before."""
    airflow = services.installation.airflow
    for name, run_id in backups.items():
        backup, point = f"{name}__backup", point_of(services, name)
        poll(f"{name} waits", lambda: airflow.task_states(backup, run_id).get("restorable") == "deferred" or None, 300)  # noqa: B023
        assert airflow.task_states(backup, run_id).keys() == TASKS
        (due,) = (datetime.fromisoformat(each["run_after"]) for each in airflow.runs(backup) if each["dag_run_id"] == run_id)
        said = airflow.xcom(backup, run_id, "midtime", "midtime")
        assert from_rfc3339(said) == point.midtime == due.replace(microsecond=0)
        assert f"{live(name)} reaches" in (log := airflow.task_log(backup, run_id, "restorable"))
        assert f"{to_rfc3339(point.midtime)} is wanted" in log
        assert next(iter(services.catalog(name).entries())).state is State.MARKED
        assert airflow.runs(f"{name}__drill") == []


def test_each_is_drilled(services: Services, drilled: dict[str, str]) -> None:
    """Restored once, verified, and removed without a final snapshot, for which the service has no room."""
    airflow, rds = services.installation.airflow, services.rds
    made = [call["on"] for call in rds.restores()]
    assert len(made) == len(set(made)) == len(services.topologies)
    assert not [name for name in rds.names() if name.startswith("midtime-tmp-")]
    for name, run_id in drilled.items():
        assert next(iter(services.catalog(name).entries())).state is State.DRILLED
        verified = airflow.xcom(f"{name}__drill", run_id, "verify")
        assert verified["good"]
        assert (verified["records"] is None) is (name in UNREAD)
        (target,) = airflow.xcom(f"{name}__drill", run_id, "plan")["targets"]
        assert target["working"] in made


def test_what_was_not_read_is_said(services: Services, drilled: dict[str, str], restored: dict[str, str]) -> None:
    airflow = services.installation.airflow
    for name, spoken in UNREAD.items():
        for kind, runs in (("drill", drilled), ("restore", restored)):
            verified = airflow.xcom(f"{name}__{kind}", runs[name], "verify")
            assert verified["settings"] == [
                f"{READ}: {spoken}: its data were not read, the topology names no `data_conn_id`",
                *verified["settings"][1:],
            ]
            assert "data were not read" in airflow.task_log(f"{name}__{kind}", runs[name], "verify")


def test_each_is_restored_beside(services: Services, restored: dict[str, str]) -> None:
    """With the settings that it had; what is live is as it was."""
    for name, run_id in restored.items():
        assert settings_of(services.rds, copy(name)) == settings_of(services.rds, live(name)), name
        assert services.installation.airflow.xcom(f"{name}__restore", run_id, "verify")["good"]
    for name in POSTGRES:
        server = services.postgres(name).restored[copy(name)]
        assert server.execute("SELECT count(*) FROM bank.acct", DATABASE) == [(ROWS_OF_ACCT,)]
        assert (services.marks(name, copy(name)), services.marks(name)) == ([1], [1, 2])


def test_no_secret_anywhere(services: Services, restored: dict[str, str]) -> None:
    """Where what was restored is named, no login's secret is."""
    assert {"xcom", "rendered_task_instance_fields", "log"} < where(services.installation, copy("rds-mysql"))
    assert where(services.installation, f"{re.escape(RDS.SECRET)}|{re.escape(TOKEN)}") == set()
