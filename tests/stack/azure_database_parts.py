"""What belongs to a flexible server through ARM: firewall rules, parameters, administrators."""

from __future__ import annotations

from typing import Any

from tests.stack.azure_arm_routes import Request, Routes
from tests.stack.azure_arm_world import RefusedError, answer
from tests.stack.azure_database_model import Flexible, Kind, Server
from tests.stack.azure_database_servers import Servers
from tests.stack.cloud_server import Answer


class Parts:
    def __init__(self, flexible: Flexible, routes: Routes, kind: Kind, servers: Servers) -> None:
        self.flexible, self.kind, self.servers = flexible, kind, servers
        one, action = kind.servers + "/{name}", kind.action
        routes.add("GET", f"{one}/firewallRules", "FirewallRules_ListByServer", self.rules, f"{action}/firewallRules/read")
        routes.add("PUT", f"{one}/firewallRules/{{rule}}", "FirewallRules_CreateOrUpdate", self.put_rule, f"{action}/firewallRules/write")
        routes.add("DELETE", f"{one}/firewallRules/{{rule}}", "FirewallRules_Delete", self.delete_rule, f"{action}/firewallRules/delete")
        routes.add("GET", f"{one}/configurations", "Configurations_ListByServer", self.parameters, f"{action}/configurations/read")
        routes.add("PATCH", f"{one}/configurations/{{parameter}}", "Configurations_Update", self.update, f"{action}/configurations/write")
        routes.add("GET", f"{one}/administrators", "Administrators_ListByServer", self.administrators, f"{action}/administrators/read")

    def rules(self, _: Request, subscription: str, group: str, name: str) -> Answer:
        server = self.flexible.server(self.kind, group, name)
        return answer(200, {"value": [{"name": each, "properties": dict(rule)} for each, rule in server.rules.items()]})

    def put_rule(self, request: Request, subscription: str, group: str, name: str, rule: str) -> Answer:
        server, wanted = self.flexible.settled(self.kind, group, name), request.json.get("properties") or {}
        if set(wanted) != {"startIpAddress", "endIpAddress"}:
            raise RefusedError(400, "InvalidParameterValue", "A rule has a first and a last address")
        return self.servers.changing(request, server, "resource", lambda: server.rules.update({rule: wanted}))

    def delete_rule(self, request: Request, subscription: str, group: str, name: str, rule: str) -> Answer:
        server = self.flexible.settled(self.kind, group, name)
        return self.servers.changing(request, server, "resource", lambda: server.rules.pop(rule, None))

    def parameters(self, _: Request, subscription: str, group: str, name: str) -> Answer:
        server = self.flexible.server(self.kind, group, name)
        return answer(200, {"value": [{"name": each, "properties": self._parameter(server, each)} for each in self.kind.parameters]})

    def _parameter(self, server: Server, name: str) -> dict[str, Any]:
        default, static = self.kind.parameters[name]
        return {
            "value": server.parameters.get(name, default), "defaultValue": default,
            "source": "user-override" if name in server.parameters else "system-default",
            "isReadOnly": self._said(False), "isDynamicConfig": self._said(not static), "isConfigPendingRestart": self._said(name in server.pending),
        }  # fmt: skip

    def _said(self, truth: bool) -> Any:
        return str(truth) if self.kind.worded else truth

    def update(self, request: Request, subscription: str, group: str, name: str, parameter: str) -> Answer:
        server, wanted = self.flexible.settled(self.kind, group, name), request.json.get("properties") or {}
        if parameter not in self.kind.parameters:
            raise RefusedError(404, "ConfigurationNotFound", f"There is no parameter {parameter}")
        if parameter in self.flexible.settings.refused:
            raise RefusedError(400, "InvalidParameterValue", f"Invalid value given for parameter {parameter}")

        def change() -> None:
            server.parameters[parameter] = wanted["value"]
            server.pending |= {parameter} if self.kind.parameters[parameter][1] else set()

        return self.servers.changing(request, server, "resource", change)

    def administrators(self, _: Request, subscription: str, group: str, name: str) -> Answer:
        self.flexible.server(self.kind, group, name)
        return answer(200, {"value": []})
