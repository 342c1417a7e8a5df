"""A DynamoDB, an Aurora PostgreSQL, a Cassandra and a PostgreSQL under a real ScalarDB Server, backed up and drilled as one by a real Airflow."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from midtime.model.instants import from_rfc3339
from midtime.model.restore_point import State
from midtime.model.window import Window
from tests.integration.airflow_restores import marks, money
from tests.integration.fixtures import Installation
from tests.integration.managed_airflow import QUICK, BackedUp
from tests.integration.mixed_airflow import AURORA, CLUSTER, DYNAMO, NAME, POSTGRES, RING, STORES, Mixed, mixed_of
from tests.integration.windows import require_whole_evidence
from tests.stack.processes import poll

pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.airflow, pytest.mark.long, pytest.mark.timeout(1200)]
BACKUP, DRILL = f"{NAME}__backup", f"{NAME}__drill"


@pytest.fixture(scope="module")
def mixed(installation: Installation) -> Iterator[Mixed]:
    with mixed_of(installation) as made:
        yield made


def test_it_is_checked(mixed: Mixed) -> None:
    """All four stores and the product, for the backup and for the drill; nothing is paused."""
    checked = json.loads(mixed.installation.midtime("check", NAME, "--json"))
    asked = {(each["subject"], each["question"]) for each in checked["checks"]}
    assert {(store, question) for store in STORES for question in ("is reachable", "can be drilled")} < asked
    assert {(product.label, "answers scalar-admin") for product in mixed.topology.pause_set} < asked
    assert all(each["ok"] for each in checked["checks"])


@pytest.fixture(scope="module")
def managed_stores(mixed: Mixed) -> Mixed:
    return mixed


def test_one_window_of_all(mixed: Mixed, backed_up: BackedUp) -> None:
    """Two captures and two marks, all of them within it; the Coordinator's store is not later than the others."""
    airflow, point = mixed.installation.airflow, backed_up.point
    tasks = airflow.task_states(BACKUP, backed_up.run_id)
    assert {"pause", f"mark_{DYNAMO}", f"mark_{AURORA}", f"snapshot_{RING}", f"dump_{POSTGRES}"} < set(tasks)
    window = Window.from_dict(point.evidence["window"])
    said = from_rfc3339(airflow.xcom(BACKUP, backed_up.run_id, "midtime", "midtime"))
    assert window.start < said == point.midtime < window.end
    assert {store.store for store in point.stores} == set(STORES)
    assert all(window.start <= store.midtime <= window.end for store in point.stores)
    assert point.store(DYNAMO).midtime == min(store.midtime for store in point.stores)
    begun = {task: from_rfc3339(capture["begun"]) for task, capture in point.evidence["captures"].items()}
    assert begun.keys() == {f"snapshot_{RING}", f"dump_{POSTGRES}"}
    assert min(begun.values()) > from_rfc3339(point.evidence["span"]["end"]), "captures wait for the Coordinator's instant"
    require_whole_evidence(point.evidence, mixed.topology, sorted(begun, key=begun.__getitem__))
    assert all(store.fence["before"] < store.fence["after"] for store in point.stores)


@pytest.fixture(scope="module")
def restorable(mixed: Mixed, backed_up: BackedUp) -> BackedUp:
    """Only when the last one is: first one history reaches the midtime."""
    airflow, run_id = mixed.installation.airflow, backed_up.run_id
    mixed.rds.settings(lag=QUICK)
    poll("the first", lambda: f"{AURORA} is restorable" in airflow.task_log(BACKUP, run_id, "restorable") or None, 180)
    (listed,) = json.loads(mixed.installation.midtime("list", NAME, "--json"))
    assert listed["state"] == State.MARKED
    assert f"{DYNAMO} is not restorable yet" in airflow.task_log(BACKUP, run_id, "restorable")
    assert airflow.runs(DRILL) == []
    return mixed.restorable(backed_up)


def test_drilled_as_one(mixed: Mixed, restorable: BackedUp) -> None:
    """Good, the sum over all four exact; the mark of before the pause is in each, no later one. Then nothing of it is left."""
    run_id, working = mixed.standing_drill(restorable)
    assert set(working) == set(STORES)
    restored = mixed.copies(working)
    assert money(restored, DYNAMO) == mixed.bank.expected_total == mixed.bank.total()
    assert (marks(restored), marks(mixed.places)) == ([[1]] * 4, [[1, 2]] * 4)
    mixed.require_drilled(restorable, run_id)
    assert mixed.dynamodb.names("drill_") == []
    assert mixed.rds.names() == {CLUSTER, f"{CLUSTER}-a", f"{CLUSTER}-b"}
    mixed.lone.session.close()  # to discard may have restarted it
    assert not mixed.lone.execute(f"SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = '{RING}'")
    (report,) = json.loads(mixed.installation.midtime("drills", NAME, "--json"))["drills"]
    assert (report["good"], report["store_seconds"].keys()) == (True, set(STORES))
