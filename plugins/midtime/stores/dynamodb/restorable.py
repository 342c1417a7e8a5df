"""Whether every table's history has reached the marked instant by now, and still begins before it."""

from __future__ import annotations

from collections.abc import Mapping

from midtime.model.instants import to_rfc3339
from midtime.model.restore_point import StoreBackup
from midtime.model.words import counted
from midtime.stores.base import Restorable
from midtime.stores.dynamodb.aws import Aws
from midtime.stores.dynamodb.history import histories
from midtime.stores.dynamodb.marking import require_fit


def restorable(aws: Aws, backup: StoreBackup) -> Restorable:
    """Two calls for each table.

    :raises NotRestorableError: a table was deleted, created anew or restored since, or its history broken off
    :raises StoreError: it does not say
    """
    marked: Mapping[str, str] = backup.details["tables"]
    instant = backup.midtime
    found = histories(aws, list(marked))
    require_fit(aws.store, instant, ((each.name, each.unfit(instant, marked[each.name])) for each in found))
    behind = [each for each in found if not each.reaches(instant)]
    if not behind:
        latest = min(each.latest for each in found if each.latest)
        return Restorable(True, f"all of {counted(len(found), 'table')} up to {to_rfc3339(latest)}")
    last = min(behind, key=lambda each: (each.latest is not None, each.latest or instant))
    reached = f"up to {to_rfc3339(last.latest)}" if last.latest else "nothing yet"
    return Restorable(
        False, f"{len(behind)} of {counted(len(found), 'table')} do not reach {to_rfc3339(instant)} yet; the last is {last.name}, {reached}"
    )
