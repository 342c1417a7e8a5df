"""What a restore of a table loses, as it was when the table was marked; and, in words, what of it is different now."""

from __future__ import annotations

import json
from typing import Any

from midtime.model.restore_point import Instant, Record
from midtime.stores import marks
from midtime.stores.marks import Mark, Spoken


class Capacity(Record):
    """Units a second; of on-demand tables the limits, -1 for none."""

    read: int
    write: int

    def __str__(self) -> str:
        return f"{self.read} read, {self.write} write"


class IndexSettings(Record):
    """One global secondary index."""

    name: str
    capacity: Capacity | None = None
    limits: Capacity | None = None


class ScalingPolicy(Record):
    """One policy, as ``PutScalingPolicy`` takes it."""

    name: str
    kind: str
    configuration: dict[str, Any]


class Scaling(Record):
    """Autoscaling of one dimension of the table or of one of its indexes."""

    index: str | None = None
    dimension: str
    """``dynamodb:table:ReadCapacityUnits`` and the like."""
    least: int
    most: int
    suspended: dict[str, bool] = {}
    policies: tuple[ScalingPolicy, ...] = ()
    scheduled: tuple[dict[str, Any], ...] = ()
    """Scheduled actions, as ``PutScheduledAction`` takes them."""

    @property
    def what(self) -> str:
        """``ReadCapacityUnits``, with the index's name where it is one's."""
        units = self.dimension.rpartition(":")[2]
        return f"{units} of index {self.index}" if self.index else units


class TableSettings(Record):
    """One table. What a restore keeps (keys, attributes, local indexes) is not here."""

    name: str
    """With prefix and namespace."""
    table_id: str
    arn: str
    created_at: Instant
    earliest: Instant | None = None
    """From when on it could be restored, when it was marked."""
    latest: Instant | None = None
    period: int | None = None
    """Days of point-in-time recovery; None: off."""
    billing: str
    """``PROVISIONED`` or ``PAY_PER_REQUEST``."""
    capacity: Capacity | None = None
    limits: Capacity | None = None
    table_class: str = "STANDARD"
    encryption: str | None = None
    """The KMS key's ARN; None: a key that DynamoDB owns."""
    stream: str | None = None
    """The view type; None: off."""
    deletion_protection: bool = False
    ttl: str | None = None
    """The attribute; None: off."""
    tags: dict[str, str] = {}
    policy: str | None = None
    """The resource policy, as canonical JSON."""
    indexes: tuple[IndexSettings, ...] = ()
    scaling: tuple[Scaling, ...] = ()
    alarms: tuple[str, ...] = ()
    """Names of the CloudWatch alarms on it, without those that autoscaling makes for itself."""
    replicas: tuple[str, ...] = ()
    """Regions; a restored copy has none."""


class MarkedTables(Mark):
    """The artifact: all tables of one store at the mark."""

    region: str
    account: str
    prefix: str
    tables: tuple[TableSettings, ...]

    def table(self, name: str) -> TableSettings:
        """One of them.

        :raises KeyError: it was not marked
        """
        for each in self.tables:
            if each.name == name:
                return each
        raise KeyError(name)


def differences(marked: TableSettings, now: TableSettings) -> list[str]:
    """What is different now, one sentence each; names, ids and histories aside. Empty where all was put back."""
    return marks.differences(now.name, spoken(marked), spoken(now))


def spoken(table: TableSettings) -> Spoken:
    """Every setting and its value in words; what is off is left out."""
    yield "billing", table.billing
    yield "table class", table.table_class
    single = {
        "capacity": table.capacity,
        "limits of throughput": table.limits,
        "encryption key": table.encryption,
        "stream": table.stream,
        "TTL attribute": table.ttl,
        "resource policy": table.policy,
        "point-in-time recovery": f"{table.period} days" if table.period is not None else None,
        "deletion protection": "on" if table.deletion_protection else None,
    }
    yield from ((what, str(value)) for what, value in single.items() if value is not None)
    yield from ((f"tag {key}", repr(value)) for key, value in sorted(table.tags.items()))
    yield from ((f"replica in {region}", "there") for region in table.replicas)
    yield from ((f"alarm {name}", "there") for name in table.alarms)
    for index in table.indexes:
        yield f"index {index.name}", f"there (capacity {index.capacity or 'by demand'}, limits {index.limits or 'none'})"
    for each in table.scaling:
        yield f"autoscaling of {each.what}", _scaling(each)


def _scaling(each: Scaling) -> str:
    rest = {
        "suspended": {key: value for key, value in each.suspended.items() if value},
        "policies": [policy.model_dump() for policy in sorted(each.policies, key=lambda policy: policy.name)],
        "scheduled": sorted(each.scheduled, key=lambda action: json.dumps(action, sort_keys=True, default=str)),
    }
    said = [f"{what} {json.dumps(value, sort_keys=True, default=str)}" for what, value in rest.items() if value]
    return ", ".join([f"{each.least} to {each.most}", *said])
