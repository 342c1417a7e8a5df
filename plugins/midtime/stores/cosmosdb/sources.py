"""What can be restored of an account, dead or alive: whether the service keeps it, from when on and up to when, and what was in it then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from azure.core.exceptions import ResourceNotFoundError

from midtime.errors import NotRestorableError
from midtime.model.instants import to_rfc3339
from midtime.model.words import listed
from midtime.stores.azure.refusals import azure_errors
from midtime.stores.cosmosdb.accounts import Kept, kept_of
from midtime.stores.cosmosdb.azure import Azure

FIX = "see who deleted the account or its containers, or changed its backup policy; use a newer restore point"


@dataclass(frozen=True, slots=True)
class Source:
    """The account that was marked.

    :param containers: ``database/container``, all that were marked
    :param region: in which it is to be restored
    """

    account: str
    instance: str
    region: str
    instant: datetime
    containers: tuple[str, ...]

    @property
    def databases(self) -> Mapping[str, tuple[str, ...]]:
        """The containers' names by database."""
        pairs = [name.partition("/")[::2] for name in self.containers]
        return {database: tuple(name for of, name in pairs if of == database) for database, _ in pairs}


def require_restorable(azure: Azure, source: Source) -> Kept:
    """The service can bring it back to the instant, with everything that was marked.

    :raises NotRestorableError: it never can
    :raises StoreError: it does not say
    """
    kept = kept_of(azure, source.instance)
    if why := _unfit(kept, source):
        raise _never(azure, f"account {source.account} {why}", source)
    if kept is None:
        raise AssertionError("_unfit() says so")
    there = _then(azure, kept, source)
    if missing := [name for name in source.containers if name not in there]:
        raise _never(azure, f"{listed(missing)} {'was' if len(missing) == 1 else 'were'} not there then", source)
    if dropped := sorted(name for name in there.difference(source.containers) if name.partition("/")[0] in source.databases):
        was = "was" if len(dropped) == 1 else "were"
        raise _never(azure, f"{listed(dropped)} {was} there then, and dropped before the mark", source)
    return kept


def _unfit(kept: Kept | None, source: Source) -> str:
    if kept is None:
        return f"(instance {source.instance}) is not among the accounts that can be restored any more"
    if kept.deleted_at and kept.deleted_at < source.instant:
        return f"was deleted at {to_rfc3339(kept.deleted_at)}"
    return kept.unfit(source.instant, source.region)


def _then(azure: Azure, kept: Kept, source: Source) -> set[str]:
    """``database/container`` of all that was there at the instant."""
    location = kept.arm_id.split("/locations/")[1].split("/")[0]
    with azure_errors(azure.store):
        try:
            found = list(
                azure.arm.restorable_sql_resources.list(
                    location, source.instance, restore_location=source.region, restore_timestamp_in_utc=to_rfc3339(source.instant)
                )
            )
        except ResourceNotFoundError as error:
            raise _never(azure, f"account {source.account} has nothing of then in {source.region}", source) from error
    return {f"{each.database_name}/{name}" for each in found for name in each.collection_names or ()}


def _never(azure: Azure, why: str, source: Source) -> NotRestorableError:
    return NotRestorableError(f"store {azure.store} cannot be restored to {to_rfc3339(source.instant)}: {why}", fix=FIX)
