"""What Azure means by a refusal: whether trying again can help, and what a person can do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.sdk.exceptions import AirflowNotFoundException
from azure.core import exceptions as azure

from midtime.errors import StoreAccessError, StoreStatementError
from midtime.stores.reasons import AWAY, OTHER, Reason

LONGEST_WORD = 400
"""Characters of the service's own message; some of them carry a page of diagnostics."""


_EXPIRED = Reason(
    StoreAccessError, "credentials have expired", "renew the client secret of the store's connection `conn_id`, then clear this task"
)
_LOGIN = Reason(
    StoreAccessError,
    "login refused",
    "correct client id, secret and `tenantId` in the connection `conn_id`; the subscription must belong to that tenant",
)
_KEY = Reason(
    StoreAccessError,
    "key refused",
    "put the account's endpoint and its present read-write key into the connection `data_conn_id`; the account must take keys, and this worker's address",
)
_DENIED = Reason(
    StoreAccessError, "access denied", "give the login of the connection `conn_id` the rights that the service's page in docs/ lists"
)
_MISSING = Reason(StoreAccessError, "not there", "correct the store's subscription_id, resource_group, account or server, and namespaces")
_BUSY = Reason(StoreStatementError, "in use by another operation", "wait until nobody changes it any more, then try again")
_THROTTLED = Reason(StoreStatementError, "throttled", "try again when the subscription, or the service, is less busy")
_QUOTA = Reason(
    StoreAccessError,
    "no quota, or no capacity, for it",
    "ask for more quota, remove what nobody needs, or choose another `sku` or region; then start a new run",
)
_BY_STATUS = {
    401: _LOGIN,
    403: _DENIED,
    404: _MISSING,
    408: AWAY,
    409: _BUSY,
    410: AWAY,
    412: _BUSY,
    423: _BUSY,
    429: _THROTTLED,
    449: _BUSY,
}
_BY_CODE = {
    _EXPIRED: ("ExpiredAuthenticationToken", "AADSTS7000222", "AADSTS700082", "AADSTS700024"),
    _QUOTA: ("QuotaExceeded", "SkuNotAvailable", "exceeding approved", "exceeds the quota"),
    _MISSING: ("SubscriptionNotFound", "ResourceGroupNotFound", "ResourceNotFound", "InvalidSubscriptionId"),
}


def status_of(error: azure.AzureError) -> int:
    """HTTP's number of the answer; 0 where there is none. An operation that failed was answered with 200."""
    return int(getattr(error, "status_code", None) or 0)


def code_of(error: azure.AzureError) -> str:
    """ARM's own word for it."""
    return str(getattr(getattr(error, "error", None), "code", None) or "")


@contextmanager
def azure_errors(store: str) -> Iterator[None]:
    """Turn what the SDKs raise into one error of ours that names the store.

    :raises StoreError: as :mod:`midtime.errors` has them; retryable where trying again can help
    """
    try:
        yield
    except azure.AzureError as error:
        raise _reason(error).error(store, said_by(error)) from error
    except AirflowNotFoundException as error:
        raise StoreAccessError(f"store {store}: {error}", fix="add the Airflow connection that the topology names") from error


def said_by(error: azure.AzureError) -> str:
    """The service's message on one line, without diagnostics."""
    inner: Any = getattr(error, "error", None)
    said = f"{inner.code}: {inner.message}" if getattr(inner, "message", None) else str(error.message)
    line = " ".join(said.split())
    return line if len(line) <= LONGEST_WORD else f"{line[:LONGEST_WORD]}…"


def _reason(error: azure.AzureError) -> Reason:
    """What the error says of itself, then what HTTP says; without an answer the service is away."""
    said = f"{code_of(error)} {error.message}"
    if known := next((reason for reason, words in _BY_CODE.items() if any(word in said for word in words)), None):
        return known
    if isinstance(error, azure.ClientAuthenticationError):
        return _LOGIN
    status = status_of(error)
    if status == 401 or (status == 403 and _of_data_plane(error)):
        return _KEY
    if status >= 500 or not status:
        return AWAY
    return _BY_STATUS.get(status, OTHER)


def _of_data_plane(error: azure.AzureError) -> bool:
    return type(error).__module__.startswith("azure.cosmos")
