"""Calls that the service may put off: it is asked again later, in its own time, and nothing fails because of that."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from midtime.errors import NotRestorableError, RestoreFailedError, StoreError, StoreUnreachableError
from midtime.model.durations import format_duration
from midtime.model.instants import utc_now
from midtime.stores.base import Waiting
from midtime.stores.dynamodb.refusals import aws_errors, code_of

sleep = time.sleep
"""From one look to the next, where the caller does not wait by itself."""
QUICK, SLOW = timedelta(seconds=5), timedelta(seconds=30)
"""From one look to the next: at the beginning, and when it has taken long already."""
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


def waiting(store: str, detail: str, began: datetime, limit: timedelta) -> Waiting:
    """Look again later.

    :raises RestoreFailedError: it has taken too long
    """
    passed = utc_now() - began
    if passed > limit:
        raise RestoreFailedError(
            f"store {store}: {detail}, after {format_duration(timedelta(seconds=int(passed.total_seconds())))}",
            fix="see the service's status; raise the store's `restore_timeout` if its tables are that large",
        )
    return Waiting(detail, min(SLOW, max(QUICK, passed / 20)))


def to_the_end(look: Callable[[], Waiting | None], say: Callable[[str], object]) -> None:
    """Look until nothing is waited for any more."""
    while (found := look()) is not None:
        say(found.detail)
        sleep(found.look_again.total_seconds())
