"""What Azure's SDKs raise becomes one error of ours: retryable where trying again can help, with the service's own words, and no more of them than fit."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowNotFoundException
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    IncompleteReadError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseTimeoutError,
)
from azure.cosmos.exceptions import CosmosClientTimeoutError, CosmosHttpResponseError, CosmosResourceNotFoundError
from azure.identity import CredentialUnavailableError
from azure.mgmt.core.exceptions import ARMErrorFormat

from midtime.errors import StoreAccessError, StoreError, StoreStatementError, StoreUnreachableError
from midtime.stores.azure.refusals import LONGEST_WORD, azure_errors


def arm(status: int, code: str, message: str = "said the service", kind: type[HttpResponseError] = HttpResponseError) -> HttpResponseError:
    body = json.dumps({"error": {"code": code, "message": message}})
    response: Any = SimpleNamespace(status_code=status, reason="No", text=lambda: body, headers={})
    return kind(response=response, error_format=ARMErrorFormat)


def data(
    status: int, message: str = "said the service", kind: type[CosmosHttpResponseError] = CosmosHttpResponseError
) -> CosmosHttpResponseError:
    return kind(status_code=status, message=message)


def raised(error: Exception) -> StoreError:
    with pytest.raises(StoreError) as caught, azure_errors("tickets"):
        raise error
    assert "store tickets" in caught.value.message
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (arm(401, "ExpiredAuthenticationToken", kind=ClientAuthenticationError), StoreAccessError, "credentials have expired"),
        (
            ClientAuthenticationError("AADSTS7000222: The provided client secret keys are expired."),
            StoreAccessError,
            "credentials have expired",
        ),
        (ClientAuthenticationError("AADSTS7000215: Invalid client secret provided."), StoreAccessError, "login refused"),
        (ClientAuthenticationError("AADSTS90002: Tenant 'x' not found."), StoreAccessError, "login refused"),
        (CredentialUnavailableError("no managed identity endpoint found"), StoreAccessError, "login refused"),
        (arm(401, "InvalidAuthenticationTokenTenant", kind=ClientAuthenticationError), StoreAccessError, "login refused"),
        (arm(403, "AuthorizationFailed"), StoreAccessError, "access denied"),
        (arm(404, "SubscriptionNotFound", kind=ResourceNotFoundError), StoreAccessError, "not there"),
        (arm(404, "ResourceGroupNotFound", kind=ResourceNotFoundError), StoreAccessError, "not there"),
        (arm(409, "Conflict"), StoreStatementError, "in use by another operation"),
        (arm(412, "PreconditionFailed"), StoreStatementError, "in use by another operation"),
        (arm(429, "TooManyRequests"), StoreStatementError, "throttled"),
        (arm(400, "BadRequest"), StoreStatementError, "refused"),
        (arm(200, "InternalServerError"), StoreStatementError, "refused"),  # an operation that was taken, and failed
        (arm(503, "ServiceUnavailable"), StoreUnreachableError, "no answer"),
        (data(401), StoreAccessError, "key refused"),
        (data(403, "Request originated from IP 10.0.0.1 through public internet"), StoreAccessError, "key refused"),
        (data(404, kind=CosmosResourceNotFoundError), StoreAccessError, "not there"),
        (data(408), StoreUnreachableError, "no answer"),
        (data(410), StoreUnreachableError, "no answer"),
        (data(429), StoreStatementError, "throttled"),
        (data(449), StoreStatementError, "in use by another operation"),
        (data(500), StoreUnreachableError, "no answer"),
        (CosmosClientTimeoutError(), StoreUnreachableError, "no answer"),
        (ServiceRequestError("connection refused"), StoreUnreachableError, "no answer"),
        (ServiceResponseTimeoutError("timed out"), StoreUnreachableError, "no answer"),
        (IncompleteReadError("half of it"), StoreUnreachableError, "no answer"),
    ],
)
def test_each(error: AzureError, kind: type[StoreError], said: str) -> None:
    found = raised(error)
    assert (type(found), said in found.message) == (kind, True), found.message


def test_the_services_words() -> None:
    assert "AuthorizationFailed: not you" in raised(arm(403, "AuthorizationFailed", "not you")).message


def test_a_page_of_diagnostics_is_cut() -> None:
    """Cosmos DB tells the life of a request, replica by replica, over thousands of characters."""
    found = raised(data(404, "NotFound\r\nActivityId: 1, Request URI: /apps/...\r\n" + "RequestStats " * 500, CosmosResourceNotFoundError))
    assert "NotFound" in found.message
    assert len(found.message) < LONGEST_WORD + 100
    assert "\n" not in found.message


def test_a_connection_that_is_not_there() -> None:
    found = raised(AirflowNotFoundException("The conn_id `gone` isn't defined"))
    assert type(found) is StoreAccessError
    assert "gone" in found.message


def test_what_is_no_error_of_azures_stays() -> None:
    with pytest.raises(KeyError), azure_errors("tickets"):
        raise KeyError("a mistake of ours")
