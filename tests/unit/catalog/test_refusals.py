"""What a store's refusal means: each with the remedy that fits, and retryable only where that can help."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from midtime.catalog import objects, refusals
from midtime.errors import DestinationAccessError, DestinationError

SAS = "AuthenticationErrorDetail:Signature not valid in the specified time frame: Start [..] - Expiry [..] - Current [..]"


class ClientError(Exception):
    """As botocore's."""

    def __init__(self, code: str, message: str = "no") -> None:
        super().__init__(message)
        self.response = {"Error": {"Code": code}}


class HttpResponseError(Exception):
    """As the Azure SDK's."""

    def __init__(self, error_code: str | None, status_code: int = 0, message: str = "no") -> None:
        super().__init__(message)
        self.error_code, self.status_code, self.response = error_code, status_code, object()


class NoCredentialsError(Exception):
    """As botocore's."""


class CredentialRetrievalError(Exception):
    """As botocore's."""


class AirflowNotFoundException(Exception):  # noqa: N818
    """As Airflow's."""


def translated(error: Exception, into: Exception) -> Exception:
    """As s3fs does it."""
    into.__cause__ = error
    return into


EXPIRED, DENIED, MISSING, THROTTLED = "credentials expired", "access denied", "no such bucket or container", "throttled"
CASES: list[tuple[Any, str, str, bool]] = [
    (ClientError("ExpiredToken"), EXPIRED, "session token", True),
    (translated(ClientError("ExpiredToken"), PermissionError("The provided token has expired.")), EXPIRED, "renew", True),
    (HttpResponseError("AuthenticationFailed", 403, f"Server failed to authenticate\n{SAS}"), EXPIRED, "renew", True),
    (CredentialRetrievalError("process ended with 1"), EXPIRED, "renew", True),
    (translated(ClientError("AccessDenied"), PermissionError("Access Denied")), DENIED, "docs/object-stores.md", False),
    (translated(ClientError("403"), PermissionError("Forbidden")), DENIED, "permissions", False),
    (ClientError("SignatureDoesNotMatch"), DENIED, "permissions", False),
    (HttpResponseError("AuthenticationFailed", 403, "Server failed to authenticate: MAC signature"), DENIED, "permissions", False),
    (HttpResponseError("AuthorizationPermissionMismatch", 403), DENIED, "permissions", False),
    (HttpResponseError(None, 401), DENIED, "permissions", False),
    (NoCredentialsError("Unable to locate credentials"), DENIED, "permissions", False),
    (translated(ClientError("NoSuchBucket"), FileNotFoundError("The specified bucket does not exist")), MISSING, "create it", False),
    (translated(HttpResponseError("ContainerNotFound", 404), FileNotFoundError("a")), MISSING, "create it", False),
    (ClientError("AuthorizationHeaderMalformed", "the region 'us-east-1' is wrong"), MISSING, "region", False),
    (translated(ClientError("SlowDown"), OSError(errno.EBUSY, "Please reduce your request rate.")), THROTTLED, "less busy", True),
    (HttpResponseError("ServerBusy", 503), THROTTLED, "less busy", True),
    (HttpResponseError(None, 429), THROTTLED, "less busy", True),
    (AirflowNotFoundException("The conn_id `x` isn't defined"), "no such connection", "add the Airflow connection", False),
    (ClientError("InternalError", "We encountered an internal error"), "internal error", "run again", True),
    (OSError(errno.ENOSPC, "No space left on device"), "No space left", "make room", True),
    (TimeoutError(), "TimeoutError", "run again", True),
]


@pytest.mark.parametrize(("error", "message", "fix", "retryable"), CASES, ids=[f"{n}-{case[1]}" for n, case in enumerate(CASES)])
def test_what_it_means(error: Exception, message: str, fix: str, retryable: bool) -> None:
    with pytest.raises(DestinationError) as caught, objects.destination_errors("s3://c@bucket/x", "read"):
        raise error
    assert message in caught.value.message
    assert fix in caught.value.fix
    assert caught.value.retryable is retryable
    assert isinstance(caught.value, DestinationAccessError) is not retryable
    assert caught.value.message.startswith("cannot read s3://c@bucket/x: ")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("code", ["NoSuchKey", "404", "NoSuchUpload"])
def test_an_object_that_is_not_there_is_an_answer(code: str) -> None:
    error = translated(ClientError(code), FileNotFoundError("x"))
    with pytest.raises(FileNotFoundError) as caught, objects.destination_errors("x", "read"):
        raise error
    assert caught.value is error


def test_a_code_is_found_wherever_it_hides() -> None:
    inner = translated(ClientError("SlowDown"), RuntimeError("x"))
    assert refusals.code_of(translated(inner, RuntimeError("y"))) == "SlowDown"
    assert refusals.code_of(ValueError()) == ""


def status(code: int) -> Exception:
    error = ClientError("x")
    error.response["ResponseMetadata"] = {"HTTPStatusCode": code}  # type: ignore[dict-item]
    return error


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (status(403), True),
        (translated(status(404), FileNotFoundError("x")), True),
        (HttpResponseError("InvalidBlockList", 400), True),
        (status(500), False),
        (HttpResponseError("ServerBusy", 503), False),
        (TimeoutError(), False),
        (OSError("1 of 2 bytes have arrived"), False),
    ],
)
def test_a_refusal_has_changed_nothing(error: Exception, refused: bool) -> None:
    """Of all else nobody knows whether it was done."""
    assert refusals.was_refused(error) is refused
