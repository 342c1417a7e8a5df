"""What the double of Azure's flexible servers goes by, and what is in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.stack.azure_arm_server import ArmService
from tests.stack.azure_arm_world import ArmSettings, ArmWorld, RefusedError
from tests.stack.cloud_world import CloudWorld

DAY = 24 * 3600


@dataclass(frozen=True)
class Kind:
    """One of the two services."""

    provider: str
    instant: str
    zone: str
    domain: str
    #: whether what is true is said by a word
    worded: bool
    #: by name: the default, and whether a change waits for a restart
    parameters: dict[str, tuple[str, bool]]

    @property
    def servers(self) -> str:
        return f"/subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{self.provider}/flexibleServers"

    @property
    def action(self) -> str:
        return f"{self.provider}/flexibleServers"


KINDS = {
    "postgresql": Kind(
        "Microsoft.DBforPostgreSQL", "pointInTimeUTC", "privateDnsZoneArmResourceId", "postgres.database.azure.com", False,
        {"max_connections": ("100", True), "work_mem": ("4096", False), "azure.extensions": ("", False), "shared_preload_libraries": ("", True)},
    ),
    "mysql": Kind(
        "Microsoft.DBforMySQL", "restorePointInTime", "privateDnsZoneResourceId", "mysql.database.azure.com", True,
        {"max_connections": ("151", False), "time_zone": ("SYSTEM", False), "event_scheduler": ("ON", False), "innodb_file_per_table": ("ON", True)},
    ),
}  # fmt: skip


@dataclass
class FlexibleSettings(ArmSettings):
    """A new server keeps backups from the moment that it is there."""

    #: of firewall rules and parameters
    resource: float = 0.0
    #: where servers are reached, by name; others have names that nobody knows
    addresses: dict[str, str] = field(default_factory=dict)
    #: whether a restored server is there only once it has such an address
    awaited: bool = False
    #: by name, of which server and to which instant each was asked for, while it is there: for whoever provides the data
    restores: dict[str, list[str]] = field(default_factory=dict)
    #: of restored servers, what Azure's documentation contradicts itself about: whether they have the firewall rules and parameters of their source
    inherits: bool = True
    #: ids of resources of other providers that are not there any more
    gone: list[str] = field(default_factory=list)
    #: parameters that no server takes
    refused: list[str] = field(default_factory=list)
    #: how far back backups reach at most, in seconds; by default as each server's retention says
    reaches: float | None = None


def new_world() -> ArmWorld:
    return CloudWorld(FlexibleSettings, set())


@dataclass
class Server:
    name: str
    group: str
    kind: Kind
    location: str
    sku: dict[str, Any]
    properties: dict[str, Any]
    tags: dict[str, str]
    born: float
    identity: dict[str, Any] | None = None
    state: str = "Provisioning"
    source: str = ""
    rules: dict[str, dict[str, str]] = field(default_factory=dict)
    #: those that somebody set
    parameters: dict[str, str] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)


@dataclass
class Flexible:
    """All servers."""

    service: ArmService
    servers: list[Server] = field(default_factory=list)

    @property
    def now(self) -> float:
        return self.service.world.instant

    @property
    def settings(self) -> Any:
        return self.service.world.settings

    def find(self, kind: Kind, name: str) -> Server | None:
        return next((each for each in self.servers if (each.kind, each.name) == (kind, name.lower())), None)

    def server(self, kind: Kind, group: str, name: str) -> Server:
        found = self.find(kind, name)
        if found is None or found.group.lower() != group.lower():
            message = f"The Resource '{kind.action}/{name}' under resource group '{group}' was not found."
            raise RefusedError(404, "ResourceNotFound", message)
        return found

    def settled(self, kind: Kind, group: str, name: str) -> Server:
        """One that can be changed: a server is locked while it is."""
        found = self.server(kind, group, name)
        if self.state(found) != "Ready":
            raise RefusedError(
                409, "ServerIsBusy", f"Cannot complete operation while server '{name}' is busy processing another operation."
            )
        return found

    def state(self, server: Server) -> str:
        """As it is told."""
        waits = server.source and self.settings.awaited and server.name not in self.settings.addresses
        return "Provisioning" if waits and server.state == "Ready" else server.state

    def earliest(self, server: Server) -> float:
        """To which it can be restored."""
        reaches = self.settings.reaches
        days = server.properties["backup"]["backupRetentionDays"]
        return float(max(server.born, self.now - (days * DAY if reaches is None else reaches)))
