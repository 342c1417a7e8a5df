"""A shop in a Cosmos DB that travels in time, marked and restored by the store's own code; also by processes that are killed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from midtime.catalog import Catalog
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores import looks, open_store
from midtime.stores.base import Shelf, Target
from midtime.stores.cosmosdb import placing
from tests.integration.restore_once import killed
from tests.stack.cosmosdb import CosmosDB
from tests.stack.processes import poll

LIVE, POINT, RUN = "shop-live", "20261121T020007Z-3fa9c1", "abc123"
CONTAINERS = {"shop": ["orders", "accounts"], "coordinator": ["state"], "scalardb": ["metadata"]}
PROCEDURE = "function mutate(mutations) { /* what was running */ }"
NETWORK = {"publicNetworkAccess": "Enabled", "ipRules": [{"ipAddressOrRange": "127.0.0.1"}, {"ipAddressOrRange": "10.1.2.0/24"}]}
ROLE = {"principalId": "5b1c0c9e-9c2e-4c0a-8a2e-2a3f0c6d7e10", "roleDefinitionId": "00000000-0000-0000-0000-000000000002"}
SHORTLY = 0.2


class Shop:
    """Containers of its own, one with all the settings that there are, and ScalarDB's."""

    def __init__(self, server: CosmosDB, folder: Path, namespaces: Sequence[str] = ("shop",), **store: Any) -> None:
        self.server, self.folder = server, folder
        own = {"subscription_id": server.SUBSCRIPTION, "data_conn_id": "shop_data", "fence": False, **store}
        spec = server.topology_store("shop", namespaces, LIVE, **own)
        products = [{"kind": "scalardb-server", "endpoints": {"static": ["127.0.0.1:1"]}}]
        body = {"name": "shop", "destination": f"file://{folder}/points", "stores": [spec], "products": products}
        self.topology = Topology.model_validate({**body, "scalardb": {"coordinators": [{"store": "shop"}], "clock_bound": "0s"}})
        self.catalog = Catalog(self.topology.destination, "shop")
        self.shelf = Shelf(self.catalog.folder(POINT), "shop")
        self.backup: StoreBackup

    @property
    def store(self) -> Any:
        """As another process would open it."""
        return open_store(self.topology, "shop")

    def fill(self) -> None:
        server = self.server
        server.make_account(LIVE, {name: each for name, each in CONTAINERS.items() if name != "scalardb"}, **NETWORK)
        metadata = server.data(LIVE).create_database("scalardb")
        metadata.create_container("metadata", {"paths": ["/id"], "kind": "Hash", "version": 2})
        for of in ("shop", "coordinator"):
            for name in CONTAINERS[of]:
                self.procedure(LIVE, of, name)
        self.rich()
        self.write(1)

    def rich(self) -> None:
        """Throughput, an index, a time to live, a trigger, a function; and somebody's role."""
        sql, where = self.server.arm.sql_resources, (self.server.GROUP, LIVE)
        container = {
            "id": "orders", "partitionKey": {"paths": ["/concatenatedPartitionKey"], "kind": "Hash", "version": 2}, "defaultTtl": 86400,
            "indexingPolicy": {"indexingMode": "consistent", "includedPaths": [{"path": "/values/by/?"}], "excludedPaths": [{"path": "/*"}]},
        }  # fmt: skip
        sql.begin_create_update_sql_container(*where, "shop", "orders", _body(container)).result()
        sql.begin_create_update_sql_trigger(
            *where, "shop", "orders", "t", _body({"id": "t", "body": "function t() {}", "triggerType": "Pre", "triggerOperation": "All"})
        ).result()
        sql.begin_create_update_sql_user_defined_function(
            *where, "shop", "orders", "f", _body({"id": "f", "body": "function f() {}"})
        ).result()
        scope = self.server.arm.database_accounts.get(*where).id
        definition = f"{scope}/sqlRoleDefinitions/{ROLE['roleDefinitionId']}"
        sql.begin_create_update_sql_role_assignment(
            "1c6c0e5c-5d7c-4f83-8d6b-0a6e54d6a0b1", *where, {"properties": {**ROLE, "roleDefinitionId": definition, "scope": scope}}
        ).result()

    def procedure(self, account: str, database: str, container: str) -> None:
        self.server.container(account, database, container).scripts.create_stored_procedure({"id": "mutate.js", "body": PROCEDURE})

    def write(self, value: int) -> None:
        for of in ("shop", "coordinator"):
            for name in CONTAINERS[of]:
                item = {"id": "x", "concatenatedPartitionKey": "x", "partitionKey": {}, "values": {"n": value}}
                self.server.container(LIVE, of, name).upsert_item(item)

    def mark(self) -> None:
        """At a second in which nothing is written; what comes later has value 2."""
        second = int(self.server.now()) + 2
        poll("the second to be over", lambda: self.server.now() > second + 1.1 or None, 30)
        self.write(2)
        self.server.wait_restorable(second + 1)
        self.backup = self.store.mark(datetime.fromtimestamp(second, UTC), self.shelf, lambda _: None)

    def target(self, *, drill: bool = False, to: str | None = None) -> Target:
        target: Target = self.store.target(TargetWish(to=to) if to else None, run=RUN, drill=drill, in_place=False)
        return target

    def restore(self, target: Target, say: Any = print) -> Target:
        while waiting := self.store.restore(self.backup, self.shelf, target, say):
            say(waiting.detail)
            time.sleep(SHORTLY)
        return target

    def killed(self, verb: str, target: Target, after: int, call: str = "control") -> bool:
        """Whether it came so far."""
        return killed(self.server, self.topology, self.backup, POINT, verb, target, after, call)

    def values(self, account: str) -> dict[str, int]:
        return {
            f"{of}/{name}": self.server.container(account, of, name).read_item("x", "x")["values"]["n"]
            for of in ("shop", "coordinator") for name in CONTAINERS[of]
        }  # fmt: skip

    def settings(self, account: str) -> dict[str, Any]:
        """All that is to be as it was."""
        return settings_of(self.server, account, CONTAINERS)


def settings_of(server: CosmosDB, account: str, containers: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """All of an account that a restore loses, and that is put back; of each container by its full name."""
    arm, where = server.arm, (server.GROUP, account)
    said = arm.database_accounts.get(*where).as_dict()["properties"]
    found: dict[str, Any] = {key: said[key] for key in (*NETWORK, "consistencyPolicy", "isVirtualNetworkFilterEnabled", "networkAclBypass")}
    for of, names in containers.items():
        for name in names:
            resource = arm.sql_resources.get_sql_container(*where, of, name).as_dict()["properties"]["resource"]
            kept = {key: resource.get(key) for key in ("partitionKey", "indexingPolicy", "defaultTtl")}
            lists = ("list_sql_stored_procedures", "list_sql_triggers", "list_sql_user_defined_functions")
            scripts = [_plain(each) for call in lists for each in getattr(arm.sql_resources, call)(*where, of, name)]
            found[f"{of}/{name}"] = {**kept, "scripts": scripts}
    return found


def _body(resource: dict[str, Any]) -> dict[str, Any]:
    return {"properties": {"resource": resource, "options": {}}}


def _plain(script: Any) -> dict[str, Any]:
    said = script.as_dict()["properties"]["resource"]
    return {key: value for key, value in said.items() if not key.startswith("_")}


@contextmanager
def login(server: CosmosDB, account: str = LIVE) -> Iterator[pytest.MonkeyPatch]:
    """The environment of a worker that takes the double for Azure."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        patch.setenv("AIRFLOW_CONN_SHOP_DB", server.conn())
        patch.setenv(
            "AIRFLOW_CONN_SHOP_DATA",
            json.dumps({"conn_type": "azure_cosmos", "login": server.endpoint(account), "password": server.key(account)}),
        )
        patch.setattr(looks, "sleep", lambda seconds: time.sleep(min(seconds, SHORTLY)))
        patch.setattr(placing, "LOOK", SHORTLY)
        yield patch


@contextmanager
def shop_of(server: CosmosDB, folder: Path, store: dict[str, Any] | None = None, **settings: Any) -> Iterator[Shop]:
    """Filled and marked, with connections of its own."""
    server.reset()
    server.settings(stopped_at=None, lag=0.5, **settings)
    shop = Shop(server, folder, **(store or {}))
    shop.fill()
    with login(server):
        shop.mark()
        yield shop
