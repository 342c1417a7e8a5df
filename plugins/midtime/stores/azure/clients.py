"""The control plane (ARM) of one store, through one Airflow connection: the login is the provider's hook's, which makes clients without time limits.

Azure's SDKs take private certificate authorities from ``REQUESTS_CA_BUNDLE``, and proxies from ``HTTPS_PROXY``.
"""

from __future__ import annotations

import json
import logging
from copy import copy
from threading import RLock
from typing import Any, Protocol, TypeVar

from airflow.providers.microsoft.azure.hooks.base_azure import AzureBaseHook
from airflow.sdk import BaseHook
from azure.core import AzureClouds
from azure.core.pipeline.policies import RetryPolicy
from azure.core.polling import LROPoller
from azure.core.rest import HttpRequest

from midtime.errors import StoreAccessError, StoreError
from midtime.stores.azure.refusals import azure_errors
from midtime.stores.naming import require_type

Answer = TypeVar("Answer")
TRIES = 5
"""Of one call, after the first."""
LONGEST = 30.0
"""Seconds that a busy control plane may ask us to wait inside a call; whoever called asks again later otherwise."""
POLL = 1.0
"""Seconds between two looks at an operation whose answer does not say when to look."""
FOUND, FORBIDDEN, NOT_FOUND = 200, 403, 404
ARM: dict[str, Any] = {"connection_timeout": 5, "read_timeout": 30, "polling_interval": POLL}
_CLOUDS = {"AzureUSGovernment": AzureClouds.AZURE_US_GOVERNMENT, "AzureChinaCloud": AzureClouds.AZURE_CHINA_CLOUD}
"""By the ``cloud_environment`` of an ``azure`` connection."""


class Place(Protocol):
    """What a topology says of where a store is."""

    @property
    def conn_id(self) -> str:
        """The Airflow connection."""

    @property
    def subscription_id(self) -> str:
        """Azure's."""

    @property
    def endpoint(self) -> str | None:
        """Of ARM, if not Azure's own."""


class Clients:
    """The clients of one store, each made when it is first used. They may be shared by threads.

    :param store: the store's name, for messages
    """

    arm: Any
    """The SDK's client of the control plane."""

    def __init__(self, store: str, place: Place) -> None:
        self.store, self._place = store, place
        self._lock = RLock()
        logging.getLogger("azure").setLevel(logging.WARNING)  # 15 lines a request

    @property
    def conn_id(self) -> str:
        """Of the Airflow connection."""
        return self._place.conn_id

    def look_up(self, path: str, version: str) -> tuple[int, Any]:
        """What ARM says of something that the client has no method for.

        :param path: below ARM's own address
        :param version: of that thing's interface
        :return: the status, :data:`FORBIDDEN` and :data:`NOT_FOUND` among them, and what was said if it is :data:`FOUND`
        """
        with azure_errors(self.store):
            response = self.arm.send_request(HttpRequest("GET", path, params={"api-version": version}))
            if response.status_code in (FORBIDDEN, NOT_FOUND):
                return response.status_code, None
            response.raise_for_status()
        return FOUND, response.json()

    def _control(self, kind: Any) -> Any:
        """A client of the subscription's control plane, of one of the SDKs' kinds."""
        with self._lock, azure_errors(self.store):
            cloud, credential = self._login()
            return kind(
                credential,
                self._place.subscription_id,
                self._place.endpoint,
                cloud_setting=cloud,
                retry_policy=_Pace(retry_total=TRIES, retry_status=TRIES, retry_backoff_max=LONGEST),
                **ARM,
            )

    def _login(self) -> tuple[AzureClouds | None, Any]:
        """The cloud, and a credential: a service principal where the connection has one whole, else the worker's (managed) identity.

        :raises StoreAccessError: it has a key file, which today's SDK does not take, half a principal, or what is no tenant; or is of another type
        """
        conn_id = self._place.conn_id
        said = BaseHook.get_connection(conn_id)
        require_type(self.store, said, "azure")
        extra = said.extra_dejson
        if extra.get("key_path") or extra.get("key_json"):
            raise StoreAccessError(
                f"store {self.store}: connection {conn_id} has a key file, which Azure's SDK does not take any more",
                fix="put client id, secret and `tenantId` into it, or nothing for the worker's managed identity",
            )
        whole = {"client id": said.login, "secret": said.password, "`tenantId`": extra.get("tenantId")}
        missing = ", ".join(name for name, value in whole.items() if not value)
        if missing and (said.login or said.password):
            raise StoreAccessError(
                f"store {self.store}: connection {conn_id} has no {missing}, and would be passed over for the worker's own identity",
                fix="put client id, secret and `tenantId` into it, or none of the first two for the worker's managed identity",
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
