"""Fence rows in a container of their own: ``{id, window_id, place, written_at}``, removed by its TTL."""

from __future__ import annotations

from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.mgmt.cosmosdb import models
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from midtime.errors import StoreAccessError, StoreUnreachableError
from midtime.model.instants import utc_now
from midtime.stores.azure.clients import result_of
from midtime.stores.azure.refusals import azure_errors
from midtime.stores.cosmosdb.accounts import Account
from midtime.stores.cosmosdb.azure import Azure
from midtime.stores.cosmosdb.describing import describe_databases
from midtime.stores.fences import KEPT_BY_SERVICES, Place

KEY = "/window_id"
"""The path of its partition key."""
PATIENCE = 180.0
"""Seconds in which a new container is there."""
_SOON = Retrying(retry=retry_if_exception_type(ResourceNotFoundError), stop=stop_after_delay(30), wait=wait_fixed(1), reraise=True)
"""What ARM has made, the gateways know a little later."""
HASTE = 2.5
"""Seconds for the row inside the window, tries and all."""


class CosmosdbFence:
    """Writes the fence rows of one store.

    :param name: the container's, ``database/container``
    """

    def __init__(self, azure: Azure, name: str) -> None:
        self.azure, self.name = azure, name
        self._database, _, self._container = name.partition("/")
        self._quick = azure.hurried.get_database_client(self._database).get_container_client(self._container)
        self._slow = azure.data.get_database_client(self._database).get_container_client(self._container)

    def prepare(self) -> None:
        """Make the container, unless it is there, and write a row of no window.

        A key for reading only shows then; and the client learns all that it must know: the row in the window is one call.

        :raises StoreAccessError: we may not, or the name is somebody else's
        :raises StoreUnreachableError: it takes too long
        """
        if (found := find_fence(self.azure, self.name)) is None:
            self._create()
        else:
            _require_ours(self.azure, self.name, found)
        with azure_errors(self.azure.store):
            _SOON(self._quick.upsert_item, _row("none", "none"))
            self._slow.read()

    def write(self, window: str, place: Place) -> None:
        """Write one row; inside the window quickly or not at all.

        :raises StoreError: it cannot be written
        """
        row = _row(window, place)
        with azure_errors(self.azure.store):
            if place == "before":
                self._quick.upsert_item(row, timeout=HASTE)
            else:
                self._slow.upsert_item(row)

    def _create(self) -> None:
        """Without throughput of its own where the database shares its: it takes a row or two a day."""
        spec = self.azure.spec
        key = models.ContainerPartitionKey(paths=[KEY], kind="Hash")
        resource = models.SqlContainerResource(id=self._container, partition_key=key, default_ttl=int(KEPT_BY_SERVICES.total_seconds()))
        wanted = models.SqlContainerCreateUpdateParameters(
            properties=models.SqlContainerCreateUpdateProperties(resource=resource, options=models.CreateUpdateOptions())
        )
        late = StoreUnreachableError(
            f"store {self.azure.store}: container {self.name} is not there after {PATIENCE:g} s",
            fix="look at the account's activity log; start a new run",
        )
        with azure_errors(self.azure.store):
            poller = self.azure.arm.sql_resources.begin_create_update_sql_container(
                spec.resource_group, spec.account, self._database, self._container, wanted
            )
            result_of(poller, PATIENCE, late)


def _row(window: str, place: str) -> dict[str, Any]:
    return {"id": f"{window}-{place}", "window_id": window, "place": place, "written_at": int(utc_now().timestamp() * 1000)}


def find_fence(azure: Azure, name: str) -> dict[str, Any] | None:
    """What ARM says of the container; None where it is not there."""
    database, _, container = name.partition("/")
    with azure_errors(azure.store):
        try:
            found = azure.arm.sql_resources.get_sql_container(azure.spec.resource_group, azure.spec.account, database, container)
        except ResourceNotFoundError:
            return None
    return dict(found.as_dict()["properties"]["resource"])


def describe_fence(azure: Azure, name: str, account: Account) -> str:
    """For the preflight, which makes nothing.

    :raises StoreAccessError: it is not for us
    """
    if (found := find_fence(azure, name)) is None:
        return f"{name} is not there: the next backup makes it before its pause, {_paid(azure, name.partition('/')[0], account)}"
    _require_ours(azure, name, found)
    return f"{name} is there"


def _paid(azure: Azure, database: str, account: Account) -> str:
    if account.serverless:
        return "for which a serverless account takes next to nothing"
    (found,) = describe_databases(azure, account, [database])
    if found.throughput:
        return f"on the {found.throughput} that its database shares (among 25 containers at most)"
    return "with the 400 RU/s that are the least, for its database shares none"


def _require_ours(azure: Azure, name: str, found: dict[str, Any]) -> None:
    """Rows would not fit into any other container, which would show inside the window only."""
    if found.get("partitionKey", {}).get("paths") != [KEY]:
        raise StoreAccessError(
            f"store {azure.store}: container {name} has another partition key than {KEY}",
            fix="rename that container, or say `fence: false`",
        )
