"""What can be restored: accounts, living and deleted, and what was in them when."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from tests.stack.azure_arm import Azure
from tests.stack.azure_arm_routes import Request, Routes
from tests.stack.azure_arm_world import answer, second
from tests.stack.cloud_server import Answer
from tests.stack.cosmosdb_making import container_body, database_body
from tests.stack.cosmosdb_model import Account, Container, Database
from tests.stack.cosmosdb_restoring import Restorer
from tests.stack.cosmosdb_state import Cosmos, bad, not_found, region
from tests.stack.cosmosdb_world import short

PROVIDER = "/subscriptions/{subscription}/providers/Microsoft.DocumentDB"
AT = PROVIDER + "/locations/{location}/restorableDatabaseAccounts"
ONE = AT + "/{instance}"
ACTION = "Microsoft.DocumentDB/locations/restorableDatabaseAccounts"
TYPE = ACTION


class Restorables:
    def __init__(self, cosmos: Cosmos, routes: Routes) -> None:
        self.cosmos, self.restorer = cosmos, Restorer(cosmos)
        for template, name in ((f"{PROVIDER}/restorableDatabaseAccounts", "List"), (AT, "ListByLocation")):
            routes.add("GET", template, f"RestorableDatabaseAccounts_{name}", self.all, f"{ACTION}/read")
        routes.add("GET", ONE, "RestorableDatabaseAccounts_GetByLocation", self.get, f"{ACTION}/read")
        for kind, call in (("Databases", self.databases), ("Containers", self.containers), ("Resources", self.resources)):
            routes.add("GET", f"{ONE}/restorableSql{kind}", f"RestorableSql{kind}_List", call, f"{ACTION}/restorableSql{kind}/read")

    def _restorable(self) -> Iterator[Account]:
        for account in self.cosmos.accounts:
            if account.continuous_since is not None and (account.gone is None or self.cosmos.oldest(account) < account.gone):
                yield account

    def all(self, _: Request, subscription: str, location: str = "") -> Answer:
        found = [each for each in self._restorable() if not location or region(location) in _places(each)]
        return answer(200, {"value": [self._shown(each) for each in found]})

    def _account(self, location: str, instance: str) -> Account:
        found = next((each for each in self._restorable() if each.instance == instance), None)
        if found is None or region(location) not in _places(found):
            raise not_found()
        return found

    def get(self, _: Request, subscription: str, location: str, instance: str) -> Answer:
        return answer(200, self._shown(self._account(location, instance)))

    def _shown(self, account: Account) -> dict[str, Any]:
        ended = {"deletionTime": second(account.gone)} if account.gone is not None else {}
        begun = {"creationTime": second(account.continuous_since or account.born), **ended}
        places = [{"locationName": each, "regionalDatabaseAccountInstanceId": account.regional, **begun} for each in _places(account)]
        known = {"accountName": account.name, "apiType": "Sql", **begun, "oldestRestorableTime": second(self.cosmos.oldest(account))}
        path = AT.format(subscription=Azure.SUBSCRIPTION, location=short(account.location))
        return {
            "name": account.instance, "location": account.location, "type": TYPE, "id": f"{path}/{account.instance}",
            "properties": {**known, "restorableLocations": places},
        }  # fmt: skip

    # what happened to databases and containers

    def databases(self, request: Request, subscription: str, location: str, instance: str) -> Answer:
        account = self._account(location, instance)
        events = [
            _event(request, "database", each, kind, at, database_body(each)) for each in account.databases for kind, at in _life(each)
        ]
        return answer(200, {"value": _between(request, events)})

    def containers(self, request: Request, subscription: str, location: str, instance: str) -> Answer:
        account, wanted = self._account(location, instance), request.query.get("restorableSqlDatabaseRid")
        containers = [one for each in account.databases if wanted in (None, each.rid) for one in each.containers]
        events = [_event(request, "container", each, kind, at, container_body(each)) for each in containers for kind, at in _life(each)]
        return answer(200, {"value": _between(request, events)})

    def resources(self, request: Request, subscription: str, location: str, instance: str) -> Answer:
        """What existed at a second, by default now."""
        account = self._account(location, instance)
        if region(request.query.get("restoreLocation", location)) not in _places(account):
            raise bad(f"The account does not exist in the location {request.query['restoreLocation']}")
        wanted = request.query.get("restoreTimestampInUtc")
        when = self.restorer.second(account, wanted) if wanted else int(account.gone or self.cosmos.now)
        there = self.restorer.there(account, when)
        return answer(200, {"value": [{
            "id": f"{request.path}/{quote(database.name)}", "type": f"{TYPE}/restorableSqlResources", "name": database.name,
            "databaseName": database.name, "collectionNames": [each.name for each in containers],
        } for database, containers in there]})  # fmt: skip


def _places(account: Account) -> list[str]:
    return [each["locationName"] for each in account.properties["locations"]]


def _life(resource: Database | Container) -> Iterator[tuple[str, float]]:
    changes = [at for at, _ in resource.settings.states[1:]] if isinstance(resource, Container) else []
    yield "Create", resource.born
    yield from (("Replace", at) for at in changes)
    if resource.gone is not None:
        yield "Delete", resource.gone


def _event(request: Request, what: str, resource: Database | Container, kind: str, at: float, body: dict[str, Any]) -> dict[str, Any]:
    name = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{resource.rid} {kind} {at}"))
    known = {"eventTimestamp": second(at), "ownerId": resource.name, "ownerResourceId": resource.rid, "operationType": kind}
    return {
        "id": f"{request.path}/{name}", "type": f"{TYPE}/{request.path.rpartition('/')[2]}", "name": name,
        "properties": {"resource": {"_rid": name[:8], **known, what: body}},
    }  # fmt: skip


def _between(request: Request, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Within ``startTime`` and ``endTime``, if they are given; ISO 8601 sorts as text."""
    first, last = (request.query.get(name, "").replace("+00:00", "Z") for name in ("startTime", "endTime"))
    times = [(each["properties"]["resource"]["eventTimestamp"], each) for each in events]
    return [each for at, each in sorted(times, key=lambda pair: pair[0]) if (not first or at >= first) and (not last or at <= last)]
