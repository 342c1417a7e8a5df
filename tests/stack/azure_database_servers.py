"""Flexible servers through ARM: created, restored, changed, restarted, deleted."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from tests.stack.azure_arm_routes import Request, Routes
from tests.stack.azure_arm_world import RefusedError, answer, moment
from tests.stack.azure_database_model import Flexible, Kind, Server
from tests.stack.cloud_server import Answer

NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
DEFAULTS: dict[str, Any] = {
    "version": "16", "storage": {"storageSizeGB": 32, "autoGrow": "Disabled"}, "network": {"publicNetworkAccess": "Enabled"},
    "backup": {"backupRetentionDays": 7, "geoRedundantBackup": "Disabled"}, "highAvailability": {"mode": "Disabled"},
    "maintenanceWindow": {"customWindow": "Disabled", "dayOfWeek": 0, "startHour": 0, "startMinute": 0}, "replicationRole": "None",
}  # fmt: skip
#: what a restored server has of its source; high availability, maintenance window and retention begin anew
BROUGHT = ("version", "storage")


class Servers:
    def __init__(self, flexible: Flexible, routes: Routes, kind: Kind) -> None:
        self.flexible, self.kind = flexible, kind
        one, below, action = kind.servers + "/{name}", f"/subscriptions/{{subscription}}/providers/{kind.provider}", kind.action
        routes.add("GET", one, "Servers_Get", self.get, f"{action}/read")
        routes.add("PUT", one, "Servers_CreateOrUpdate", self.put, f"{action}/write")
        routes.add("PATCH", one, "Servers_Update", self.patch, f"{action}/write")
        routes.add("DELETE", one, "Servers_Delete", self.delete, f"{action}/delete")
        routes.add("POST", f"{one}/restart", "Servers_Restart", self.restart, f"{action}/restart/action")
        routes.add("GET", kind.servers, "Servers_ListByResourceGroup", self.all, f"{action}/read")
        routes.add("POST", f"{below}/checkNameAvailability", "NameAvailability_Check", self.free)

    def get(self, _: Request, subscription: str, group: str, name: str) -> Answer:
        return answer(200, self.described(self.flexible.server(self.kind, group, name)))

    def all(self, _: Request, subscription: str, group: str) -> Answer:
        found = [each for each in self.flexible.servers if each.kind == self.kind and each.group.lower() == group.lower()]
        return answer(200, {"value": [self.described(each) for each in found]})

    def free(self, request: Request, subscription: str) -> Answer:
        name = str(request.json.get("name"))
        taken = self.flexible.find(self.kind, name) is not None or name in self.flexible.settings.taken
        return answer(200, {"name": name, "nameAvailable": not taken, **({"reason": "AlreadyExists"} if taken else {})})

    def put(self, request: Request, subscription: str, group: str, name: str) -> Answer:
        body, flexible = request.json, self.flexible
        if flexible.find(self.kind, name):
            flexible.settled(self.kind, group, name)
            raise RefusedError(409, "ServerAlreadyExists", f"The server '{name}' exists already")
        if name in flexible.settings.taken:
            raise RefusedError(409, "ServerNameAlreadyExists", f"Specified server name '{name}' is already used.")
        if not NAME.fullmatch(name):
            raise RefusedError(400, "InvalidServerName", f"'{name}' is no name of a server")
        wanted = dict(body.get("properties") or {})
        if wanted.get("createMode") == "PointInTimeRestore":
            return self._restore(request, group, name, wanted)
        server = self._new(group, name, body, copy.deepcopy(DEFAULTS))
        for key, value in wanted.items():
            if key in (*DEFAULTS, "authConfig", "dataEncryption"):
                own = server.properties.get(key)
                server.properties[key] = {**own, **value} if isinstance(own, dict) else value
        return self._begin(request, server, flexible.settings.seconds("create", name))

    def _new(self, group: str, name: str, body: dict[str, Any], properties: dict[str, Any]) -> Server:
        return Server(
            name, group, self.kind, str(body.get("location")), body.get("sku") or {"name": "Standard_D2ds_v5", "tier": "GeneralPurpose"},
            properties, dict(body.get("tags") or {}), self.flexible.now, identity=body.get("identity"),
        )  # fmt: skip

    def _restore(self, request: Request, group: str, name: str, wanted: dict[str, Any]) -> Answer:
        """As the reference has it: the instant and the source in the request, everything else that is wanted of the new server, too."""
        flexible = self.flexible
        source = self._source(str(wanted.get("sourceServerResourceId")))
        self._require_instant(source, str(wanted.get(self.kind.instant)))
        if self._closed(source) != self._closed_by(wanted.get("network") or {}):
            raise RefusedError(400, "InvalidParameterValue", "A server cannot be restored from private access to public access, nor back")
        properties = {**copy.deepcopy(DEFAULTS), **{key: copy.deepcopy(source.properties[key]) for key in BROUGHT}}
        properties |= {key: wanted[key] for key in ("network", "dataEncryption") if key in wanted}
        made = self._new(group, name, request.json, properties)
        made.source = str(wanted["sourceServerResourceId"])
        flexible.settings.restores[name] = [source.name, str(wanted[self.kind.instant])]
        if flexible.settings.inherits:
            made.rules, made.parameters = copy.deepcopy(source.rules), dict(source.parameters)
        return self._begin(request, made, flexible.settings.seconds("restore", name))

    def _source(self, wanted: str) -> Server:
        parts = wanted.split("/")
        if len(parts) < 9:
            raise RefusedError(400, "InvalidParameterValue", "sourceServerResourceId is no resource id")
        return self.flexible.server(self.kind, parts[4], parts[8])

    def _require_instant(self, source: Server, wanted: str) -> None:
        """What Azure words here is not published."""
        at = datetime.fromisoformat(wanted.replace("Z", "+00:00")).timestamp()
        if at < self.flexible.earliest(source):
            raise RefusedError(400, "InvalidParameterValue", "The point in time to restore to is before the earliest restore point")
        if at > self.flexible.now - self.flexible.settings.lag:
            raise RefusedError(400, "InvalidParameterValue", "The point in time to restore to is after the latest restore point")

    @staticmethod
    def _closed(source: Server) -> bool:
        return Servers._closed_by(source.properties["network"])

    @staticmethod
    def _closed_by(network: dict[str, Any]) -> bool:
        return bool(network.get("delegatedSubnetResourceId"))

    def _begin(self, request: Request, server: Server, seconds: float) -> Answer:
        self.flexible.servers.append(server)
        return self._accept(
            request, server, seconds, lambda: setattr(server, "state", "Ready"), lambda: self.flexible.servers.remove(server)
        )

    def patch(self, request: Request, subscription: str, group: str, name: str) -> Answer:
        server, body = self.flexible.settled(self.kind, group, name), request.json

        def change() -> None:
            server.state, server.tags = "Ready", dict(body.get("tags", server.tags))
            for key, value in (body.get("properties") or {}).items():
                server.properties[key] = {**server.properties.get(key, {}), **value}

        return self.changing(request, server, "update", change)

    def restart(self, request: Request, subscription: str, group: str, name: str) -> Answer:
        server = self.flexible.settled(self.kind, group, name)
        return self.changing(request, server, "update", server.pending.clear)

    def delete(self, request: Request, subscription: str, group: str, name: str) -> Answer:
        server = self.flexible.settled(self.kind, group, name)
        server.state = "Dropping"

        def end() -> None:
            self.flexible.servers.remove(server)
            self.flexible.settings.restores.pop(name, None)

        return self._accept(request, server, self.flexible.settings.seconds("delete", name), end, lambda: None)

    def changing(self, request: Request, server: Server, what: str, work: Callable[[], Any]) -> Answer:
        """A server is busy while it is changed."""
        server.state = "Updating"

        def end(work: Callable[[], Any]) -> None:
            server.state = "Ready"
            work()

        return self._accept(
            request, server, self.flexible.settings.seconds(what, server.name), partial(end, work), partial(end, lambda: None)
        )

    def _accept(self, request: Request, server: Server, seconds: float, work: Callable[[], Any], undo: Callable[[], Any]) -> Answer:
        service = self.flexible.service
        begun = service.operations.start(self.flexible.now + seconds, work, undo, service.failing)
        links = service.operations.headers(begun, request.base, server.location, request.path, request.query["api-version"])
        return answer(202, {"operation": "ServerOperation", "startTime": moment(self.flexible.now)}, links)

    def described(self, server: Server) -> dict[str, Any]:
        """As ARM words it. A source is told, an instant is not."""
        named = f"{server.name}.{self.kind.domain}"
        told = {"state": self.flexible.state(server), "fullyQualifiedDomainName": self.flexible.settings.addresses.get(server.name, named)}
        if server.source:
            told["sourceServerResourceId"] = server.source
        backup = {**server.properties["backup"], "earliestRestoreDate": moment(self.flexible.earliest(server))}
        path = self.kind.servers.format(subscription="{subscription}", group=server.group).replace("{subscription}", self._subscription)
        return {
            "id": f"{path}/{server.name}", "name": server.name, "type": self.kind.action, "location": server.location, "tags": dict(server.tags),
            "sku": server.sku, "properties": {**server.properties, **told, "backup": backup},
            "systemData": {"createdAt": moment(server.born), "createdByType": "Application"},
            **({"identity": server.identity} if server.identity else {}),
        }  # fmt: skip

    @property
    def _subscription(self) -> str:
        from tests.stack.azure_arm import Azure

        return Azure.SUBSCRIPTION
