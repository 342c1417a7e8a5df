"""Moto's DynamoDB with the service's own semantics of time: tables and backups take time to come and go, and a restore goes back to a second.

What a restore loses and what it keeps is as the service's guide says; where moto is content with less than the service, it is made up here.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from moto.dynamodb.comparisons import create_condition_expression_parser
from moto.dynamodb.exceptions import BackupNotFoundException, ConditionalCheckFailed, ResourceNotFoundException
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import GlobalSecondaryIndex, Table

from tests.stack import dynamodb_scaling as scaling
from tests.stack.dynamodb_backups import DAY, TimedBackup, refusal
from tests.stack.dynamodb_history import Before, TimedTable
from tests.stack.dynamodb_world import DATA_OPERATIONS, WORLD, moment


class TimedBackend(DynamoDBBackend):
    """One region's; used under the world's lock, at its instant."""

    @property
    def timed(self) -> dict[str, TimedTable]:
        return self.tables  # type: ignore[return-value]

    def sweep(self) -> None:
        """What was being deleted is gone now, with all that hung on its name."""
        for name, table in list(self.timed.items()):
            if table.gone_at is not None and table.gone_at <= WORLD.instant:
                del self.tables[name]
                self.resource_policies.pop(table.table_arn, None)
                scaling.forget(self.account_id, self.region_name, name)

    def get_table(self, table_name: str) -> TimedTable:
        table: Any = super().get_table(table_name)
        if WORLD.operation in DATA_OPERATIONS and not table.has_data:
            raise ResourceNotFoundException
        return table  # type: ignore[no-any-return]

    def _settled(self, name: str) -> TimedTable:
        """A table whose settings can be changed."""
        table = self.get_table(name)
        if table.status != "ACTIVE":
            raise refusal(
                "ResourceInUseException", f"Attempt to change a resource which is still in use: Table is {table.status}: {table.name}"
            )
        return table

    def create_table(self, name: str, schema: Any, throughput: Any, attr: Any, indexes: Any, **settings: Any) -> Table:  # type: ignore[override]
        if name in self.tables:
            raise refusal("ResourceInUseException", f"Table already exists: {name}")
        keys = {"schema": schema, "throughput": throughput, "attr": attr, "indexes": indexes}
        table = TimedTable(name, account_id=self.account_id, region=self.region_name, **keys, **settings)
        self.tables[name] = table
        return table

    def update_table(self, name: str, **changes: Any) -> Table:  # type: ignore[override]
        self._settled(name)
        table: Any = super().update_table(name, **changes)
        if changes.get("billing_mode") == "PAY_PER_REQUEST":
            table.throughput = {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0}
        table.updated_at = WORLD.later("update", table.name)
        return table  # type: ignore[no-any-return]

    def delete_table(self, name: str) -> Table:
        table = self.get_table(name)
        if table.status == "DELETING":
            return table
        self._settled(name)
        if any(backup.being_made for backup in self._backups() if backup.table.table_id == table.table_id):
            raise refusal("ResourceInUseException", f"Table is being backed up: {table.name}")
        if table.deletion_protection_enabled:
            message = "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first."
            raise refusal("ValidationException", message)
        if table.history:
            self._keep(TimedBackup(table, f"{table.name}$DeletedTableBackup", "SYSTEM"))
        table.gone_at = WORLD.later("delete", table.name)
        table.history = None
        return table

    def list_tables(self, limit: int, exclusive_start_table_name: str) -> tuple[list[str], str | None]:
        names = [name for name in sorted(self.tables) if name > (exclusive_start_table_name or "")]
        return names[:limit], names[limit - 1] if len(names) > limit else None

    # items

    def update_item(self, table_name: str, *arguments: Any, **keywords: Any) -> Item:
        item = super().update_item(table_name, *arguments, **keywords)
        self.get_table(table_name).changed(item)
        return item

    def assign(self, asked: Mapping[str, Any], assigned: Mapping[str, Any]) -> bool:
        """Set attributes of an item, if they have nothing to do with keys, indexes and streams."""
        table = self.get_table(asked["TableName"])
        if table.stream_shard is not None or set(assigned) & set(table.attribute_keys):
            return False
        key = self.get_keys_value(table, asked["Key"])
        old = table.get_item(*key)
        condition = asked.get("ConditionExpression")
        named, valued = asked["ExpressionAttributeNames"], asked["ExpressionAttributeValues"]
        if condition and not create_condition_expression_parser(condition, named, valued).parse().expr(old):
            kept = asked.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and old is not None
            raise ConditionalCheckFailed(item=old.to_json()["Attributes"] if kept and old else None)
        new = Item(*key, attrs=asked["Key"])
        attributes = {name: DynamoType(value) for name, value in assigned.items()}
        dict.update(new.attrs, {**(old.attrs if old else {}), **attributes})  # not by its own, which sizes up all at each
        table.set_item(key, new)
        table.changed(new)
        return True

    def transact_write_items(self, transact_items: list[dict[str, Any]]) -> None:
        before = list(self._before(transact_items))
        try:
            super().transact_write_items(transact_items)
        except Exception:
            for each in before:
                each.put_back()
            raise

    def _before(self, operations: Iterable[Mapping[str, Any]]) -> Iterator[Before]:
        for operation in operations:
            ((kind, body),) = operation.items()
            table = self.get_table(body["TableName"])
            keys = body["Item"] if kind == "Put" else body["Key"]
            range_key = DynamoType(keys[table.range_key_attr]) if table.range_key_attr else None
            yield table.before((DynamoType(keys[table.hash_key_attr]), range_key))

    # point-in-time recovery

    def _known(self, name: str) -> TimedTable:
        """Told apart by another code than elsewhere, as the service does here."""
        try:
            return self.get_table(name)
        except ResourceNotFoundException:
            raise refusal("TableNotFoundException", f"Table not found: {name}") from None

    def describe_continuous_backups(self, table_name: str) -> dict[str, Any]:
        table = self._known(table_name)
        described: dict[str, Any] = {"PointInTimeRecoveryStatus": "DISABLED"}
        if table.history:
            earliest, latest = self._restorable(table)
            described = {"PointInTimeRecoveryStatus": "ENABLED", "RecoveryPeriodInDays": table.period}
            described |= {"EarliestRestorableDateTime": moment(earliest), "LatestRestorableDateTime": moment(latest)}
        return {"ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": described}

    def update_continuous_backups(self, table_name: str, point_in_time_spec: dict[str, Any]) -> dict[str, Any]:
        table = self._known(table_name)
        self._require_backups(table)
        if not point_in_time_spec["PointInTimeRecoveryEnabled"]:
            table.history = None
        elif table.history is None:
            table.remember()
        table.period = point_in_time_spec.get("RecoveryPeriodInDays", table.period)
        return self.describe_continuous_backups(table_name)

    def _require_backups(self, table: TimedTable) -> None:
        enabled = max(table.born, table.active_at) + WORLD.settings.seconds("enabling", table.name)
        if not table.has_data or WORLD.instant < enabled:
            message = f"Backups are being enabled for the table: {table.name}. Please retry later"
            raise refusal("ContinuousBackupsUnavailableException", message)

    @staticmethod
    def _restorable(table: TimedTable) -> tuple[int, int]:
        """The first and the last second to which it can be restored."""
        assert table.history
        earliest = math.ceil(max(table.history.since, WORLD.instant - table.period * DAY))
        return earliest, max(earliest, math.floor(WORLD.instant - WORLD.settings.lag))

    def restore_to_point_in_time(self, asked: Mapping[str, Any]) -> Table:
        source = self._known(asked.get("SourceTableName") or asked["SourceTableArn"])
        if source.history is None:
            message = f"Point in time recovery is not enabled for table '{source.name}'"
            raise refusal("PointInTimeRecoveryUnavailableException", message)
        earliest, latest = self._restorable(source)
        second = latest if asked.get("UseLatestRestorableTime") else _seconds(asked.get("RestoreDateTime"))
        if not earliest <= second <= min(latest, WORLD.instant):
            raise refusal("InvalidRestoreTimeException", f"Restore time must be between {moment(earliest)} and {moment(latest)}")
        summary = {"SourceTableArn": source.table_arn, "RestoreDateTime": moment(second)}
        return self._restore(asked, source, source.as_of(second), summary)

    # backups

    def _backups(self) -> list[TimedBackup]:
        return list(self.backups.values())  # type: ignore[arg-type]

    def _keep(self, backup: TimedBackup) -> TimedBackup:
        self.backups[backup.arn] = backup
        return backup

    def create_backup(self, table_name: str, backup_name: str) -> TimedBackup:
        table = self._known(table_name)
        self._require_backups(table)
        return self._keep(TimedBackup(table, backup_name))

    def get_backup(self, backup_arn: str) -> TimedBackup:
        for backup in self._backups():
            if backup.type == "SYSTEM" and backup.begun + 35 * DAY <= WORLD.instant:
                del self.backups[backup.arn]
        if backup_arn not in self.backups:
            raise BackupNotFoundException(backup_arn)
        return self.backups[backup_arn]  # type: ignore[return-value]

    def delete_backup(self, backup_arn: str) -> TimedBackup:
        backup = self.get_backup(backup_arn)
        restoring = any(table.restored and table.restored.get("SourceBackupArn") == backup_arn for table in self.restoring())
        if backup.being_made or restoring:
            raise refusal("BackupInUseException", f"Backup is being created or restored: {backup_arn}")
        del self.backups[backup_arn]
        backup.deleted = True
        return backup

    def restore_backup(self, asked: Mapping[str, Any]) -> Table:
        backup = self.get_backup(asked["BackupArn"])
        if backup.being_made:
            raise refusal("BackupInUseException", f"Backup is being created: {backup.arn}")
        summary = {"SourceBackupArn": backup.arn, "SourceTableArn": backup.table.table_arn, "RestoreDateTime": moment(backup.begun)}
        return self._restore(asked, backup.table, backup.table.frozen().all_items(), summary)

    # restores

    def restoring(self) -> list[TimedTable]:
        return [table for table in self.timed.values() if table.restored and table.status == "CREATING"]

    def _restore(self, asked: Mapping[str, Any], source: TimedTable, items: list[Item], summary: dict[str, Any]) -> Table:
        self._require_room(asked["TargetTableName"])
        table = self._without_items(asked, source)
        for item in items:
            table.set_item((item.hash_key, item.range_key), item)
        table.restored = summary
        table.active_at = WORLD.later("restore", table.name) + len(items) * WORLD.settings.restore_per_item
        self.tables[table.name] = table
        WORLD.calls.most_restoring = max(WORLD.calls.most_restoring, len(self.restoring()))
        return table

    def _require_room(self, target: str) -> None:
        if target in self.tables:
            if self.timed[target].status in ("CREATING", "DELETING"):
                raise refusal("TableInUseException", f"Table is being created or deleted: {target}")
            raise refusal("TableAlreadyExistsException", f"Table already exists: {target}")
        if len(self.restoring()) >= WORLD.settings.restores:
            raise refusal("LimitExceededException", f"Too many restores in progress: {WORLD.settings.restores}")

    def _without_items(self, asked: Mapping[str, Any], source: TimedTable) -> TimedTable:
        """Keys, indexes, capacity, class and encryption are the source's, unless overridden; nothing else is."""
        source = source.frozen()
        billing = asked.get("BillingModeOverride") or source.billing_mode
        capacity = asked.get("ProvisionedThroughputOverride") or source.throughput
        encryption = asked.get("SSESpecificationOverride") or source.sse_specification
        table = TimedTable(
            asked["TargetTableName"], account_id=self.account_id, region=self.region_name, schema=source.schema, attr=source.attr,
            throughput=None if billing == "PAY_PER_REQUEST" else capacity, billing_mode=billing, sse_specification=encryption,
        )  # fmt: skip
        table.indexes = _chosen(source.indexes, asked.get("LocalSecondaryIndexOverride"))
        table.global_indexes = _chosen(source.global_indexes, asked.get("GlobalSecondaryIndexOverride"))
        table.attr = [each for each in table.attr if each["AttributeName"] in table.attribute_keys]
        overridden = {"OnDemandThroughput": asked["OnDemandThroughputOverride"]} if "OnDemandThroughputOverride" in asked else {}
        table.more, table.more_of_indexes = copy.deepcopy(({**source.more, **overridden}, source.more_of_indexes))
        return table


def _seconds(asked: Any) -> int:
    if asked is None:
        raise refusal("ValidationException", "RestoreDateTime or UseLatestRestorableTime is needed")
    return int(asked.timestamp() if hasattr(asked, "timestamp") else float(asked))


def _chosen(indexes: list[Any], wanted: list[dict[str, Any]] | None) -> list[Any]:
    """Those that an override names, with its capacity."""
    if wanted is None:
        return indexes
    overrides = {each["IndexName"]: each for each in wanted}
    if unknown := set(overrides) - {index.name for index in indexes}:
        raise refusal("ValidationException", f"The source has no such indexes: {sorted(unknown)}")
    chosen = [index for index in indexes if index.name in overrides]
    for index in chosen:
        if isinstance(index, GlobalSecondaryIndex):
            index.update({key: value for key, value in overrides[index.name].items() if key == "ProvisionedThroughput"})
    return chosen
