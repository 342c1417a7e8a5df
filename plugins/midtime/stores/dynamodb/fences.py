"""Fence rows in a table of their own: ``{window_id, place, written_at, expires_at}``, by demand, with point-in-time recovery."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError
from tenacity import RetryError, Retrying, retry_if_exception, retry_if_result, stop_after_delay, wait_fixed

from midtime.errors import StoreAccessError, StoreUnreachableError
from midtime.model.instants import utc_now
from midtime.stores.dynamodb.aws import Aws
from midtime.stores.dynamodb.history import History, read_history
from midtime.stores.dynamodb.refusals import aws_errors, code_of
from midtime.stores.fences import KEPT_BY_SERVICES, Place

PATIENCE = 180.0
"""Seconds in which a new table is there and has a history."""
LOOK = 2.0
"""From one look to the next."""
_KEYS = {"window_id": "HASH", "place": "RANGE"}
_COMING = frozenset({"ContinuousBackupsUnavailableException", "ResourceInUseException", "TableInUseException"})
"""What a table answers that is not ready for it."""


class DynamodbFence:
    """Writes the fence rows of one store.

    :param table: the table's full name
    """

    def __init__(self, aws: Aws, table: str) -> None:
        self.aws, self.table = aws, table
        _ = aws.hurried  # made before the window

    def prepare(self) -> None:
        """Make the table, unless it is there; see that it has a history, which a restore to an instant of the window needs.

        :raises StoreAccessError: we may not, or the name is somebody else's
        :raises StoreUnreachableError: it takes too long
        """
        with aws_errors(self.aws.store):
            if not (found := read_history(self.aws, self.table)).table_id:
                self._create()
            else:
                _require_ours(self.aws, found)
            if not found.on:
                self._keep_history()
        self._wait()

    def write(self, window: str, place: Place) -> None:
        """Write one row; inside the window quickly or not at all.

        :raises StoreError: it cannot be written
        """
        now = utc_now()
        item = {
            "window_id": {"S": window},
            "place": {"S": place},
            "written_at": {"N": str(int(now.timestamp() * 1000))},
            "expires_at": {"N": str(int((now + KEPT_BY_SERVICES).timestamp()))},
        }
        with aws_errors(self.aws.store):
            (self.aws.hurried if place == "before" else self.aws.data).put_item(TableName=self.table, Item=item)

    def _create(self) -> None:
        client = self.aws.control
        try:
            client.create_table(
                TableName=self.table,
                AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in _KEYS],
                KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in _KEYS.items()],
                BillingMode="PAY_PER_REQUEST",
            )
        except ClientError as error:
            if code_of(error) != "ResourceInUseException":  # somebody makes it at this very moment
                raise
        client.get_waiter("table_exists").wait(TableName=self.table, WaiterConfig={"Delay": int(LOOK), "MaxAttempts": int(PATIENCE / LOOK)})
        self._patiently(
            client.update_time_to_live, TableName=self.table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"}
        )

    def _keep_history(self) -> None:
        self._patiently(
            self.aws.control.update_continuous_backups,
            TableName=self.table,
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
        )

    def _patiently(self, call: Any, **arguments: Any) -> None:
        """A new table is not ready for everything at once."""
        coming = retry_if_exception(lambda error: isinstance(error, ClientError) and code_of(error) in _COMING)
        Retrying(retry=coming, stop=stop_after_delay(PATIENCE), wait=wait_fixed(LOOK), reraise=True)(call, **arguments)

    def _wait(self) -> None:
        """Until it is there, and its history has begun."""
        waiting = Retrying(retry=retry_if_result(lambda found: not _ready(found)), stop=stop_after_delay(PATIENCE), wait=wait_fixed(LOOK))
        try:
            waiting(read_history, self.aws, self.table)
        except RetryError as error:
            raise StoreUnreachableError(
                f"store {self.aws.store}: table {self.table} has no history after {PATIENCE:g} s",
                fix="look at its backups; start a new run",
            ) from error


def describe_fence(aws: Aws, table: str) -> str:
    """For the preflight, which makes nothing.

    :raises StoreAccessError: it is not for us, or is about to be no more
    """
    found = read_history(aws, table)
    if found.status == "DELETING":
        raise StoreAccessError(f"store {aws.store}: {table} is being deleted", fix="wait until it is gone, or say `fence: false`")
    if found.table_id:
        _require_ours(aws, found)
    else:
        return f"{table} is not there: the next backup makes it before its pause, with point-in-time recovery"
    return f"{table} is there" + ("" if found.on else "; the next backup switches its point-in-time recovery on, before its pause")


def _require_ours(aws: Aws, found: History) -> None:
    """Rows would not fit into any other table, which would show inside the window only."""
    if {key["AttributeName"]: key["KeyType"] for key in found.description["KeySchema"]} != _KEYS:
        raise StoreAccessError(
            f"store {aws.store}: {found.name} has other keys than {' and '.join(_KEYS)}", fix="rename that table, or say `fence: false`"
        )


def _ready(found: History) -> bool:
    return found.status in ("ACTIVE", "UPDATING") and found.on and found.earliest is not None
