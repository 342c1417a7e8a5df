"""A PostgreSQL and a MariaDB under two real ScalarDB Servers, backed up in a pause window by a real Airflow while the bank moves money between them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from midtime.model.instants import from_rfc3339
from midtime.model.restore_point import State
from midtime.model.topology import Topology
from midtime.model.window import Window
from tests.integration.fixtures import Installation
from tests.integration.windows import WindowedTopologies, require_whole_evidence
from tests.stack.bank import Bank
from tests.stack.processes import poll
from tests.stack.scalardb import Place, ScalarDB
from tests.stack.stack import IN_MARIADB, IN_POSTGRES

pytestmark = [pytest.mark.integration, pytest.mark.airflow]


@pytest.fixture(scope="module")
def places(installation: Installation) -> dict[str, Place]:
    return installation.stack.mixed_places


@pytest.fixture(scope="module")
def duo(installation: Installation, mixed_scalardb: ScalarDB, mixed_bank: Bank, places: dict[str, Place]) -> Iterator[Topology]:
    """What README's second example is."""
    second = installation.stack.mixed_scalardb_2
    for namespace, place in places.items():
        installation.airflow.add_connection(f"{namespace}_db", place.conn_uri)
        place.execute(f"CREATE TABLE {namespace}.mark (id int PRIMARY KEY)")
    keys = {
        "destination": f"file://{installation.folder}/restore-points",
        "products": [{"kind": "scalardb-server", "endpoints": {"static": [mixed_scalardb.address, second.address]}}],
        "scalardb": {"coordinators": [{"store": IN_POSTGRES}]},
        "stores": [place.store(namespace) for namespace, place in places.items()],
        "pause": {"drain": "5s", "deadline": "15s"},
    }
    topology = installation.write("duo", keys)
    installation.wait_for(topology)
    yield topology
    for namespace, place in places.items():
        place.execute(f"DROP TABLE {namespace}.mark")


def test_a_window_by_hand(installation: Installation, duo: Topology, mixed_bank: Bank, places: dict[str, Place]) -> None:
    """Published, restorable to the middle of its window, drilled; what was committed after arming and before the pause is in it."""
    airflow, catalog = installation.airflow, installation.catalog(duo)
    mixed_bank.start(threads=2, think=0.02)
    began = time.monotonic()
    try:
        before = datetime.now(UTC)
        armed = installation.stop_at("duo", "pausing")
        run_id = airflow.trigger("duo__backup")
        installation.reached(armed)
        for namespace, place in places.items():
            place.execute(f"INSERT INTO {namespace}.mark VALUES (1)")
        armed.unlink()
        installation.succeeded("duo__backup", run_id)
        for namespace, place in places.items():
            place.execute(f"INSERT INTO {namespace}.mark VALUES (2)")
    finally:
        mixed_bank.stop()

    point = catalog.resolve("latest")
    window = Window.from_dict(point.evidence["window"])
    assert airflow.xcom("duo__backup", run_id, "midtime", "midtime") == airflow.xcom("duo__backup", run_id, "midtime")
    assert point.midtime == from_rfc3339(airflow.xcom("duo__backup", run_id, "midtime", "midtime")) == window.middle
    assert before < window.start < window.end < datetime.now(UTC)
    assert [table.rows for store in point.stores for table in store.tables if table.name.endswith(".mark")] == [1, 1]
    require_whole_evidence(point.evidence, duo, [f"dump_{IN_POSTGRES}", f"dump_{IN_MARIADB}"])
    assert all(store.fence["before"] < store.fence["after"] for store in point.stores)
    assert mixed_bank.longest_gap(began) < 15
    assert "2 of 2 endpoints are not paused" in str(airflow.xcom("duo__backup", run_id, "unpause"))

    drills = lambda: [run for run in airflow.runs("duo__drill") if run["state"] in ("success", "failed")] or None  # noqa: E731
    drill = poll("the drill that the asset starts", drills, 120)[0]
    assert drill["state"] == "success", airflow.failure_report("duo__drill", drill["dag_run_id"])
    assert airflow.xcom("duo__drill", drill["dag_run_id"], "verify")["good"]
    entry = catalog.entry(point.id)
    assert entry is not None
    assert entry.state is State.DRILLED

    installation.run("duo__restore", {"restore_point": point.id, "targets": {IN_POSTGRES: "duo_beside", IN_MARIADB: "beside_"}})
    assert _money(places) == mixed_bank.expected_total == mixed_bank.total()
    for place in places.values():
        _no_secret(installation, run_id, place.server.password)


def _money(places: dict[str, Place]) -> int:
    """In the copies, as ScalarDB's lazy recovery would decide: what is not committed counts with its old balance."""
    beside = Place(places[IN_POSTGRES].server, "duo_beside")
    committed = {tx_id for (tx_id,) in beside.execute("SELECT tx_id FROM coordinator.state WHERE tx_state = 3")}
    total = 0
    for place, table in ((beside, f"{IN_POSTGRES}.acct"), (places[IN_MARIADB], f"beside_{IN_MARIADB}.acct")):
        for balance, before, state, tx_id in place.execute(f"SELECT balance, before_balance, tx_state, tx_id FROM {table}"):
            total += balance if state == 3 or tx_id in committed else before
    return total


def _no_secret(installation: Installation, run_id: str, secret: str) -> None:
    airflow = installation.airflow
    for task in airflow.task_instances("duo__backup", run_id):
        log = airflow.task_log("duo__backup", run_id, task["task_id"], task["try_number"] or 1)
        assert secret not in log, task["task_id"]
    assert secret not in json.dumps(airflow.xcom("duo__backup", run_id, "pause"))


@pytest.mark.long
def test_a_window_by_the_clock(installation: Installation, windowed: WindowedTopologies) -> None:
    """Started by its schedule, as every night."""
    clock = windowed.make(hold=0, schedule="* * * * *")
    runs = poll(
        "a scheduled window",
        lambda: (
            [
                run
                for run in installation.airflow.runs(clock.dag_id)
                if run["run_type"] == "scheduled" and run["state"] in ("success", "failed")
            ]
            or None
        ),
        150,
    )
    assert runs[-1]["state"] == "success", installation.airflow.failure_report(clock.dag_id, runs[-1]["dag_run_id"])
    assert clock.restore_points()
    installation.airflow.set_paused(clock.dag_id, True)
    clock.opened()


@pytest.mark.long
def test_an_explicit_hold_is_kept(installation: Installation, windowed: WindowedTopologies) -> None:
    """Although every capture has reported long before."""
    held = windowed.make(hold=2)
    run = held.back_up()
    assert held.ended(run) == "success", installation.airflow.failure_report(held.dag_id, run)
    window = Window.from_dict(held.said(run, "pause")["window"])
    assert window.length.total_seconds() >= 2
