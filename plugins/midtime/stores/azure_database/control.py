"""The control planes of the two services, as one: what ARM says is kept in its own words, and what differs between the SDKs ends here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from azure.mgmt.mysqlflexibleservers import MySQLManagementClient
from azure.mgmt.mysqlflexibleservers import __version__ as mysql_version
from azure.mgmt.postgresqlflexibleservers import PostgreSQLManagementClient
from azure.mgmt.postgresqlflexibleservers import __version__ as postgresql_version

Said = dict[str, Any]
"""What ARM says of a resource."""


class _MySQLClient(MySQLManagementClient):
    """An older generator's, which does not make it public."""

    send_request = MySQLManagementClient._send_request


@dataclass(frozen=True, slots=True)
class Control:
    """One of the services."""

    title: str
    provider: str
    client: Any
    sdk: str
    instant: str
    """What a restore calls the instant."""
    zone: str
    """What a network calls its private DNS zone."""
    create: str
    """The SDK's name of the call that makes a server."""
    availability: tuple[str, str]
    """The same of the one that says whether a name is free."""
    administrators: str
    """The same of the group that lists Entra's administrators."""

    @property
    def type(self) -> str:
        """Of its servers."""
        return f"{self.provider}/flexibleServers"

    def server(self, arm: Any, group: str, name: str) -> Said:
        """A server."""
        return said(arm.servers.get(group, name))

    def servers(self, arm: Any, group: str) -> list[Said]:
        """Those of a resource group."""
        return _every(arm.servers.list_by_resource_group(group))

    def rules(self, arm: Any, group: str, name: str) -> list[Said]:
        """A server's firewall rules."""
        return _every(arm.firewall_rules.list_by_server(group, name))

    def parameters(self, arm: Any, group: str, name: str) -> list[Said]:
        """A server's parameters, all of them."""
        return _every(arm.configurations.list_by_server(group, name))

    def entra(self, arm: Any, group: str, name: str) -> list[Said]:
        """A server's administrators in Entra."""
        return _every(getattr(arm, self.administrators).list_by_server(group, name))

    def free(self, arm: Any, name: str) -> bool:
        """Whether nobody in the world has a server of that name."""
        of, call = self.availability
        answer: Any = getattr(getattr(arm, of), call)(body({"name": name, "type": self.type}))
        return bool(answer.name_available)

    def creating(self, arm: Any) -> Any:
        """The call that makes a server."""
        return getattr(arm.servers, self.create)


POSTGRESQL = Control(
    title="Azure Database for PostgreSQL",
    provider="Microsoft.DBforPostgreSQL",
    client=PostgreSQLManagementClient,
    sdk=f"azure-mgmt-postgresqlflexibleservers {postgresql_version}",
    instant="pointInTimeUTC",
    zone="privateDnsZoneArmResourceId",
    create="begin_create_or_update",
    availability=("name_availability", "check_globally"),
    administrators="administrators_microsoft_entra",
)
MYSQL = Control(
    title="Azure Database for MySQL",
    provider="Microsoft.DBforMySQL",
    client=_MySQLClient,
    sdk=f"azure-mgmt-mysqlflexibleservers {mysql_version}",
    instant="restorePointInTime",
    zone="privateDnsZoneResourceId",
    create="begin_create",
    availability=("check_name_availability_without_location", "execute"),
    administrators="azure_ad_administrators",
)
CONTROLS: Mapping[str, Control] = {"postgresql": POSTGRESQL, "mysql": MYSQL}
"""By the store's dialect."""


def body(wanted: Mapping[str, Any]) -> BytesIO:
    """A request in ARM's words, which both SDKs take as it is."""
    return BytesIO(json.dumps(wanted).encode())


def said(model: Any) -> Said:
    """In ARM's words again; the SDK for MySQL has another generator than the other one."""
    found: Said = model.serialize(keep_readonly=True) if hasattr(model, "serialize") else model.as_dict()
    return found


def _every(models: Iterable[Any]) -> list[Said]:
    return [said(each) for each in models]
