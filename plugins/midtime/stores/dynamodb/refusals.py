"""What Amazon means by a refusal: whether trying again can help, and what a person can do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from airflow.sdk.exceptions import AirflowNotFoundException
from botocore import exceptions as boto

from midtime.errors import StoreAccessError, StoreError, StoreStatementError, StoreUnreachableError

NOT_THERE = frozenset({"ResourceNotFoundException", "TableNotFoundException"})


@dataclass(frozen=True, slots=True)
class _Reason:
    kind: type[StoreError]
    what: str
    fix: str


_EXPIRED = _Reason(
    StoreAccessError,
    "credentials have expired",
    "renew what the store's connection logs in with (a role renews itself, a session token does not), then clear this task",
)
_DENIED = _Reason(StoreAccessError, "access denied", "give the login of the store's connection the rights of docs/dynamodb.md")
_MISSING = _Reason(StoreAccessError, "not there", "correct the store's region, prefix and namespaces, and its connection's account")
_THROTTLED = _Reason(StoreStatementError, "throttled", "try again when the account's control plane is less busy")
_AWAY = _Reason(StoreUnreachableError, "no answer", "see whether the service is up and reachable from the worker")
_OTHER = _Reason(StoreStatementError, "refused", "see the service's message")
_CODES = {
    _EXPIRED: "ExpiredToken ExpiredTokenException RequestExpired",
    _DENIED: "AccessDenied AccessDeniedException UnrecognizedClientException InvalidClientTokenId InvalidSignatureException "
    "SignatureDoesNotMatch IncompleteSignature MissingAuthenticationToken MissingAuthenticationTokenException NotAuthorized OptInRequired",
    _MISSING: " ".join(NOT_THERE),
    _THROTTLED: "Throttling ThrottlingException ProvisionedThroughputExceededException RequestLimitExceeded LimitExceededException "
    "TooManyRequestsException SlowDown",
    _AWAY: "InternalServerError InternalFailure InternalServiceException InternalServiceFault ServiceUnavailable ServiceUnavailableException",
}
_BY_CODE = {code: reason for reason, codes in _CODES.items() for code in codes.split()}
_NO_LOGIN = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
    boto.UnauthorizedSSOTokenError,
    boto.ProfileNotFound,
)


def code_of(error: boto.ClientError) -> str:
    """The service's own word for it."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def aws_errors(store: str) -> Iterator[None]:
    """Turn what the SDK raises into one error of ours that names the store.

    :raises StoreError: as :mod:`midtime.errors` has them; retryable where trying again can help
    """
    try:
        yield
    except boto.ClientError as refused:
        error = _quotable(refused)
        reason = _BY_CODE.get(code_of(error)) or (_AWAY if _status(error) >= 500 else _OTHER)
        raise reason.kind(f"store {store}: {reason.what} ({error})", fix=reason.fix) from error
    except _NO_LOGIN as error:
        raise StoreAccessError(f"store {store}: no credentials ({error})", fix="correct the store's connection") from error
    except boto.BotoCoreError as error:
        raise StoreUnreachableError(f"store {store}: {_AWAY.what} ({error})", fix=_AWAY.fix) from error
    except AirflowNotFoundException as error:
        raise StoreAccessError(f"store {store}: {error}", fix="add the Airflow connection that the topology names") from error


def _quotable(error: boto.ClientError) -> boto.ClientError:
    """The first line: where a signature is wrong, the service quotes the request in those that follow, and with it the session's token."""
    said = error.response.get("Error", {})
    first, *more = str(said.get("Message", "")).splitlines() or [""]
    return boto.ClientError({**error.response, "Error": {**said, "Message": first}}, error.operation_name) if more else error


def _status(error: boto.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
