"""Backups that somebody asked for, and those that are left when a protected table is deleted."""

from __future__ import annotations

from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.dynamodb.exceptions import ERROR_TYPE_PREFIX
from moto.dynamodb.models.table import Backup

from tests.stack.dynamodb_history import TimedTable
from tests.stack.dynamodb_world import WORLD, moment

DAY = 86400


def refusal(code: str, message: str) -> JsonRESTError:
    return JsonRESTError(ERROR_TYPE_PREFIX + code, message)


class TimedBackup(Backup):
    """A table as it was when the backup was asked for."""

    table: TimedTable

    def __init__(self, table: TimedTable, name: str, kind: str = "USER") -> None:
        super().__init__(table.account_id, table.region_name, name, table.frozen(), type_=kind)
        self.begun = WORLD.instant
        self.creation_date_time = moment(self.begun)
        self.ready_at = self.begun if kind == "SYSTEM" else WORLD.later("backup", table.name)
        self.deleted = False

    @property
    def being_made(self) -> bool:
        return WORLD.instant < self.ready_at

    @property
    def details(self) -> dict[str, Any]:
        status = "DELETED" if self.deleted else "CREATING" if self.being_made else "AVAILABLE"
        expiry = {"BackupExpiryDateTime": moment(self.begun + 35 * DAY)} if self.type == "SYSTEM" else {}
        return {**super().details, "BackupStatus": status, **expiry}

    @property
    def summary(self) -> dict[str, Any]:
        return {**super().summary, **self.details, "TableId": self.table.table_id}

    @property
    def description(self) -> dict[str, Any]:
        table = self.table.describe()["TableDescription"]
        described = {
            "BillingMode": self.table.billing_mode,
            "TableCreationDateTime": table["CreationDateTime"],
            "ItemCount": len(self.table),
            **{key: table[key] for key in ("TableName", "TableId", "TableArn", "KeySchema", "ProvisionedThroughput", "TableSizeBytes")},
        }
        features = {"LocalSecondaryIndexes": table["LocalSecondaryIndexes"], "GlobalSecondaryIndexes": table["GlobalSecondaryIndexes"]}
        features |= {"TimeToLiveDescription": self.table.ttl, "StreamDescription": self.table.stream_specification}
        features |= {"SSEDescription": table["SSEDescription"]} if "SSEDescription" in table else {}
        return {"BackupDetails": self.details, "SourceTableDetails": described, "SourceTableFeatureDetails": features}
