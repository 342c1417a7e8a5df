"""Who may read and write items without a key: role definitions and their assignments, and private endpoints beside them."""

from __future__ import annotations

from typing import Any

from tests.stack.azure_arm_routes import Request, Routes
from tests.stack.azure_arm_world import answer
from tests.stack.cloud_server import Answer
from tests.stack.cosmosdb_model import Account
from tests.stack.cosmosdb_state import ACCOUNT, ACTION, Cosmos, not_found

#: that every account has
BUILT_IN = {
    "00000000-0000-0000-0000-000000000001": "Cosmos DB Built-in Data Reader",
    "00000000-0000-0000-0000-000000000002": "Cosmos DB Built-in Data Contributor",
}
KINDS = (("sqlRoleDefinitions", "SqlRoleDefinition", "role_definitions"), ("sqlRoleAssignments", "SqlRoleAssignment", "role_assignments"))


class Roles:
    def __init__(self, cosmos: Cosmos, routes: Routes) -> None:
        self.cosmos, self._routes = cosmos, routes
        for part, name, attribute in KINDS:
            self._add(part, name, attribute)
        routes.add("GET", f"{ACCOUNT}/privateEndpointConnections", "PrivateEndpointConnections_ListByDatabaseAccount", self.endpoints,
                   f"{ACTION}/privateEndpointConnections/read")  # fmt: skip
        one = f"{ACCOUNT}/privateEndpointConnections/{{name}}"
        routes.add("GET", one, "PrivateEndpointConnections_Get", self.endpoint, f"{ACTION}/privateEndpointConnections/read")
        routes.add("PUT", one, "PrivateEndpointConnections_CreateOrUpdate", self.put_endpoint, f"{ACTION}/privateEndpointConnections/write")

    def endpoints(self, _: Request, subscription: str, group: str, account: str) -> Answer:
        return answer(200, {"value": self.cosmos.account(group, account).properties["privateEndpointConnections"]})

    def endpoint(self, _: Request, subscription: str, group: str, account: str, name: str) -> Answer:
        there = self.cosmos.account(group, account).properties["privateEndpointConnections"]
        found = next((each for each in there if each["name"] == name), None)
        if found is None:
            raise not_found()
        return answer(200, found)

    def put_endpoint(self, request: Request, subscription: str, group: str, account: str, name: str) -> Answer:
        found = self.cosmos.account(group, account)
        kind = "Microsoft.DocumentDB/databaseAccounts/privateEndpointConnections"
        made = {"id": request.path, "name": name, "type": kind, "properties": request.json.get("properties", {})}

        def work() -> None:
            others = [each for each in found.properties["privateEndpointConnections"] if each["name"] != name]
            found.properties = {**found.properties, "privateEndpointConnections": [*others, made]}

        return self.cosmos.accept(request, self.cosmos.settings.seconds("resource", name), found.location, work)

    def _add(self, part: str, name: str, attribute: str) -> None:
        def all_of(account: Account) -> dict[str, dict[str, Any]]:
            own: dict[str, dict[str, Any]] = getattr(account, attribute)
            return {**self._built_in(account), **own} if attribute == "role_definitions" else own

        def listed(_: Request, subscription: str, group: str, account: str) -> Answer:
            return answer(200, {"value": list(all_of(self.cosmos.account(group, account)).values())})

        def got(_: Request, subscription: str, group: str, account: str, role: str) -> Answer:
            there = all_of(self.cosmos.account(group, account))
            if role not in there:
                raise not_found()
            return answer(200, there[role])

        def put(request: Request, subscription: str, group: str, account: str, role: str) -> Answer:
            found = self.cosmos.settled(group, account)
            made = _shown(found, self.cosmos, part, role, dict(request.json.get("properties", {})))
            seconds = self.cosmos.settings.seconds("resource", role)
            return self.cosmos.accept(request, seconds, found.location, lambda: getattr(found, attribute).update({role: made}))

        def deleted(request: Request, subscription: str, group: str, account: str, role: str) -> Answer:
            found = self.cosmos.settled(group, account)
            if role not in getattr(found, attribute):
                return answer(204)
            seconds = self.cosmos.settings.seconds("resource", role)
            return self.cosmos.accept(request, seconds, found.location, lambda: getattr(found, attribute).pop(role, None) and None)

        many, one = f"{ACCOUNT}/{part}", f"{ACCOUNT}/{part}/{{role}}"
        self._routes.add("GET", many, f"SqlResources_List{name}s", listed, f"{ACTION}/{part}/read")
        self._routes.add("GET", one, f"SqlResources_Get{name}", got, f"{ACTION}/{part}/read")
        self._routes.add("PUT", one, f"SqlResources_CreateUpdate{name}", put, f"{ACTION}/{part}/write")
        self._routes.add("DELETE", one, f"SqlResources_Delete{name}", deleted, f"{ACTION}/{part}/delete")

    def _built_in(self, account: Account) -> dict[str, dict[str, Any]]:
        kept = {"type": "BuiltInRole", "assignableScopes": [self.cosmos.path_of(account)], "permissions": []}
        return {role: _shown(account, self.cosmos, KINDS[0][0], role, {"roleName": name, **kept}) for role, name in BUILT_IN.items()}


def _shown(account: Account, cosmos: Cosmos, part: str, role: str, properties: dict[str, Any]) -> dict[str, Any]:
    path = f"{cosmos.path_of(account)}/{part}/{role}"
    defaults = {"type": "CustomRole"} if part == KINDS[0][0] else {}
    return {"id": path, "name": role, "type": f"Microsoft.DocumentDB/databaseAccounts/{part}", "properties": {**defaults, **properties}}
