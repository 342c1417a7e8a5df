"""Azure's flexible servers in a real Airflow: each by itself without a pause, and a PostgreSQL beside a plain one while the bank moves money."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from midtime.model.durations import format_duration
from midtime.model.instants import from_rfc3339, to_rfc3339, utc_now
from midtime.model.restore_point import RestorePoint, State
from midtime.stores.azure_database.restorable import RULE
from midtime.stores.azure_database.targets import IN_PLACE
from tests.integration.airflow_reading import where
from tests.integration.airflow_restores import marks, money
from tests.integration.azure_database_airflow import AFTER, BESIDE_FLEXIBLE, IN_FLEXIBLE, LIVE, NAME, Flexible, Lone, Vault, flexible_of
from tests.integration.fixtures import Installation
from tests.integration.managed_airflow import BackedUp, of_its_own
from tests.integration.windows import ENDED
from tests.stack.processes import poll

pytestmark = [pytest.mark.integration, pytest.mark.airflow, pytest.mark.long, pytest.mark.timeout(1200)]  # an Airflow of its own is started
BACKUP, RESTORE, DRILL = (f"{NAME}__{kind}" for kind in ("backup", "restore", "drill"))
BESIDE = "vault-restored"
BY_ITSELF = pytest.mark.parametrize("name", ["claims", "payouts"])
NEXT_LOOK = timedelta(seconds=45)
"""Somebody who waits for the rule has looked again by then, once it is fulfilled."""


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with of_its_own(tmp_path_factory, lambda stack: stack.azure_database) as made:
        yield made


@pytest.fixture(scope="module")
def flexible(installation: Installation) -> Iterator[Flexible]:
    with flexible_of(installation) as made:
        yield made


# -- a server by itself ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def marked(flexible: Flexible) -> dict[str, RestorePoint]:
    """Both, started together, and published; what was committed before the run was due has number 1001, what came later 1002."""
    flexible.azure.settings(inherits=False)  # Azure contradicts itself on what a restored server has; here it has none of its settings
    for each in flexible.lone.values():
        each.write(1001)
    time.sleep(1.1)  # the run's own instant has no fractions of a second
    for name, each in flexible.lone.items():
        flexible.installation.stop_at(name, "report")
        each.run_id = flexible.installation.airflow.trigger(f"{name}__backup")
    for each in flexible.lone.values():
        each.write(1002)
    return {name: _published(flexible, name, each) for name, each in flexible.lone.items()}


def _published(flexible: Flexible, name: str, lone: Lone) -> RestorePoint:
    flexible.installation.airflow.wait_task(f"{name}__backup", lone.run_id, "publish", lambda state: state in ENDED, timeout=240)
    published = lone.catalog.newest(1)
    assert published, flexible.installation.airflow.failure_report(f"{name}__backup", lone.run_id)
    assert published[0].restore_point
    return published[0].restore_point


def test_the_rule_is_waited_for(flexible: Flexible, marked: dict[str, RestorePoint]) -> None:
    """Without a worker, for as long as the topology says; and nothing is drilled before."""
    airflow = flexible.installation.airflow
    for name, lone in flexible.lone.items():
        airflow.wait_task(f"{name}__backup", lone.run_id, "restorable", lambda state: state == "deferred", timeout=120)
        lone.require_state(marked[name], State.MARKED)
        assert airflow.runs(f"{name}__drill") == []
    for name, lone in flexible.lone.items():
        flexible.installation.succeeded(f"{name}__backup", lone.run_id, timeout=240)
        _require_waited(flexible.installation, f"{name}__backup", lone.run_id, marked[name].midtime)


def _require_waited(installation: Installation, backup: str, run_id: str, midtime: datetime) -> None:
    """From the instant at which the run was due."""
    airflow = installation.airflow
    (run,) = airflow.runs(backup)
    assert midtime == from_rfc3339(run["run_after"]).replace(microsecond=0)
    assert midtime == from_rfc3339(airflow.xcom(backup, run_id, "midtime", "midtime"))
    assert f"{to_rfc3339(midtime)} is not {format_duration(AFTER)} ago yet ({RULE})" in airflow.task_log(backup, run_id, "restorable")
    (waited,) = (task for task in airflow.task_instances(backup, run_id) if task["task_id"] == "restorable")
    assert from_rfc3339(waited["end_date"]) > midtime + AFTER


@BY_ITSELF
def test_a_drill_of_one(flexible: Flexible, marked: dict[str, RestorePoint], name: str) -> None:
    """It is as of the instant, with the settings of the mark on the server that the topology names; and then it is gone."""
    installation, lone, azure = flexible.installation, flexible.lone[name], flexible.azure
    stands = installation.folder / "faults" / f"{name}.report"
    installation.reached(stands, timeout=300)
    run_id = installation.airflow.runs(f"{name}__drill")[0]["dag_run_id"]
    (target,) = installation.airflow.xcom(f"{name}__drill", run_id, "plan")["targets"]
    working = target["working"]
    assert lone.numbers(flexible.behind.made[working]) == [1001]
    assert azure.server(lone.dialect, working)["sku"] == {"name": "Standard_B1ms", "tier": "Burstable"}
    off = {"highAvailability": {"mode": "Disabled"}}
    assert flexible.settings(lone, working) == {**flexible.settings(lone), **off}
    stands.unlink()
    installation.succeeded(f"{name}__drill", run_id, timeout=240)
    assert installation.airflow.xcom(f"{name}__drill", run_id, "verify")["good"]
    lone.require_state(marked[name], State.DRILLED)
    assert azure.servers(lone.dialect) == [LIVE[lone.dialect]]


def test_one_beside(flexible: Flexible, marked: dict[str, RestorePoint]) -> None:
    """Both at once: under a name of one's own, as of the instant, with all settings of the mark; what is live is as it was."""
    installation, before = flexible.installation, [flexible.settings(lone) for lone in flexible.lone.values()]
    runs = {
        name: installation.airflow.trigger(f"{name}__restore", {"restore_point": "latest", "targets": {name: f"{name}-new"}})
        for name in flexible.lone
    }
    for name, lone in flexible.lone.items():
        installation.succeeded(f"{name}__restore", runs[name], timeout=300)
        verified = installation.airflow.xcom(f"{name}__restore", runs[name], "verify")
        assert (verified["good"], verified["settings"]) == (True, [])
        assert lone.numbers(flexible.behind.made[f"{name}-new"]) == [1001]
        assert flexible.settings(lone, f"{name}-new") == flexible.settings(lone)
    assert [flexible.settings(lone) for lone in flexible.lone.values()] == before


# -- beside a PostgreSQL, under a ScalarDB Server -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def managed_stores(flexible: Flexible) -> Vault:
    flexible.azure.settings(inherits=True)  # each setting that is put back takes a look
    return flexible.vault


@pytest.mark.fault(
    "kill -9 of the triggerer while a restore point waits until it can be restored",
    "It stays MARKED until a triggerer is back, and then becomes RESTORABLE.",
)
def test_the_triggerer_dies_in_the_wait(flexible: Flexible, backed_up: BackedUp, mended: Installation) -> None:
    """The one that follows it takes over what it was waiting for."""
    airflow, point = mended.airflow, backed_up.point
    airflow.wait_task(BACKUP, backed_up.run_id, "restorable", lambda state: state == "deferred", timeout=120)
    airflow.component("triggerer").kill()
    poll("the rule", lambda: utc_now() > point.midtime + AFTER + NEXT_LOOK or None, 240)
    assert airflow.task_states(BACKUP, backed_up.run_id)["restorable"] == "deferred"
    (listed,) = json.loads(mended.midtime("list", NAME, "--json"))
    assert (listed["id"], listed["state"]) == (point.id, State.MARKED)
    airflow.mend()
    mended.succeeded(BACKUP, backed_up.run_id, timeout=240)


def test_the_service_refuses_it_all_the_same(flexible: Flexible, backed_up: BackedUp) -> None:
    """The rule was too good: the restore waits, and nothing is made meanwhile."""
    airflow, task = flexible.installation.airflow, f"restore_{IN_FLEXIBLE}"
    run_id = poll("the drill", lambda: airflow.runs(DRILL) or None, 120)[0]["dag_run_id"]
    airflow.wait_task(DRILL, run_id, task, lambda state: state == "deferred", timeout=120)
    assert "the service's backups have not come so far, it seems" in airflow.task_log(DRILL, run_id, task)
    assert "vault-drill" not in "".join(flexible.azure.servers("postgresql"))


def test_the_drill_that_the_asset_starts(flexible: Flexible, restorable: BackedUp) -> None:
    """Good, and before its server is deleted the sum in it is exact; the mark of before the pause is in it, no later one."""
    vault = flexible.vault
    run_id, working = vault.standing_drill(restorable)
    assert working[IN_FLEXIBLE].startswith("vault-drill-")
    restored = vault.copies(working[IN_FLEXIBLE], working[BESIDE_FLEXIBLE])
    assert money(restored, IN_FLEXIBLE) == vault.bank.expected_total == vault.bank.total()
    assert marks(restored) == [[1], [1]]
    vault.require_drilled(restorable, run_id)
    assert working[IN_FLEXIBLE] not in vault.server.servers("postgresql")


def test_beside(flexible: Flexible, drilled: BackedUp) -> None:
    """With the settings that the server had; what is live is as it was, and the restore point still good."""
    vault, before = flexible.vault, flexible.vault.settings()
    vault.installation.run(
        RESTORE, {"restore_point": "latest", "targets": {IN_FLEXIBLE: BESIDE, BESIDE_FLEXIBLE: "vault_beside"}}, timeout=420
    )
    copies = vault.copies(BESIDE, "vault_beside")
    assert money(copies, IN_FLEXIBLE) == vault.bank.expected_total
    assert (marks(copies), marks(vault.places)) == ([[1], [1]], [[1, 2], [1, 2]])
    assert vault.settings(BESIDE) == vault.settings() == before
    assert vault.catalog.resolve("latest").id == drilled.point.id


def test_in_place_is_refused(flexible: Flexible, drilled: BackedUp) -> None:
    """And the restore point stays good."""
    flexible.vault.require_refused_in_place(drilled, IN_PLACE, "docs/runbooks/azure-database-cut-over.md")
    flexible.vault.require_state(drilled, State.DRILLED)


@pytest.mark.fault(
    "kill -9 of a restore of a server of Azure Database, and of its way into place, each with its worker",
    "The next try goes on; the server is asked for once, and is as it was marked.",
)
def test_whoever_dies(flexible: Flexible, drilled: BackedUp) -> None:
    """Each in the middle of a call that the service carried out, and whose answer nobody has heard."""
    vault = flexible.vault
    vault.server.forget_calls()
    targets = {IN_FLEXIBLE: "vault-survived", BESIDE_FLEXIBLE: "vault_survived"}
    restore = f"restore_{IN_FLEXIBLE}"
    deaths = [(restore, "Servers_CreateOrUpdate"), (restore, "Servers_Update"), ("place", "Servers_Update")]
    vault.restored_by_survivors(drilled, targets, deaths)
    asked = [call for call in vault.server.calls()["control"] if call["operation"] == "Servers_CreateOrUpdate"]
    assert [call["status"] for call in asked] == [202]
    assert vault.settings("vault-survived") == vault.settings()
    copies = vault.copies("vault-survived", "vault_survived")
    assert (money(copies, IN_FLEXIBLE), marks(copies)) == (vault.bank.expected_total, [[1], [1]])


def test_no_secret_anywhere(flexible: Flexible, drilled: BackedUp) -> None:
    """Whatever the tests above have done. Where the store's name is found, no secret is."""
    installation = flexible.installation
    assert {"xcom", "log"} < where(installation, IN_FLEXIBLE)
    assert {what: found for what, pattern in flexible.secrets.items() if (found := where(installation, pattern))} == {}
