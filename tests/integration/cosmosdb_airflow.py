"""A Cosmos DB account and a PostgreSQL under one ScalarDB Server, in a real Airflow: the topology, what tests write there, and its secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tests.integration.airflow_restores import Switch
from tests.integration.cosmosdb_setting import NETWORK, settings_of
from tests.integration.fixtures import Installation
from tests.integration.managed_airflow import QUICK, Managed, written
from tests.stack.cosmosdb import PATH, CosmosDB
from tests.stack.scalardb import Place
from tests.stack.stack import AZURE_ACCOUNT, BESIDE_AZURE, IN_AZURE

NAME = "lake"
TOKEN = "token-[0-9a-f]{24}"
"""Of the double's tokens, all of them."""


@dataclass
class Lake(Managed):
    """Of this service."""

    NAME: ClassVar[str] = NAME
    keys: dict[str, str] = field(default_factory=dict)
    """Of every account that was seen, by its name; some are gone by now."""

    @property
    def server(self) -> CosmosDB:
        return self.installation.stack.bank_cosmosdb

    def mark(self, number: int) -> None:
        """Write beside ScalarDB."""
        item = {"id": str(number), PATH[1:]: str(number), "partitionKey": {"id": number}, "clusteringKey": {}, "values": {}}
        self.server.container(AZURE_ACCOUNT, IN_AZURE, "mark").upsert_item(item)
        self.places[BESIDE_AZURE].execute(f"INSERT INTO {BESIDE_AZURE}.mark (id) VALUES ({number})")

    def copies(self, account: str, database: str) -> dict[str, Place]:
        """Where a restore has brought them."""
        return {IN_AZURE: Place(self.server, account), BESIDE_AZURE: Place(self.installation.stack.postgres, database)}

    def live(self) -> Any:
        return self.settings(), self.server.accounts()

    def settings(self, account: str = AZURE_ACCOUNT) -> dict[str, Any]:
        """All that a restore loses."""
        sql, where = self.server.arm.sql_resources, (self.server.GROUP, account)
        databases = sorted(str(each.name) for each in sql.list_sql_databases(*where))
        containers = {name: sorted(str(each.name) for each in sql.list_sql_containers(*where, name)) for name in databases}
        throughput = {name: _units(sql.get_sql_database_throughput(*where, name)) for name in databases}
        return {"throughput": throughput, **settings_of(self.server, account, containers)}

    @property
    def secrets(self) -> dict[str, str]:
        """Patterns, by what each of them is."""
        self.note_keys()
        keys = {f"key of {account}": re.escape(key) for account, key in self.keys.items()}
        return {"client secret": re.escape(self.server.SECRET), "token": TOKEN, **keys}

    def note_keys(self) -> None:
        """Of the accounts that are there."""
        self.keys |= {account: self.server.key(account) for account in self.server.accounts()}


def _units(found: Any) -> int:
    return int(found.as_dict()["properties"]["resource"]["throughput"])


@contextmanager
def lake_of(installation: Installation) -> Iterator[Lake]:
    """In Airflow, in an account that has settings of every kind that a restore loses; the double goes on as it was."""
    stack = installation.stack
    bank, scalardb, places, server = stack.azure_bank, stack.azure_scalardb, stack.azure_places, stack.bank_cosmosdb
    connections = {f"{name}_db": place.conn_uri for name, place in places.items()}
    for conn_id, connection in {**connections, f"{IN_AZURE}_data": server.data_conn(AZURE_ACCOUNT, key=True)}.items():
        installation.airflow.add_connection(conn_id, connection)
    with Switch({"stop": scalardb.stop, "start": scalardb.start}) as switch, _prepared(server, places):
        topology = written(installation, NAME, places, scalardb, switch, {"name": "lake-drill"})
        yield Lake(installation, topology, places, bank, switch)


@contextmanager
def _prepared(server: CosmosDB, places: dict[str, Place]) -> Iterator[None]:
    before, accounts = server.settings(), set(server.accounts())
    _enrich(server)
    places[BESIDE_AZURE].execute(f"CREATE TABLE {BESIDE_AZURE}.mark (id int PRIMARY KEY)")
    server.settings(lag=QUICK, restored_consistency="Session")
    try:
        yield
    finally:
        server.faults()
        server.settings(**before)
        places[BESIDE_AZURE].execute(f"DROP TABLE {BESIDE_AZURE}.mark")
        for account in set(server.accounts()) - accounts:
            server.arm.database_accounts.begin_delete(server.GROUP, account).result()


def _enrich(server: CosmosDB) -> None:
    """Network rules, throughput, a time to live, a trigger, a function; and a container that ScalarDB does not know."""
    arm, where = server.arm, (server.GROUP, AZURE_ACCOUNT)
    sql, database = arm.sql_resources, (*where, IN_AZURE)
    arm.database_accounts.begin_update(*where, {"properties": NETWORK}).result()
    sql.begin_update_sql_database_throughput(*database, {"properties": {"resource": {"throughput": 700}}}).result()
    found = sql.get_sql_container(*database, "acct").as_dict()["properties"]["resource"]
    kept = {key: found[key] for key in ("id", "partitionKey", "indexingPolicy")}
    sql.begin_create_update_sql_container(*database, "acct", _body({**kept, "defaultTtl": 86400})).result()
    trigger = {"id": "t", "body": "function t() {}", "triggerType": "Pre", "triggerOperation": "All"}
    sql.begin_create_update_sql_trigger(*database, "acct", "t", _body(trigger)).result()
    function = {"id": "f", "body": "function f() {}"}
    sql.begin_create_update_sql_user_defined_function(*database, "acct", "f", _body(function)).result()
    mark = {"id": "mark", "partitionKey": {"paths": [PATH], "kind": "Hash", "version": 2}}
    sql.begin_create_update_sql_container(*database, "mark", _body(mark)).result()


def _body(resource: dict[str, Any]) -> dict[str, Any]:
    return {"properties": {"resource": resource, "options": {}}}
