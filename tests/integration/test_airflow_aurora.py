"""An Aurora PostgreSQL and a PostgreSQL under a real ScalarDB Server: marked while the bank moves money, drilled and restored by a real Airflow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from midtime.model.instants import from_rfc3339
from midtime.model.restore_point import State
from midtime.stores.rds.targets import IN_PLACE
from tests.integration.airflow_reading import where
from tests.integration.airflow_restores import marks, money
from tests.integration.fixtures import Installation
from tests.integration.managed_airflow import BackedUp
from tests.integration.rds_airflow import BESIDE_AURORA, CLUSTER, IN_AURORA, NAME, TOKEN, River, river_of, settings_of
from tests.integration.test_airflow_faults import kill_worker
from tests.stack.processes import poll
from tests.stack.rds import RDS

pytestmark = [pytest.mark.integration, pytest.mark.airflow, pytest.mark.long, pytest.mark.timeout(900)]
BACKUP, RESTORE, DRILL = (f"{NAME}__{kind}" for kind in ("backup", "restore", "drill"))
BESIDE = "river-restored"
SECRETS = f"{re.escape(RDS.SECRET)}|{re.escape(TOKEN)}"


@pytest.fixture(scope="module")
def river(installation: Installation) -> Iterator[River]:
    with river_of(installation) as made:
        yield made


@pytest.fixture(scope="module")
def managed_stores(river: River) -> River:
    return river


def test_it_waits_until_it_can_be_restored(river: River, backed_up: BackedUp) -> None:
    """Without a worker, and nothing is drilled before; the log says what is waited for."""
    airflow, point = river.installation.airflow, backed_up.point
    poll("a wait", lambda: airflow.task_states(BACKUP, backed_up.run_id).get("restorable") == "deferred" or None, 120)
    marked = point.store(IN_AURORA)
    assert marked.details["name"] == CLUSTER
    said = airflow.task_log(BACKUP, backed_up.run_id, "restorable")
    assert f"cluster {CLUSTER} reaches " in said
    assert re.search(r"Z, \S+Z is wanted", said)
    (listed,) = json.loads(river.installation.midtime("list", NAME, "--json"))
    assert (listed["id"], listed["state"]) == (point.id, State.MARKED)
    assert airflow.runs(DRILL) == []
    assert from_rfc3339(airflow.xcom(BACKUP, backed_up.run_id, "midtime", "midtime")) == point.midtime


def test_the_drill_that_the_asset_starts(river: River, restorable: BackedUp) -> None:
    """Good, and before its cluster is deleted the sum in it is exact; the mark of before the pause is in it, no later one."""
    run_id, working = river.standing_drill(restorable)
    assert working[IN_AURORA].startswith("river-drill-")
    assert {working[IN_AURORA], f"{working[IN_AURORA]}-1"} < river.server.names()
    restored = river.copies(working[IN_AURORA], working[BESIDE_AURORA])
    assert money(restored, IN_AURORA) == river.bank.expected_total == river.bank.total()
    assert marks(restored) == [[1], [1]]
    river.require_drilled(restorable, run_id)
    assert river.server.names() == {CLUSTER, f"{CLUSTER}-a", f"{CLUSTER}-b"}


def test_beside(river: River, drilled: BackedUp) -> None:
    """Under names of one's own, with the settings that the cluster had; what is live is as it was, and the restore point still good."""
    targets = {IN_AURORA: BESIDE, BESIDE_AURORA: "river_beside"}
    river.installation.run(RESTORE, {"restore_point": "latest", "targets": targets}, timeout=420)
    copies = river.copies(BESIDE, "river_beside")
    assert money(copies, IN_AURORA) == river.bank.expected_total
    assert (marks(copies), marks(river.places)) == ([[1], [1]], [[1, 2], [1, 2]])
    restored = settings_of(river.server, BESIDE)
    assert restored == settings_of(river.server, CLUSTER)
    assert (restored["tags"], restored["BackupRetentionPeriod"], restored["DeletionProtection"]) == ({"team": "bank"}, 7, True)
    assert len(restored["members"]) == 2
    assert river.catalog.resolve("latest").id == drilled.point.id


@pytest.mark.fault(
    "kill -9 of a restore of an Aurora cluster with its worker, when the cluster and when an instance of it is asked for; and of the triggerer",
    "The next try goes on; the service is asked for each of them once.",
)
def test_whoever_dies(river: River, drilled: BackedUp) -> None:
    """Each worker in the middle of a call that the service carried out and whose answer nobody has heard; the triggerer in the wait between."""
    installation, airflow, server = river.installation, river.installation.airflow, river.server
    server.forget_calls()
    server.faults({"kind": "hang", "operations": ["RestoreDBClusterToPointInTime"], "times": 1, "after": True})
    targets = {IN_AURORA: "river-survived", BESIDE_AURORA: "river_survived"}
    with river.fulfilling.held_up():
        run_id = airflow.trigger(RESTORE, {"restore_point": drilled.point.id, "targets": targets})
        server.wait_hit(240)
        kill_worker(river.pid(f"restore_{IN_AURORA}"))
        airflow.wait_task(RESTORE, run_id, f"restore_{IN_AURORA}", lambda state: state == "deferred", timeout=240)
        airflow.component("triggerer").kill()
    server.faults({"kind": "hang", "operations": ["CreateDBInstance"], "times": 1, "after": True})
    airflow.mend()
    server.wait_hit(240)
    kill_worker(river.pid(f"restore_{IN_AURORA}"))
    server.faults()
    installation.succeeded(RESTORE, run_id, timeout=420)
    assert [call["on"] for call in server.restores()] == ["river-survived"]
    created = [call["on"] for call in server.calls()["control"] if call["operation"] == "CreateDBInstance" and call["status"] == 200]
    assert sorted(created) == ["river-survived-1", "river-survived-2"]
    assert settings_of(server, "river-survived") == settings_of(server, CLUSTER)
    copies = river.copies("river-survived", "river_survived")
    assert (money(copies, IN_AURORA), marks(copies)) == (river.bank.expected_total, [[1], [1]])


def test_in_place_is_refused(river: River, drilled: BackedUp) -> None:
    """And the restore point stays good."""
    river.require_refused_in_place(drilled, IN_PLACE, "docs/runbooks/rds-cut-over.md")
    river.require_state(drilled, State.DRILLED)


def test_no_secret_anywhere(river: River, drilled: BackedUp) -> None:
    """Whatever the tests above have done: where the store is named, no login's secret is."""
    assert {"xcom", "rendered_task_instance_fields", "log"} < where(river.installation, IN_AURORA)
    assert where(river.installation, SECRETS) == set()
