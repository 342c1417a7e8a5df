"""The data plane of all accounts, under their names: what is called, whether it may be, and who answers."""

from __future__ import annotations

import re
from typing import Any

from tests.stack.azure_arm_routes import Request, Routes
from tests.stack.azure_arm_world import RefusedError, answer
from tests.stack.cloud_server import Answer
from tests.stack.cosmosdb_entry import fault, refused, require_entry
from tests.stack.cosmosdb_feeds import Feeds
from tests.stack.cosmosdb_items import Items
from tests.stack.cosmosdb_lookup import CONTAINER, container_of, is_query
from tests.stack.cosmosdb_model import SCRIPTS, Account
from tests.stack.cosmosdb_schema import Schema
from tests.stack.cosmosdb_scripts import Scripts
from tests.stack.cosmosdb_state import REGIONS, Cosmos
from tests.stack.cosmosdb_world import short

HOSTS = "*.documents.azure.com"
#: of a container's documents, by headers that stand for another operation than the method alone says
DOCUMENTS = (
    ("x-ms-cosmos-is-query-plan-request", "QueryPlan"), ("x-ms-cosmos-is-batch-request", "Batch"),
    ("x-ms-documentdb-isquery", "QueryItems"), ("x-ms-documentdb-is-upsert", "UpsertItem"),
)  # fmt: skip
#: what a query is, where the method alone says something else
QUERIES = {"CreateDatabase": "ListDatabases", "CreateContainer": "ListContainers"}
READS = re.compile(r"(Read|List|Query).*")


class Data:
    def __init__(self, cosmos: Cosmos) -> None:
        self.cosmos, self.items, self.feeds = cosmos, Items(cosmos), Feeds(cosmos)
        self.routes = Routes(re.RegexFlag(0))
        self.routes.add("GET", "/", "ReadAccount", self._account)
        Schema(cosmos, self.routes)
        for kind in SCRIPTS:
            Scripts(cosmos, self.routes, kind)
        self._add_items()

    def route(self, request: Request) -> tuple[str, str]:
        """What is called, and on what."""
        found = self.routes.find(request)
        name = found[0].operation if found else f"{request.method} {request.path}"
        if name == "CreateItem":
            name = _by_headers(request)
        return QUERIES.get(name, name) if is_query(request) else name, request.path.strip("/")

    def answer(self, request: Request, operation: str) -> Answer:
        found = self.routes.find(request)
        if not found:
            raise refused(501, "NotImplemented", f"{request.method} {request.path} is nothing that the double of Azure Cosmos DB knows")
        account = self._of_host(request.host)
        require_entry(self.cosmos, account, request, operation, reads=bool(READS.match(operation)))
        return found[0].call(request, account, **found[1])

    def refusal(self, kind: str) -> RefusedError | None:
        return fault(kind, self.cosmos.settings.retry_after)

    def _of_host(self, host: str) -> Account:
        """By the account's name, with or without a region's behind it."""
        name = host.partition(".")[0]
        names = [name, *(name.removesuffix(f"-{each}") for each in REGIONS if name.endswith(f"-{each}"))]
        found = next((account for each in names if (account := self.cosmos.find(each))), None)
        if found is None or found.state in ("Creating", "Failed"):
            raise refused(403, "Forbidden", f"Database Account {name} does not exist", 1008)
        return found

    def _account(self, request: Request, account: Account) -> Answer:
        port = request.host.partition(":")[2] or "443"
        names = [each["locationName"] for each in account.properties["locations"]]
        places = [
            {"name": name, "databaseAccountEndpoint": f"https://{account.name}-{short(name)}.documents.azure.com:{port}/"} for name in names
        ]
        several, policy = account.properties["enableMultipleWriteLocations"], account.properties["consistencyPolicy"]
        return answer(200, {
            "_self": "", "id": account.name, "_rid": f"{account.name}.documents.azure.com", "media": "//media/", "addresses": "//addresses/",
            "_dbs": "//dbs/", "writableLocations": places if several else places[:1], "readableLocations": places,
            "enableMultipleWriteLocations": several, "userConsistencyPolicy": {"defaultConsistencyLevel": policy["defaultConsistencyLevel"]},
            "userReplicationPolicy": {"asyncReplication": False, "minReplicaSetSize": 3, "maxReplicasetSize": 4},
            "systemReplicationPolicy": {"minReplicaSetSize": 3, "maxReplicasetSize": 4},
            "readPolicy": {"primaryReadCoefficient": 1, "secondaryReadCoefficient": 1}, "queryEngineConfiguration": "{}",
        })  # fmt: skip

    def _add_items(self) -> None:
        many = f"{CONTAINER}/docs"
        self.routes.add("GET", many, "ReadItems", self._in_container(self.feeds.items))
        self.routes.add("POST", many, "CreateItem", self._in_container(self._documents))
        for method, operation, call in (
            ("GET", "ReadItem", self.items.read), ("PUT", "ReplaceItem", self.items.replace), ("DELETE", "DeleteItem", self.items.delete),
        ):  # fmt: skip
            self.routes.add(method, f"{many}/{{name}}", operation, self._in_container(call))

    @staticmethod
    def _in_container(call: Any) -> Any:
        def found(request: Request, account: Account, database: str, container: str, **more: str) -> Answer:
            return call(request, container_of(request, account, database, container), **more)  # type: ignore[no-any-return]

        return found

    def _documents(self, request: Request, container: Any) -> Answer:
        known = {
            "QueryPlan": self.feeds.plan,
            "QueryItems": self.feeds.query,
            "UpsertItem": self.items.upsert,
            "CreateItem": self.items.create,
        }
        operation = _by_headers(request)
        if operation not in known:
            raise refused(501, "NotImplemented", f"The double of Azure Cosmos DB does not know {operation}")
        return known[operation](request, container)


def _by_headers(request: Request) -> str:
    return next((operation for header, operation in DOCUMENTS if request.header(header).lower() == "true"), "CreateItem")
