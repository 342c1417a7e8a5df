"""What the DynamoDB server of the tests goes by: its clock, how long things take, which calls fail, and which calls it saw.

All of it can be changed and asked for while the server runs (``dynamodb_server.py``).
"""

from __future__ import annotations

import dataclasses
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Any

#: seconds, or the shortest and the longest, between which each table has its own
Duration = float | list[float]
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
class Settings:
    """The defaults are quick; DynamoDB's own lag is five minutes, and its restores take from minutes to hours."""

    #: of the server's clock, by which items are kept, from the machine's
    clock_offset: float = 0.0
    #: stands still there, until it is put elsewhere, or set going again with None
    stopped_at: float | None = None
    #: of the ``Date`` headers from the server's clock, one after the other: a fleet behind a front end
    date_offsets: list[float] = field(default_factory=lambda: [0.0])
    #: whether a restore to T brings what was written in [T, T + 1 s) or nothing later than T
    includes_second: bool = False
    #: how far the latest restorable time is behind
    lag: float = 1.0
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
    #: of the tables' own durations
    seed: int = 0

    def change(self, changes: Mapping[str, Any]) -> None:
        """Only what is named."""
        known = {each.name for each in dataclasses.fields(self)}
        if unknown := set(changes) - known:
            raise ValueError(f"no such settings: {sorted(unknown)}; there are {sorted(known)}")
        for name, value in changes.items():
            setattr(self, name, value)

    def seconds(self, what: str, table: str) -> float:
        """How long one of the durations is for a table: always the same with the same seed."""
        wanted: Duration = getattr(self, what)
        return random.Random(f"{self.seed} {what} {table}").uniform(*wanted) if isinstance(wanted, list) else wanted


@dataclass
class Fault:
    """Hits every n-th call of the operations, after the first ones, a number of times or for ever."""

    #: one of ``REFUSALS``, or ``drop`` (no answer, the connection is closed), ``hang`` (the same after ``seconds``), ``slow``
    kind: str
    #: names, ``control``, ``data``, or ``*``
    operations: list[str] = field(default_factory=lambda: ["*"])
    every: int = 1
    skip: int = 0
    times: int | None = None
    #: carried out, and only the answer is lost
    after: bool = False
    #: by the server's clock
    since: float = 0.0
    seconds: float = 3600.0
    seen: int = 0
    done: int = 0

    def hits(self, operation: str, now: float) -> bool:
        """Count a call, and say whether it is one of those."""
        family = "data" if operation in DATA_OPERATIONS else "control"
        if now < self.since or not {operation, family, "*"} & set(self.operations):
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.seen - self.skip) % self.every or (self.times is not None and self.done >= self.times):
            return False
        self.done += 1
        return True


class Calls:
    """How often each operation was called, and every call of the control plane."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.control: list[dict[str, Any]] = []
        self.most_restoring = 0

    def note(self, operation: str, at: float, asked: Mapping[str, Any], status: int, code: str) -> None:
        self.counts[operation] += 1
        if operation not in DATA_OPERATIONS:
            named = next(
                (asked[key] for key in ("TargetTableName", "TableName", "ResourceArn", "ResourceId", "BackupArn") if key in asked), ""
            )
            self.control.append({"at": at, "operation": operation, "on": named, "status": status, "code": code})

    def to_dict(self) -> dict[str, Any]:
        return {"counts": dict(self.counts), "control": self.control, "most_restoring": self.most_restoring}


class World:
    """The one of a server; its requests are carried out one after the other, each at one instant."""

    def __init__(self) -> None:
        self.settings, self.calls = Settings(), Calls()
        self.faults: list[Fault] = []
        self.turn = Lock()
        self.instant = 0.0
        self.operation = ""
        self._answers = 0

    def now(self) -> float:
        stopped = self.settings.stopped_at
        return (time.time() if stopped is None else stopped) + self.settings.clock_offset

    def date(self) -> float:
        """What the next answer says that the time is."""
        self._answers += 1
        offsets = self.settings.date_offsets
        return self.now() + offsets[self._answers % len(offsets)]

    def later(self, what: str, table: str) -> float:
        """When something is over that begins now."""
        return self.instant + self.settings.seconds(what, table)

    def next_fault(self, operation: str) -> Fault | None:
        """The first that hits this call; the others count it all the same."""
        hit = [fault for fault in list(self.faults) if fault.hits(operation, self.now())]
        return hit[0] if hit else None


def moment(at: float) -> datetime:
    """As the service words its times."""
    return datetime.fromtimestamp(at, UTC)


WORLD = World()
