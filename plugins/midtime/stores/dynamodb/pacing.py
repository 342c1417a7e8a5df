"""Calls that the service may put off: it is asked again later, in its own time, and nothing fails because of that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from midtime.errors import NotRestorableError, StoreError, StoreUnreachableError
from midtime.stores.dynamodb.refusals import aws_errors, code_of

_CODES = (
    "LimitExceededException Throttling ThrottlingException ThrottledException RequestLimitExceeded ProvisionedThroughputExceededException "
    "TooManyRequestsException SlowDown TableInUseException ResourceInUseException TableAlreadyExistsException BackupInUseException "
    "ContinuousBackupsUnavailableException InternalServerError InternalFailure ServiceUnavailable ServiceUnavailableException "
    "ConcurrentUpdateException ResourceNotFoundException"
)
_LATER = frozenset(_CODES.split())
"""What is no failure: a quota, a table that is in the middle of something, or of which the next look will tell whose it is, or that it is gone: the
SDK asks again where an answer is lost, and is told that there is no such table any more."""
_NEVER = frozenset({"InvalidRestoreTimeException", "PointInTimeRecoveryUnavailableException", "TableNotFoundException"})


def put_off(store: str, call: Callable[..., Any], **arguments: Any) -> str:
    """Make a call.

    :return: why the service does not take it now; empty where it does
    :raises NotRestorableError: it never will: the history is gone
    :raises StoreError: it refuses us
    """
    try:
        with aws_errors(store):
            call(**arguments)
    except StoreUnreachableError as error:
        return error.message
    except StoreError as error:
        code = code_of(error.__cause__) if isinstance(error.__cause__, ClientError) else ""
        if code in _LATER:
            return error.message
        if code in _NEVER:
            raise NotRestorableError(error.message, fix="use another restore point") from error
        raise
    return ""


def is_full(why: str) -> bool:
    """Whether what :func:`put_off` says is true of any other table, too, for now."""
    return "LimitExceeded" in why or "Throttl" in why
