"""A double of Azure Cosmos DB for NoSQL that restores accounts to a second, and what Airflow and a topology say of it.

How processes reach it is told in ``azure_arm.py``. What Cosmos DB's own settings are is told in ``cosmosdb_world.CosmosSettings``; the most used::

    server = stack.cosmosdb                      # or the fixture ``cosmosdb_server``
    server.reset()
    server.make_account("bank", {"shop": ["orders", "stock"]})
    server.container("bank", "shop", "orders").upsert_item({"id": "1", "concatenatedPartitionKey": "1", "values": {"n": 1}})
    server.settings(stopped_at=server.now())     # the clock stands still; with another value it is moved, with None it runs again
    server.settings(lag=100, restore=3600, reindexing=60, includes_second=True, backed_up={"shop/orders": 1760000000.0})
    server.faults({"kind": "failed", "operations": ["DatabaseAccounts_CreateOrUpdate"], "times": 1})
    server.calls()["control"]                    # [{"at", "operation", "on", "status", "code"}, …] without the looks at running operations

Clients of Azure's SDKs: ``arm`` (``CosmosDBManagementClient``), ``data(account)`` (``CosmosClient``), both without environment variables.

As the real service: an account cannot be used while it is ``Creating``; its name is its host's; keys sign requests; read-only keys do not write;
tokens need a role assignment of the account; ``ipRules`` that do not hold 127.0.0.1, or no public access, shut clients out of the data (403);
items end by their time to live; a deleted account, database or container stays restorable; containers have physical partitions.
What a restore loses is told in ``cosmosdb_restoring.py``.

Left out, and refused loudly (501): other queries than ``cosmosdb_sql.py`` knows, batches, patches, change feeds of items, and any stored procedure
but ScalarDB's (``cosmosdb_procedures.py``). ScalarDB itself runs over it: ``stack.cosmos_bank``, on an Azure of its own (``cosmosdb_scalardb.py``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from tests.stack.azure_arm import Azure
from tests.stack.processes import Processes

_SELECT = re.compile(r"SELECT (.+) FROM (\w+)\.(\w+)")
PATH = "/concatenatedPartitionKey"
"""ScalarDB's partition key."""


class CosmosDB(Azure):
    """One subscription, without accounts at first."""

    MODULE = "tests.stack.cosmosdb_server"
    CONN_ID = "midtime_cosmosdb"
    MORE_NAMES = ("*.documents.azure.com",)
    REGION = "Japan East"

    def __init__(self, processes: Processes, name: str = "cosmosdb", **settings: Any) -> None:
        super().__init__(processes, name, **settings)
        self._clients: dict[str, Any] = {}

    def topology_store(self, name: str, namespaces: Iterable[str], account: str, **changes: Any) -> dict[str, Any]:
        """As a store of a topology."""
        common = {
            "name": name,
            "engine": "cosmosdb",
            "namespaces": list(namespaces),
            "conn_id": f"{name}_db",
            "data_conn_id": f"{name}_data",
        }
        return {**common, "subscription_id": self.SUBSCRIPTION, "resource_group": self.GROUP, "account": account, **changes}

    def data_conn(self, account: str, *, key: bool = False) -> str:
        """An Airflow connection of the type ``azure_cosmos``; without a key it is to be asked for through ARM."""
        return json.dumps({"conn_type": "azure_cosmos", "login": self.endpoint(account), "password": self.key(account) if key else ""})

    def conn_uri(self, _: str = "") -> str:
        return self.conn()

    # clients, to look and to meddle without Midtime

    @cached_property
    def arm(self) -> Any:
        """``CosmosDBManagementClient``; it does not try anything twice."""
        from azure.mgmt.cosmosdb import CosmosDBManagementClient

        return CosmosDBManagementClient(self.credential(), self.SUBSCRIPTION, retry_total=0, polling_interval=0.05, **self.transport)

    def key(self, account: str) -> str:
        return str(self.arm.database_accounts.list_keys(self.GROUP, account).primary_master_key)

    def endpoint(self, account: str) -> str:
        return f"https://{account}.documents.azure.com:443/"

    def own_endpoint(self, account: str) -> str:
        """For a client that knows no proxy, and takes the name for loopback's."""
        return f"https://{account}.documents.azure.com:{self.port}/"

    def data(self, account: str, credential: Any = None, **options: Any) -> Any:
        """``CosmosClient``, by default with the primary key: then it is one and the same while the account is."""
        if credential is not None or options:
            return self._client(account, credential or self.key(account), **options)
        key = self.key(account)
        if key not in self._clients:
            self._clients[key] = self._client(account, key)
        return self._clients[key]

    def _client(self, account: str, credential: Any, **options: Any) -> Any:
        from azure.cosmos import CosmosClient
        from azure.cosmos.documents import SSLConfiguration

        trusted = SSLConfiguration()
        trusted.SSLCaCerts = self.authority
        own: dict[str, Any] = {"proxies": dict(self.transport["proxies"]), "ssl_config": trusted}
        return CosmosClient(self.endpoint(account), credential, **own, **options)

    def container(self, account: str, database: str, container: str) -> Any:
        """A client of its data."""
        return self.data(account).get_database_client(database).get_container_client(container)

    # what is in it

    def account_body(self, **properties: Any) -> dict[str, Any]:
        """Of a continuously backed up account in one region, with strong consistency: what ScalarDB needs."""
        wanted = {
            "locations": [{"locationName": self.REGION, "failoverPriority": 0}], "databaseAccountOfferType": "Standard", "createMode": "Default",
            "backupPolicy": {"type": "Continuous", "continuousModeProperties": {"tier": "Continuous7Days"}},
            "consistencyPolicy": {"defaultConsistencyLevel": "Strong"},
        }  # fmt: skip
        return {"location": self.REGION, "kind": "GlobalDocumentDB", "tags": {}, "properties": {**wanted, **properties}}

    def make_account(self, name: str, databases: Mapping[str, Iterable[str]] | None = None, **properties: Any) -> None:
        """With databases and their containers, with ScalarDB's partition key; there when this returns."""
        self.arm.database_accounts.begin_create_or_update(self.GROUP, name, self.account_body(**properties)).result()
        if not databases:
            return
        client = self.data(name)
        for database, containers in databases.items():
            made = client.create_database(database)
            for container in containers:
                made.create_container(container, {"paths": [PATH], "kind": "Hash", "version": 2})

    def instance(self, account: str) -> Any:
        """The restorable account of a living one."""
        living = self.arm.database_accounts.get(self.GROUP, account).instance_id
        return next(each for each in self.arm.restorable_database_accounts.list() if each.name == living)

    def restore_body(
        self, source_id: str, second: float, databases: Mapping[str, Iterable[str]] | None = None, **parameters: Any
    ) -> dict[str, Any]:
        """Of a restore to a second of the server's clock.

        :param source_id: of the restorable account
        """
        chosen = [{"databaseName": name, "collectionNames": list(names)} for name, names in (databases or {}).items()]
        wanted = {
            "restoreMode": "PointInTime", "restoreSource": source_id, "databasesToRestore": chosen,
            "restoreTimestampInUtc": datetime.fromtimestamp(int(second), UTC).isoformat(),
        }  # fmt: skip
        return self.account_body(createMode="Restore", restoreParameters={**wanted, **parameters})

    def restore(
        self, source: str, target: str, second: float, databases: Mapping[str, Iterable[str]] | None = None, **parameters: Any
    ) -> None:
        """There when this returns."""
        body = self.restore_body(self.instance(source).id, second, databases, **parameters)
        self.arm.database_accounts.begin_create_or_update(self.GROUP, target, body).result()

    def state(self, account: str) -> str:
        """Nothing if there is no such account."""
        from azure.core.exceptions import ResourceNotFoundError

        try:
            return str(self.arm.database_accounts.get(self.GROUP, account).provisioning_state)
        except ResourceNotFoundError:
            return ""

    def accounts(self) -> list[str]:
        return sorted(str(each.name) for each in self.arm.database_accounts.list_by_resource_group(self.GROUP))

    def items(self, account: str, database: str, container: str) -> list[dict[str, Any]]:
        """All of a container, without what the service adds but ``_ts``."""
        added = ("_rid", "_self", "_etag", "_attachments")
        found = self.container(account, database, container).read_all_items()
        return [{key: value for key, value in item.items() if key not in added} for item in found]

    def execute(self, statement: str, account: str) -> list[tuple[Any, ...]]:
        """``SELECT a, b FROM namespace.table`` over the whole table, of what ScalarDB writes into it; nothing more of SQL."""
        columns, database, container = _SELECT.fullmatch(statement.strip()).groups()  # type: ignore[union-attr]
        records = [{**each["partitionKey"], **each["clusteringKey"], **each["values"]} for each in self.items(account, database, container)]
        return [tuple(record.get(column.strip()) for column in columns.split(",")) for record in records]
