"""The tables that a run makes of those that were marked: their names, whose they are, how they come into being, and how they go again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from midtime.errors import RequestError, StoreUnreachableError, TargetExistsError
from midtime.model.words import counted, listed
from midtime.stores import looks
from midtime.stores.base import Target
from midtime.stores.dynamodb.aws import Aws
from midtime.stores.dynamodb.notes import Copies
from midtime.stores.dynamodb.pacing import put_off
from midtime.stores.dynamodb.refusals import NOT_THERE, aws_errors, code_of
from midtime.stores.each import of_each
from midtime.stores.naming import COPY_TAG

LONGEST = 255
"""Characters of a table's name."""
_CLOCKS = timedelta(minutes=10)
"""By which two clocks may differ where a listing begins."""
REMOVED_WITHIN = 240.0
"""Seconds in which tables that can go are gone."""
LOOK = 2.0


def copy_names(target: Target, prefix: str, names: Sequence[str]) -> dict[str, str]:
    """What the copies are called. A table cannot be renamed: beside, a copy has its final name from the beginning.

    :param prefix: of the tables that were marked
    :raises RequestError: a name is too long
    """
    if target.aside or target.final == target.working:
        made = {name: f"{target.working}_{name}" for name in names}
    else:
        made = {name: target.final + name.removeprefix(prefix) for name in names}
    if long := [name for name in made.values() if len(name) > LONGEST]:
        raise RequestError(
            f"store {target.store}: {listed(long)} {'is' if len(long) == 1 else 'are'} too long for a table's name ({LONGEST} characters)",
            fix="choose a shorter prefix, or a shorter name of the store",
        )
    return made


@dataclass(frozen=True, slots=True)
class Standing:
    """A name, and what is there under it."""

    name: str
    said: Mapping[str, Any]
    """What DescribeTable says; empty where nothing is there."""

    @property
    def status(self) -> str:
        """Empty where nothing is there."""
        return str(self.said.get("TableStatus", ""))

    @property
    def ready(self) -> bool:
        """Whether it has all of its data."""
        return self.status in ("ACTIVE", "UPDATING")

    @property
    def restored(self) -> Mapping[str, Any]:
        """What it was restored from, if it was."""
        found: Mapping[str, Any] = self.said.get("RestoreSummary") or {}
        return found

    @property
    def size(self) -> int:
        """Bytes, as counted some hours ago."""
        return int(self.said.get("TableSizeBytes") or 0)

    def copies(self, notes: Copies, source: str) -> bool:
        """Whether it is the copy of a table that these notes are about: nothing else was restored from there to that instant to this name."""
        marked = notes.marked.table(source)
        return (
            not self.restored.get("SourceBackupArn")
            and self.restored.get("SourceTableArn") == marked.arn
            and self.restored.get("RestoreDateTime") == notes.marked.instant
        )


def standings(aws: Aws, names: Sequence[str]) -> dict[str, Standing]:
    """What is under these names."""

    def look(name: str) -> Standing:
        try:
            return Standing(name, aws.control.describe_table(TableName=name)["Table"])
        except ClientError as error:
            if code_of(error) in NOT_THERE:
                return Standing(name, {})
            raise

    with aws_errors(aws.store):
        _ = aws.control  # made by one thread
        return dict(zip(names, of_each(names, look), strict=True))


def tags_of(aws: Aws, standing: Standing) -> dict[str, str]:
    """A table's."""
    with aws_errors(aws.store):
        pages = aws.control.get_paginator("list_tags_of_resource").paginate(ResourceArn=standing.said["TableArn"])
        return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}


def tag(aws: Aws, standing: Standing, value: str) -> str:
    """Say whose a copy is. Answers as :func:`put_off`."""
    tags = [{"Key": COPY_TAG, "Value": value}]
    return put_off(aws.store, aws.control.tag_resource, ResourceArn=standing.said["TableArn"], Tags=tags)


def require_ours(notes: Copies, found: Mapping[str, Standing], store: str) -> None:
    """Nothing else may stand under the copies' names.

    :raises TargetExistsError: somebody else's table does
    """
    require_none_taken(store, [copy for source, copy in notes.names.items() if found[copy].said and not found[copy].copies(notes, source)])


def require_none_taken(store: str, others: Sequence[str]) -> None:
    """No table under the copies' names is another's.

    :param others: those that are
    :raises TargetExistsError: there are some
    """
    if others:
        raise TargetExistsError(
            f"store {store}: {listed(others)} {'is' if len(others) == 1 else 'are'} somebody else's", fix="choose another prefix"
        )


def backups_named(aws: Aws, name: str, since: datetime) -> list[dict[str, Any]]:
    """On-demand backups of that name, newest first; those that are being made, too. Several of one table where an answer was lost."""
    with aws_errors(aws.store):
        pages = aws.control.get_paginator("list_backups").paginate(BackupType="USER", TimeRangeLowerBound=since - _CLOCKS)
        every = [each for page in pages for each in page["BackupSummaries"]]
    found = [each for each in every if each["BackupName"] == name and each["BackupStatus"] in ("AVAILABLE", "CREATING")]
    return sorted(found, key=lambda each: each["BackupCreationDateTime"], reverse=True)


def backups_of(aws: Aws, name: str, since: datetime) -> dict[str, dict[str, Any]]:
    """The oldest of each table, by the table's id: the one that was there when the others were asked for."""
    return {each["TableId"]: each for each in backups_named(aws, name, since)}


def available(backup: Mapping[str, Any] | None) -> bool:
    """Whether a table can be restored from it."""
    return backup is not None and backup["BackupStatus"] == "AVAILABLE"


def remove_backups(aws: Aws, name: str, since: datetime) -> None:
    """All of that name. Idempotent.

    :raises StoreUnreachableError: some are in use
    """
    patience = REMOVED_WITHIN
    while found := backups_named(aws, name, since):
        reasons = [why for each in found if (why := put_off(aws.store, _deleting(aws), BackupArn=each["BackupArn"]))]
        if patience <= 0:
            why = reasons[0] if reasons else "they are still listed"
            raise StoreUnreachableError(f"store {aws.store}: backups {name} are not gone: {why}", fix="nothing: midtime__sweep tries again")
        looks.sleep(LOOK)  # what was deleted may be listed for a while
        patience -= LOOK


def _deleting(aws: Aws) -> Any:
    def delete(BackupArn: str) -> None:  # noqa: N803 - the service's own word
        try:
            aws.control.delete_backup(BackupArn=BackupArn)
        except ClientError as error:
            if code_of(error) != "BackupNotFoundException":
                raise

    return delete


def let_go(aws: Aws, standing: Standing) -> str:
    """One step towards a table's end, whose content is safe elsewhere or not wanted: protection off, then away. Answers as :func:`put_off`."""
    if standing.said.get("DeletionProtectionEnabled"):
        return put_off(aws.store, aws.control.update_table, TableName=standing.name, DeletionProtectionEnabled=False)
    return put_off(aws.store, aws.control.delete_table, TableName=standing.name)


def discard(aws: Aws, notes: Copies) -> None:
    """Remove the copies and their backups: what is a copy by what DynamoDB says of its making, and not by its tag another's, or placed.

    :raises StoreUnreachableError: some cannot go yet: a table that is being restored cannot be deleted
    """
    remove_backups(aws, notes.working, notes.began_at)
    patience = REMOVED_WITHIN
    while left := _removable(aws, notes):
        for standing in left:
            if standing.ready:
                let_go(aws, standing)
        coming = [each.name for each in left if each.status == "CREATING"]
        if patience <= 0 or len(coming) == len(left):
            why = f"still being restored: {listed(coming)}" if coming else f"not gone: {listed([each.name for each in left])}"
            raise StoreUnreachableError(
                f"store {aws.store}: {counted(len(left), 'copy').replace('copys', 'copies')} cannot be removed yet, {why}",
                fix="nothing: DynamoDB deletes no table that is being restored; midtime__sweep tries again every minute",
            )
        looks.sleep(LOOK)
        patience -= LOOK


def _removable(aws: Aws, notes: Copies) -> list[Standing]:
    found = standings(aws, list(notes.names.values()))
    ours = [found[copy] for source, copy in notes.names.items() if found[copy].copies(notes, source)]

    def mine(standing: Standing) -> bool:
        return not standing.ready or tags_of(aws, standing).get(COPY_TAG, notes.working) == notes.working

    return [each for each in ours if mine(each)]
