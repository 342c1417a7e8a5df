"""Databases, containers, their throughput and their scripts through ARM."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.stack.azure_arm_routes import Request, Routes
from tests.stack.azure_arm_world import answer
from tests.stack.cloud_server import Answer
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
from tests.stack.cosmosdb_model import Container, Database
from tests.stack.cosmosdb_state import ACCOUNT, ACTION, Cosmos, bad, not_found, region

DATABASES = f"{ACCOUNT}/sqlDatabases"
DATABASE = DATABASES + "/{database}"
CONTAINERS = f"{DATABASE}/containers"
CONTAINER = CONTAINERS + "/{container}"
TYPE = "Microsoft.DocumentDB/databaseAccounts/sqlDatabases"
#: by the part of a path: a script's name in REST's operations, and on the data plane
SCRIPTS = {
    "storedProcedures": ("StoredProcedure", "sprocs"),
    "triggers": ("Trigger", "triggers"),
    "userDefinedFunctions": ("UserDefinedFunction", "udfs"),
}


class Resources:
    def __init__(self, cosmos: Cosmos, routes: Routes) -> None:
        self.cosmos, self._routes = cosmos, routes
        self._databases()
        self._containers()
        for part, (name, kind) in SCRIPTS.items():
            self._scripts(part, name, kind)
        for scope, name in ((DATABASE, "Database"), (CONTAINER, "Container")):
            self._throughput(scope, name)

    def _add(self, method: str, template: str, operation: str, call: Callable[..., Answer], action: str) -> None:
        self._routes.add(method, template, f"SqlResources_{operation}", call, f"{ACTION}/{action}")

    def _accept(self, request: Request, group: str, account: str, work: Callable[[], Any], **options: Any) -> Answer:
        """What it brings is in the resource."""
        found = self.cosmos.usable(self.cosmos.account(group, account))
        return self.cosmos.accept(request, self.cosmos.settings.seconds("resource", request.path), found.location, work, **options)

    # databases

    def _databases(self) -> None:
        self._add("GET", DATABASES, "ListSqlDatabases", self.list_databases, "sqlDatabases/read")
        self._add("GET", DATABASE, "GetSqlDatabase", self.get_database, "sqlDatabases/read")
        self._add("PUT", DATABASE, "CreateUpdateSqlDatabase", self.put_database, "sqlDatabases/write")
        self._add("DELETE", DATABASE, "DeleteSqlDatabase", self.delete_database, "sqlDatabases/delete")

    def list_databases(self, _: Request, subscription: str, group: str, account: str) -> Answer:
        found = self.cosmos.usable(self.cosmos.account(group, account))
        path = f"{self.cosmos.path_of(found)}/sqlDatabases"
        return answer(
            200, {"value": [_shown(f"{path}/{each.name}", TYPE, database_body(each)) for each in found.databases if each.gone is None]}
        )

    def get_database(self, request: Request, subscription: str, group: str, account: str, database: str) -> Answer:
        return answer(200, _shown(request.path, TYPE, database_body(self.cosmos.database(group, account, database))))

    def put_database(self, request: Request, subscription: str, group: str, account: str, database: str) -> Answer:
        found = self.cosmos.usable(self.cosmos.account(group, account))
        throughput = throughput_of(request.json.get("properties", {}).get("options") or {})

        def work() -> None:
            if not found.database(database):
                make_database(self.cosmos, found, database, throughput)

        return self._accept(request, group, account, work)

    def delete_database(self, request: Request, subscription: str, group: str, account: str, database: str) -> Answer:
        there = self.cosmos.usable(self.cosmos.account(group, account)).database(database)
        return self._accept(request, group, account, lambda: drop_database(self.cosmos, there)) if there else answer(204)

    # containers

    def _containers(self) -> None:
        self._add("GET", CONTAINERS, "ListSqlContainers", self.list_containers, "sqlDatabases/containers/read")
        self._add("GET", CONTAINER, "GetSqlContainer", self.get_container, "sqlDatabases/containers/read")
        self._add("PUT", CONTAINER, "CreateUpdateSqlContainer", self.put_container, "sqlDatabases/containers/write")
        self._add("DELETE", CONTAINER, "DeleteSqlContainer", self.delete_container, "sqlDatabases/containers/delete")
        information, action = (
            f"{CONTAINER}/retrieveContinuousBackupInformation",
            "sqlDatabases/containers/retrieveContinuousBackupInformation/action",
        )
        self._add("POST", information, "RetrieveContinuousBackupInformation", self.backup_information, action)

    def list_containers(self, _: Request, subscription: str, group: str, account: str, database: str) -> Answer:
        found = self.cosmos.database(group, account, database)
        path = f"{self.cosmos.path_of(self.cosmos.account(group, account))}/sqlDatabases/{database}/containers"
        living = [each for each in found.containers if each.gone is None]
        return answer(200, {"value": [_shown(f"{path}/{each.name}", f"{TYPE}/containers", container_body(each)) for each in living]})

    def get_container(self, request: Request, subscription: str, group: str, account: str, database: str, container: str) -> Answer:
        found = self.cosmos.container(group, account, database, container)
        statistics = [
            {"id": each.id, "sizeInKB": 0, "documentCount": _count(self.cosmos, found, each), "partitionKeys": []} for each in found.ranges
        ]
        return answer(200, _shown(request.path, f"{TYPE}/containers", {**container_body(found), "statistics": statistics}))

    def put_container(self, request: Request, subscription: str, group: str, account: str, database: str, container: str) -> Answer:
        found = self.cosmos.database(group, account, database)
        wanted = {**request.json["properties"]["resource"], "id": container}
        throughput = throughput_of(request.json["properties"].get("options") or {})

        def work() -> None:
            if there := found.container(container):
                change_container(self.cosmos, there, wanted)
            else:
                make_container(self.cosmos, found, wanted, throughput)

        return self._accept(request, group, account, work)

    def delete_container(self, request: Request, subscription: str, group: str, account: str, database: str, container: str) -> Answer:
        there = self.cosmos.database(group, account, database).container(container)
        return self._accept(request, group, account, lambda: drop_container(self.cosmos, there)) if there else answer(204)

    def backup_information(self, request: Request, subscription: str, group: str, account: str, database: str, container: str) -> Answer:
        """The time is worded as the service words it, without a zone: UTC."""
        found, owner = self.cosmos.container(group, account, database, container), self.cosmos.account(group, account)
        place = region(str(request.json.get("location")))
        if owner.continuous_since is None:
            raise bad("Continuous backup is not enabled for the database account")
        if place not in [each["locationName"] for each in owner.properties["locations"]]:
            raise bad(f"The database account does not exist in the location {place}")

        def work() -> dict[str, Any]:
            latest = datetime.fromtimestamp(self.cosmos.latest(found), UTC)
            worded = f"{latest.month}/{latest.day}/{latest.year} {latest.hour % 12 or 12}:{latest:%M:%S %p}"
            return {"continuousBackupInformation": {"latestRestorableTimestamp": worded}}

        seconds = self.cosmos.settings.seconds("backup_information", request.path)
        return self.cosmos.accept(request, seconds, owner.location, work, only_location=True)

    # stored procedures, triggers and functions

    def _scripts(self, part: str, name: str, kind: str) -> None:
        many, one, action = f"{CONTAINER}/{part}", f"{CONTAINER}/{part}/{{script}}", f"sqlDatabases/containers/{part}"
        kind_of = f"{TYPE}/containers/{part}"

        def listed(request: Request, subscription: str, group: str, account: str, database: str, container: str) -> Answer:
            there = self.cosmos.container(group, account, database, container).scripts[kind]
            return answer(200, {"value": [_shown(f"{request.path}/{each}", kind_of, body) for each, body in there.items()]})

        def got(request: Request, subscription: str, group: str, account: str, database: str, container: str, script: str) -> Answer:
            there = self.cosmos.container(group, account, database, container).scripts[kind]
            if script not in there:
                raise not_found()
            return answer(200, _shown(request.path, kind_of, there[script]))

        def put(request: Request, subscription: str, group: str, account: str, database: str, container: str, script: str) -> Answer:
            found = self.cosmos.container(group, account, database, container)
            wanted = {**request.json["properties"]["resource"], "id": script}
            return self._accept(request, group, account, lambda: put_script(self.cosmos, found, kind, wanted) and None)

        def deleted(request: Request, subscription: str, group: str, account: str, database: str, container: str, script: str) -> Answer:
            there = self.cosmos.container(group, account, database, container).scripts[kind]
            return self._accept(request, group, account, lambda: there.pop(script, None) and None) if script in there else answer(204)

        self._add("GET", many, f"ListSql{name}s", listed, f"{action}/read")
        self._add("GET", one, f"GetSql{name}", got, f"{action}/read")
        self._add("PUT", one, f"CreateUpdateSql{name}", put, f"{action}/write")
        self._add("DELETE", one, f"DeleteSql{name}", deleted, f"{action}/delete")

    # throughput

    def _throughput(self, scope: str, name: str) -> None:
        one, action = (
            f"{scope}/throughputSettings/default",
            f"sqlDatabases{'/containers' if name == 'Container' else ''}/throughputSettings",
        )

        def of(parts: dict[str, str]) -> Database | Container:
            where = {key: value for key, value in parts.items() if key != "subscription"}
            found = self.cosmos.container(**where) if "container" in where else self.cosmos.database(**where)
            if found.throughput is None:
                raise not_found()
            return found

        def got(request: Request, **parts: str) -> Answer:
            known = of(parts).throughput or {}
            resource = {**known, "minimumThroughput": "400", "_ts": int(self.cosmos.now)}
            return answer(200, _shown(request.path, f"{TYPE}{'/containers' if 'container' in parts else ''}/throughputSettings", resource))

        def put(request: Request, **parts: str) -> Answer:
            wanted = throughput_of(request.json["properties"]["resource"])
            if wanted is None or ("autoscaleSettings" in wanted) != ("autoscaleSettings" in (of(parts).throughput or {})):
                raise bad("Throughput is changed from manual to autoscale, and back, by migrating it")
            return set_to(request, parts, wanted)

        def migrated(request: Request, **parts: str) -> Answer:
            now = int((of(parts).throughput or {})["throughput"])
            if request.path.lower().endswith("autoscale"):
                return set_to(request, parts, {"throughput": max(now // 10, 100), "autoscaleSettings": {"maxThroughput": max(now, 1000)}})
            return set_to(request, parts, {"throughput": max(now, 400)})

        def set_to(request: Request, parts: dict[str, str], wanted: dict[str, Any]) -> Answer:
            found = of(parts)
            return self._accept(request, parts["group"], parts["account"], lambda: setattr(found, "throughput", wanted))

        self._add("GET", one, f"GetSql{name}Throughput", got, f"{action}/read")
        self._add("PUT", one, f"UpdateSql{name}Throughput", put, f"{action}/write")
        for way, kind in (("migrateToAutoscale", "ToAutoscale"), ("migrateToManualThroughput", "ToManualThroughput")):
            self._add("POST", f"{one}/{way}", f"MigrateSql{name}{kind}", migrated, f"{action}/{way}/action")


def _shown(path: str, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"id": path, "type": kind, "name": path.rpartition("/")[2], "properties": {"resource": body}}


def _count(cosmos: Cosmos, container: Container, place: Any) -> int:
    return sum(place.has(item.effective_key) for item, _ in container.living(cosmos.now))
