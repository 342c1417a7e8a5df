"""A restore to a second into a new account: what it brings, and what it loses.

Lost, as the service's documentation says: stored procedures, triggers and user-defined functions, the firewall, virtual networks and private
endpoints, roles and their assignments, and all regions but one. Kept: items with their times, containers' settings as they were, the
consistency of the source as it is, throughput as it is. Where nothing of the service's own errors is published, the wording is the double's.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.stack.cosmosdb_model import Account, Container, Database, Document, expired
from tests.stack.cosmosdb_state import Cosmos, bad, region

_SOURCE = re.compile(r".*/locations/(?P<location>[^/]+)/restorableDatabaseAccounts/(?P<instance>[^/]+)", re.IGNORECASE)
EARLY = "Invalid restore timestamp.  Please provide a time (in UTC) after the account has been created"
#: not taken over from the request: they are to be set when the account is there
LOST = {
    "ipRules": [],
    "virtualNetworkRules": [],
    "isVirtualNetworkFilterEnabled": False,
    "privateEndpointConnections": [],
    "enableMultipleWriteLocations": False,
}


@dataclass
class Chosen:
    """A container, and what it was at the second."""

    source: Container
    settings: dict[str, Any]
    documents: list[tuple[list[Any], Document]]


@dataclass
class Plan:
    """A restore that was accepted."""

    target: Account
    cosmos: Cosmos
    ttl_disabled: bool
    databases: list[tuple[Database, list[Chosen]]] = field(default_factory=list)

    @property
    def items(self) -> int:
        return sum(len(each.documents) for _, containers in self.databases for each in containers)

    def carry_out(self, at: float) -> None:
        for source, containers in self.databases:
            database = Database(source.name, at)
            database.throughput = copy.deepcopy(source.throughput)
            database.containers = [self._container(database, each, at) for each in containers]
            self.target.databases.append(database)

    def _container(self, database: Database, chosen: Chosen, at: float) -> Container:
        settings = copy.deepcopy(chosen.settings)
        if self.ttl_disabled:
            settings.pop("defaultTtl", None)
        container = Container(chosen.source.name, at, database, settings, self.cosmos.settings.partitions)
        container.throughput = copy.deepcopy(chosen.source.throughput)
        for key, document in chosen.documents:
            written = container.put(key, copy.deepcopy(document), at)
            written.update({"_ts": document["_ts"], "_etag": document["_etag"]})
        lasts = self.cosmos.settings.seconds("reindexing", container.name)
        container.reindexing = (at, at + lasts) if lasts else None
        return container


class Restorer:
    """Accepts a restore, or says why it cannot be."""

    def __init__(self, cosmos: Cosmos) -> None:
        self.cosmos = cosmos

    def plan(self, target: Account, parameters: dict[str, Any]) -> Plan:
        if parameters.get("restoreMode") != "PointInTime":
            raise bad("Restore mode must be PointInTime")
        source, location = self.source(str(parameters.get("restoreSource")))
        second = self.second(source, str(parameters.get("restoreTimestampInUtc")))
        if len(target.properties["locations"]) != 1 or target.location != location:
            raise bad(f"An account is restored into one region, in which the source has its backup: {location}")
        plan = Plan(target, self.cosmos, bool(parameters.get("restoreWithTtlDisabled")))
        plan.databases = self._chosen(source, second, parameters.get("databasesToRestore") or [])
        self._settle(target, source, parameters)
        return plan

    def source(self, wanted: str) -> tuple[Account, str]:
        """A live or a deleted account, and the region that is named."""
        match = _SOURCE.fullmatch(wanted)
        instance = match["instance"] if match else wanted
        found = next((each for each in self.cosmos.accounts if each.instance == instance), None)
        if not match or found is None or found.continuous_since is None or self._forgotten(found):
            raise bad(f"The restorable database account {wanted} does not exist", 404, "NotFound")
        place = region(match["location"])
        if place not in [each["locationName"] for each in found.properties["locations"]]:
            raise bad(f"The restorable database account {instance} does not exist in the location {place}", 404, "NotFound")
        return found, place

    def _forgotten(self, account: Account) -> bool:
        return account.gone is not None and self.cosmos.oldest(account) >= account.gone

    def second(self, source: Account, wanted: str) -> int:
        """Whole: parts of one are cut off."""
        try:
            second = int(datetime.fromisoformat(wanted.replace("Z", "+00:00").replace(" 00:00", "+00:00")).timestamp())
        except ValueError:
            raise bad(f"Invalid restore timestamp: {wanted}") from None
        if second < self.cosmos.oldest(source):
            raise bad(
                EARLY if second < source.born else "Invalid restore timestamp. It is before the oldest restorable time of the account"
            )
        if second > (source.gone or self.cosmos.now):
            raise bad(
                "Invalid restore timestamp. Please provide a time (in UTC) that is not in the future, and before the account was deleted"
            )
        return second

    def there(self, source: Account, second: int) -> list[tuple[Database, list[Container]]]:
        """What existed then."""
        inclusive = self.cosmos.settings.includes_second
        databases = [each for each in source.databases if each.there_at(second, inclusive)]
        return [(each, [one for one in each.containers if one.there_at(second, inclusive)]) for each in databases]

    def _chosen(self, source: Account, second: int, wanted: list[dict[str, Any]]) -> list[tuple[Database, list[Chosen]]]:
        there = {database.name: (database, {each.name: each for each in containers}) for database, containers in self.there(source, second)}
        if not there:
            raise bad("There is nothing to restore: the account had no databases at the restore timestamp")
        names = {each["databaseName"]: each.get("collectionNames") or [] for each in wanted} or {name: [] for name in there}
        chosen = []
        for name, collections in names.items():
            if name not in there:
                raise bad(f"Database {name} does not exist at the restore timestamp", 404, "NotFound")
            database, containers = there[name]
            if missing := [each for each in collections if each not in containers]:
                raise bad(f"Collection {missing[0]} of database {name} does not exist at the restore timestamp", 404, "NotFound")
            chosen.append((database, [self._as_of(containers[each], second) for each in collections or containers]))
        return chosen

    def _as_of(self, container: Container, second: int) -> Chosen:
        if container.gone is None and second > self.cosmos.latest(container):
            name = f"{container.database.name}/{container.name}"
            raise bad(f"Invalid restore timestamp. It is after the latest restorable time of the collection {name}")
        inclusive = self.cosmos.settings.includes_second
        settings = container.settings.as_of(second, inclusive) or {}
        states = [(item, item.states.as_of(second, inclusive)) for item in sorted(container.items.values(), key=lambda each: each.place)]
        documents = [(container.key_of(state), state) for _, state in states if state and not expired(state, settings, second)]
        return Chosen(container, settings, documents)

    def _settle(self, target: Account, source: Account, parameters: dict[str, Any]) -> None:
        consistency = copy.deepcopy(source.properties["consistencyPolicy"])
        if level := self.cosmos.settings.restored_consistency:
            consistency["defaultConsistencyLevel"] = level
        backup = copy.deepcopy(source.properties["backupPolicy"])
        target.properties |= {**copy.deepcopy(LOST), "consistencyPolicy": consistency, "backupPolicy": backup}
        target.properties |= {"createMode": "Restore", "restoreParameters": parameters}
