"""Azure's clients of one store: the control plane (ARM) through one Airflow connection, the account's data through another one.

The provider's hook makes clients without time limits; so the clients are made here.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, cast

from airflow.sdk import BaseHook
from azure.cosmos import CosmosClient
from azure.mgmt.cosmosdb import CosmosDBManagementClient

from midtime.errors import StoreAccessError
from midtime.model.topology.cloud import Cosmosdb
from midtime.stores.azure.clients import Clients
from midtime.stores.azure.refusals import azure_errors

PATIENT: dict[str, Any] = {"connection_timeout": 5, "read_timeout": 20, "retry_total": 9, "retry_backoff_max": 30}
"""Of the data plane: throttling (429) is met by the pace that the service names."""
HURRIED: dict[str, Any] = {"connection_timeout": 1, "read_timeout": 1, "retry_total": 1, "retry_backoff_max": 1}
"""Of what runs inside a window, and of the clock: there a second try would only make the round trip longer."""


class Azure(Clients):
    """The clients of one account, each made when it is first used. They may be shared by threads.

    :param store: the store's name, for messages
    """

    def __init__(self, store: str, spec: Cosmosdb) -> None:
        super().__init__(store, spec)
        self.spec = spec

    @cached_property
    def arm(self) -> CosmosDBManagementClient:
        """The control plane of the subscription: accounts, containers, settings, restores."""
        return cast(CosmosDBManagementClient, self._control(CosmosDBManagementClient))

    @cached_property
    def data(self) -> CosmosClient:
        """The data of the account."""
        return self._data(PATIENT)

    @cached_property
    def hurried(self) -> CosmosClient:
        """The same in a window, and for the clock."""
        return self._data(HURRIED)

    @property
    def data_endpoint(self) -> str:
        """Where the data connection points.

        :raises StoreAccessError: there is no such connection, or it names no endpoint
        """
        return str(self._connection()[0])

    def data_of(self, resource_group: str, account: str) -> CosmosClient:
        """The data of another account of the subscription, one that a restore made: it has an address and keys of its own."""
        return self.data_at(*self.reached(resource_group, account))

    def data_at(self, endpoint: str, key: str) -> CosmosClient:
        """The same of one that has been asked for."""
        with azure_errors(self.store):
            return CosmosClient(endpoint, key, **PATIENT)

    def reached(self, resource_group: str, account: str) -> tuple[str, str]:
        """(endpoint, key) of an account of the subscription, as the control plane has them. The key is kept in memory only."""
        with azure_errors(self.store):
            endpoint = self.arm.database_accounts.get(resource_group, account).document_endpoint
            return str(endpoint), self._key_of(resource_group, account)

    def _data(self, limits: dict[str, Any]) -> CosmosClient:
        with self._lock, azure_errors(self.store):
            endpoint, key = self._connection()
            return CosmosClient(endpoint, key or self._key_of(self.spec.resource_group, self.spec.account), **limits)

    def _connection(self) -> tuple[str, str | None]:
        """Endpoint and key; without a key the control plane is asked for it, as the provider's hook does."""
        with azure_errors(self.store):
            said = BaseHook.get_connection(self.spec.data_conn_id)
        if not said.login:
            raise StoreAccessError(
                f"store {self.store}: connection {self.spec.data_conn_id} names no endpoint",
                fix="put the account's URI into its login, and the key into its password",
            )
        return said.login, said.password or None

    def _key_of(self, resource_group: str, account: str) -> str:
        return str(self.arm.database_accounts.list_keys(resource_group, account).primary_master_key)
