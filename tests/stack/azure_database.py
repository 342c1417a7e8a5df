"""A double of Azure's flexible servers that makes and restores servers, but not what is in them; and what Airflow and a topology say of them.

How processes reach it is told in ``azure_arm.py``. The settings of its own are told in ``azure_database_model.FlexibleSettings``; the most used::

    server = stack.azure_database                 # or the fixture ``azure_database_server``
    server.reset()
    server.make_server("postgresql", "bank", backup={"backupRetentionDays": 14})
    server.settings(restore=2.0, inherits=False, addresses={"bank-restored": "127.0.0.2"}, lag=900)
    server.faults({"kind": "failed", "operations": ["Servers_CreateOrUpdate"], "times": 1})

Operations have one name for both services (``Servers_Get``, ``Servers_CreateOrUpdate``, ``Servers_Update``, ``Servers_Delete``, ``Servers_Restart``,
``FirewallRules_…``, ``Configurations_…``, ``NameAvailability_Check``). As the real services: a server is locked while it is changed (409), names are
the world's, a restore makes a new server without standby, maintenance window and retention of its source, a source is told and an instant is not;
what is refused for its instant is worded by the double, for Azure publishes nothing of it. The data are a test's affair: it puts a real server to
where ``addresses`` says that a restored one is, or lets ``tests/integration/azure_database_behind.py`` do so for whatever is in ``restores``.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from tests.stack.azure_arm import Azure
from tests.stack.azure_database_model import KINDS


class AzureDatabase(Azure):
    """One subscription, without servers at first."""

    MODULE = "tests.stack.azure_database_server"
    REGION = "japaneast"

    def topology_store(self, name: str, dialect: str, namespaces: Iterable[str], server: str, **changes: Any) -> dict[str, Any]:
        """As a store of a topology."""
        common = {
            "name": name,
            "engine": f"azure_{dialect}",
            "namespaces": list(namespaces),
            "conn_id": f"{name}_db",
            "data_conn_id": f"{name}_data",
        }
        return {**common, "subscription_id": self.SUBSCRIPTION, "resource_group": self.GROUP, "server": server, **changes}

    # to look, and to meddle without Midtime

    @cached_property
    def _http(self) -> Any:
        from azure.mgmt.core import ARMPipelineClient
        from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy

        login = ARMChallengeAuthenticationPolicy(self.credential(), "https://management.azure.com/.default")
        return ARMPipelineClient(base_url="https://management.azure.com", policies=[login], **self.transport)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One call of ARM; it raises what the service refuses."""
        from azure.core.rest import HttpRequest

        request = HttpRequest(method, f"https://management.azure.com{path}?api-version=1", json=body)
        answered = self._http.send_request(request, **self.transport)
        answered.raise_for_status()
        return answered.json() if answered.content else None

    def path(self, dialect: str, name: str = "") -> str:
        base = KINDS[dialect].servers.format(subscription=self.SUBSCRIPTION, group=self.GROUP)
        return f"{base}/{name}" if name else base

    def make_server(self, dialect: str, name: str, sku: dict[str, str] | None = None, **properties: Any) -> None:
        """There when this returns."""
        self.settings(create=0.0)
        body = {"location": self.REGION, "tags": {"team": "shop"}, "sku": sku, "properties": {"createMode": "Create", **properties}}
        self.ask("PUT", self.path(dialect, name), body)
        assert self.server(dialect, name)["properties"]["state"] == "Ready"

    def server(self, dialect: str, name: str) -> dict[str, Any]:
        return dict(self.ask("GET", self.path(dialect, name)))

    def servers(self, dialect: str) -> list[str]:
        return sorted(each["name"] for each in self.ask("GET", self.path(dialect))["value"])

    def rules(self, dialect: str, name: str) -> dict[str, Any]:
        found = self.ask("GET", f"{self.path(dialect, name)}/firewallRules")["value"]
        return {each["name"]: each["properties"] for each in found}

    def set_rule(self, dialect: str, name: str, rule: str, first: str, last: str) -> None:
        self.ask("PUT", f"{self.path(dialect, name)}/firewallRules/{rule}", {"properties": {"startIpAddress": first, "endIpAddress": last}})

    def parameters(self, dialect: str, name: str) -> dict[str, str]:
        """Those that somebody set."""
        found = self.ask("GET", f"{self.path(dialect, name)}/configurations")["value"]
        return {each["name"]: each["properties"]["value"] for each in found if each["properties"]["source"] == "user-override"}

    def set_parameter(self, dialect: str, name: str, parameter: str, value: str) -> None:
        body = {"properties": {"value": value, "source": "user-override"}}
        self.ask("PATCH", f"{self.path(dialect, name)}/configurations/{parameter}", body)
