"""What the DynamoDB server of the tests goes by, beside what every double of a cloud service does, and which calls it saw."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from tests.stack.cloud_world import ClockSettings, CloudWorld, Duration

#: what clients do with items; everything else is the control plane
DATA_OPERATIONS = {
    *("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan", "BatchGetItem", "BatchWriteItem"),
    *("TransactGetItems", "TransactWriteItems", "ExecuteStatement", "ExecuteTransaction", "BatchExecuteStatement"),
}
#: by the kind of a fault: status and code of the answer
REFUSALS = {
    "throttling": (400, "ThrottlingException"),
    "capacity": (400, "ProvisionedThroughputExceededException"),
    "expired": (400, "ExpiredTokenException"),
    "denied": (400, "AccessDeniedException"),
    "limit": (400, "LimitExceededException"),
    "error": (500, "InternalServerError"),
    "unavailable": (503, "ServiceUnavailable"),
}


@dataclass
class Settings(ClockSettings):
    """The defaults are quick; DynamoDB's own lag is five minutes, and its restores take from minutes to hours."""

    #: that may be in flight
    restores: int = 50
    create: Duration = 0.0
    update: Duration = 0.0
    delete: Duration = 0.2
    backup: Duration = 0.2
    restore: Duration = 0.3
    restore_per_item: float = 0.0
    #: after a table is there, until its continuous backups can be enabled and it can be backed up
    enabling: Duration = 0.0


def moment(at: float) -> datetime:
    """As the service words its times."""
    return datetime.fromtimestamp(at, UTC)


WORLD = CloudWorld(Settings, DATA_OPERATIONS)
