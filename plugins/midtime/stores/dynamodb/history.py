"""How far back a table can be restored, whether it is still the table that was marked, and what that means for an instant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from midtime.model.instants import to_rfc3339
from midtime.stores.dynamodb.aws import Aws
from midtime.stores.dynamodb.refusals import NOT_THERE, aws_errors, code_of
from midtime.stores.each import of_each

GOING = frozenset({"CREATING", "DELETING", "ARCHIVING", "ARCHIVED", "INACCESSIBLE_ENCRYPTION_CREDENTIALS"})
"""States of a table that cannot be restored, or is about to be no more. ``UPDATING`` is none: autoscaling does it all day."""

LONGEST = 35
"""Days of a history of which the service says no number: as long as any."""


@dataclass(frozen=True, slots=True)
class History:
    """One table, and what the service keeps of it."""

    name: str
    table_id: str = ""
    """Empty where there is no such table."""
    status: str = ""
    created_at: datetime | None = None
    on: bool = False
    """Point-in-time recovery."""
    earliest: datetime | None = None
    latest: datetime | None = None
    period: int | None = None
    """Days."""
    description: dict[str, Any] = field(default_factory=dict, compare=False)
    """What DescribeTable said."""

    def unfit(self, instant: datetime, table_id: str = "") -> str:
        """Why it can never be restored to an instant; empty where it can, by now or later.

        :param table_id: of the table that was marked
        """
        if not self.table_id or self.status == "DELETING":
            return "was deleted"
        if table_id and table_id != self.table_id:
            return f"is another table of that name, created at {_said(self.created_at)}"
        if not self.on:
            return "has its point-in-time recovery switched off"
        if self.earliest and self.earliest > instant:
            return f"has a history of {self.period or LONGEST} days that begins at {_said(self.earliest)}, behind {to_rfc3339(instant)}"
        return ""

    def reaches(self, instant: datetime) -> bool:
        """Whether it can be restored to an instant by now."""
        return bool(self.on and self.earliest and self.latest and self.earliest <= instant <= self.latest)


def read_history(aws: Aws, name: str) -> History:
    """Ask for one table; also one that is there no more."""
    with aws_errors(aws.store):
        try:
            table = aws.control.describe_table(TableName=name)["Table"]
            backups = aws.control.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
        except ClientError as error:
            if code_of(error) in NOT_THERE:
                return History(name)
            raise
    said = backups.get("PointInTimeRecoveryDescription", {})
    return History(
        name,
        table["TableId"],
        table["TableStatus"],
        table["CreationDateTime"],
        said.get("PointInTimeRecoveryStatus") == "ENABLED",
        said.get("EarliestRestorableDateTime"),
        said.get("LatestRestorableDateTime"),
        said.get("RecoveryPeriodInDays"),
        table,
    )


def histories(aws: Aws, names: Sequence[str]) -> list[History]:
    """Of each of these tables."""
    _ = aws.control  # made by one thread
    return of_each(names, lambda name: read_history(aws, name))


def _said(instant: datetime | None) -> str:
    return to_rfc3339(instant) if instant else "an unknown time"
