"""A subscription that is a dictionary: flexible servers that are made, restored, changed and deleted."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from azure.core.rest import HttpRequest

from tests.unit.stores.azure.service import ArmInMemory, Response, refusal

SUBSCRIPTION, GROUP, LIVE = "2f6a9f37-63f8-4a8e-b1f5-6c3b2c0d7a21", "claims", "claims-prod"
CALLS = (
    *("servers", "firewall_rules", "configurations", "name_availability", "check_name_availability_without_location"),
    *("administrators_microsoft_entra", "azure_ad_administrators"),
)
BIG = {"name": "Standard_D4ds_v5", "tier": "GeneralPurpose"}
STATIC = frozenset({"shared_preload_libraries"})
DEFAULTS = {"max_connections": "100", "work_mem": "4096", "azure.extensions": "", "shared_preload_libraries": ""}


@dataclass
class Server:
    name: str
    made: float | None
    """None: the service does not say."""
    said: dict[str, Any]
    tags: dict[str, str]
    sku: dict[str, Any]
    state: str = "Ready"
    rules: dict[str, dict[str, str]] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    begins: float | None = 0.0
    """Of its backups; None before the first."""
    identity: dict[str, Any] | None = None


class Model:
    """As the SDK for PostgreSQL answers."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        self.said = copy.deepcopy(dict(said))

    def as_dict(self) -> dict[str, Any]:
        return self.said


class SerializedModel(Model):
    """As the one for MySQL does."""

    def as_dict(self) -> dict[str, Any]:
        raise AssertionError("it speaks with underscores")

    def serialize(self, keep_readonly: bool) -> dict[str, Any]:
        assert keep_readonly
        return self.said


class Memory(ArmInMemory):
    """The subscription, as one of the two services has it."""

    def __init__(self, dialect: str, seconds: float = 40.0) -> None:
        super().__init__(CALLS, grouped=True)
        self.dialect, self.seconds = dialect, seconds
        self.provider = "Microsoft.DBforPostgreSQL" if dialect == "postgresql" else "Microsoft.DBforMySQL"
        self.instant = "pointInTimeUTC" if dialect == "postgresql" else "restorePointInTime"
        self.create = "servers_begin_create_or_update" if dialect == "postgresql" else "servers_begin_create"
        self.servers: dict[str, Server] = {}
        self.taken: set[str] = set()
        self.bodies: list[dict[str, Any]] = []
        self.keeps_nothing = False
        """Restored servers have the rules and parameters of a new one, not those of their source."""
        self.others: dict[str, int] = {}
        """Resources of other kinds, and with what the service answers to a question for one that is not simply there."""
        self.fixed: set[str] = set()
        """Parameters that nobody can set."""
        self.refused: set[str] = set()
        """Parameters that a server of this size does not take."""

    def make(self, name: str = LIVE, **properties: Any) -> Server:
        said = {
            "version": "16", "storage": {"storageSizeGB": 128, "autoGrow": "Enabled"}, "backup": {"backupRetentionDays": 14},
            "network": {"publicNetworkAccess": "Enabled"}, "highAvailability": {"mode": "ZoneRedundant", "standbyAvailabilityZone": "2"},
            "maintenanceWindow": {"customWindow": "Enabled", "startHour": 3, "startMinute": 0, "dayOfWeek": 6}, **properties,
        }  # fmt: skip
        self.servers[name] = made = Server(name, self.now, said, {"team": "claims"}, dict(BIG), begins=self.now)
        return made

    def send_request(self, request: HttpRequest) -> Any:
        path = urlsplit(request.url).path
        if path.startswith(("/subnets/", "/privateDnsZones/", "/userAssignedIdentities/", "/others/")):
            return Response(self.others.get(path, 200), {})
        return super().send_request(request)

    def _id(self, name: str) -> str:
        return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/{self.provider}/flexibleServers/{name}"

    def _model(self, said: Mapping[str, Any]) -> Model:
        return Model(said) if self.dialect == "postgresql" else SerializedModel(said)

    def _described(self, server: Server) -> dict[str, Any]:
        said = copy.deepcopy(server.said)
        if server.begins is not None:
            said["backup"] = {**said.get("backup", {}), "earliestRestoreDate": self.moment(server.begins).isoformat()}
        told = {"state": server.state, "fullyQualifiedDomainName": f"{server.name}.example"}
        return {
            "id": self._id(server.name), "name": server.name, "location": "japaneast", "tags": dict(server.tags), "sku": dict(server.sku),
            "systemData": {} if server.made is None else {"createdAt": self.moment(server.made).isoformat()}, "properties": {**said, **told},
            **({"identity": server.identity} if server.identity else {}),
        }  # fmt: skip

    def _server(self, name: str) -> Server:
        if name not in self.servers:
            raise refusal(404, f"{name} was not found", "ResourceNotFound")
        return self.servers[name]

    def _settled(self, name: str) -> Server:
        if (server := self._server(name)).state != "Ready":
            raise refusal(409, "another operation is in progress", "ServerIsBusy")
        return server

    # servers

    def servers_get(self, _group: str, name: str) -> Model:
        return self._model(self._described(self._server(name)))

    def _free(self, body: Any) -> Any:
        wanted = json.load(body)
        assert wanted["type"] == f"{self.provider}/flexibleServers"
        return SimpleNamespace(name_available=wanted["name"] not in self.servers and wanted["name"] not in self.taken)

    name_availability_check_globally = check_name_availability_without_location_execute = _free

    def servers_begin_create_or_update(self, _group: str, name: str, body: Any, **asked: Any) -> None:
        if name in self.servers:
            raise refusal(409, "exists", "ServerAlreadyExists")
        wanted = json.load(body)
        self.bodies.append(wanted)
        properties = dict(wanted["properties"])
        source = self._server(properties.pop("sourceServerResourceId").rpartition("/")[2])
        assert properties.pop("createMode") == "PointInTimeRestore"
        assert properties.pop(self.instant)
        said = {**copy.deepcopy(source.said), "highAvailability": {"mode": "Disabled"}, "maintenanceWindow": {"customWindow": "Disabled"}}
        said |= {"backup": {"backupRetentionDays": 7}, **properties}
        made = Server(name, self.now, said, dict(wanted["tags"]), wanted["sku"], "Provisioning", begins=self.now)
        self.servers[name] = made

        def work() -> None:
            made.state = "Ready"
            if not self.keeps_nothing:
                made.rules, made.parameters = copy.deepcopy(source.rules), dict(source.parameters)

        self._begin(self.create, self.seconds, work, asked, undo=lambda: setattr(made, "state", "Disabled"))

    servers_begin_create = servers_begin_create_or_update

    def servers_begin_update(self, _group: str, name: str, body: Any, **asked: Any) -> None:
        server, wanted = self._settled(name), json.load(body)
        server.state = "Updating"

        def work() -> None:
            server.state = "Ready"
            server.tags = dict(wanted.get("tags", server.tags))
            for key, value in wanted.get("properties", {}).items():
                server.said[key] = {**server.said.get(key, {}), **value}

        self._begin("servers_begin_update", 10, work, asked, undo=lambda: setattr(server, "state", "Ready"))

    def servers_begin_restart(self, _group: str, name: str, body: Any, **asked: Any) -> None:
        server = self._settled(name)
        assert json.load(body) == {}
        self._begin("servers_begin_restart", 5, server.pending.clear, asked)

    def servers_begin_delete(self, _group: str, name: str, **asked: Any) -> None:
        self._settled(name).state = "Dropping"
        self._begin("servers_begin_delete", 20, lambda: self.servers.pop(name), asked)

    # what belongs to one

    def firewall_rules_list_by_server(self, _group: str, name: str) -> list[Model]:
        return [self._model({"name": each, "properties": dict(rule)}) for each, rule in self._server(name).rules.items()]

    def firewall_rules_begin_create_or_update(self, _group: str, name: str, rule: str, body: Any, **asked: Any) -> None:
        server, wanted = self._settled(name), json.load(body)["properties"]
        self._begin("firewall_rules_begin_create_or_update", 5, lambda: server.rules.update({rule: wanted}), asked)

    def firewall_rules_begin_delete(self, _group: str, name: str, rule: str, **asked: Any) -> None:
        server = self._settled(name)
        self._begin("firewall_rules_begin_delete", 5, lambda: server.rules.pop(rule, None), asked)

    def configurations_list_by_server(self, _group: str, name: str) -> list[Model]:
        server = self._server(name)
        return [self._model({"name": each, "properties": self._parameter(server, each)}) for each in DEFAULTS]

    def _parameter(self, server: Server, name: str) -> dict[str, Any]:
        pending = name in server.pending
        source = "user-override" if name in server.parameters else "system-default"
        words: Any = bool if self.dialect == "postgresql" else str
        said = {"value": server.parameters.get(name, DEFAULTS[name]), "source": source}
        return {**said, "isConfigPendingRestart": words(pending), "isReadOnly": words(name in self.fixed)}

    def configurations_begin_update(self, _group: str, name: str, parameter: str, body: Any, **asked: Any) -> None:
        server, wanted = self._settled(name), json.load(body)["properties"]
        assert wanted["source"] == "user-override"

        def work() -> None:
            server.parameters[parameter] = wanted["value"]
            server.pending |= {parameter} & STATIC

        if parameter in self.refused:
            self.failing["configurations_begin_update"] = f"{parameter} is too big for this server"
        self._begin("configurations_begin_update", 5, work, asked)

    def _nobody(self, *_: str) -> list[Model]:
        return [self._model({"name": "a1", "properties": {"principalName": "dba@example.com", "login": "dba@example.com"}})]

    administrators_microsoft_entra_list_by_server = azure_ad_administrators_list_by_server = _nobody
