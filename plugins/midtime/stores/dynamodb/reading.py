"""Reading what a restore loses: a few calls for each table, several tables at a time; autoscaling and alarms once for all."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from midtime.stores.dynamodb.aws import Aws
from midtime.stores.dynamodb.history import LONGEST, History
from midtime.stores.dynamodb.refusals import aws_errors, code_of
from midtime.stores.dynamodb.settings import Capacity, IndexSettings, Scaling, ScalingPolicy, TableSettings
from midtime.stores.each import of_each

OWN_ALARMS = "TargetTracking-table/"
"""How the names of alarms begin that target tracking makes, and makes again."""
_SCALING = {"ServiceNamespace": "dynamodb"}
_POLICY_KEYS = ("TargetTrackingScalingPolicyConfiguration", "StepScalingPolicyConfiguration")
_SCHEDULED_KEYS = ("ScheduledActionName", "Schedule", "Timezone", "StartTime", "EndTime", "ScalableTargetAction")


def read_settings(aws: Aws, tables: Sequence[History]) -> list[TableSettings]:
    """The settings of these tables, in their order.

    :raises StoreError: one of the calls is refused
    """
    by_name = {table.name: table for table in tables}
    with aws_errors(aws.store):
        scaling, alarms = _scaling(aws), _alarms(aws)

        def read(name: str) -> TableSettings:
            return _table(aws, by_name[name], tuple(scaling.get(name, ())), tuple(sorted(alarms.get(name, ()))))

        return of_each(by_name, read)


def _table(aws: Aws, history: History, scaling: tuple[Scaling, ...], alarms: tuple[str, ...]) -> TableSettings:
    said, name = history.description, history.name
    ttl = aws.control.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    tags = aws.control.get_paginator("list_tags_of_resource").paginate(ResourceArn=said["TableArn"])
    stream = said.get("StreamSpecification", {})
    return TableSettings(
        name=name,
        table_id=history.table_id,
        arn=said["TableArn"],
        created_at=said["CreationDateTime"],
        earliest=history.earliest,
        latest=history.latest,
        period=(history.period or LONGEST) if history.on else None,
        billing=_billing(said),
        capacity=_capacity(said),
        limits=_limits(said),
        table_class=said.get("TableClassSummary", {}).get("TableClass", "STANDARD"),
        encryption=said.get("SSEDescription", {}).get("KMSMasterKeyArn"),
        stream=stream.get("StreamViewType") if stream.get("StreamEnabled") else None,
        deletion_protection=bool(said.get("DeletionProtectionEnabled")),
        ttl=ttl.get("AttributeName") if ttl.get("TimeToLiveStatus") in ("ENABLED", "ENABLING") else None,
        tags={tag["Key"]: tag["Value"] for page in tags for tag in page["Tags"]},
        policy=_policy(aws, said["TableArn"]),
        indexes=tuple(sorted((_index(each) for each in said.get("GlobalSecondaryIndexes") or ()), key=lambda index: index.name)),
        scaling=scaling,
        alarms=alarms,
        replicas=tuple(sorted(each["RegionName"] for each in said.get("Replicas") or ())),
    )


def _billing(said: Mapping[str, Any]) -> str:
    return str(said.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"))


def _capacity(said: Mapping[str, Any]) -> Capacity | None:
    units = said.get("ProvisionedThroughput", {})
    read, write = units.get("ReadCapacityUnits", 0), units.get("WriteCapacityUnits", 0)
    return Capacity(read=read, write=write) if read or write else None  # by demand they are 0


def _limits(said: Mapping[str, Any]) -> Capacity | None:
    most = said.get("OnDemandThroughput")
    return Capacity(read=most.get("MaxReadRequestUnits", -1), write=most.get("MaxWriteRequestUnits", -1)) if most else None


def _index(said: Mapping[str, Any]) -> IndexSettings:
    return IndexSettings(name=said["IndexName"], capacity=_capacity(said), limits=_limits(said))


def _policy(aws: Aws, arn: str) -> str | None:
    try:
        found = aws.control.get_resource_policy(ResourceArn=arn).get("Policy")
    except ClientError as error:
        if code_of(error) == "PolicyNotFoundException":
            return None
        raise
    return json.dumps(json.loads(found), sort_keys=True) if found else None


def _scaling(aws: Aws) -> dict[str, list[Scaling]]:
    """By table: every dimension of it and of its indexes that is scaled."""
    policies = _grouped(_paged(aws, "describe_scaling_policies", "ScalingPolicies"))
    scheduled = _grouped(_paged(aws, "describe_scheduled_actions", "ScheduledActions"))
    found: dict[str, list[Scaling]] = defaultdict(list)
    for target in _paged(aws, "describe_scalable_targets", "ScalableTargets"):
        key = target["ResourceId"], target["ScalableDimension"]
        _, table, *index = target["ResourceId"].split("/")
        found[table].append(
            Scaling(
                index=index[1] if index else None,
                dimension=target["ScalableDimension"],
                least=target["MinCapacity"],
                most=target["MaxCapacity"],
                suspended=target.get("SuspendedState", {}),
                policies=tuple(_policy_of(each) for each in policies[key]),
                scheduled=tuple(_plain({k: each[k] for k in _SCHEDULED_KEYS if k in each}) for each in scheduled[key]),
            )
        )
    return {table: sorted(each, key=lambda scaling: scaling.what) for table, each in found.items()}


def _policy_of(said: Mapping[str, Any]) -> ScalingPolicy:
    configuration: Any = next((said[key] for key in _POLICY_KEYS if key in said), {})
    return ScalingPolicy(name=said["PolicyName"], kind=said["PolicyType"], configuration=_plain(configuration))


def _paged(aws: Aws, operation: str, key: str) -> list[dict[str, Any]]:
    return [each for page in aws.scaling.get_paginator(operation).paginate(**_SCALING) for each in page[key]]


def _grouped(every: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for each in every:
        found[each["ResourceId"], each["ScalableDimension"]].append(each)
    return found


def _alarms(aws: Aws) -> dict[str, list[str]]:
    """By table: the names of its alarms."""
    found: dict[str, list[str]] = defaultdict(list)
    for page in aws.alarms.get_paginator("describe_alarms").paginate(AlarmTypes=["MetricAlarm"]):
        for alarm in page["MetricAlarms"]:
            for dimension in alarm.get("Dimensions", ()):
                if dimension["Name"] == "TableName" and not alarm["AlarmName"].startswith(OWN_ALARMS):
                    found[dimension["Value"]].append(alarm["AlarmName"])
    return found


def _plain(value: Any) -> Any:
    """What JSON can hold: instants become text."""
    return json.loads(json.dumps(value, default=str))
