"""RDS for PostgreSQL and Azure Database for MySQL with ``method: dump`` in a real Airflow: backed up, drilled, restored beside."""

from __future__ import annotations

from typing import Any

import pytest

from midtime.model.restore_point import State
from tests.integration import managed_mysql, managed_postgresql
from tests.integration.engines import ROWS_OF_ACCT, MysqlEngine, PostgresEngine, destination
from tests.integration.fixtures import Installation

pytestmark = [pytest.mark.integration, pytest.mark.airflow, pytest.mark.timeout(900)]  # an Airflow may be started for it


def managed(made: dict[str, Any], keys: dict[str, Any]) -> dict[str, Any]:
    """The same topology over a managed service; its control plane's connection does not exist."""
    (store,) = made["stores"]
    return {**made, "stores": [{**store, **keys, "method": "dump", "conn_id": "no_control_plane", "data_conn_id": store["conn_id"]}]}


class RdsEngine(PostgresEngine):
    def create(self, topology: str) -> dict[str, Any]:
        made = managed(super().create(topology), managed_postgresql.ENGINES["rds"])
        uri = self.installation.stack.postgres.conn_uri(topology.replace("-", "_"))
        self.installation.airflow.add_connection(self.conn_id(topology), f"{uri}?sslmode=disable")
        return made


class AzureEngine(MysqlEngine):
    def create(self, topology: str) -> dict[str, Any]:
        return managed(super().create(topology), managed_mysql.ENGINES["azure_mysql"])


@pytest.mark.long  # of the plain engines it runs every time: beside them only the topology differs
def test_the_main_path(installation: Installation) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(installation.stack.mariadb.bin_dir), prepend=":")
        engines = {"rds-dump": RdsEngine(installation), "azure-dump": AzureEngine(installation)}
        topologies = {name: engine.add(name, destination(installation, "file")) for name, engine in engines.items()}
        for topology in topologies.values():
            installation.wait_for(topology)
        targets = {name: {"targets": {"accounts": engine.copy_target(name)}} for name, engine in engines.items()}
        for kind, conf in (("backup", {}), ("drill", {}), ("restore", targets)):
            for name, run_id in {name: installation.airflow.trigger(f"{name}__{kind}", conf.get(name)) for name in engines}.items():
                installation.succeeded(f"{name}__{kind}", run_id, timeout=240)
        for name, engine in engines.items():
            (entry,) = installation.catalog(topologies[name]).entries()
            assert entry.state is State.DRILLED
            assert engine.rows(name) == engine.rows_of_copy(name) == ROWS_OF_ACCT
            assert engine.working_copies() == []
