"""A shop in a Cosmos DB that travels in time, marked and restored by the store's own code; also by processes that are killed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from midtime.stores import looks
from midtime.stores.azure import removing
from tests.integration.marked_shop import SHORTLY, MarkedShop
from tests.stack.cosmosdb import CosmosDB

LIVE = "shop-live"
CONTAINERS = {"shop": ["orders", "accounts"], "coordinator": ["state"], "scalardb": ["metadata"]}
PROCEDURE = "function mutate(mutations) { /* what was running */ }"
NETWORK = {"publicNetworkAccess": "Enabled", "ipRules": [{"ipAddressOrRange": "127.0.0.1"}, {"ipAddressOrRange": "10.1.2.0/24"}]}
ROLE = {"principalId": "5b1c0c9e-9c2e-4c0a-8a2e-2a3f0c6d7e10", "roleDefinitionId": "00000000-0000-0000-0000-000000000002"}


class Shop(MarkedShop):
    """Containers of its own, one with all the settings that there are, and ScalarDB's."""

    def __init__(self, server: CosmosDB, folder: Path, namespaces: Sequence[str] = ("shop",), account: str = LIVE, **store: Any) -> None:
        own = {"subscription_id": server.SUBSCRIPTION, "data_conn_id": "shop_data", "fence": False, **store}
        super().__init__(server, folder, server.topology_store("shop", namespaces, account, **own), clock_bound="0s")
        self.server = server

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
        patch.setattr(removing, "LOOK", SHORTLY)
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
