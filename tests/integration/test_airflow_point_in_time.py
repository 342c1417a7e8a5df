"""A PostgreSQL and a MariaDB that keep their own history, backed up in one window by a real Airflow: marked, restorable, drilled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from midtime.model.restore_point import State
from midtime.model.topology import Topology
from midtime.scalar.double import Double
from tests.integration import mysql_setting
from tests.integration.fixtures import Installation
from tests.integration.pitr_setting import DATABASE, Archiving, folder_of_the_server
from tests.stack.mariadb import MariaDB
from tests.stack.processes import poll

pytestmark = [pytest.mark.integration, pytest.mark.airflow]
NAMES = {name: f"{name}_trio" for name in ("bank", "coordinator", "scalardb")}
MARK = "INSERT INTO {bank}.mark VALUES ({number})"


@pytest.fixture(scope="module")
def logging_server(installation: Installation) -> Iterator[MariaDB]:
    settings = {"log-bin": "bin", "binlog-format": "ROW", "server-id": 7}
    with closing(MariaDB(installation.stack.processes, "logging-trio", settings=settings)) as server:
        yield server.start()


@pytest.fixture(scope="module")
def trio(installation: Installation, archiving: Archiving, logging_server: MariaDB) -> Iterator[Topology]:
    archiving.execute("CREATE SCHEMA bank_trio; CREATE TABLE bank_trio.mark (id int PRIMARY KEY)")
    archiving.execute("ALTER SCHEMA coordinator RENAME TO coordinator_trio; ALTER SCHEMA scalardb RENAME TO scalardb_trio")
    logging_server.execute((mysql_setting.SCHEMA + mysql_setting.ROWS).format(**NAMES))
    logging_server.execute("CREATE TABLE bank_trio.mark (id int PRIMARY KEY)")
    installation.airflow.add_connection("trio_accounts", archiving.server.conn_uri(DATABASE))
    installation.airflow.add_connection("trio_points", logging_server.conn_uri())
    with Double() as double, folder_of_the_server("mt-") as folder:
        binaries, archive = str(archiving.server.binaries), f"file://{archiving.archive}"
        common = {"namespaces": ["bank_trio"], "method": "pitr"}
        keys: dict[str, Any] = {
            "destination": f"file://{installation.folder}/restore-points",
            "products": [{"kind": "scalardb-cluster", "endpoints": {"static": [double.address]}}],
            "scalardb": {"coordinators": [{"store": "points", "namespace": "coordinator_trio"}], "metadata_namespace": "scalardb_trio"},
            "stores": [
                {
                    "name": "accounts", "engine": "postgresql", "conn_id": "trio_accounts", **common,
                    "client_path": binaries, "wal": {"archive": archive},
                },
                {"name": "points", "engine": "mysql", "conn_id": "trio_points", **common},
            ],
            "pause": {"drain": "5s", "deadline": "15s"},
            "drill": {"targets": {"accounts": {"data_dir": str(folder), "port": 5434}}},
            "checks": [
                {"store": store, "sql": f"SELECT {'max' if last else 'count'}(id) FROM bank_trio.mark", "expect": 1}
                for store in ("accounts", "points") for last in (True, False)
            ],
        }  # fmt: skip
        topology = installation.write("trio", keys)
        installation.wait_for(topology)
        yield topology


@pytest.mark.long  # test_airflow_dynamodb.py goes the same way every day, and these stores' own tests all of theirs
def test_marked_restorable_drilled(installation: Installation, trio: Topology, archiving: Archiving, logging_server: MariaDB) -> None:
    """What was committed before the pause is drilled, what came after it is not; and nothing is drilled before it can be restored."""
    airflow, catalog = installation.airflow, installation.catalog(trio)

    def mark(number: int) -> None:
        archiving.execute(MARK.format(bank="bank_trio", number=number))
        logging_server.execute(MARK.format(bank="bank_trio", number=number))

    armed = installation.stop_at("trio", "pausing")
    run = airflow.trigger("trio__backup")
    installation.reached(armed, timeout=240)
    mark(1)
    with archiving.held():
        armed.unlink()
        published = poll("a published restore point", lambda: catalog.newest(1) or None, 120)[0]
        mark(2)
        poll("a wait for the archive", lambda: airflow.task_states("trio__backup", run).get("restorable") == "deferred" or None, 120)
        assert published.state is State.MARKED
        assert airflow.runs("trio__drill") == []
    installation.succeeded("trio__backup", run)

    drills = lambda: [each for each in airflow.runs("trio__drill") if each["state"] in ("success", "failed")] or None  # noqa: E731
    drill = poll("the drill that the asset starts", drills, 240)[0]
    assert drill["state"] == "success", airflow.failure_report("trio__drill", drill["dag_run_id"])
    verified = airflow.xcom("trio__drill", drill["dag_run_id"], "verify")
    assert verified["good"]
    assert not [note for note in verified["records"]["notes"] if "fence" in note]
    entry = catalog.entry(published.id)
    assert entry is not None
    assert entry.state is State.DRILLED
