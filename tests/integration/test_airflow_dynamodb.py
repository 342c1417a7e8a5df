"""A DynamoDB and a PostgreSQL under a real ScalarDB Server: marked while the bank moves money, drilled and restored by a real Airflow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from midtime.model.instants import from_rfc3339
from midtime.model.restore_point import State
from tests.integration.airflow_reading import where
from tests.integration.airflow_restores import approve, asked, marks, money
from tests.integration.dynamodb_airflow import ACCOUNTS, FENCE, MARKS, NAME, TOKEN, Sea, sea_of
from tests.integration.fixtures import Installation
from tests.integration.managed_airflow import BEHIND, BackedUp
from tests.integration.test_airflow_faults import kill_worker
from tests.integration.windows import ENDED
from tests.stack.dynamodb import DynamoDB
from tests.stack.processes import poll
from tests.stack.stack import BESIDE_DYNAMO, IN_DYNAMO

pytestmark = [pytest.mark.integration, pytest.mark.airflow, pytest.mark.timeout(900)]
BACKUP, RESTORE, DRILL = (f"{NAME}__{kind}" for kind in ("backup", "restore", "drill"))
SECRETS = f"{re.escape(DynamoDB.SECRET)}|{re.escape(TOKEN)}"
ENDS = "every restore point made of it before ends with a restore in place"


@pytest.fixture(scope="module")
def sea(installation: Installation) -> Iterator[Sea]:
    with sea_of(installation) as made:
        yield made


@pytest.fixture(scope="module")
def managed_stores(sea: Sea) -> Sea:
    return sea


def test_it_waits_until_it_can_be_restored(sea: Sea, backed_up: BackedUp) -> None:
    """Without a worker, and nothing is drilled or restored before; ``midtime list`` and the log say what is waited for."""
    airflow, point = sea.installation.airflow, backed_up.point
    poll("a wait", lambda: airflow.task_states(BACKUP, backed_up.run_id).get("restorable") == "deferred" or None, 120)
    said = airflow.task_log(BACKUP, backed_up.run_id, "restorable")
    assert f"do not reach {airflow.xcom(BACKUP, backed_up.run_id, 'midtime', 'midtime')} yet; the last is" in said
    assert re.search(rf"Waited \d+m?s since restore point {point.id} was published, of 1h at most; looked at again in \d+ s", said)
    (listed,) = json.loads(sea.installation.midtime("list", NAME, "--json"))
    assert (listed["id"], listed["state"]) == (point.id, State.MARKED)
    assert airflow.runs(DRILL) == []
    marked = point.store(IN_DYNAMO)
    assert from_rfc3339(airflow.xcom(BACKUP, backed_up.run_id, "midtime", "midtime")) == point.midtime
    assert sorted(marked.details["tables"]) == sea.tables
    assert {ACCOUNTS, MARKS, FENCE} < set(sea.tables)


def test_the_drill_that_the_asset_starts(sea: Sea, restorable: BackedUp) -> None:
    """Good, and before its tables are removed the sum in them is exact; the mark of before the pause is in it, no later one."""
    run_id, working = sea.standing_drill(restorable)
    assert working[IN_DYNAMO].startswith("drill_")
    restored = sea.copies(f"{working[IN_DYNAMO]}_", working[BESIDE_DYNAMO])
    assert money(restored, IN_DYNAMO) == sea.bank.expected_total == sea.bank.total()
    assert marks(restored) == [[1], [1]]
    sea.require_drilled(restorable, run_id)
    assert sea.server.names("drill_") == []


def test_beside(sea: Sea, drilled: BackedUp) -> None:
    """Under names of one's own, with the settings that the tables had; what is live is as it was, and the restore point still good."""
    before = sea.settings()
    targets = {IN_DYNAMO: "beside_", BESIDE_DYNAMO: "sea_beside"}
    sea.installation.run(RESTORE, {"restore_point": "latest", "targets": targets})
    copies = sea.copies("beside_", "sea_beside")
    assert money(copies, IN_DYNAMO) == sea.bank.expected_total
    assert (marks(copies), marks(sea.places)) == ([[1], [1]], [[1, 2], [1, 2]])
    assert sea.settings("beside_") == sea.settings() == before
    assert before[ACCOUNTS] | {"scaled": 2} == before[ACCOUNTS] | {
        "tags": {"team": "bank"},
        "pitr": "ENABLED",
        "ttl": "ENABLED",
        "protected": True,
        "scaled": 2,
    }
    assert sea.catalog.resolve("latest").id == drilled.point.id


def test_no_secret_anywhere(sea: Sea, drilled: BackedUp) -> None:
    """Where the store's name is found, its login's secrets are not."""
    assert {"xcom", "rendered_task_instance_fields", "log"} < where(sea.installation, IN_DYNAMO)
    assert where(sea.installation, SECRETS) == set()


# -- what takes long ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.fault(
    "kill -9 of a restore of DynamoDB's tables, and of its way into place, each with its worker",
    "The next try goes on; nothing is restored twice, nothing is lost.",
)
def test_in_place_whoever_dies(sea: Sea, drilled: BackedUp) -> None:
    """With a person's yes, who was told what it costs; products stopped meanwhile, and at work again afterwards."""
    installation, airflow, server = sea.installation, sea.installation.airflow, sea.server
    before, tables = sea.settings(), sea.tables
    server.forget_calls()
    server.faults({"kind": "hang", "operations": ["RestoreTableToPointInTime"], "skip": 2, "times": 1})
    run_id = asked(installation, RESTORE, {"restore_point": drilled.point.id, "in_place": True})
    assert ENDS in airflow.hitl_question(RESTORE, run_id).lower()
    assert ENDS in airflow.task_log(RESTORE, run_id, "plan").lower()
    assert sea.switch.done == []
    approve(installation, RESTORE, run_id)
    server.wait_hit(120)
    kill_worker(sea.pid(f"restore_{IN_DYNAMO}"))
    server.faults({"kind": "hang", "operations": ["RestoreTableFromBackup"], "skip": 2, "times": 1})
    server.wait_hit(240)
    assert sea.switch.done == ["stop"]
    assert set(sea.tables) < set(tables)
    kill_worker(sea.pid("place"))
    server.faults()
    installation.succeeded(RESTORE, run_id, timeout=400)
    assert sea.switch.done == ["stop", "start"]
    assert (sea.tables, sea.settings()) == (tables, before)
    assert marks(sea.places) == [[1], [1]]
    assert money(sea.places, IN_DYNAMO) == sea.bank.total() == sea.bank.expected_total
    assert server.names("midtime_tmp_") == []
    calls = [call for call in server.calls()["control"] if call["operation"].startswith("RestoreTable") and call["status"] == 200]
    assert len({call["on"] for call in calls}) == len(calls) == 2 * len(tables)
    (entry,) = sea.catalog.newest(9)
    assert (entry.id, entry.state) == (drilled.point.id, State.INVALID)
    assert "restored in place" in entry.reason
    assert ENDS in entry.reason
    assert where(sea.installation, SECRETS) == set()


@pytest.mark.long
def test_life_goes_on_after_a_restore_in_place(sea: Sea, drilled: BackedUp) -> None:
    """The bank moves money, and the next backup is as good as the first was."""
    sea.bank.start(threads=2, think=0.1)
    commits = sea.bank.commits
    try:
        poll("commits", lambda: sea.bank.commits > commits + 10 or None, 60)
        sea.installation.run(BACKUP, timeout=240)
    finally:
        sea.bank.stop()
    assert sea.bank.total() == sea.bank.expected_total
    point = sea.catalog.resolve("latest")
    drill = lambda: [run for run in sea.installation.airflow.runs(DRILL) if run["state"] in ENDED] or None  # noqa: E731
    poll("the drill", lambda: len(drill() or ()) > 1 or None, 240)
    entry = sea.catalog.entry(point.id)
    assert entry is not None
    assert entry.state is State.DRILLED


@pytest.mark.long
def test_a_history_that_breaks_off(sea: Sea, drilled: BackedUp) -> None:
    """``restorable`` ends at once, and names the table; the restore point stays as it is, and is used by nobody."""
    installation, airflow = sea.installation, sea.installation.airflow
    newest = sea.catalog.newest(1)[0].id
    sea.server.settings(lag=BEHIND)
    run_id = airflow.trigger(BACKUP)
    airflow.wait_task(BACKUP, run_id, "restorable", lambda state: state == "deferred", timeout=240)
    for wanted in (False, True):
        sea.server.tables.update_continuous_backups(
            TableName=MARKS, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": wanted}
        )
    assert airflow.wait_run(BACKUP, run_id, timeout=120) == "failed"
    assert f"{MARKS} has a history" in airflow.failure_report(BACKUP, run_id)
    first, second = json.loads(installation.midtime("list", NAME, "--json"))[:2]
    assert (first["state"], second["id"]) == (State.MARKED, newest)
    assert f"{MARKS} has a history" in first["reason"]
    assert sea.catalog.resolve("latest").id != first["id"]
