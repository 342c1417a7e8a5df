"""A Cosmos DB account and a PostgreSQL under a real ScalarDB Server: marked while the bank moves money, drilled and restored by a real Airflow."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from midtime.model.instants import from_rfc3339
from midtime.model.restore_point import State
from midtime.stores.cosmosdb.targets import IN_PLACE
from tests.integration.airflow_reading import where
from tests.integration.airflow_restores import marks, money
from tests.integration.cosmosdb_airflow import NAME, Lake, lake_of
from tests.integration.fixtures import Installation
from tests.integration.managed_airflow import BEHIND, BackedUp, of_its_own
from tests.stack.processes import poll
from tests.stack.stack import AZURE_ACCOUNT, BESIDE_AZURE, IN_AZURE

pytestmark = [pytest.mark.integration, pytest.mark.airflow, pytest.mark.long, pytest.mark.timeout(900)]  # an Airflow of its own is started
BACKUP, RESTORE, DRILL = (f"{NAME}__{kind}" for kind in ("backup", "restore", "drill"))
BESIDE, CONN_ID = "lake-restored", "lake_restored"
READ = """
import hashlib, sys
from airflow.sdk import BaseHook
found = BaseHook.get_connection(sys.argv[1])
print(found.login, hashlib.sha256(found.password.encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with of_its_own(tmp_path_factory, lambda stack: stack.bank_cosmosdb) as made:
        yield made


@pytest.fixture(scope="module")
def lake(installation: Installation) -> Iterator[Lake]:
    with lake_of(installation) as made:
        yield made


@pytest.fixture(scope="module")
def managed_stores(lake: Lake) -> Lake:
    return lake


def test_it_waits_until_it_can_be_restored(lake: Lake, backed_up: BackedUp) -> None:
    """Without a worker, and nothing is drilled before; the log says which containers are waited for."""
    airflow, point = lake.installation.airflow, backed_up.point
    poll("a wait", lambda: airflow.task_states(BACKUP, backed_up.run_id).get("restorable") == "deferred" or None, 120)
    marked = point.store(IN_AZURE).details["containers"]
    assert {f"{IN_AZURE}/{name}" for name in ("acct", "mark", "midtime_fence")} < set(marked)
    assert {"coordinator/state", "scalardb/metadata"} < set(marked)
    said = airflow.task_log(BACKUP, backed_up.run_id, "restorable")
    assert f"{len(marked)} of {len(marked)} containers do not reach {airflow.xcom(BACKUP, backed_up.run_id, 'midtime', 'midtime')}" in said
    (listed,) = json.loads(lake.installation.midtime("list", NAME, "--json"))
    assert (listed["id"], listed["state"]) == (point.id, State.MARKED)
    assert airflow.runs(DRILL) == []
    assert from_rfc3339(airflow.xcom(BACKUP, backed_up.run_id, "midtime", "midtime")) == point.midtime


def test_the_drill_that_the_asset_starts(lake: Lake, restorable: BackedUp) -> None:
    """Good, and before its account is deleted the sum in it is exact; the mark of before the pause is in it, no later one."""
    run_id, working = lake.standing_drill(restorable)
    assert working[IN_AZURE].startswith("lake-drill-")
    assert working[IN_AZURE] in lake.server.accounts()
    lake.note_keys()
    restored = lake.copies(working[IN_AZURE], working[BESIDE_AZURE])
    assert money(restored, IN_AZURE) == lake.bank.expected_total == lake.bank.total()
    assert marks(restored) == [[1], [1]]
    lake.require_drilled(restorable, run_id)
    assert working[IN_AZURE] not in lake.server.accounts()


@pytest.fixture(scope="module")
def beside(lake: Lake, drilled: BackedUp) -> str:
    """The run of a restore under names of one's own."""
    targets = {IN_AZURE: BESIDE, BESIDE_AZURE: "lake_beside"}
    return lake.installation.run(RESTORE, {"restore_point": "latest", "targets": targets}, timeout=420)


def test_beside(lake: Lake, drilled: BackedUp, beside: str) -> None:
    """With the settings that the account had, and Strong; what is live is as it was, and the restore point still good."""
    copies = lake.copies(BESIDE, "lake_beside")
    assert money(copies, IN_AZURE) == lake.bank.expected_total
    assert (marks(copies), marks(lake.places)) == ([[1], [1]], [[1, 2], [1, 2]])
    live, restored = lake.settings(), lake.settings(BESIDE)
    assert restored == live
    assert restored["consistencyPolicy"]["defaultConsistencyLevel"] == "Strong"
    assert [each["ipAddressOrRange"] for each in restored["ipRules"]] == ["127.0.0.1", "10.1.2.0/24"]
    assert restored["throughput"][IN_AZURE] == 700
    account = restored[f"{IN_AZURE}/acct"]
    assert account["defaultTtl"] == 86400
    assert [script["id"] for script in account["scripts"]] == ["mutate.js", "t", "f"]
    assert [script["id"] for script in restored["coordinator/state"]["scripts"]] == ["mutate.js"]
    assert lake.catalog.resolve("latest").id == drilled.point.id


def test_handed_over(lake: Lake, beside: str) -> None:
    """The new account's address and key are a connection of that Airflow, and nobody has seen the key."""
    installation, key = lake.installation, lake.server.key(BESIDE)
    assert f"midtime hand-over {NAME} {IN_AZURE} {BESIDE} --conn-id" in installation.airflow.task_log(RESTORE, beside, "place")
    said = installation.midtime("hand-over", NAME, IN_AZURE, BESIDE, "--conn-id", CONN_ID)
    assert lake.server.endpoint(BESIDE) in said
    assert key not in said
    shown = installation.airflow.call("GET", f"/connections/{CONN_ID}")
    assert (shown["conn_type"], shown["login"]) == ("azure_cosmos", lake.server.endpoint(BESIDE))
    assert key not in json.dumps(shown)
    environment = {**installation.airflow.environment(), "_AIRFLOW_PROCESS_CONTEXT": "server"}
    read = subprocess.run([sys.executable, "-c", READ, CONN_ID], env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert read.stdout.split()[-2:] == [lake.server.endpoint(BESIDE), hashlib.sha256(key.encode()).hexdigest()]


def test_in_place_is_refused(lake: Lake, drilled: BackedUp) -> None:
    """And the restore point stays good."""
    lake.require_refused_in_place(drilled, IN_PLACE, "docs/runbooks/cosmosdb-cut-over.md")
    lake.require_state(drilled, State.DRILLED)


@pytest.mark.fault(
    "kill -9 of a restore of a Cosmos DB account, and of its way into place, each with its worker",
    "The next try goes on; the account is asked for once, and is as it was marked.",
)
def test_whoever_dies(lake: Lake, drilled: BackedUp) -> None:
    """Each in the middle of a call that the service carried out, and whose answer nobody has heard."""
    lake.server.forget_calls()
    targets = {IN_AZURE: "lake-survived", BESIDE_AZURE: "lake_survived"}
    deaths = [(f"restore_{IN_AZURE}", "DatabaseAccounts_CreateOrUpdate"), ("place", "SqlResources_CreateUpdateSqlContainer")]
    lake.restored_by_survivors(drilled, targets, deaths)
    asked = [call for call in lake.server.calls()["control"] if call["operation"] == "DatabaseAccounts_CreateOrUpdate"]
    assert len(asked) == 1
    assert lake.settings("lake-survived") == lake.settings()
    copies = lake.copies("lake-survived", "lake_survived")
    assert (money(copies, IN_AZURE), marks(copies)) == (lake.bank.expected_total, [[1], [1]])


def test_life_goes_on_after_it(lake: Lake, drilled: BackedUp) -> None:
    """The bank moves money, and the next backup is as good as the first was."""
    lake.bank.start(threads=2, think=0.1)
    commits = lake.bank.commits
    try:
        poll("commits", lambda: lake.bank.commits > commits + 10 or None, 60)
        lake.installation.run(BACKUP, timeout=420)
    finally:
        lake.bank.stop()
    assert lake.bank.total() == lake.bank.expected_total
    point = lake.catalog.resolve("latest")
    assert point.id != drilled.point.id
    drill = poll("the next drill", lambda: lake.installation.airflow.runs(DRILL)[:-1] or None, 60)[0]
    lake.installation.succeeded(DRILL, drill["dag_run_id"], timeout=420)
    entry = lake.catalog.entry(point.id)
    assert entry is not None
    assert entry.state is State.DRILLED


def test_a_history_that_breaks_off(lake: Lake, drilled: BackedUp) -> None:
    """``restorable`` ends at once, and names the container; the restore point stays as it is, and is used by nobody."""
    installation, airflow = lake.installation, lake.installation.airflow
    newest = lake.catalog.newest(1)[0].id
    lake.server.settings(lag=BEHIND)
    run_id = airflow.trigger(BACKUP)
    airflow.wait_task(BACKUP, run_id, "restorable", lambda state: state == "deferred", timeout=240)
    lake.server.arm.sql_resources.begin_delete_sql_container(lake.server.GROUP, AZURE_ACCOUNT, IN_AZURE, "mark").result()
    assert airflow.wait_run(BACKUP, run_id, timeout=120) == "failed"
    assert f"{IN_AZURE}/mark was deleted" in airflow.failure_report(BACKUP, run_id)
    first, second = json.loads(installation.midtime("list", NAME, "--json"))[:2]
    assert (first["state"], second["id"]) == (State.MARKED, newest)
    assert lake.catalog.resolve("latest").id == newest


def test_no_secret_anywhere(lake: Lake, beside: str, drilled: BackedUp) -> None:
    """Whatever the tests above have done. Where the account's name is found, its key is not, nor the login's secret, nor any token."""
    assert {"xcom", "log"} < where(lake.installation, re.escape(AZURE_ACCOUNT))
    assert {what: found for what, pattern in lake.secrets.items() if (found := where(lake.installation, pattern))} == {}
