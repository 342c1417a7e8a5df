"""What an object store meant by its refusal: whether trying again can help, and what a person can do.

s3fs turns botocore's errors into Python's own, the Azure SDK has a class for each status; what both keep is the store's code.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass

from midtime.errors import DestinationAccessError, DestinationError


@dataclass(frozen=True, slots=True)
class Reason:
    """One cause, its remedy, and the error for it."""

    what: str
    fix: str
    kind: type[DestinationError] = DestinationError


OTHER = Reason("", "check the destination's URL, its connection and its permissions, then run again")
FULL = Reason("", "make room at the destination and run again")
EXPIRED = Reason(
    "credentials expired",  # retryable: each try reads the connection anew, and a secrets backend may have renewed it
    "renew what the destination's connection logs in with; a role that it assumes renews itself, a session token does not",
)
DENIED = Reason(
    "access denied", "give the login of the destination's connection the permissions of docs/object-stores.md", DestinationAccessError
)
MISSING = Reason(
    "no such bucket or container", "create it, or correct the destination's URL and its connection's region", DestinationAccessError
)
UNKNOWN = Reason("no such connection", "add the Airflow connection that the destination's URL names before the @", DestinationAccessError)
THROTTLED = Reason("throttled", "run again when the store is less busy, and spread what writes to it")

_CODES = {
    EXPIRED: "ExpiredToken ExpiredTokenException RequestExpired TokenRefreshRequired",
    DENIED: "AccessDenied AllAccessDisabled AccountProblem InvalidAccessKeyId InvalidToken NotSignedUp RequestTimeTooSkewed "
    "SignatureDoesNotMatch 401 403 AccountIsDisabled InsufficientAccountPermissions NoAuthenticationInformation PublicAccessNotPermitted",
    MISSING: "NoSuchBucket InvalidBucketName PermanentRedirect AuthorizationHeaderMalformed ContainerNotFound InvalidResourceName",
    THROTTLED: "SlowDown ServiceUnavailable Throttling ThrottlingException TooManyRequests RequestLimitExceeded ServerBusy 429 503",
}
_BY_CODE = {code: reason for reason, codes in _CODES.items() for code in codes.split()}
_BY_CLASS = {
    "NoCredentialsError": DENIED,
    "PartialCredentialsError": DENIED,
    "ClientAuthenticationError": DENIED,
    "CredentialRetrievalError": EXPIRED,
    "TokenRetrievalError": EXPIRED,
    "UnauthorizedSSOTokenError": EXPIRED,
    "AirflowNotFoundException": UNKNOWN,
}


def code_of(error: BaseException) -> str:
    """The store's own word for it, or its HTTP status; empty when it said neither."""
    for each in _chain(error):
        response = getattr(each, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
        if code := getattr(each, "error_code", None) or getattr(each, "status_code", None):
            return str(getattr(code, "value", code))
    return ""


def reason_of(error: BaseException) -> Reason:
    """Why."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return FULL
    code = code_of(error)
    if code.startswith(("Authentication", "InvalidAuthentication")) and _is_of_time(error):
        return EXPIRED
    if code.startswith(("Authentication", "Authorization", "InvalidAuthentication")) and code not in _BY_CODE:
        return DENIED
    by_class = (_BY_CLASS.get(type(each).__name__) for each in _chain(error))
    return _BY_CODE.get(code) or next(filter(None, by_class), OTHER)


def destination_error(error: Exception, path: object, verb: str) -> DestinationError:
    """One error for all backends, which names the object."""
    reason = reason_of(error)
    said = (str(error) or type(error).__name__).splitlines()[0]  # Azure's go on with the whole reply
    message = f"cannot {verb} {path}: " + (f"{reason.what} ({said})" if reason.what else said)
    return reason.kind(message, fix=reason.fix)


def no_bucket(error: Exception) -> bool:
    """Whether what was not found is not an object but where it should be."""
    return reason_of(error) is MISSING


def was_refused(error: BaseException) -> bool:
    """Whether the store has said no, and so changed nothing; without a reply, or after one of 5xx, nobody knows."""
    for each in _chain(error):
        response = getattr(each, "response", None)
        status = (
            response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else getattr(each, "status_code", None)
        )
        if isinstance(status, int):
            return 400 <= status < 500
    return False


def _is_of_time(error: BaseException) -> bool:
    """Azure has one code for a wrong signature and for one that has expired."""
    return any(word in str(each).lower() for each in _chain(error) for word in ("expire", "time frame"))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__
