"""An account of Amazon's in this process (moto), with the tables of a bank in it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import boto3
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import Table

from midtime.model.instants import utc_now
from midtime.model.topology import Topology
from midtime.stores.dynamodb.aws import Aws
from midtime.stores.dynamodb.store import DynamodbStore
from tests.unit.builders import LEDGER
from tests.unit.builders import topology as build

REGION = "ap-northeast-1"
TABLES = ("bank.accounts", "bank.owners", "coordinator.state", "scalardb.metadata", "scalardb.namespaces")
FENCE = "bank.midtime_fence"
_DESCRIBE = Table.describe


def topology(destination: str = "file:///nowhere", **store: Any) -> Topology:
    spec = {"name": "points", "engine": "dynamodb", "conn_id": "aws", "region": REGION, "namespaces": ["bank"]} | store
    return build(destination=destination, products=[LEDGER], stores=[spec])


class World:
    """The account, and a store in it."""

    def __init__(self, destination: str = "file:///nowhere", prefix: str = "", store: dict[str, Any] | None = None) -> None:
        self.prefix = prefix
        self.topology = topology(destination, **({"prefix": prefix} if prefix else {}), **(store or {}))
        self.store = DynamodbStore(self.topology, "points")
        self.client, self.scaling, self.alarms = (
            boto3.client(service, region_name=REGION, aws_access_key_id="k", aws_secret_access_key="s")
            for service in ("dynamodb", "application-autoscaling", "cloudwatch")
        )

    @property
    def aws(self) -> Aws:
        return self.store.aws

    def create(self, *names: str, known: bool = True, pitr: bool = True, **arguments: Any) -> None:
        for name in names:
            self.client.create_table(
                TableName=self.prefix + name,
                AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in ("id", "owner")],
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                ProvisionedThroughput={"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
                GlobalSecondaryIndexes=[
                    {
                        "IndexName": "by_owner",
                        "KeySchema": [{"AttributeName": "owner", "KeyType": "HASH"}],
                        "Projection": {"ProjectionType": "ALL"},
                        "ProvisionedThroughput": {"ReadCapacityUnits": 3, "WriteCapacityUnits": 3},
                    }
                ],
                **arguments,
            )
            if pitr:
                self.recover(name)
            if known and name.startswith("bank."):
                self.know(self.prefix + name)

    def create_fence(self) -> None:
        keys = {"window_id": "HASH", "place": "RANGE"}
        self.client.create_table(
            TableName=self.prefix + FENCE,
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in keys],
            KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys.items()],
            BillingMode="PAY_PER_REQUEST",
        )
        self.recover(FENCE)

    def know(self, name: str) -> None:
        """As ScalarDB does, in its metadata."""
        names = self.client.list_tables()["TableNames"]
        if f"{self.prefix}scalardb.metadata" in names:
            self.client.put_item(TableName=f"{self.prefix}scalardb.metadata", Item={"id": {"S": name}, "table": {"S": name}})

    def recover(self, name: str, days: int | None = None, *, on: bool = True) -> None:
        period = {"RecoveryPeriodInDays": days} if days else {}
        self.client.update_continuous_backups(
            TableName=self.prefix + name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": on, **period}
        )

    def history(self, name: str, *, earliest: datetime | None = None, latest: datetime | None = None) -> None:
        """Let it begin and end elsewhere."""
        table = dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION].tables[self.prefix + name]
        said = table.continuous_backups["PointInTimeRecoveryDescription"]
        for key, instant in (("EarliestRestorableDateTime", earliest), ("LatestRestorableDateTime", latest)):
            if instant:
                said[key] = instant.timestamp()

    def histories(self, *, earliest: datetime, latest: datetime) -> None:
        for name in self.client.list_tables()["TableNames"]:
            self.history(name.removeprefix(self.prefix), earliest=earliest, latest=latest)


def with_id(self: Table, base_key: str = "TableDescription") -> dict[str, Any]:
    """Which moto leaves out."""
    said = _DESCRIBE(self, base_key)
    self.midtime_id = getattr(self, "midtime_id", None) or str(uuid.uuid4())
    said[base_key]["TableId"] = self.midtime_id
    return said


@contextmanager
def bank(*, fence: bool = True, **world: Any) -> Iterator[World]:
    """Its tables, with a history of an hour that ends a minute ago."""
    with mock_aws(), patch.object(Table, "describe", with_id):
        made = World(**world)
        made.create("scalardb.metadata", *(name for name in TABLES if name != "scalardb.metadata"))
        if fence:
            made.create_fence()
        now = utc_now()
        made.histories(earliest=now - timedelta(hours=1), latest=now - timedelta(minutes=1))
        yield made


def refusing(client: Any, operation: str, code: str, *, status: int = 400, times: int | None = None) -> Callable[[], int]:
    """Let a client's calls of one operation fail before they are sent; returns what counts them."""
    calls: list[int] = []

    def refuse(**_: Any) -> None:
        calls.append(1)
        if times is None or len(calls) <= times:
            said = {"Error": {"Code": code, "Message": "said the service"}, "ResponseMetadata": {"HTTPStatusCode": status}}
            raise ClientError(said, operation)

    client.meta.events.register(f"before-call.dynamodb.{operation}", refuse)
    return lambda: len(calls)
