"""The containers of a subscription in memory: settings, throughput, procedures, roles, and what its data plane says of indexes."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from tests.unit.stores.azure.service import START, refusal
from tests.unit.stores.cosmosdb.service import Container, Service


class Containers(Service):
    """Of all accounts."""

    def _database(self, account: str, name: str) -> dict[str, Container]:
        if name not in (found := self._account(account).databases):
            raise refusal(404, f"{name} was not found", "NotFound")
        return found[name]

    def _container(self, account: str, database: str, name: str) -> Container:
        return self._database(account, database)[name]

    def get_sql_database(self, _group: str, account: str, name: str) -> Any:
        self._database(account, name)
        return _resource({"id": name, "_rid": f"rid-{account}-{name}"})

    def list_sql_containers(self, _group: str, account: str, database: str) -> Any:
        found = self._database(account, database)
        return [_resource({"id": name, "_rid": each.rid, "_ts": START.timestamp() - 9e5, **each.resource}) for name, each in found.items()]

    def get_sql_database_throughput(self, _group: str, account: str, name: str) -> Any:
        return _throughput(self._account(account).throughputs.get(name))

    def get_sql_container_throughput(self, _group: str, account: str, database: str, name: str) -> Any:
        return _throughput(self._container(account, database, name).throughput)

    def list_sql_stored_procedures(self, _group: str, *where: str) -> Any:
        return self._scripts("procedures", where)

    def list_sql_triggers(self, _group: str, *where: str) -> Any:
        return self._scripts("triggers", where)

    def list_sql_user_defined_functions(self, _group: str, *where: str) -> Any:
        return self._scripts("functions", where)

    def _scripts(self, kind: str, where: tuple[str, ...]) -> Any:
        return [_resource({"id": name, **body}) for name, body in self._container(*where).scripts[kind].items()]

    def list_sql_role_definitions(self, _group: str, account: str) -> Any:
        self._account(account)
        return []

    def list_sql_role_assignments(self, _group: str, account: str) -> Any:
        return [
            SimpleNamespace(as_dict=lambda each=each: {"name": each["name"], "properties": each})
            for each in self._account(account).assignments
        ]

    def _script(self, kind: str, said: tuple[Any, ...], asked: Mapping[str, Any]) -> None:
        _, account, database, container, name, body = said
        resource = {key: value for key, value in body.as_dict()["properties"]["resource"].items() if key != "id"}
        found = self._container(account, database, container)
        self._begin(f"script {kind}", 3, lambda: found.scripts[kind].update({name: resource}), asked)

    def begin_create_update_sql_stored_procedure(self, *said: Any, **asked: Any) -> None:
        self._script("procedures", said, asked)

    def begin_create_update_sql_trigger(self, *said: Any, **asked: Any) -> None:
        self._script("triggers", said, asked)

    def begin_create_update_sql_user_defined_function(self, *said: Any, **asked: Any) -> None:
        self._script("functions", said, asked)

    def begin_create_update_sql_container(self, _group: str, account: str, database: str, name: str, body: Any, **asked: Any) -> None:
        resource = {key: value for key, value in body.as_dict()["properties"]["resource"].items() if key != "id"}
        self._begin("container", 3, lambda: setattr(self._container(account, database, name), "resource", resource), asked)

    def begin_update_sql_container_throughput(self, _group: str, account: str, database: str, name: str, body: Any, **asked: Any) -> None:
        wanted, found = body.as_dict()["properties"]["resource"], self._container(account, database, name)
        if ("autoscaleSettings" in wanted) != ("autoscaleSettings" in (found.throughput or {})):
            raise refusal(400, "throughput is migrated first", "BadRequest")
        self._begin("throughput", 3, lambda: setattr(found, "throughput", wanted), asked)

    def begin_update_sql_database_throughput(self, _group: str, account: str, name: str, body: Any, **asked: Any) -> None:
        wanted = body.as_dict()["properties"]["resource"]
        self._begin("throughput", 3, lambda: self._account(account).throughputs.update({name: wanted}), asked)

    def begin_migrate_sql_container_to_autoscale(self, _group: str, account: str, database: str, name: str, **asked: Any) -> None:
        found = self._container(account, database, name)
        self._begin("migration", 3, lambda: setattr(found, "throughput", {"autoscaleSettings": {"maxThroughput": 1000}}), asked)

    # data

    def data(self, account: str) -> Any:
        """A client of an account's data, for the progress of its indexes."""

        def client(database: str, name: str) -> Any:
            def read(*, populate_quota_info: bool, response_hook: Any) -> None:
                assert populate_quota_info
                self.call("read_container", (), {})
                response_hook(
                    {"X-MS-DocumentDB-Collection-Index-Transformation-Progress": str(self._container(account, database, name).indexed)}, {}
                )

            return SimpleNamespace(read=read)

        return SimpleNamespace(
            get_database_client=lambda database: SimpleNamespace(get_container_client=lambda name: client(database, name))
        )

    def read_container(self) -> None:
        """Of the data plane."""


def _resource(body: dict[str, Any]) -> Any:
    found = SimpleNamespace(as_dict=lambda: {"properties": {"resource": dict(body)}})
    found.properties = SimpleNamespace(resource=SimpleNamespace(as_dict=lambda: dict(body)))
    return found


def _throughput(said: Mapping[str, Any] | None) -> Any:
    if said is None:
        raise refusal(404, "no throughput of its own", "NotFound")
    return _resource(dict(said))
