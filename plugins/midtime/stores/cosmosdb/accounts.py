"""One account: what ARM says of it, and whether what the service keeps of it can be restored to an instant."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.mgmt.cosmosdb.models import RestorableDatabaseAccountGetResult

from midtime.model.instants import to_rfc3339
from midtime.stores.azure.refusals import azure_errors, code_of
from midtime.stores.cosmosdb.azure import Azure

TIERS = {"Continuous7Days": 7, "Continuous30Days": 30}
"""Days that continuous backup reaches back; an account that names no tier has the longer one."""
OTHER_APIS = {"EnableCassandra": "Cassandra", "EnableGremlin": "Gremlin", "EnableTable": "Table", "EnableMongo": "MongoDB"}
NOT_THERE = frozenset({"ResourceNotFound", "NotFound"})


@dataclass(frozen=True, slots=True)
class Account:
    """A live account."""

    arm_id: str
    instance: str
    endpoints: tuple[str, ...]
    """Of the account, and of its write regions."""
    state: str
    api: str
    """``NoSQL``, or another one."""
    consistency: str
    write_regions: tuple[str, ...]
    regions: tuple[str, ...]
    multi_write: bool
    days: int | None
    """Of continuous backup; None: its backups are periodic."""
    moving: bool
    """It is being changed from periodic to continuous backup."""
    takes_keys: bool
    serverless: bool
    said: dict[str, Any] = field(default_factory=dict, compare=False)
    """All that ARM said."""

    @property
    def region(self) -> str:
        """Where it is written."""
        return self.write_regions[0] if self.write_regions else ""


@dataclass(frozen=True, slots=True)
class Kept:
    """A restorable account: what the service keeps of one, dead or alive."""

    arm_id: str
    instance: str
    oldest: datetime | None
    deleted_at: datetime | None
    regions: dict[str, tuple[datetime | None, datetime | None]]
    """By region, folded: when it was added and removed."""

    def unfit(self, instant: datetime, region: str) -> str:
        """Why it cannot be restored to an instant in a region, whether it is dead or alive; empty where it can."""
        if self.oldest and self.oldest > instant:
            return f"has a history that begins at {to_rfc3339(self.oldest)}, behind {to_rfc3339(instant)}"
        if folded(region) not in self.regions:
            return f"has no backups in {region}"
        added, removed = self.regions[folded(region)]
        if added and added > instant:
            return f"keeps backups in {region} since {to_rfc3339(added)} only, behind {to_rfc3339(instant)}"
        return f"keeps no backups in {region} since {to_rfc3339(removed)}" if removed and removed < instant else ""


@dataclass(frozen=True, slots=True)
class History:
    """An account of one name, and what is kept of it."""

    account: Account | None
    kept: Kept | None

    def unfit(self, instant: datetime, *, instance: str = "", region: str = "") -> str:
        """Why it can never be restored to an instant; empty where it can, by now or later.

        :param instance: of the account that was marked
        :param region: the region that was marked; by default where it is written
        """
        if self.account is None:
            return "was deleted"
        if instance and instance != self.account.instance:
            return f"is another account of that name, instance {self.account.instance}"
        if self.account.days is None:
            return "has periodic backups, which cannot be restored to an instant"
        if self.kept is None or self.kept.deleted_at:
            return "is not among the accounts that can be restored"
        if folded(region) not in map(folded, self.account.regions) and region:
            return f"is in {region} no more"
        return self.kept.unfit(instant, region or self.account.region)


def read_history(azure: Azure) -> History:
    """Two calls. A subscription or a resource group that is not there is an error, an account that is not there is not."""
    account = read_account(azure)
    return History(account, kept_of(azure, account.instance) if account else None)


def read_account(azure: Azure) -> Account | None:
    """The account, if it is there."""
    said = said_of(azure, azure.spec.resource_group, azure.spec.account)
    return _account(said) if said else None


def said_of(azure: Azure, resource_group: str, account: str) -> dict[str, Any]:
    """All that ARM says of an account; nothing where there is none."""
    with azure_errors(azure.store):
        try:
            return azure.arm.database_accounts.get(resource_group, account).as_dict()
        except ResourceNotFoundError as error:
            if code_of(error) in NOT_THERE:
                return {}
            raise


def kept_of(azure: Azure, instance: str) -> Kept | None:
    """What the service keeps of an account, dead or alive; None where that is nothing."""
    with azure_errors(azure.store):
        found = next((each for each in azure.arm.restorable_database_accounts.list() if each.name == instance), None)
    return _kept(found) if found else None


def folded(region: str) -> str:
    """``West US`` and ``westus`` are one."""
    return region.replace(" ", "").lower()


def _account(said: dict[str, Any]) -> Account:
    """From ARM's own words."""
    properties = said["properties"]
    capabilities = {each["name"] for each in properties.get("capabilities") or ()}
    writes = properties.get("writeLocations") or ()
    policy = properties.get("backupPolicy") or {}
    return Account(
        arm_id=said["id"],
        instance=properties.get("instanceId", ""),
        endpoints=tuple(filter(None, (each.get("documentEndpoint") for each in (properties, *writes)))),
        state=properties.get("provisioningState", ""),
        api=_api(said.get("kind", ""), capabilities),
        consistency=properties.get("consistencyPolicy", {}).get("defaultConsistencyLevel", ""),
        write_regions=tuple(each["locationName"] for each in writes),
        regions=tuple(each["locationName"] for each in properties.get("locations") or ()),
        multi_write=bool(properties.get("enableMultipleWriteLocations")),
        days=_days(policy) if policy.get("type") == "Continuous" else None,
        moving=(policy.get("migrationState") or {}).get("status") == "InProgress",
        takes_keys=not properties.get("disableLocalAuth"),
        serverless="EnableServerless" in capabilities,
        said=said,
    )


def _api(kind: str, capabilities: Collection[str]) -> str:
    other = next((api for name, api in OTHER_APIS.items() if name in capabilities), "")
    return other or ("NoSQL" if kind == "GlobalDocumentDB" else kind)


def _days(policy: Mapping[str, Any]) -> int:
    return TIERS.get((policy.get("continuousModeProperties") or {}).get("tier", ""), 30)


def _kept(found: RestorableDatabaseAccountGetResult) -> Kept:
    said: Any = found.properties
    places = said.restorable_locations or ()
    return Kept(
        arm_id=str(found.id),
        instance=str(found.name),
        oldest=said.oldest_restorable_time or said.creation_time,
        deleted_at=said.deletion_time,
        regions={folded(each.location_name): (each.creation_time, each.deletion_time) for each in places},
    )
