"""All that a restore loses is read: of the table, and of each of its indexes."""

from __future__ import annotations

import json

import pytest

from midtime.errors import StoreAccessError, StoreStatementError
from midtime.stores.dynamodb.history import histories
from midtime.stores.dynamodb.reading import read_settings
from midtime.stores.dynamodb.settings import Capacity, IndexSettings, TableSettings
from tests.unit.stores.dynamodb.world import World, refusing

ACCOUNTS = "bank.accounts"
TRACKING = {"TargetValue": 70.0, "PredefinedMetricSpecification": {"PredefinedMetricType": "DynamoDBReadCapacityUtilization"}}


def read(world: World, *names: str) -> list[TableSettings]:
    return read_settings(world.aws, histories(world.aws, names))


def dress(world: World) -> str:
    """Everything that can be set; returns the table's ARN."""
    client = world.client
    arn: str = client.describe_table(TableName=ACCOUNTS)["Table"]["TableArn"]
    client.tag_resource(ResourceArn=arn, Tags=[{"Key": f"tag{number}", "Value": str(number)} for number in range(12)])
    client.update_time_to_live(TableName=ACCOUNTS, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"})
    client.update_table(
        TableName=ACCOUNTS, StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}, DeletionProtectionEnabled=True
    )
    client.put_resource_policy(ResourceArn=arn, Policy=json.dumps({"Version": "2012-10-17", "Statement": []}))
    world.recover(ACCOUNTS, days=14)
    for resource, kind in ((f"table/{ACCOUNTS}", "table"), (f"table/{ACCOUNTS}/index/by_owner", "index")):
        where = {"ServiceNamespace": "dynamodb", "ResourceId": resource, "ScalableDimension": f"dynamodb:{kind}:ReadCapacityUnits"}
        world.scaling.register_scalable_target(**where, MinCapacity=5, MaxCapacity=50)
        world.scaling.put_scaling_policy(
            **where, PolicyName=f"read-{kind}", PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration=TRACKING
        )
    world.scaling.put_scheduled_action(
        **where, ScheduledActionName="night", Schedule="cron(0 0 * * ? *)", ScalableTargetAction={"MinCapacity": 1, "MaxCapacity": 2}
    )
    for name, of in (("hot", ACCOUNTS), ("TargetTracking-table/bank.accounts-x", ACCOUNTS), ("other", "bank.owners")):
        world.alarms.put_metric_alarm(
            AlarmName=name,
            MetricName="ConsumedReadCapacityUnits",
            Namespace="AWS/DynamoDB",
            Dimensions=[{"Name": "TableName", "Value": of}],
            Period=60,
            EvaluationPeriods=1,
            Threshold=1.0,
            ComparisonOperator="GreaterThanThreshold",
            Statistic="Sum",
        )
    return arn


def test_everything(world: World) -> None:
    arn = dress(world)
    found, plain = read(world, ACCOUNTS, "coordinator.state")
    assert (found.name, found.arn) == (ACCOUNTS, arn)
    assert found.tags == {f"tag{number}": str(number) for number in range(12)}
    assert (found.ttl, found.stream, found.deletion_protection, found.period) == ("expires", "KEYS_ONLY", True, 14)
    assert (found.billing, found.capacity) == ("PROVISIONED", Capacity(read=5, write=5))
    assert found.indexes == (IndexSettings(name="by_owner", capacity=Capacity(read=3, write=3)),)
    assert found.policy
    assert json.loads(found.policy)["Version"] == "2012-10-17"
    assert found.alarms == ("hot",)  # those of target tracking come back with its policies
    table, index = found.scaling
    assert (table.index, table.least, table.most, table.policies[0].name) == (None, 5, 50, "read-table")
    assert index.index == "by_owner"
    assert index.policies[0].configuration["TargetValue"] == 70.0
    assert index.scheduled[0]["ScheduledActionName"] == "night"
    assert (plain.tags, plain.ttl, plain.stream, plain.scaling, plain.alarms, plain.policy) == ({}, None, None, (), (), None)


def test_by_demand(world: World) -> None:
    world.client.update_table(TableName=ACCOUNTS, BillingMode="PAY_PER_REQUEST")
    (found,) = read(world, ACCOUNTS)
    assert found.billing == "PAY_PER_REQUEST"


@pytest.mark.parametrize(("operation", "code"), [("DescribeTimeToLive", "AccessDeniedException"), ("ListTagsOfResource", "AccessDenied")])
def test_what_may_not_be_read_is_no_setting_that_is_off(world: World, operation: str, code: str) -> None:
    refusing(world.aws.control, operation, code)
    with pytest.raises(StoreAccessError, match="store points: access denied"):
        read(world, ACCOUNTS)


def test_throttled(world: World) -> None:
    refusing(world.aws.control, "DescribeTimeToLive", "ThrottlingException")
    with pytest.raises(StoreStatementError, match="throttled") as caught:
        read(world, ACCOUNTS)
    assert caught.value.retryable
