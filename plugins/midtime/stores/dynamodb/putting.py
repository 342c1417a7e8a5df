"""Settings that a restore loses, put back: what differs from what is wanted, one change after the other.

What the service refuses for good (a right that the login has not, a key that is no more) costs no table its place: it is said.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from midtime.errors import StoreError
from midtime.stores.dynamodb.aws import Aws
from midtime.stores.dynamodb.copies import Standing
from midtime.stores.dynamodb.history import histories
from midtime.stores.dynamodb.pacing import put_off
from midtime.stores.dynamodb.reading import read_settings
from midtime.stores.dynamodb.settings import Capacity, Scaling, TableSettings, differences
from midtime.stores.naming import COPY_TAG

log = logging.getLogger(__name__)

TRIES = 60
"""Of one change that the service puts off again and again."""
REPEATS = 3
"""Of one change that it takes, and that does not show."""
_CONFIGURATIONS = {
    "TargetTrackingScaling": "TargetTrackingScalingPolicyConfiguration",
    "StepScaling": "StepScalingPolicyConfiguration",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One call."""

    what: str
    call: Callable[..., Any]
    arguments: Mapping[str, Any]
    exclusive: bool = False
    """The table takes no other change meanwhile."""


def wanted_of(marked: TableSettings, now: TableSettings) -> TableSettings:
    """What a table of another name or identity is to have: its policy is about itself, and neither our tags nor the service's are the user's."""
    policy = marked.policy.replace(marked.arn, now.arn) if marked.policy else None
    tags = {key: value for key, value in marked.tags.items() if key != COPY_TAG and not key.startswith("aws:")}
    return marked.model_copy(update={"policy": policy, "tags": tags})


class Putting:
    """The settings of some tables, on their way back.

    :param wanted: by the tables' present names
    """

    def __init__(self, aws: Aws, wanted: Mapping[str, TableSettings]) -> None:
        self.aws, self.wanted = aws, wanted
        self._settled: set[str] = set()
        self._tries: Counter[tuple[str, str]] = Counter()
        self._taken: Counter[tuple[str, str]] = Counter()
        self._given_up: set[tuple[str, str]] = set()

    def look(self, found: Mapping[str, Standing]) -> list[str]:
        """Make what changes can be made now.

        :param found: tables that are ready
        :return: the names of those on which changes are left
        """
        asked = [name for name in found if name not in self._settled]
        if not asked:
            return []
        settings = {each.name: each for each in read_settings(self.aws, histories(self.aws, asked))}
        for name in asked:
            if not self._change(found[name], settings[name]):
                self._settled.add(name)
        return [name for name in asked if name not in self._settled]

    def differences(self) -> list[str]:
        """What is not as it is wanted, in the end."""
        said = []
        for now in read_settings(self.aws, histories(self.aws, list(self.wanted))):
            plain = now.model_copy(update={"tags": {key: value for key, value in now.tags.items() if key != COPY_TAG}})
            said += differences(wanted_of(self.wanted[now.name], now), plain)
        return said

    def _change(self, standing: Standing, now: TableSettings) -> int:
        """How many changes are left."""
        wanted, left, busy = wanted_of(self.wanted[standing.name], now), 0, standing.status != "ACTIVE"
        for change in changes(self.aws, wanted, now, standing):
            key = standing.name, change.what
            if key in self._given_up or self._taken[key] >= REPEATS:
                continue
            left += 1
            if change.exclusive and busy:
                continue
            busy = busy or change.exclusive
            self._make(change, key)
        return left

    def _make(self, change: Change, key: tuple[str, str]) -> None:
        name, _ = key
        try:
            later = put_off(self.aws.store, change.call, **change.arguments)
        except StoreError as error:
            log.warning("%s: %s could not be put back: %s", name, change.what, error)
            self._given_up.add(key)
            return
        if not later:
            self._taken[key] += 1
            log.info("%s: %s put back", name, change.what)
            return
        self._tries[key] += 1
        if self._tries[key] >= TRIES:
            log.warning("%s: %s could not be put back: %s", name, change.what, later)
            self._given_up.add(key)


def changes(aws: Aws, wanted: TableSettings, now: TableSettings, standing: Standing) -> Iterator[Change]:
    """What is left to be done: history first, for it begins only then; protection last, for it is in the way of going back."""
    client, of = aws.control, {"TableName": standing.name}
    if wanted.period is not None and wanted.period != now.period:
        specification = {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": wanted.period}
        yield Change("point-in-time recovery", client.update_continuous_backups, {**of, "PointInTimeRecoverySpecification": specification})
    updates = list(_updates(wanted, now))
    for what, arguments in updates:
        yield Change(what, client.update_table, {**of, **arguments}, exclusive=True)
    if wanted.ttl and now.ttl is None:
        ttl = {"Enabled": True, "AttributeName": wanted.ttl}
        yield Change("time to live", client.update_time_to_live, {**of, "TimeToLiveSpecification": ttl})
    if missing := {key: value for key, value in wanted.tags.items() if now.tags.get(key) != value}:
        tags = [{"Key": key, "Value": value} for key, value in missing.items()]
        yield Change("tags", client.tag_resource, {"ResourceArn": now.arn, "Tags": tags})
    if wanted.policy and wanted.policy != now.policy:
        yield Change("resource policy", client.put_resource_policy, {"ResourceArn": now.arn, "Policy": wanted.policy})
    if not any(what.startswith("capacity") for what, _ in updates):  # only what is provisioned can be scaled
        yield from _scaling(aws, wanted, now, standing.name)
    if wanted.deletion_protection and not now.deletion_protection and not updates:
        yield Change("deletion protection", client.update_table, {**of, "DeletionProtectionEnabled": True}, exclusive=True)


def _updates(wanted: TableSettings, now: TableSettings) -> Iterator[tuple[str, dict[str, Any]]]:
    """By UpdateTable, each for itself."""
    if arguments := _capacity(wanted, now):
        yield "capacity", arguments
    elif arguments := _limits(wanted, now):
        yield "limits of throughput", arguments
    if wanted.table_class != now.table_class:
        yield "table class", {"TableClass": wanted.table_class}
    if wanted.stream and wanted.stream != now.stream:
        yield "stream", {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": wanted.stream}}


def _capacity(wanted: TableSettings, now: TableSettings) -> dict[str, Any]:
    """Of the table and its indexes; once it is scaled, it is scaling's affair."""
    if wanted.billing != "PROVISIONED":
        return {"BillingMode": wanted.billing} if wanted.billing != now.billing else {}
    there = {index.name: index.capacity for index in now.indexes}
    indexes = {index.name: index.capacity for index in wanted.indexes if index.name in there and index.capacity}
    if wanted.billing == now.billing and (now.scaling or (wanted.capacity == now.capacity and indexes == there)):
        return {}
    arguments: dict[str, Any] = {"BillingMode": "PROVISIONED"} if wanted.billing != now.billing else {}
    if wanted.capacity and (wanted.billing != now.billing or wanted.capacity != now.capacity):
        arguments["ProvisionedThroughput"] = throughput(wanted.capacity)
    changed = {name: capacity for name, capacity in indexes.items() if capacity != there[name] or wanted.billing != now.billing}
    if changed:
        arguments["GlobalSecondaryIndexUpdates"] = [
            {"Update": {"IndexName": name, "ProvisionedThroughput": throughput(capacity)}} for name, capacity in changed.items()
        ]
    return arguments


def _limits(wanted: TableSettings, now: TableSettings) -> dict[str, Any]:
    """Of what is paid by demand."""
    if wanted.billing == "PROVISIONED":
        return {}
    arguments: dict[str, Any] = {"OnDemandThroughput": limits(wanted.limits)} if wanted.limits != now.limits else {}
    there = {index.name: index.limits for index in now.indexes}
    changed = [index for index in wanted.indexes if index.name in there and index.limits != there[index.name]]
    if changed:
        arguments["GlobalSecondaryIndexUpdates"] = [
            {"Update": {"IndexName": index.name, "OnDemandThroughput": limits(index.limits)}} for index in changed
        ]
    return arguments


def throughput(capacity: Capacity) -> dict[str, int]:
    """As the service takes it."""
    return {"ReadCapacityUnits": capacity.read, "WriteCapacityUnits": capacity.write}


def limits(most: Capacity | None) -> dict[str, int]:
    """As the service takes it: -1 for none."""
    return {"MaxReadRequestUnits": most.read if most else -1, "MaxWriteRequestUnits": most.write if most else -1}


def _scaling(aws: Aws, wanted: TableSettings, now: TableSettings, name: str) -> Iterator[Change]:
    """Of the table and of each index: targets first, policies need them."""
    there = {(each.index, each.dimension): each for each in now.scaling}
    for each in wanted.scaling:
        has = there.get((each.index, each.dimension))
        of = _resource(name, each)
        if has is None or (has.least, has.most, _on(has.suspended)) != (each.least, each.most, _on(each.suspended)):
            bounds = {"MinCapacity": each.least, "MaxCapacity": each.most}
            suspended = {"SuspendedState": each.suspended} if each.suspended else {}
            yield Change(f"autoscaling of {each.what}", aws.scaling.register_scalable_target, {**of, **bounds, **suspended})
            if has is None:
                continue  # at the next look
        for policy in each.policies:
            if has is None or policy not in has.policies:
                said = {"PolicyName": policy.name, "PolicyType": policy.kind, _CONFIGURATIONS[policy.kind]: policy.configuration}
                yield Change(f"policy {policy.name} of {each.what}", aws.scaling.put_scaling_policy, {**of, **said})
        for action in each.scheduled:
            if has is None or action not in has.scheduled:
                named = f"scheduled action {action.get('ScheduledActionName')} of {each.what}"
                yield Change(named, aws.scaling.put_scheduled_action, {**of, **action})


def _resource(name: str, each: Scaling) -> dict[str, str]:
    resource = f"table/{name}/index/{each.index}" if each.index else f"table/{name}"
    return {"ServiceNamespace": "dynamodb", "ResourceId": resource, "ScalableDimension": each.dimension}


def _on(suspended: Mapping[str, bool]) -> dict[str, bool]:
    return {key: value for key, value in suspended.items() if value}
