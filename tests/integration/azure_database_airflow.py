"""Azure's flexible servers in a real Airflow: one of each service by itself, and a PostgreSQL beside a plain one under a ScalarDB Server.

The control plane is a double, what is in the servers is real, and so is what is restored of them (``azure_database_behind.py``).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from midtime.catalog import Catalog
from midtime.model.durations import format_duration
from midtime.model.restore_point import RestorePoint, State
from midtime.model.topology import Topology
from tests.integration.airflow_restores import Switch
from tests.integration.azure_database_behind import QUICKLY, Behind, MariadbHistory, PostgresHistory, Server
from tests.integration.azure_database_setting import make_rich, settings_of
from tests.integration.cosmosdb_airflow import TOKEN
from tests.integration.fixtures import Installation
from tests.integration.managed_airflow import QUICK, Managed, written
from tests.integration.mysql_setting import ROWS, SCHEMA
from tests.integration.pitr_setting import DATABASE, archiving_server, folder_of_the_server
from tests.stack.azure_database import AzureDatabase
from tests.stack.mariadb import MariaDB
from tests.stack.postgres import Postgres
from tests.stack.scalardb import Place
from tests.stack.stack import Stack

NAME = "vault"
IN_FLEXIBLE, BESIDE_FLEXIBLE = "bank_flexible", "bank_beside_flexible"
"""Its namespaces."""
LIVE = {"postgresql": "live-pg", "mysql": "live-mysql"}
"""The servers, by dialect."""
AFTER = timedelta(minutes=2)
"""The age at which a midtime is restorable: Airflow has looked before, and deferred, also where it is slow."""
DRILLED_IN = "Standard_B1ms"
PASSWORD = "flexible-secret"
CHANGED = """
INSERT INTO bank.acct (id, balance, tx_id, tx_state, tx_version, tx_prepared_at, tx_committed_at) VALUES ({0}, 1000, 'x{0}', 3, 1, {1}, {1} + 1);
INSERT INTO coordinator.state (tx_id, tx_state, tx_created_at) VALUES ('x{0}', 3, {1});
"""


@dataclass
class Lone:
    """A database that is a server's alone, marked without a pause."""

    dialect: str
    topology: Topology
    catalog: Catalog
    change: Callable[[str], Any]
    run_id: str = ""

    def write(self, number: int) -> None:
        """A record of ScalarDB's, committed now."""
        self.change(CHANGED.format(number, int(time.time() * 1000)))

    def require_state(self, point: RestorePoint, state: State) -> None:
        entry = self.catalog.entry(point.id)
        assert entry is not None
        assert entry.state is state

    def numbers(self, server: Server) -> list[int]:
        """Those that were written."""
        query = "SELECT id FROM bank.acct WHERE id > 1000 ORDER BY id"
        found = server.execute(query, DATABASE) if isinstance(server, Postgres) else server.execute(query)
        return [int(number) for (number,) in found]


@dataclass(frozen=True, slots=True)
class FlexiblePlace(Place):
    """A database of the PostgreSQL of Azure's."""

    azure: AzureDatabase | None = None

    def store(self, namespace: str) -> dict[str, Any]:
        """With a rule that is soon over."""
        assert self.azure
        return store_of(self.azure, namespace, "postgresql", namespace)


@dataclass
class Vault(Managed):
    """Of this service."""

    NAME: ClassVar[str] = NAME
    behind: Behind

    @property
    def server(self) -> AzureDatabase:
        return self.behind.azure

    def mark(self, number: int) -> None:
        """Write beside ScalarDB."""
        for namespace, place in self.places.items():
            place.execute(f"INSERT INTO {namespace}.mark (id) VALUES ({number})")

    def copies(self, managed: str, database: str) -> dict[str, Place]:
        """Where a restore has brought them."""
        restored = self.behind.made[managed]
        assert isinstance(restored, Postgres)
        return {IN_FLEXIBLE: Place(restored, IN_FLEXIBLE), BESIDE_FLEXIBLE: Place(self.installation.stack.postgres, database)}

    def live(self) -> Any:
        return self.settings(), self.server.servers("postgresql"), self.server.servers("mysql")

    def settings(self, name: str = LIVE["postgresql"]) -> dict[str, Any]:
        """All that a restore may lose."""
        return settings_of(self.server, "postgresql", name)


@dataclass
class Flexible:
    """All of it."""

    installation: Installation
    behind: Behind
    lone: dict[str, Lone]
    """By the topology's name."""
    vault: Vault

    @property
    def azure(self) -> AzureDatabase:
        return self.behind.azure

    def settings(self, lone: Lone, name: str = "") -> dict[str, Any]:
        """Of a server of its kind, by default the live one."""
        return settings_of(self.azure, lone.dialect, name or LIVE[lone.dialect])

    @property
    def secrets(self) -> dict[str, str]:
        """Patterns, by what each of them is."""
        stack = self.installation.stack
        passwords = {"password": re.escape(PASSWORD), "other password": re.escape(stack.postgres.password)}
        return {"client secret": re.escape(self.azure.SECRET), "token": TOKEN, **passwords}


@contextmanager
def flexible_of(installation: Installation) -> Iterator[Flexible]:
    """In Airflow, with servers that have settings of every kind that a restore may lose."""
    stack, azure = installation.stack, installation.stack.azure_database
    with ExitStack() as parts:
        source = parts.enter_context(archiving_server(stack.processes, "flexible-pg", password=PASSWORD))
        folder = parts.enter_context(folder_of_the_server("mt-az-"))
        changes = _mysql(parts, stack)
        for dialect, name in LIVE.items():
            make_rich(azure, dialect, name)
        histories = {LIVE["postgresql"]: PostgresHistory(source, folder, stack.processes), LIVE["mysql"]: changes}
        behind = parts.enter_context(Behind(azure, histories))
        azure.settings(lag=QUICK)
        _connect(installation, source.server, changes.source)
        lone = {
            "claims": _lone(installation, "claims", "postgresql", source.execute),
            "payouts": _lone(installation, "payouts", "mysql", changes.change),
        }
        vault = _vault(parts, installation, source.server, behind)
        for each in lone.values():
            installation.wait_for(each.topology)
        yield Flexible(installation, behind, lone, vault)


def _mysql(parts: ExitStack, stack: Stack) -> MariadbHistory:
    """A server with a bank in it that no ScalarDB has."""
    databases = (DATABASE, "coordinator", "scalardb")
    server = MariaDB(stack.processes, "flexible-mysql", settings=QUICKLY, password=PASSWORD)
    parts.callback(server.close)
    server.start().execute((SCHEMA + ROWS).format(**{name: name for name in databases}))
    return MariadbHistory(server, databases, stack.processes)


def _connect(installation: Installation, postgres: Postgres, mysql: MariaDB) -> None:
    """The login of the control plane for each store, and those of the databases."""
    stack = installation.stack
    connections = {f"{store}_db": stack.azure_database.conn() for store in ("claims", "payouts", IN_FLEXIBLE)}
    connections |= {"claims_data": postgres.conn_uri(DATABASE), "payouts_data": mysql.conn_uri()}
    connections |= {
        f"{IN_FLEXIBLE}_data": postgres.conn_uri(IN_FLEXIBLE),
        f"{BESIDE_FLEXIBLE}_db": stack.postgres.conn_uri(BESIDE_FLEXIBLE),
    }
    for conn_id, connection in connections.items():
        installation.airflow.add_connection(conn_id, connection)


def _vault(parts: ExitStack, installation: Installation, postgres: Postgres, behind: Behind) -> Vault:
    """Both databases, with accounts of the bank's and a table that ScalarDB does not know."""
    stack = installation.stack
    postgres.create_database(IN_FLEXIBLE)
    places = {IN_FLEXIBLE: FlexiblePlace(postgres, IN_FLEXIBLE, behind.azure), **stack.in_postgres(BESIDE_FLEXIBLE)}
    scalardb = stack.scalardb_over(places, "scalardb-flexible")
    bank = stack.bank_over(scalardb, places)
    for namespace, place in places.items():
        place.execute(f"CREATE TABLE {namespace}.mark (id int PRIMARY KEY)")
    switch = parts.enter_context(Switch({"stop": scalardb.stop, "start": scalardb.start}))
    topology = written(installation, NAME, places, scalardb, switch, {"name": "vault-drill", "sku": DRILLED_IN})
    return Vault(installation, topology, places, bank, switch, behind)


def store_of(azure: AzureDatabase, name: str, dialect: str, namespace: str) -> dict[str, Any]:
    """As a topology has it."""
    return azure.topology_store(name, dialect, [namespace], LIVE[dialect], restorable_after=format_duration(AFTER))


def _lone(installation: Installation, name: str, dialect: str, change: Callable[[str], Any]) -> Lone:
    """Its topology, and its history."""
    keys = {
        "destination": f"file://{installation.folder}/restore-points",
        "stores": [store_of(installation.stack.azure_database, name, dialect, DATABASE)],
        "drill": {"targets": {name: {"sku": DRILLED_IN}}},
    }
    topology = installation.write(name, keys)
    return Lone(dialect, topology, installation.catalog(topology), change)
