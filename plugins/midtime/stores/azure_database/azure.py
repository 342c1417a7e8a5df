"""The clients of one store: the control plane of its service. Its data are reached through the connection of the database itself."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from midtime.model.topology.cloud import AzureMysql, AzurePostgresql
from midtime.stores.azure.clients import Clients
from midtime.stores.azure_database.control import CONTROLS, Control

Spec = AzurePostgresql | AzureMysql


class Azure(Clients):
    """The client of one server's control plane.

    :param store: the store's name, for messages
    """

    def __init__(self, store: str, spec: Spec) -> None:
        super().__init__(store, spec)
        self.spec = spec

    @cached_property
    def arm(self) -> Any:
        """The control plane of the subscription."""
        return self._control(self.control.client)

    @property
    def control(self) -> Control:
        """What is special about the service."""
        return CONTROLS[self.spec.dialect]

    @property
    def where(self) -> tuple[str, str]:
        """The server's resource group, and its name."""
        return self.spec.resource_group, self.spec.server
