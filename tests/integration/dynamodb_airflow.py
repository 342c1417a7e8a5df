"""A DynamoDB and a PostgreSQL under one ScalarDB Server, in a real Airflow: the topology, what tests write there, and what must never be seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from tests.integration.airflow_restores import Switch
from tests.integration.dynamodb_tables import make, put, settings_of
from tests.integration.fixtures import Installation
from tests.integration.managed_airflow import Managed, written
from tests.stack.dynamodb import DynamoDB
from tests.stack.postgres import Postgres
from tests.stack.scalardb import Place
from tests.stack.stack import BESIDE_DYNAMO, IN_DYNAMO

NAME = "sea"
ACCOUNTS, MARKS, FENCE = (f"{IN_DYNAMO}.{table}" for table in ("acct", "mark", "midtime_fence"))
TOKEN = "the-session-token-of-a-role"


@dataclass
class Sea(Managed):
    """Of this service."""

    NAME: ClassVar[str] = NAME

    @property
    def server(self) -> DynamoDB:
        return self.installation.stack.dynamodb

    @property
    def postgres(self) -> Postgres:
        return self.installation.stack.postgres

    @property
    def tables(self) -> list[str]:
        """The live ones."""
        return [name for name in self.server.names() if name.startswith((f"{IN_DYNAMO}.", "coordinator.", "scalardb."))]

    def mark(self, number: int) -> None:
        """Write beside ScalarDB."""
        put(self.server, MARKS, str(number), number)
        self.places[BESIDE_DYNAMO].execute(f"INSERT INTO {BESIDE_DYNAMO}.mark (id) VALUES ({number})")

    def copies(self, prefix: str, database: str) -> dict[str, Place]:
        """Where a restore has brought them."""
        return {IN_DYNAMO: Place(self.server, prefix), BESIDE_DYNAMO: Place(self.postgres, database)}

    def settings(self, prefix: str = "") -> dict[str, dict[str, Any]]:
        """All that a restore loses, by table; of the tags those that are not Midtime's."""
        return {name: {**settings_of(self.server, prefix + name), "tags": self._tags(prefix + name)} for name in self.tables}

    def _tags(self, table: str) -> dict[str, str]:
        arn = self.server.tables.describe_table(TableName=table)["Table"]["TableArn"]
        tags = self.server.tables.list_tags_of_resource(ResourceArn=arn)["Tags"]
        return {tag["Key"]: tag["Value"] for tag in tags if not tag["Key"].startswith("midtime:")}


@contextmanager
def sea_of(installation: Installation) -> Iterator[Sea]:
    """In Airflow, with a table that has every setting that a restore loses; nothing of it is left in the databases."""
    stack = installation.stack
    places, server, bank = stack.dynamo_places, stack.dynamo_scalardb, stack.dynamo_bank
    connections = {IN_DYNAMO: stack.dynamodb.conn(aws_session_token=TOKEN), BESIDE_DYNAMO: places[BESIDE_DYNAMO].conn_uri}
    for namespace, connection in connections.items():
        installation.airflow.add_connection(f"{namespace}_db", connection)
    with Switch({"stop": server.stop, "start": server.start}) as switch, _prepared(stack.dynamodb, places):
        topology = written(installation, NAME, places, server, switch, {"prefix": "drill_"})
        yield Sea(installation, topology, places, bank, switch)


@contextmanager
def _prepared(server: DynamoDB, places: Mapping[str, Place]) -> Iterator[None]:
    before = set(server.names())
    settings, tables = server.settings(), server.tables
    make(server, MARKS)
    places[BESIDE_DYNAMO].execute(f"CREATE TABLE {BESIDE_DYNAMO}.mark (id int PRIMARY KEY)")
    tables.update_table(TableName=ACCOUNTS, DeletionProtectionEnabled=True)
    tables.update_time_to_live(TableName=ACCOUNTS, TimeToLiveSpecification={"Enabled": True, "AttributeName": "until"})
    arn = tables.describe_table(TableName=ACCOUNTS)["Table"]["TableArn"]
    tables.tag_resource(ResourceArn=arn, Tags=[{"Key": "team", "Value": "bank"}])
    try:
        yield
    finally:
        server.faults()
        server.settings(**settings)
        places[BESIDE_DYNAMO].execute(f"DROP TABLE {BESIDE_DYNAMO}.mark")
        for name in {ACCOUNTS, *server.names()} - (before - {ACCOUNTS}):
            tables.update_table(TableName=name, DeletionProtectionEnabled=False)
        for name in set(server.names()) - before:
            tables.delete_table(TableName=name)
