"""All six services of RDS and Aurora, each with a database of its own in a real Airflow; PostgreSQL's restores are real ones, to the very second."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from midtime.catalog import Catalog
from midtime.model.topology import Topology
from tests.integration.engines import MysqlEngine
from tests.integration.fixtures import ROWS, SCHEMA, Installation
from tests.integration.rds_airflow import connected, made, postgres_behind
from tests.stack.rds import RDS
from tests.stack.rds_behind import Behind, Fulfilling, Resting
from tests.stack.rds_postgres import RdsPostgres

DATABASE = "bank"
MARK = "CREATE TABLE bank.mark (id int PRIMARY KEY);"
ENGINES = {
    "rds-postgresql": "postgres", "aurora-postgresql": "aurora-postgresql", "rds-mysql": "mysql", "aurora-mysql": "aurora-mysql",
    "rds-oracle": "oracle-ee", "rds-sqlserver": "sqlserver-se",
}  # fmt: skip
"""What Amazon calls what runs there, by service; the topologies are called as these are."""
POSTGRES = tuple(name for name in ENGINES if name.endswith("postgresql"))
UNREAD = {"rds-oracle": "Oracle", "rds-sqlserver": "SQL Server"}
NO_RECORDS = {"transaction_manager": "jdbc"}
NOWHERE = ("127.0.0.1", 1)


def live(service: str) -> str:
    """Its instance or cluster."""
    return f"{service}-prod"


@dataclass
class Services:
    """All of them, at the same time."""

    installation: Installation
    rds: RDS
    behind: dict[str, Behind]
    topologies: dict[str, Topology] = field(default_factory=dict)

    def catalog(self, service: str) -> Catalog:
        return self.installation.catalog(self.topologies[service])

    def add(self, service: str, keys: dict[str, Any]) -> None:
        """A topology of one store; Airflow finds it in its own time."""
        kind, _, dialect = service.partition("-")
        (store,) = keys.pop("stores")
        data = {"data_conn_id": store["conn_id"]} if "conn_id" in store else {}
        stores = [{**store, **data, **self.rds.topology_keys(kind, dialect, live(service))}]
        destination = f"file://{self.installation.folder}/restore-points"
        self.topologies[service] = self.installation.write(service, {"destination": destination, **keys, "stores": stores})

    def mark(self, number: int) -> None:
        """Write into those whose restores are real ones; the second that follows does not have it any more."""
        for service in POSTGRES:
            self.postgres(service).live.execute(f"INSERT INTO bank.mark VALUES ({number})", DATABASE)
        time.sleep(1.1)

    def postgres(self, service: str) -> RdsPostgres:
        behind = self.behind[service]
        assert isinstance(behind, RdsPostgres)
        return behind

    def marks(self, service: str, copy: str = "") -> list[int]:
        """In what is live, or in a copy of it."""
        behind = self.postgres(service)
        server = behind.restored[copy] if copy else behind.live
        return [number for (number,) in server.execute("SELECT id FROM bank.mark ORDER BY id", DATABASE)]

    def run(self, kind: str, conf: dict[str, dict[str, Any]] | None = None) -> dict[str, str]:
        """Start a run of each; the runs."""
        return {name: self.installation.airflow.trigger(f"{name}__{kind}", (conf or {}).get(name)) for name in self.topologies}

    def succeed(self, kind: str, runs: dict[str, str], timeout: float = 600) -> None:
        for name, run_id in runs.items():
            self.installation.succeeded(f"{name}__{kind}", run_id, timeout=timeout)


@contextmanager
def services_of(installation: Installation) -> Iterator[Services]:
    """In Airflow, with a bank at rest in those that are read."""
    with ExitStack() as ends:
        found = Services(installation, connected(installation), {})
        for service in ENGINES:
            keys = _postgres(found, service, ends) if service in POSTGRES else _at_rest(found, service, ends)
            found.add(service, keys)
        ends.enter_context(Fulfilling(*found.behind.values()))
        for topology in found.topologies.values():
            installation.wait_for(topology)
        yield found


def _postgres(services: Services, service: str, ends: ExitStack) -> dict[str, Any]:
    installation, conn_id = services.installation, f"{service.replace('-', '_')}_db"
    behind = ends.enter_context(postgres_behind(installation, service.partition("-")[0], live(service), DATABASE))
    behind.live.execute(SCHEMA + ROWS + MARK, DATABASE)
    installation.airflow.add_connection(conn_id, behind.live.conn_uri(DATABASE))
    services.behind[service] = behind
    return {"stores": [{"name": "accounts", "conn_id": conn_id, "namespaces": ["bank"]}]}


def _at_rest(services: Services, service: str, ends: ExitStack) -> dict[str, Any]:
    """MySQL's data are a real server's; of Oracle and SQL Server there is nothing to be read."""
    installation, rds = services.installation, services.rds
    if service in UNREAD:
        keys: dict[str, Any] = {"scalardb": NO_RECORDS, "stores": [{"name": "accounts", "namespaces": ["bank"]}]}
        at = NOWHERE
    else:
        keys, mariadb = MysqlEngine(installation).create(service), installation.stack.mariadb
        at = (mariadb.host, mariadb.port)
    services.behind[service] = Resting(rds, live(service), at)
    ends.enter_context(made(rds, service.partition("-")[0], live(service), ENGINES[service]))
    return keys
