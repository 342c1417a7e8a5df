"""Databases, containers and their throughput through the data plane."""

from __future__ import annotations

from tests.stack.azure_arm_routes import Request, Routes
from tests.stack.azure_arm_world import answer
from tests.stack.cloud_server import Answer
from tests.stack.cosmosdb_feeds import item_headers
from tests.stack.cosmosdb_lookup import (
    CONTAINER,
    DATABASE,
    container_of,
    database_of,
    feed,
    filtered,
    is_query,
    living,
    offer,
    offered,
    there_already,
)  # fmt: skip
from tests.stack.cosmosdb_making import (
    change_container,
    container_body,
    database_body,
    drop_container,
    drop_database,
    make_container,
    make_database,
)  # fmt: skip
from tests.stack.cosmosdb_model import Account, Container
from tests.stack.cosmosdb_state import Cosmos

PROGRESS = "x-ms-documentdb-collection-index-transformation-progress"


class Schema:
    def __init__(self, cosmos: Cosmos, routes: Routes) -> None:
        self.cosmos = cosmos
        many = f"{DATABASE}/colls"
        for method, template, operation, call in (
            ("GET", "/dbs", "ListDatabases", self.databases), ("POST", "/dbs", "CreateDatabase", self.create_database),
            ("GET", DATABASE, "ReadDatabase", self.database), ("DELETE", DATABASE, "DeleteDatabase", self.drop_database),
            ("GET", many, "ListContainers", self.containers), ("POST", many, "CreateContainer", self.create_container),
            ("GET", CONTAINER, "ReadContainer", self.container), ("PUT", CONTAINER, "ReplaceContainer", self.replace_container),
            ("DELETE", CONTAINER, "DeleteContainer", self.drop_container), ("POST", "/offers", "QueryOffers", self.offers),
            ("GET", f"{CONTAINER}/pkranges", "ReadPartitionKeyRanges", self.ranges),
        ):  # fmt: skip
            routes.add(method, template, operation, call)

    def databases(self, _: Request, account: Account) -> Answer:
        return feed("dbs", "", [database_body(each) for each in living(account.databases)])

    def create_database(self, request: Request, account: Account) -> Answer:
        if is_query(request):
            return filtered(request, "dbs", "", [database_body(each) for each in living(account.databases)])
        name = str(request.json["id"])
        if account.database(name):
            raise there_already()
        return answer(201, database_body(make_database(self.cosmos, account, name, offered(request))))

    def database(self, _: Request, account: Account, database: str) -> Answer:
        return answer(200, database_body(database_of(account, database)))

    def drop_database(self, _: Request, account: Account, database: str) -> Answer:
        drop_database(self.cosmos, database_of(account, database))
        return answer(204)

    def containers(self, _: Request, account: Account, database: str) -> Answer:
        found = database_of(account, database)
        return feed("colls", found.rid, [container_body(each) for each in living(found.containers)])

    def create_container(self, request: Request, account: Account, database: str) -> Answer:
        found = database_of(account, database)
        if is_query(request):
            return filtered(request, "colls", found.rid, [container_body(each) for each in living(found.containers)])
        if found.container(str(request.json["id"])):
            raise there_already()
        return answer(201, container_body(make_container(self.cosmos, found, request.json, offered(request))))

    def container(self, request: Request, account: Account, database: str, container: str) -> Answer:
        found = container_of(request, account, database, container)
        return answer(200, container_body(found), {**item_headers(found), PROGRESS: str(self._progress(found))})

    def _progress(self, container: Container) -> int:
        """Of the index, in per cent."""
        if container.reindexing is None:
            return 100
        begun, ended = container.reindexing
        return min(100, int(100 * (self.cosmos.now - begun) / (ended - begun)))

    def replace_container(self, request: Request, account: Account, database: str, container: str) -> Answer:
        found = container_of(request, account, database, container)
        change_container(self.cosmos, found, request.json)
        return answer(200, container_body(found), item_headers(found))

    def drop_container(self, request: Request, account: Account, database: str, container: str) -> Answer:
        drop_container(self.cosmos, container_of(request, account, database, container))
        return answer(204)

    def ranges(self, request: Request, account: Account, database: str, container: str) -> Answer:
        """The feed of their changes: whoever has them all is told so."""
        found = container_of(request, account, database, container)
        etag = f'"{len(found.ranges)}"'
        if request.header("If-None-Match") == etag:
            return answer(304, None, {"etag": etag})
        shown = [{
            "id": each.id, "_rid": f"{found.rid}{each.id}", "minInclusive": each.first, "maxExclusive": each.last, "status": "online",
            "parents": [], "_self": f"{found.link}pkranges/{each.id}/", "_etag": etag, "throughputFraction": 1 / len(found.ranges),
            "ridPrefix": int(each.id), "lsn": found.writes,
        } for each in found.ranges]  # fmt: skip
        return answer(200, {"_rid": found.rid, "PartitionKeyRanges": shown, "_count": len(shown)}, {"etag": etag})

    def offers(self, request: Request, account: Account) -> Answer:
        found = [each for database in living(account.databases) for each in (database, *living(database.containers)) if each.throughput]
        return filtered(request, "Offers", "", [offer(each) for each in found])
