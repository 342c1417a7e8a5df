"""A set on its way into place in a real Airflow, whose worker is killed with one of two databases replaced: it goes on, or all of it goes back."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from midtime.model.topology import Topology
from midtime.scalar.double import Double
from tests.integration.fixtures import ROWS, SCHEMA, Installation
from tests.integration.test_airflow_faults import kill_worker
from tests.stack.postgres import Postgres
from tests.stack.processes import poll

pytestmark = [pytest.mark.integration, pytest.mark.airflow, pytest.mark.long, pytest.mark.timeout(600)]
DATABASES = {"accounts": "placing_a", "points": "placing_b"}
NOW, THEN = ["after the backup"], ["name 7"]


@dataclass
class HalfPlaced:
    """A restore in place that stands between its two databases: the first is the restored one, the second the live one."""

    installation: Installation
    server: Postgres
    topology: Topology
    run_id: str

    @property
    def dag_id(self) -> str:
        return f"{self.topology.name}__restore"

    def kill(self) -> None:
        """The task and its worker; nobody cleans up."""
        flag = self.installation.stop_at(self.topology.name, "place_points")
        self.installation.airflow.hitl_respond(self.dag_id, self.run_id, "approve", ["Approve"])
        kill_worker(self.installation.reached(flag, timeout=180))
        assert self.names() == [THEN, NOW]
        flag.unlink()

    def names(self) -> list[list[str]]:
        """What is live, in either database."""
        said = "SELECT name FROM bank.acct WHERE id = 7"
        return [[name for (name,) in self.server.execute(said, database)] for database in DATABASES.values()]

    def nothing_is_left(self) -> None:
        copies = "SELECT datname FROM pg_database WHERE datname LIKE 'midtime_tmp_%'"
        poll("the end of all working copies", lambda: None if self.server.execute(copies) else True, 60)


@pytest.fixture(scope="module")
def pair(installation: Installation, postgres_server: Postgres) -> Topology:
    """Two databases under a product that is stopped by hand; it answers while backups are made."""
    stores = []
    for store, database in DATABASES.items():
        postgres_server.create_database(database)
        postgres_server.execute(SCHEMA + ROWS, database)
        installation.airflow.add_connection(f"{database}_db", postgres_server.conn_uri(database))
        stores.append({"name": store, "engine": "postgresql", "conn_id": f"{database}_db", "namespaces": ["bank"]})
    with Double() as double:
        keys = {
            "destination": f"file://{installation.folder}/restore-points",
            "products": [{"kind": "scalardb-cluster", "endpoints": {"static": [double.address]}}],
            "scalardb": {"coordinators": [{"store": "accounts"}]},
            "stores": stores,
            "pause": {"drain": "5s", "deadline": "15s"},
            "drill": {"after_backup": False},
        }
        topology = installation.write("placing", keys)
        installation.wait_for(topology)
        installation.run("placing__backup")
    return topology


@pytest.fixture
def half_placed(installation: Installation, postgres_server: Postgres, pair: Topology) -> HalfPlaced:
    for database in DATABASES.values():
        postgres_server.execute("UPDATE bank.acct SET name = 'after the backup'", database)
    run_id = installation.airflow.trigger("placing__restore", {"restore_point": "latest", "in_place": True, "approve": True})
    poll("the question", lambda: installation.airflow.hitl_pending("placing__restore", run_id) or None, 120)
    time.sleep(1.5)  # an answer in the first moment is lost (facts/airflow.md 9)
    return HalfPlaced(installation, postgres_server, pair, run_id)


def test_the_next_try_goes_on(half_placed: HalfPlaced) -> None:
    half_placed.kill()
    half_placed.installation.succeeded(half_placed.dag_id, half_placed.run_id, timeout=300)
    assert half_placed.names() == [THEN, THEN]
    half_placed.nothing_is_left()


def test_given_up_by_a_person_all_of_it_goes_back(half_placed: HalfPlaced) -> None:
    half_placed.kill()
    airflow = half_placed.installation.airflow
    airflow.mark_task(half_placed.dag_id, half_placed.run_id, "place", "failed")
    assert airflow.wait_run(half_placed.dag_id, half_placed.run_id, timeout=300) == "failed"
    assert airflow.task_states(half_placed.dag_id, half_placed.run_id)["release"] == "success"
    assert half_placed.names() == [NOW, NOW]
    half_placed.nothing_is_left()
