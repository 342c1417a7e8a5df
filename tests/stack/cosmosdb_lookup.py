"""What a path of the data plane names, and feeds of what is found."""

from __future__ import annotations

import json
from typing import Any

from tests.stack.azure_arm_routes import Request
from tests.stack.azure_arm_world import RefusedError, answer
from tests.stack.cloud_server import Answer
from tests.stack.cosmosdb_entry import refused
from tests.stack.cosmosdb_feeds import understood
from tests.stack.cosmosdb_making import throughput_of
from tests.stack.cosmosdb_model import Account, Container, Database
from tests.stack.cosmosdb_sql import MISSING

DATABASE, CONTAINER = "/dbs/{database}", "/dbs/{database}/colls/{container}"
#: by the part of a path: as a feed's body and the operations name it
MANY = {
    "dbs": "Databases",
    "colls": "DocumentCollections",
    "sprocs": "StoredProcedures",
    "triggers": "Triggers",
    "udfs": "UserDefinedFunctions",
}


def missing(substatus: int = 0) -> RefusedError:
    message = 'Message: {"Errors":["Resource Not Found. Learn more: https://aka.ms/cosmosdb-tsg-not-found"]}'
    return refused(404, "NotFound", message, substatus)


def there_already() -> RefusedError:
    return refused(409, "Conflict", "Resource with specified id or name already exists.")


def database_of(account: Account, name: str) -> Database:
    found = account.database(name)
    if not found:
        raise missing()
    return found


def container_of(request: Request, account: Account, database: str, container: str) -> Container:
    """The one that the client means: of a name that was made anew, not the one before."""
    found = database_of(account, database).container(container)
    intended = request.header("x-ms-cosmos-intended-collection-rid")
    if found is None:
        raise missing(1003)
    if intended and intended != found.rid:
        raise refused(400, "BadRequest", "The intended collection is not there any more", 1024)
    return found


def is_query(request: Request) -> bool:
    return request.header("x-ms-documentdb-isquery").lower() == "true"


def feed(kind: str, rid: str, bodies: list[Any]) -> Answer:
    headers = {"x-ms-request-charge": "1", "x-ms-item-count": str(len(bodies))}
    return answer(200, {"_rid": rid, MANY.get(kind, kind): bodies, "_count": len(bodies)}, headers)


def filtered(request: Request, kind: str, rid: str, bodies: list[dict[str, Any]]) -> Answer:
    """A query of what is no item."""
    query = understood(str(request.json.get("query", "")), request.json.get("parameters") or [])
    results = [query.project(each) for each in bodies if query.test(each)]
    return feed(kind, rid, [each for each in results if each is not MISSING])


def living(resources: list[Any]) -> list[Any]:
    return [each for each in resources if each.gone is None]


def offered(request: Request) -> dict[str, Any] | None:
    """Throughput as the data plane asks for it."""
    options: dict[str, Any] = {"throughput": request.header("x-ms-offer-throughput")}
    if auto := request.header("x-ms-cosmos-offer-autopilot-settings"):
        options["autoscaleSettings"] = json.loads(auto)
    return throughput_of(options)


def offer(resource: Database | Container) -> dict[str, Any]:
    own = resource.throughput or {}
    link = resource.link if isinstance(resource, Container) else f"dbs/{resource.rid}/"
    auto = {"offerAutopilotSettings": own["autoscaleSettings"]} if "autoscaleSettings" in own else {}
    content = {"offerThroughput": own.get("throughput"), "offerIsRUPerMinuteThroughputEnabled": False, **auto}
    known = {
        "offerType": "Invalid",
        "offerResourceId": resource.rid,
        "offerVersion": "V2",
        "id": resource.rid[:4],
        "_rid": resource.rid[:4],
    }
    return {"resource": link, "content": content, **known}
