"""Azure's clients of one store: the control plane (ARM) through one Airflow connection, the account's data through another one.

The provider's hooks make clients without time limits; so the login is a hook's, and the clients are made here. Both SDKs take private
certificate authorities from ``REQUESTS_CA_BUNDLE``, and proxies from ``HTTPS_PROXY``.
"""

from __future__ import annotations

import json
import logging
from copy import copy
from functools import cached_property
from threading import RLock
from typing import Any, TypeVar

from airflow.providers.microsoft.azure.hooks.base_azure import AzureBaseHook
from airflow.sdk import BaseHook
from azure.core import AzureClouds
from azure.core.pipeline.policies import RetryPolicy
from azure.core.polling import LROPoller
from azure.cosmos import CosmosClient
from azure.mgmt.cosmosdb import CosmosDBManagementClient

from midtime.errors import StoreAccessError, StoreError
from midtime.model.topology.cloud import Cosmosdb
from midtime.stores.cosmosdb.refusals import azure_errors

Answer = TypeVar("Answer")
TRIES = 5
"""Of one call, after the first."""
LONGEST = 30.0
"""Seconds that a busy control plane may ask us to wait inside a call; whoever called asks again later otherwise."""
POLL = 1.0
"""Seconds between two looks at an operation whose answer does not say when to look."""
ARM: dict[str, Any] = {"connection_timeout": 5, "read_timeout": 30, "polling_interval": POLL}
PATIENT: dict[str, Any] = {"connection_timeout": 5, "read_timeout": 20, "retry_total": 9, "retry_backoff_max": 30}
"""Of the data plane: throttling (429) is met by the pace that the service names."""
HURRIED: dict[str, Any] = {"connection_timeout": 1, "read_timeout": 1, "retry_total": 1, "retry_backoff_max": 1}
"""Of what runs inside a window, and of the clock: there a second try would only make the round trip longer."""
_CLOUDS = {"AzureUSGovernment": AzureClouds.AZURE_US_GOVERNMENT, "AzureChinaCloud": AzureClouds.AZURE_CHINA_CLOUD}
"""By the ``cloud_environment`` of an ``azure`` connection."""


class Azure:
    """The clients of one account, each made when it is first used. They may be shared by threads.

    :param store: the store's name, for messages
    """

    def __init__(self, store: str, spec: Cosmosdb) -> None:
        self.store, self.spec = store, spec
        self._lock = RLock()
        logging.getLogger("azure").setLevel(logging.WARNING)  # 15 lines a request

    @cached_property
    def arm(self) -> CosmosDBManagementClient:
        """The control plane of the subscription: accounts, containers, settings, restores."""
        with self._lock, azure_errors(self.store):
            cloud, credential = self._login()
            return CosmosDBManagementClient(
                credential,
                self.spec.subscription_id,
                self.spec.endpoint,
                cloud_setting=cloud,
                retry_policy=_Pace(retry_total=TRIES, retry_status=TRIES, retry_backoff_max=LONGEST),
                **ARM,
            )

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

    def _login(self) -> tuple[AzureClouds | None, Any]:
        """The cloud, and a credential: a service principal where the connection has one whole, else the worker's (managed) identity.

        :raises StoreAccessError: it has a key file, which today's SDK does not take, or what is no tenant
        """
        conn_id = self.spec.conn_id
        said = BaseHook.get_connection(conn_id)
        extra = said.extra_dejson
        if extra.get("key_path") or extra.get("key_json"):
            raise StoreAccessError(
                f"store {self.store}: connection {conn_id} has a key file, which Azure's SDK does not take any more",
                fix="put client id, secret and `tenantId` into it, or nothing for the worker's managed identity",
            )
        modern = copy(said)
        modern.extra = json.dumps({**extra, "use_azure_identity_object": True})
        try:
            credential = AzureBaseHook(conn_id=conn_id).get_credential(conn=modern)
        except ValueError as error:
            raise StoreAccessError(f"store {self.store}: connection {conn_id}: {error}", fix="correct its `tenantId`") from error
        return _CLOUDS.get(extra.get("cloud_environment", "")), credential


def result_of(poller: LROPoller[Answer], within: float, late: StoreError) -> Answer:
    """What a long-running operation ends with.

    :param within: seconds
    :raises StoreError: ``late``, if it runs for longer
    """
    poller.wait(within)
    if not poller.done():
        raise late
    return poller.result()


class _Pace(RetryPolicy[Any, Any]):
    """The SDK's, which would sleep for as long as an answer says, be it an hour, and takes a POST that was throttled for one that was carried out."""

    def is_retry(self, settings: dict[str, Any], response: Any) -> bool:
        """Whether to try once more, now."""
        if (self.get_retry_after(response) or 0) > LONGEST:
            return False
        return response.http_response.status_code == 429 or super().is_retry(settings, response)
