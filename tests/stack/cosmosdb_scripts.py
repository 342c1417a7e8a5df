"""Stored procedures, triggers and functions through the data plane."""

from __future__ import annotations

from tests.stack.azure_arm_routes import Request, Routes
from tests.stack.azure_arm_world import answer
from tests.stack.cloud_server import Answer
from tests.stack.cosmosdb_lookup import CONTAINER, MANY, container_of, feed, missing, there_already
from tests.stack.cosmosdb_making import put_script
from tests.stack.cosmosdb_model import Account
from tests.stack.cosmosdb_procedures import run
from tests.stack.cosmosdb_state import Cosmos


class Scripts:
    """Of one kind."""

    def __init__(self, cosmos: Cosmos, routes: Routes, kind: str) -> None:
        self.cosmos, self._kind = cosmos, kind
        name, many = MANY[kind].removesuffix("s"), f"{CONTAINER}/{kind}"
        routes.add("GET", many, f"List{name}s", self.all)
        routes.add("POST", many, f"Create{name}", self.create)
        for method, verb in (("GET", "Read"), ("PUT", "Replace"), ("DELETE", "Delete")):
            routes.add(method, f"{many}/{{script}}", f"{verb}{name}", self.one)
        if kind == "sprocs":
            routes.add("POST", f"{many}/{{script}}", "ExecuteStoredProcedure", self.execute)

    def all(self, request: Request, account: Account, database: str, container: str) -> Answer:
        found = container_of(request, account, database, container)
        return feed(self._kind, found.rid, list(found.scripts[self._kind].values()))

    def create(self, request: Request, account: Account, database: str, container: str) -> Answer:
        found = container_of(request, account, database, container)
        if request.json["id"] in found.scripts[self._kind]:
            raise there_already()
        return answer(201, put_script(self.cosmos, found, self._kind, request.json))

    def execute(self, request: Request, account: Account, database: str, container: str, script: str) -> Answer:
        found = container_of(request, account, database, container)
        if script not in found.scripts[self._kind]:
            raise missing()
        return run(request, found, script, self.cosmos.now)

    def one(self, request: Request, account: Account, database: str, container: str, script: str) -> Answer:
        """Read, replace or delete it."""
        found = container_of(request, account, database, container)
        there = found.scripts[self._kind]
        if script not in there:
            raise missing()
        if request.method == "DELETE":
            del there[script]
            return answer(204)
        return answer(200, put_script(self.cosmos, found, self._kind, request.json) if request.method == "PUT" else there[script])
