"""The data plane of all accounts, under their names: what is called, whether it may be, and who answers."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.stack.azure_arm_routes import Request, Routes
from tests.stack.azure_arm_world import RefusedError, answer
from tests.stack.cloud_server import Answer
from tests.stack.cosmosdb_entry import fault, refused, require_entry
from tests.stack.cosmosdb_feeds import Feeds, item_headers, understood
from tests.stack.cosmosdb_items import Items
from tests.stack.cosmosdb_making import (
    change_container,
    container_body,
    database_body,
    drop_container,
    drop_database,
    make_container,
    make_database,
    put_script,
    throughput_of,
)  # fmt: skip
from tests.stack.cosmosdb_model import SCRIPTS, Account, Container, Database
from tests.stack.cosmosdb_sql import MISSING
from tests.stack.cosmosdb_state import REGIONS, Cosmos

HOSTS = "*.documents.azure.com"
DATABASE, CONTAINER = "/dbs/{database}", "/dbs/{database}/colls/{container}"
#: of a document's feed, by headers that stand for another operation than the method alone says
DOCUMENTS = (
    ("x-ms-cosmos-is-query-plan-request", "QueryPlan"), ("x-ms-cosmos-is-batch-request", "Batch"),
    ("x-ms-documentdb-isquery", "QueryItems"), ("x-ms-documentdb-is-upsert", "UpsertItem"),
)  # fmt: skip
READS = re.compile(r"(Read|List|Query).*")
MANY = {
    "dbs": "Databases",
    "colls": "DocumentCollections",
    "sprocs": "StoredProcedures",
    "triggers": "Triggers",
    "udfs": "UserDefinedFunctions",
}


class Data:
    def __init__(self, cosmos: Cosmos) -> None:
        self.cosmos, self.items, self.feeds = cosmos, Items(cosmos), Feeds(cosmos)
        self.routes = Routes(re.RegexFlag(0))
        self._add_databases()
        self._add_containers()
        self._add_items()
        for kind in SCRIPTS:
            self._add_scripts(kind)
        self.routes.add("GET", "/", "ReadAccount", self._account)
        self.routes.add("POST", "/offers", "QueryOffers", self._offers)

    # what is called

    def route(self, request: Request) -> tuple[str, str]:
        found = self.routes.find(request)
        name = found[0].operation if found else f"{request.method} {request.path}"
        if name in ("CreateItem", "CreateDatabase", "CreateContainer"):
            name = _by_headers(request, name)
        return name, request.path.strip("/")

    def answer(self, request: Request, operation: str) -> Answer:
        found = self.routes.find(request)
        if not found:
            raise refused(501, "NotImplemented", f"{request.method} {request.path} is nothing that the double of Azure Cosmos DB knows")
        account = self._of_host(request.host)
        require_entry(self.cosmos, account, request, operation, reads=bool(READS.match(operation)))
        request_call: Any = found[0].call
        return request_call(request, account, **found[1])  # type: ignore[no-any-return]

    def refusal(self, kind: str) -> RefusedError | None:
        return fault(kind, self.cosmos.settings.retry_after)

    def _of_host(self, host: str) -> Account:
        name = host.partition(".")[0]
        names = [name, *(name.removesuffix(f"-{each}") for each in REGIONS if name.endswith(f"-{each}"))]
        found = next((account for each in names if (account := self.cosmos.find(each))), None)
        if found is None or found.state in ("Creating", "Failed"):
            raise refused(403, "Forbidden", f"Database Account {name} does not exist", 1008)
        return found

    def _account(self, request: Request, account: Account) -> Answer:
        def endpoint(place: dict[str, Any]) -> dict[str, str]:
            name = place["locationName"]
            return {
                "name": name,
                "databaseAccountEndpoint": f"https://{account.name}-{name.replace(' ', '').lower()}.documents.azure.com:443/",
            }

        places = [endpoint(each) for each in account.properties["locations"]]
        several = account.properties["enableMultipleWriteLocations"]
        policy = account.properties["consistencyPolicy"]
        return answer(200, {
            "_self": "", "id": account.name, "_rid": f"{account.name}.documents.azure.com", "media": "//media/", "addresses": "//addresses/", "_dbs": "//dbs/",
            "writableLocations": places if several else places[:1], "readableLocations": places, "enableMultipleWriteLocations": several,
            "userReplicationPolicy": {"asyncReplication": False, "minReplicaSetSize": 3, "maxReplicasetSize": 4},
            "userConsistencyPolicy": {"defaultConsistencyLevel": policy["defaultConsistencyLevel"]},
            "systemReplicationPolicy": {"minReplicaSetSize": 3, "maxReplicasetSize": 4}, "readPolicy": {"primaryReadCoefficient": 1, "secondaryReadCoefficient": 1},
            "queryEngineConfiguration": "{}",
        })  # fmt: skip

    # databases

    def _add_databases(self) -> None:
        self.routes.add(
            "GET",
            "/dbs",
            "ListDatabases",
            lambda _, account: _feed("dbs", "", [database_body(each) for each in _living(account.databases)]),
        )
        self.routes.add("POST", "/dbs", "CreateDatabase", self._create_database)
        self.routes.add(
            "GET", DATABASE, "ReadDatabase", lambda _, account, database: answer(200, database_body(self._database(account, database)))
        )
        self.routes.add("DELETE", DATABASE, "DeleteDatabase", self._drop_database)

    def _database(self, account: Account, name: str) -> Database:
        found = account.database(name)
        if not found:
            raise refused(404, "NotFound", 'Message: {"Errors":["Resource Not Found. Learn more: https://aka.ms/cosmosdb-tsg-not-found"]}')
        return found

    def _create_database(self, request: Request, account: Account) -> Answer:
        if _by_headers(request, "") == "QueryItems":
            return self._filtered(request, "dbs", "", [database_body(each) for each in _living(account.databases)])
        name = str(request.json["id"])
        if account.database(name):
            raise refused(409, "Conflict", "Resource with specified id or name already exists.")
        made = make_database(self.cosmos, account, name, _offered(request))
        return answer(201, database_body(made))

    def _drop_database(self, _: Request, account: Account, database: str) -> Answer:
        drop_database(self.cosmos, self._database(account, database))
        return answer(204)

    # containers

    def _add_containers(self) -> None:
        many = f"{DATABASE}/colls"
        self.routes.add("GET", many, "ListContainers", self._list_containers)
        self.routes.add("POST", many, "CreateContainer", self._create_container)
        self.routes.add("GET", CONTAINER, "ReadContainer", self._read_container)
        self.routes.add("PUT", CONTAINER, "ReplaceContainer", self._replace_container)
        self.routes.add("DELETE", CONTAINER, "DeleteContainer", self._drop_container)
        self.routes.add("GET", f"{CONTAINER}/pkranges", "ReadPartitionKeyRanges", self._ranges)

    def _container(self, request: Request, account: Account, database: str, container: str) -> Container:
        found = self._database(account, database).container(container)
        intended = request.header("x-ms-cosmos-intended-collection-rid")
        if found is None:
            raise refused(
                404, "NotFound", 'Message: {"Errors":["Resource Not Found. Learn more: https://aka.ms/cosmosdb-tsg-not-found"]}', 1003
            )
        if intended and intended != found.rid:
            raise refused(400, "BadRequest", "The intended collection is not there any more", 1024)
        return found

    def _list_containers(self, _: Request, account: Account, database: str) -> Answer:
        found = self._database(account, database)
        return _feed("colls", found.rid, [container_body(each) for each in _living(found.containers)])

    def _create_container(self, request: Request, account: Account, database: str) -> Answer:
        found = self._database(account, database)
        if _by_headers(request, "") == "QueryItems":
            return self._filtered(request, "colls", found.rid, [container_body(each) for each in _living(found.containers)])
        if found.container(str(request.json["id"])):
            raise refused(409, "Conflict", "Resource with specified id or name already exists.")
        return answer(201, container_body(make_container(self.cosmos, found, request.json, _offered(request))))

    def _read_container(self, request: Request, account: Account, database: str, container: str) -> Answer:
        found = self._container(request, account, database, container)
        progress = {"x-ms-documentdb-collection-index-transformation-progress": str(self._progress(found))}
        return answer(200, container_body(found), {**item_headers(found), **progress})

    def _progress(self, container: Container) -> int:
        """Of the index, in per cent."""
        if container.reindexing is None:
            return 100
        begun, ended = container.reindexing
        return min(100, int(100 * (self.cosmos.now - begun) / (ended - begun)))

    def _replace_container(self, request: Request, account: Account, database: str, container: str) -> Answer:
        found = self._container(request, account, database, container)
        change_container(self.cosmos, found, request.json)
        return answer(200, container_body(found), item_headers(found))

    def _drop_container(self, request: Request, account: Account, database: str, container: str) -> Answer:
        drop_container(self.cosmos, self._container(request, account, database, container))
        return answer(204)

    def _ranges(self, request: Request, account: Account, database: str, container: str) -> Answer:
        """The feed of their changes: whoever has them all is told so."""
        found = self._container(request, account, database, container)
        etag = f'"{len(found.ranges)}"'
        if request.header("If-None-Match") == etag:
            return answer(304, None, {"etag": etag})
        shown = [{
            "id": each.id, "_rid": f"{found.rid}{each.id}", "minInclusive": each.first, "maxExclusive": each.last, "status": "online", "parents": [],
            "_self": f"{found.link}pkranges/{each.id}/", "_etag": etag, "throughputFraction": 1 / len(found.ranges), "ridPrefix": int(each.id), "lsn": found.writes,
        } for each in found.ranges]  # fmt: skip
        return answer(200, {"_rid": found.rid, "PartitionKeyRanges": shown, "_count": len(shown)}, {"etag": etag})

    # items

    def _add_items(self) -> None:
        many = f"{CONTAINER}/docs"
        one = f"{many}/{{item}}"
        self.routes.add(
            "GET",
            many,
            "ReadItems",
            lambda request, account, **where: self.feeds.items(request, self._container(request, account, **where)),
        )
        self.routes.add("POST", many, "CreateItem", self._documents)
        for method, operation, call in (
            ("GET", "ReadItem", self.items.read), ("PUT", "ReplaceItem", self.items.replace), ("DELETE", "DeleteItem", self.items.delete),
        ):  # fmt: skip
            self.routes.add(method, one, operation, self._one(call))

    def _one(self, call: Any) -> Any:
        def found(request: Request, account: Account, database: str, container: str, item: str) -> Answer:
            return call(request, self._container(request, account, database, container), item)  # type: ignore[no-any-return]

        return found

    def _documents(self, request: Request, account: Account, database: str, container: str) -> Answer:
        found = self._container(request, account, database, container)
        known = {
            "QueryPlan": self.feeds.plan,
            "QueryItems": self.feeds.query,
            "UpsertItem": self.items.upsert,
            "CreateItem": self.items.create,
        }
        operation = _by_headers(request, "CreateItem")
        if operation not in known:
            raise refused(501, "NotImplemented", f"The double of Azure Cosmos DB does not know {operation}")
        return known[operation](request, found)

    # scripts

    def _add_scripts(self, kind: str) -> None:
        name = MANY[kind].removesuffix("s")

        def listed(request: Request, account: Account, database: str, container: str) -> Answer:
            found = self._container(request, account, database, container)
            return _feed(kind, found.rid, list(found.scripts[kind].values()))

        def created(request: Request, account: Account, database: str, container: str) -> Answer:
            found = self._container(request, account, database, container)
            if request.json["id"] in found.scripts[kind]:
                raise refused(409, "Conflict", "Resource with specified id or name already exists.")
            return answer(201, put_script(self.cosmos, found, kind, request.json))

        def existing(request: Request, account: Account, database: str, container: str, script: str) -> Answer:
            found = self._container(request, account, database, container)
            if script not in found.scripts[kind]:
                raise refused(
                    404, "NotFound", 'Message: {"Errors":["Resource Not Found. Learn more: https://aka.ms/cosmosdb-tsg-not-found"]}'
                )
            if request.method == "PUT":
                put_script(self.cosmos, found, kind, request.json)
            if request.method == "DELETE":
                del found.scripts[kind][script]
                return answer(204)
            return answer(200, found.scripts[kind][script])

        many = f"{CONTAINER}/{kind}"
        self.routes.add("GET", many, f"List{name}s", listed)
        self.routes.add("POST", many, f"Create{name}", created)
        for method, verb in (("GET", "Read"), ("PUT", "Replace"), ("DELETE", "Delete")):
            self.routes.add(method, f"{many}/{{script}}", f"{verb}{name}", existing)

    # queries of what is no item

    def _offers(self, request: Request, account: Account) -> Answer:
        found = [each for database in _living(account.databases) for each in (database, *_living(database.containers)) if each.throughput]
        return self._filtered(request, "Offers", "", [_offer(each) for each in found])

    def _filtered(self, request: Request, kind: str, rid: str, bodies: list[dict[str, Any]]) -> Answer:
        query = understood(str(request.json.get("query", "")), request.json.get("parameters") or [])
        results = [query.project(each) for each in bodies if query.test(each)]
        return _feed(kind, rid, [each for each in results if each is not MISSING])


def _by_headers(request: Request, otherwise: str) -> str:
    return next((operation for header, operation in DOCUMENTS if request.header(header).lower() == "true"), otherwise)


def _living(resources: list[Any]) -> list[Any]:
    return [each for each in resources if each.gone is None]


def _feed(kind: str, rid: str, bodies: list[Any]) -> Answer:
    return answer(
        200,
        {"_rid": rid, MANY.get(kind, kind): bodies, "_count": len(bodies)},
        {"x-ms-request-charge": "1", "x-ms-item-count": str(len(bodies))},
    )


def _offered(request: Request) -> dict[str, Any] | None:
    """Throughput as the data plane asks for it."""
    options: dict[str, Any] = {"throughput": request.header("x-ms-offer-throughput")}
    if auto := request.header("x-ms-cosmos-offer-autopilot-settings"):
        options["autoscaleSettings"] = json.loads(auto)
    return throughput_of(options)


def _offer(resource: Database | Container) -> dict[str, Any]:
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
