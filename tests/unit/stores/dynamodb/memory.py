"""An account of Amazon's that is a dictionary: every call is counted, its clock stands still between two looks, and it can be left at any call."""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

REGION, ACCOUNT = "ap-northeast-1", "123456789012"
START = datetime(2026, 11, 21, 2, 0, 0, tzinfo=UTC)
POLICY = "PolicyNotFoundException"


class LeftError(BaseException):
    """The process is gone."""


def refusal(code: str, operation: str = "Call") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}, operation)


@dataclass
class Table:
    name: str
    id: str
    content: str
    size: int = 0
    made: float = 0.0
    ready_at: float = 0.0
    busy_until: float = 0.0
    gone_at: float | None = None
    restored: dict[str, Any] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    """As the calls have them: billing, capacity, indexes, stream, protected, ttl, tags, policy, period, limits, table_class."""

    @property
    def arn(self) -> str:
        return f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{self.name}"


@dataclass
class Backup:
    arn: str
    name: str
    of: Table
    ready_at: float
    made: float


LOST = {"stream": None, "protected": False, "ttl": None, "tags": {}, "policy": None, "period": None}
RICH: dict[str, Any] = {
    "billing": "PROVISIONED", "capacity": (5, 6), "indexes": {"by_owner": (3, 4)}, "stream": "KEYS_ONLY", "protected": True, "ttl": "until",
    "tags": {"team": "bank"}, "policy": '{"a": 1}', "period": 14, "limits": None, "table_class": "STANDARD_INFREQUENT_ACCESS",
}  # fmt: skip
PLAIN: dict[str, Any] = {
    **LOST, "billing": "PAY_PER_REQUEST", "capacity": None, "indexes": {}, "period": 35, "limits": None, "table_class": "STANDARD",
}  # fmt: skip


class Memory:
    """The account. Its calls are methods of the names that the SDK gives them.

    :param restores: that may be in flight
    :param seconds: how long a restore to a name takes
    """

    def __init__(self, restores: int = 50, seconds: Callable[[str], float] = lambda _: 20.0) -> None:
        self.restores, self.seconds = restores, seconds
        self.now = 0.0
        self.tables: dict[str, Table] = {}
        self.backups: dict[str, Backup] = {}
        self.targets: dict[tuple[str, str], dict[str, Any]] = {}
        self.policies: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.counts: Counter[str] = Counter()
        self.log: list[str] = []
        self.leave_at: int | None = None
        self.after_each: Callable[[], None] = lambda: None
        self.before_each: Callable[[str, Mapping[str, Any]], None] = lambda operation, asked: None
        self.most = 0
        self.leaving: list[str] = []
        self._ids = itertools.count(1)

    # for tests

    def make(self, name: str, content: str, settings: Mapping[str, Any] = PLAIN, size: int = 0) -> Table:
        table = Table(name, f"id-{next(self._ids)}", content, size, self.now, settings=copy.deepcopy(dict(settings)))
        self.tables[name] = table
        if settings is RICH:
            for resource, dimension in ((f"table/{name}", "table"), (f"table/{name}/index/by_owner", "index")):
                self.targets[resource, f"dynamodb:{dimension}:ReadCapacityUnits"] = {"MinCapacity": 1, "MaxCapacity": 9}
                self.policies[resource, f"dynamodb:{dimension}:ReadCapacityUnits", "p"] = {
                    "PolicyName": "p", "PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 70.0},
                }  # fmt: skip
        return table

    @property
    def left(self) -> bool:
        """Whether the process is gone."""
        return self.leave_at is not None and self.counts.total() >= self.leave_at

    def moment(self, at: float) -> datetime:
        return START + timedelta(seconds=at)

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.001)

    def safe(self) -> set[str]:
        """Contents that are in a table that stays, or in an available backup."""
        tables = {each.content for each in self.tables.values() if each.gone_at is None and each.ready_at <= self.now}
        return tables | {each.of.content for each in self.backups.values() if each.ready_at <= self.now}

    def client(self) -> Any:
        memory = self

        class Client:
            def __getattr__(self, name: str) -> Any:
                if name == "get_paginator":
                    return lambda operation: SimpleNamespace(paginate=lambda **asked: _pages(memory.call(operation, asked)))
                return lambda **asked: memory.call(name, asked)

        return Client()

    def call(self, operation: str, asked: Mapping[str, Any]) -> Any:
        if self.left:
            raise LeftError(operation)
        self.counts[operation] += 1
        self.log.append(f"{operation} {asked.get('TargetTableName') or asked.get('TableName') or asked.get('BackupArn') or ''}")
        for name in [name for name in self.leaving if (gone := self.tables[name].gone_at) is not None and gone <= self.now]:
            self.leaving.remove(name)
            del self.tables[name]
            for key in [key for key in self.targets if key[0].split("/")[1] == name]:
                del self.targets[key]
            for policy in [key for key in self.policies if key[0].split("/")[1] == name]:
                del self.policies[policy]
        self.before_each(operation, asked)
        answer = getattr(self, operation)(**asked)
        self.after_each()
        return answer

    # tables

    def _table(self, name: str, code: str = "ResourceNotFoundException") -> Table:
        if (name := name.rpartition("/")[2]) not in self.tables:
            raise refusal(code)
        return self.tables[name]

    def _settled(self, name: str) -> Table:
        table = self._table(name)
        if self._status(table) != "ACTIVE":
            raise refusal("ResourceInUseException")
        return table

    def _status(self, table: Table) -> str:
        if table.gone_at is not None:
            return "DELETING"
        return "CREATING" if self.now < table.ready_at else "UPDATING" if self.now < table.busy_until else "ACTIVE"

    def list_tables(self, **_: Any) -> Any:
        return {"TableNames": sorted(self.tables)}

    def describe_table(self, TableName: str) -> Any:  # noqa: N803
        table = self._table(TableName)
        said = table.settings
        body: dict[str, Any] = {
            "TableName": table.name, "TableId": table.id, "TableArn": table.arn, "TableStatus": self._status(table),
            "CreationDateTime": self.moment(table.made), "TableSizeBytes": table.size, "DeletionProtectionEnabled": said["protected"],
            "BillingModeSummary": {"BillingMode": said["billing"]}, "TableClassSummary": {"TableClass": said["table_class"]},
            "GlobalSecondaryIndexes": [
                {"IndexName": name, "KeySchema": [], "Projection": {}, "ProvisionedThroughput": _units(units if said["capacity"] else None)}
                for name, units in said["indexes"].items()
            ],
            "ProvisionedThroughput": _units(said["capacity"]),
        }  # fmt: skip
        if said["stream"]:
            body["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": said["stream"]}
        if table.restored:
            body["RestoreSummary"] = {**table.restored, "RestoreInProgress": self._status(table) == "CREATING"}
        return {"Table": body}

    def delete_table(self, TableName: str) -> Any:  # noqa: N803
        table = self._settled(TableName)
        if table.settings["protected"]:
            raise refusal("ValidationException")
        if any(each.of.id == table.id and self.now < each.ready_at for each in self.backups.values()):
            raise refusal("ResourceInUseException")
        table.gone_at = self.now + 4
        self.leaving.append(TableName)

    def update_table(self, TableName: str, **changes: Any) -> Any:  # noqa: N803
        table = self._settled(TableName)
        said = table.settings
        if "DeletionProtectionEnabled" in changes:
            said["protected"] = changes["DeletionProtectionEnabled"]
        if changes.get("StreamSpecification"):
            said["stream"] = changes["StreamSpecification"]["StreamViewType"]
        if "TableClass" in changes:
            said["table_class"] = changes["TableClass"]
        if "BillingMode" in changes:
            said["billing"] = changes["BillingMode"]
        if units := changes.get("ProvisionedThroughput"):
            said["capacity"] = tuple(units.values())
        for each in changes.get("GlobalSecondaryIndexUpdates", ()):
            said["indexes"][each["Update"]["IndexName"]] = tuple(each["Update"]["ProvisionedThroughput"].values())
        table.busy_until = self.now + 3

    # settings

    def describe_continuous_backups(self, TableName: str) -> Any:  # noqa: N803
        table = self._table(TableName, "TableNotFoundException")
        said: dict[str, Any] = {"PointInTimeRecoveryStatus": "DISABLED"}
        if table.settings["period"]:
            bounds = {"EarliestRestorableDateTime": self.moment(table.made - 9e5), "LatestRestorableDateTime": self.moment(self.now)}
            said = {"PointInTimeRecoveryStatus": "ENABLED", "RecoveryPeriodInDays": table.settings["period"], **bounds}
        return {"ContinuousBackupsDescription": {"PointInTimeRecoveryDescription": said}}

    def update_continuous_backups(self, TableName: str, PointInTimeRecoverySpecification: Any) -> Any:  # noqa: N803
        self._settled(TableName).settings["period"] = PointInTimeRecoverySpecification.get("RecoveryPeriodInDays", 35)

    def describe_time_to_live(self, TableName: str) -> Any:  # noqa: N803
        ttl = self._table(TableName).settings["ttl"]
        return {"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": ttl} if ttl else {"TimeToLiveStatus": "DISABLED"}}

    def update_time_to_live(self, TableName: str, TimeToLiveSpecification: Any) -> Any:  # noqa: N803
        self._table(TableName).settings["ttl"] = TimeToLiveSpecification["AttributeName"]

    def list_tags_of_resource(self, ResourceArn: str) -> Any:  # noqa: N803
        return {"Tags": [{"Key": key, "Value": value} for key, value in self._table(ResourceArn).settings["tags"].items()]}

    def tag_resource(self, ResourceArn: str, Tags: Any) -> Any:  # noqa: N803
        self._table(ResourceArn).settings["tags"] |= {each["Key"]: each["Value"] for each in Tags}

    def get_resource_policy(self, ResourceArn: str) -> Any:  # noqa: N803
        if not (policy := self._table(ResourceArn).settings["policy"]):
            raise refusal(POLICY)
        return {"Policy": policy}

    def put_resource_policy(self, ResourceArn: str, Policy: str) -> Any:  # noqa: N803
        self._table(ResourceArn).settings["policy"] = Policy

    # scaling and alarms

    def describe_scalable_targets(self, **_: Any) -> Any:
        return {"ScalableTargets": [{"ResourceId": r, "ScalableDimension": d, **each} for (r, d), each in self.targets.items()]}

    def describe_scaling_policies(self, **_: Any) -> Any:
        return {"ScalingPolicies": [{"ResourceId": r, "ScalableDimension": d, **each} for (r, d, _), each in self.policies.items()]}

    def describe_scheduled_actions(self, **_: Any) -> Any:
        return {"ScheduledActions": []}

    def describe_alarms(self, **_: Any) -> Any:
        return {"MetricAlarms": []}

    def register_scalable_target(self, ServiceNamespace: str, ResourceId: str, ScalableDimension: str, **bounds: Any) -> Any:  # noqa: N803
        self._table(ResourceId.split("/")[1])
        self.targets[ResourceId, ScalableDimension] = bounds

    def put_scaling_policy(self, ServiceNamespace: str, ResourceId: str, ScalableDimension: str, **policy: Any) -> Any:  # noqa: N803
        if (ResourceId, ScalableDimension) not in self.targets:
            raise refusal("ObjectNotFoundException")
        self.policies[ResourceId, ScalableDimension, policy["PolicyName"]] = policy

    # backups and restores

    def create_backup(self, TableName: str, BackupName: str) -> Any:  # noqa: N803
        table = self._settled(TableName)
        arn = f"{table.arn}/backup/{next(self._ids)}"
        frozen = Table(table.name, table.id, table.content, table.size, settings=copy.deepcopy(table.settings))
        self.backups[arn] = Backup(arn, BackupName, frozen, self.now + 6, self.now)

    def list_backups(self, **_: Any) -> Any:
        return {
            "BackupSummaries": [
                {
                    "BackupArn": each.arn,
                    "BackupName": each.name,
                    "TableName": each.of.name,
                    "TableId": each.of.id,
                    "BackupStatus": "CREATING" if self.now < each.ready_at else "AVAILABLE",
                    "BackupCreationDateTime": self.moment(each.made),
                }
                for each in self.backups.values()
            ]
        }

    def describe_backup(self, BackupArn: str) -> Any:  # noqa: N803
        indexes = [{"IndexName": name, "KeySchema": [], "Projection": {}} for name in self.backups[BackupArn].of.settings["indexes"]]
        return {"BackupDescription": {"SourceTableFeatureDetails": {"GlobalSecondaryIndexes": indexes}}}

    def delete_backup(self, BackupArn: str) -> Any:  # noqa: N803
        if BackupArn not in self.backups:
            raise refusal("BackupNotFoundException")
        restoring = any(self.now < t.ready_at and (t.restored or {}).get("SourceBackupArn") == BackupArn for t in self.tables.values())
        if restoring or self.now < self.backups[BackupArn].ready_at:
            raise refusal("BackupInUseException")
        del self.backups[BackupArn]

    def restore_table_to_point_in_time(self, SourceTableName: str, RestoreDateTime: datetime, **asked: Any) -> Any:  # noqa: N803
        source = self._table(SourceTableName, "TableNotFoundException")
        self._restore(asked, source, f"then {source.name}", {"SourceTableArn": source.arn, "RestoreDateTime": RestoreDateTime})

    def restore_table_from_backup(self, BackupArn: str, **asked: Any) -> Any:  # noqa: N803
        backup = self.backups[BackupArn]
        if self.now < backup.ready_at:
            raise refusal("BackupInUseException")
        summary = {"SourceBackupArn": BackupArn, "SourceTableArn": backup.of.arn, "RestoreDateTime": self.moment(backup.made)}
        self._restore(asked, backup.of, backup.of.content, summary)

    def _restore(self, asked: Mapping[str, Any], source: Table, content: str, summary: dict[str, Any]) -> None:
        name = asked["TargetTableName"]
        if name in self.tables:
            raise refusal("TableInUseException" if self._status(self.tables[name]) != "ACTIVE" else "TableAlreadyExistsException")
        flying = sum(self.now < each.ready_at for each in self.tables.values())
        if flying >= self.restores:
            raise refusal("LimitExceededException")
        self.most = max(self.most, flying + 1)
        settings = copy.deepcopy({**source.settings, **LOST})
        if billing := asked.get("BillingModeOverride"):
            settings["billing"] = billing
            settings["capacity"] = None if billing == "PAY_PER_REQUEST" else settings["capacity"]
        if units := asked.get("ProvisionedThroughputOverride"):
            settings["capacity"] = tuple(units.values())
        for index in asked.get("GlobalSecondaryIndexOverride", ()):
            if units := index.get("ProvisionedThroughput"):
                settings["indexes"][index["IndexName"]] = tuple(units.values())
        table = Table(name, f"id-{next(self._ids)}", content, source.size, self.now, self.now + self.seconds(name), restored=summary)
        table.settings = settings
        self.tables[name] = table


def _pages(answer: dict[str, list[Any]]) -> Iterator[dict[str, list[Any]]]:
    """Of one each: whoever reads only the first page misses the rest."""
    ((key, every),) = answer.items()
    yield from ({key: [each]} for each in every)
    if not every:
        yield answer


def _units(capacity: tuple[int, int] | None) -> dict[str, int]:
    read, write = capacity or (0, 0)
    return {"ReadCapacityUnits": read, "WriteCapacityUnits": write}
