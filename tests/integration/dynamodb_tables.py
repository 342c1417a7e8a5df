"""Tables of a DynamoDB: made, written to in every way there is, restored, and looked at with all that a restore loses."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.stack.dynamodb import DynamoDB

INDEX: dict[str, Any] = {
    "IndexName": "by_owner",
    "KeySchema": [{"AttributeName": "owner", "KeyType": "HASH"}],
    "Projection": {"ProjectionType": "ALL"},
    "ProvisionedThroughput": {"ReadCapacityUnits": 3, "WriteCapacityUnits": 4},
}


def refused(code: str) -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\)")


def make(server: DynamoDB, name: str, *, protected: bool = True, **settings: Any) -> str:
    """A table with the key ``id``."""
    wanted = {"BillingMode": "PAY_PER_REQUEST", "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}], **settings}
    server.tables.create_table(TableName=name, KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}], **wanted)
    if protected:
        server.protect(name)
    return name


def put(server: DynamoDB, table: str, key: str, value: int) -> None:
    server.tables.put_item(TableName=table, Item={"id": {"S": key}, "value": {"N": str(value)}})


def values(server: DynamoDB, table: str) -> dict[str, int]:
    return {item["id"]: int(item["value"]) for item in server.items(table)}


def restored(server: DynamoDB, table: str, second: int, target: str = "restored") -> dict[str, int]:
    server.restore(table, target, second)
    found = values(server, target)
    server.tables.delete_table(TableName=target)
    return found


def restore(server: DynamoDB, source: str, target: str, second: float, **overrides: Any) -> Any:
    when = datetime.fromtimestamp(second, UTC)
    return server.tables.restore_table_to_point_in_time(
        SourceTableName=source, TargetTableName=target, RestoreDateTime=when, **overrides
    )["TableDescription"]  # fmt: skip


class Customer:
    """Writes in every way there is, and knows what must be there."""

    def __init__(self, server: DynamoDB, table: str, chance: random.Random) -> None:
        self.tables, self.table, self.chance = server.tables, table, chance
        self.items: dict[str, int] = {}

    def act(self) -> None:
        key, value = self.chance.choice("abcdefgh"), self.chance.randrange(1000)
        self.chance.choice([self.put, self.assign, self.add, self.delete, self.batch, self.transact, self.fail])(key, value)

    def put(self, key: str, value: int) -> None:
        self.tables.put_item(TableName=self.table, Item={"id": {"S": key}, "value": {"N": str(value)}})
        self.items[key] = value

    def assign(self, key: str, value: int) -> None:
        """As ScalarDB does it."""
        self._update(key, "SET #a = :v", {"#a": "value"}, value)
        self.items[key] = value

    def add(self, key: str, value: int) -> None:
        self._update(key, "ADD #a :v", {"#a": "value"}, value)
        self.items[key] = self.items.get(key, 0) + value

    def delete(self, key: str, value: int) -> None:
        self.tables.delete_item(TableName=self.table, Key={"id": {"S": key}})
        self.items.pop(key, None)

    def batch(self, key: str, value: int) -> None:
        other = {"PutRequest": {"Item": {"id": {"S": key * 2}, "value": {"N": str(value)}}}}
        self.tables.batch_write_item(RequestItems={self.table: [{"DeleteRequest": {"Key": {"id": {"S": key}}}}, other]})
        self.items.pop(key, None)
        self.items[key * 2] = value

    def transact(self, key: str, value: int) -> None:
        self.tables.transact_write_items(TransactItems=self._both(key, value))
        self.items |= {key: value, key * 2: value}

    def fail(self, key: str, value: int) -> None:
        """The last part's condition is not met: nothing of it may be seen, now or by a restore."""
        *first, last = self._both(key, value)
        last["Put"] |= {"ConditionExpression": "attribute_exists(nothing)"}
        with refused("TransactionCanceledException"):
            self.tables.transact_write_items(TransactItems=[*first, last])

    def _both(self, key: str, value: int) -> list[dict[str, Any]]:
        of = {"TableName": self.table, "Key": {"id": {"S": key}}, "UpdateExpression": "SET #a = :v"}
        update = {**of, "ExpressionAttributeNames": {"#a": "value"}, "ExpressionAttributeValues": {":v": {"N": str(value)}}}
        put = {"TableName": self.table, "Item": {"id": {"S": key * 2}, "value": {"N": str(value)}}}
        return [{"Update": update}, {"Put": put}]

    def _update(self, key: str, expression: str, names: dict[str, str], value: int) -> None:
        self.tables.update_item(
            TableName=self.table, Key={"id": {"S": key}}, UpdateExpression=expression,
            ExpressionAttributeNames=names, ExpressionAttributeValues={":v": {"N": str(value)}},
        )  # fmt: skip


def rich(server: DynamoDB, name: str) -> str:
    """A table with all the settings that there are."""
    capacity = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6}
    make(
        server, name, BillingMode="PROVISIONED", ProvisionedThroughput=capacity, GlobalSecondaryIndexes=[INDEX],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("id", "owner")],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}, SSESpecification={"Enabled": True, "SSEType": "KMS"},
        TableClass="STANDARD_INFREQUENT_ACCESS", DeletionProtectionEnabled=True, Tags=[{"Key": "team", "Value": "bank"}],
    )  # fmt: skip
    server.tables.update_time_to_live(TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "until"})
    server.tables.put_resource_policy(ResourceArn=server.tables.describe_table(TableName=name)["Table"]["TableArn"], Policy="{}")
    for kind, resource in (("table", f"table/{name}"), ("index", f"table/{name}/index/{INDEX['IndexName']}")):
        target = {"ServiceNamespace": "dynamodb", "ResourceId": resource, "ScalableDimension": f"dynamodb:{kind}:ReadCapacityUnits"}
        server.scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=9)
        metric = {"PredefinedMetricSpecification": {"PredefinedMetricType": "DynamoDBReadCapacityUtilization"}, "TargetValue": 70.0}
        server.scaling.put_scaling_policy(
            **target, PolicyName="p", PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration=metric
        )
    target = {"ServiceNamespace": "dynamodb", "ResourceId": f"table/{name}", "ScalableDimension": "dynamodb:table:ReadCapacityUnits"}
    action = {"ScheduledActionName": "at-night", "Schedule": "rate(1 day)", "ScalableTargetAction": {"MinCapacity": 2}}
    server.scaling.put_scheduled_action(**target, **action)
    return name


def settings_of(server: DynamoDB, table: str) -> dict[str, Any]:
    """What a restore loses; the number of targets with their policy of the table and its indexes."""
    described = server.tables.describe_table(TableName=table)["Table"]
    backups = server.tables.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    pages = server.scaling.get_paginator("describe_scalable_targets").paginate(ServiceNamespace="dynamodb")
    targets = [each["ResourceId"] for page in pages for each in page["ScalableTargets"] if each["ResourceId"].split("/")[1] == table]
    policies = [
        policy["ResourceId"]
        for resource in set(targets)
        for policy in server.scaling.describe_scaling_policies(ServiceNamespace="dynamodb", ResourceId=resource)["ScalingPolicies"]
    ]
    assert sorted(policies) == sorted(targets)
    return {
        "tags": len(server.tables.list_tags_of_resource(ResourceArn=described["TableArn"])["Tags"]),
        "ttl": server.tables.describe_time_to_live(TableName=table)["TimeToLiveDescription"]["TimeToLiveStatus"],
        "pitr": backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"],
        "stream": "StreamSpecification" in described,
        "protected": described["DeletionProtectionEnabled"],
        "scaled": len(targets),
        "scheduled": len(
            server.scaling.describe_scheduled_actions(ServiceNamespace="dynamodb", ResourceId=f"table/{table}")["ScheduledActions"]
        ),
    }
