"""A bank in a Cosmos DB whose clock stands still, and the store that is to be marked; nothing is restored."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from midtime.catalog import Catalog
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.stores import open_managed
from midtime.stores.base import Shelf
from midtime.stores.marks import FILE
from tests.stack.cosmosdb import PATH, CosmosDB
from tests.unit.builders import LEDGER, point, topology

if TYPE_CHECKING:  # a plugin of every test run
    from midtime.stores.cosmosdb.settings import MarkedAccount
    from midtime.stores.cosmosdb.store import CosmosdbStore

LIVE, POINT, FENCE = "bank-prod", point().id, "bank/midtime_fence"
TABLES = {"bank": ("accounts", "owners"), "coordinator": ("state",), "scalardb": ("metadata", "namespaces")}
ALL = sorted(f"{database}/{name}" for database, names in TABLES.items() for name in names)
LAG = 5.0
PAUSE = {"drain": "2s", "deadline": "25s"}
ASKED = "SqlResources_RetrieveContinuousBackupInformation"


class Bank:
    """An account with ScalarDB's containers, and the store that is to be marked."""

    def __init__(self, server: CosmosDB, folder: Path, **store: Any) -> None:
        self.server, self.folder, self.options = server, folder, store
        self.arm, self.where = server.arm, (server.GROUP, LIVE)
        self.products: list[dict[str, Any]] = [LEDGER]

    @property
    def topology(self) -> Topology:
        spec = {"subscription_id": self.server.SUBSCRIPTION, "data_conn_id": "bank_data", **self.options}
        wanted = self.server.topology_store("bank", spec.pop("namespaces", ["bank"]), spec.pop("account", LIVE), **spec)
        return topology(name="bank", destination=f"file://{self.folder}/points", products=self.products, pause=PAUSE, stores=[wanted])

    @property
    def store(self) -> CosmosdbStore:
        """As another process would open it."""
        return cast("CosmosdbStore", open_managed(self.topology, "bank"))

    @property
    def catalog(self) -> Catalog:
        return Catalog(f"file://{self.folder}/points", "bank")

    @property
    def shelf(self) -> Shelf:
        return Shelf(self.catalog.folder(POINT), "bank")

    @property
    def file(self) -> Path:
        return Path(str(self.shelf.folder / "bank" / FILE).removeprefix("file://"))

    def settings(self) -> MarkedAccount:
        from midtime.stores.cosmosdb.settings import MarkedAccount

        return MarkedAccount.unseal(self.file.read_bytes(), where="here")

    # what is in the account

    def make(self, **properties: Any) -> None:
        self.server.make_account(LIVE, {name: each for name, each in TABLES.items() if name != "scalardb"}, **properties)
        made = self.server.data(LIVE).create_database("scalardb")
        for name in TABLES["scalardb"]:
            made.create_container(name, {"paths": ["/id"], "kind": "Hash", "version": 2})
        for name in ("bank.accounts", "bank.owners", "coordinator.state", "another.table"):
            self.know(name)

    def know(self, table: str) -> None:
        """As ScalarDB does, in its metadata."""
        self.server.container(LIVE, "scalardb", "metadata").upsert_item({"id": table, "columns": {}})

    def container(self, full_name: str, **resource: Any) -> None:
        database, _, name = full_name.partition("/")
        wanted = {"id": name, "partitionKey": {"paths": [PATH], "kind": "Hash"}, **resource}
        body = {"properties": {"resource": wanted, "options": {}}}
        self.arm.sql_resources.begin_create_update_sql_container(*self.where, database, name, body).result()

    def drop(self, full_name: str) -> None:
        self.arm.sql_resources.begin_delete_sql_container(*self.where, *full_name.split("/")).result()

    def change(self, **properties: Any) -> None:
        self.arm.database_accounts.begin_update(*self.where, {"properties": properties}).result()

    def remake(self) -> None:
        self.arm.database_accounts.begin_delete(*self.where).result()
        self.make()

    def later(self, seconds: float) -> None:
        """The service's clock goes on by so much, and stands still again."""
        self.server.settings(stopped_at=self.server.now() + seconds)

    def instant(self) -> datetime:
        """A second behind all that was done so far; :data:`LAG` later the backups reach it."""
        self.later(2)
        found = datetime.fromtimestamp(int(self.server.now()), UTC)
        self.later(1)
        return found

    def marked(self) -> StoreBackup:
        """With its fence container, as a backup leaves it."""
        with self.store.fence() as fence:
            fence.prepare()
        return self.store.mark(self.instant(), self.shelf, lambda _: None)

    # what the service does

    def count(self, operation: str = ASKED) -> int:
        return int(self.server.calls()["counts"].get(operation, 0))

    def fail(self, kind: str, *operations: str, **fault: Any) -> None:
        self.server.faults({"kind": kind, "operations": list(operations), **fault})


@pytest.fixture
def empty_cosmos(cosmosdb_server: CosmosDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bank]:
    """No account yet; a clock that stands still unless it is moved."""
    cosmosdb_server.reset()
    cosmosdb_server.settings(stopped_at=time.time(), lag=LAG, create=0, delete=0)
    for name, value in {**cosmosdb_server.environment(), "AIRFLOW_CONN_BANK_DB": cosmosdb_server.conn()}.items():
        monkeypatch.setenv(name, value)
    yield Bank(cosmosdb_server, tmp_path)
    cosmosdb_server.faults()


@pytest.fixture
def still_cosmos_bank(empty_cosmos: Bank, monkeypatch: pytest.MonkeyPatch) -> Bank:
    empty_cosmos.make()
    log_in(empty_cosmos, monkeypatch)
    return empty_cosmos


def log_in(bank: Bank, monkeypatch: pytest.MonkeyPatch, **said: str) -> None:
    whole = {"conn_type": "azure_cosmos", "login": bank.server.endpoint(LIVE), "password": bank.server.key(LIVE), **said}
    monkeypatch.setenv("AIRFLOW_CONN_BANK_DATA", json.dumps(whole))
