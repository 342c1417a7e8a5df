"""What Amazon means by a refusal: whether trying again can help, and what a person can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from airflow.sdk.exceptions import AirflowNotFoundException
from botocore import exceptions as boto

from midtime.errors import StoreAccessError, StoreStatementError
from midtime.stores.reasons import AWAY, OTHER, Reason

Errors = Callable[[str], AbstractContextManager[None]]
"""Turns what the SDK raises about a store into one of our errors."""
_EXPIRED = Reason(
    StoreAccessError,
    "credentials have expired",
    "renew what the store's connection logs in with (a role renews itself, a session token does not), then clear this task",
)
_THROTTLED = Reason(StoreStatementError, "throttled", "try again when the account's control plane is less busy")
_DENIED = (
    "AccessDenied AccessDeniedException UnrecognizedClientException InvalidClientTokenId InvalidSignatureException "
    "SignatureDoesNotMatch IncompleteSignature MissingAuthenticationToken MissingAuthenticationTokenException NotAuthorized OptInRequired"
)
_CODES = {
    _EXPIRED: "ExpiredToken ExpiredTokenException RequestExpired",
    _THROTTLED: "Throttling ThrottlingException ProvisionedThroughputExceededException RequestLimitExceeded LimitExceededException "
    "TooManyRequestsException SlowDown",
    AWAY: "InternalServerError InternalFailure InternalServiceException InternalServiceFault ServiceUnavailable ServiceUnavailableException",
}
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


def errors_of(rights: str, more: Mapping[Reason, str]) -> Errors:
    """What turns a service's refusals into our errors.

    :param rights: the page that lists the rights of its logins
    :param more: what is the service's own: reasons, each with its codes
    """
    denied = Reason(StoreAccessError, "access denied", f"give the login of the store's connection the rights of {rights}")
    by_code = {code: reason for reason, codes in {denied: _DENIED, **_CODES, **more}.items() for code in codes.split()}

    @contextmanager
    def aws_errors(store: str) -> Iterator[None]:
        """Turn what the SDK raises into one error of ours that names the store.

        :raises StoreError: as :mod:`midtime.errors` has them; retryable where trying again can help
        """
        try:
            yield
        except boto.ClientError as refused:
            error = _quotable(refused)
            reason = by_code.get(code_of(error)) or (AWAY if _status(error) >= 500 else OTHER)
            raise reason.error(store, error) from error
        except _NO_LOGIN as error:
            raise StoreAccessError(f"store {store}: no credentials ({error})", fix="correct the store's connection") from error
        except boto.BotoCoreError as error:
            raise AWAY.error(store, error) from error
        except AirflowNotFoundException as error:
            raise StoreAccessError(f"store {store}: {error}", fix="add the Airflow connection that the topology names") from error

    return aws_errors


def _quotable(error: boto.ClientError) -> boto.ClientError:
    """The first line: where a signature is wrong, the service quotes the request in those that follow, and with it the session's token."""
    said = error.response.get("Error", {})
    first, *more = str(said.get("Message", "")).splitlines() or [""]
    return boto.ClientError({**error.response, "Error": {**said, "Message": first}}, error.operation_name) if more else error


def _status(error: boto.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
