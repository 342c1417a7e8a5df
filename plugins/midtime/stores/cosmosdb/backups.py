"""How far the backups of a container reach: an operation of the service's that runs for seconds, and answers in odd words."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from azure.mgmt.cosmosdb import models

from midtime.errors import StoreStatementError, StoreUnreachableError
from midtime.model.instants import to_rfc3339, utc_now
from midtime.stores.azure.clients import result_of
from midtime.stores.azure.refusals import azure_errors
from midtime.stores.cosmosdb.azure import Azure
from midtime.stores.cosmosdb.containers import Container

PATIENCE = 60.0
"""Seconds for one answer."""
AHEAD = timedelta(minutes=5)
"""By which the service's clock may be ahead of the worker's. What is further ahead was misread: a day for a month."""
_AMERICAN = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}) (\d{1,2}):(\d{2}):(\d{2})(?: ([AP])M)?")
"""In UTC, as .NET words an instant in the United States; without AM and PM where no country is named."""
_RFC3339 = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2})(?:\.\d+)?(Z|[+-]\d{2}:\d{2})?")
_SECONDS = re.compile(r"1\d{9}")
"""Since 1970, until 2033."""
_SPACES = re.compile("[ \\u00a0\\u202f]+")
"""Newer .NET has a narrow one before AM and PM."""


def latest(azure: Azure, container: Container, region: str) -> datetime:
    """Up to when a container can be restored in a region, by its backups there.

    :raises StoreUnreachableError: no answer in time
    :raises StoreStatementError: one that makes no sense
    """
    where = models.ContinuousBackupRestoreLocation(location=region)
    spec = azure.spec
    late = StoreUnreachableError(
        f"store {azure.store}: {container.full_name} does not say within {PATIENCE:g} s how far it can be restored",
        fix="see the service's status",
    )
    with azure_errors(azure.store):
        poller = azure.arm.sql_resources.begin_retrieve_continuous_backup_information(
            spec.resource_group, spec.account, container.database, container.name, where
        )
        said = result_of(poller, PATIENCE, late).continuous_backup_information
    try:
        return parse_latest(str(said.latest_restorable_timestamp if said else None), now=utc_now())
    except ValueError as error:
        raise StoreStatementError(
            f"store {azure.store}: {container.full_name} says that it can be restored up to {error}", fix="report this"
        ) from error


def parse_latest(said: str, *, now: datetime) -> datetime:
    """An instant as ``latestRestorableTimestamp`` has it: ``3/13/2023 3:41:23 PM`` was seen; documented are also RFC 3339 and seconds since 1970.

    :raises ValueError: it is none of these, or is ahead of ``now``
    """
    try:
        found = _parsed(_SPACES.sub(" ", said.strip()))
    except (ValueError, OverflowError):
        raise ValueError(repr(said)) from None
    if found > now + AHEAD:
        raise ValueError(f"{said!r}, while it is {to_rfc3339(now)}")
    return found


def _parsed(said: str) -> datetime:
    if _SECONDS.fullmatch(said):
        return datetime.fromtimestamp(int(said), UTC)
    if match := _RFC3339.fullmatch(said):
        found = datetime.fromisoformat(f"{match[1]}T{match[2]}{(match[3] or 'Z').replace('Z', '+00:00')}")
        return found.astimezone(UTC)
    if match := _AMERICAN.fullmatch(said):
        month, day, year, hour, minute, second = (int(part) for part in match.groups()[:6])
        return datetime(year, month, day, _hour(hour, match[7]), minute, second, tzinfo=UTC)
    raise ValueError(said)


def _hour(said: int, half: str | None) -> int:
    """Of 24; 12 AM is midnight."""
    if half is None:
        return said
    if not 1 <= said <= 12:
        raise ValueError(said)
    return said % 12 + (12 if half == "P" else 0)
