"""The DynamoDB store: the half that backs up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import cached_property
from typing import NoReturn, cast

from midtime.errors import RequestError
from midtime.model.clock_readings import ClockReading
from midtime.model.restore_point import StoreBackup
from midtime.model.topology.cloud import Dynamodb
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores.base import Question, Restorable, RestoredSet, Say, Shelf, Target
from midtime.stores.dynamodb import clock, marking
from midtime.stores.dynamodb.aws import Aws
from midtime.stores.dynamodb.checks import BackupChecks
from midtime.stores.dynamodb.fences import DynamodbFence
from midtime.stores.dynamodb.restorable import restorable
from midtime.stores.dynamodb.tables import fence_name
from midtime.stores.managed import ManagedStore


class DynamodbStore(ManagedStore):
    """The tables of one topology in one region of one account."""

    fleet = True

    @cached_property
    def aws(self) -> Aws:
        """The clients."""
        return Aws(self.name, cast(Dynamodb, self.topology.store(self.name)))

    def questions(self) -> Iterator[Question]:
        """All that a mark needs."""
        yield from BackupChecks(self.topology, self.aws).questions()

    def read_clock(self) -> ClockReading:
        """The ``Date`` of its answers."""
        return clock.read_clock(self.aws)

    @contextmanager
    def fence(self) -> Iterator[DynamodbFence]:
        """Rows in a table of their own."""
        yield DynamodbFence(self.aws, fence_name(self.topology, self.name, self.aws.spec))

    def mark(self, instant: datetime, shelf: Shelf, say: Say) -> StoreBackup:
        """Note every table with its settings."""
        return marking.mark(self.topology, self.aws, instant, shelf, say)

    def restorable(self, backup: StoreBackup) -> Restorable:
        """Whether every table reaches the instant."""
        return restorable(self.aws, backup)

    def target(self, wish: TargetWish | None, *, run: str, drill: bool, in_place: bool) -> Target:
        """Not yet."""
        self._not_yet()

    def restore_questions(self, target: Target, backup: StoreBackup) -> Iterator[Question]:
        """Not yet."""
        self._not_yet()

    def restore(self, backup: StoreBackup, shelf: Shelf, target: Target, say: Say) -> None:
        """Not yet."""
        self._not_yet()

    def restored(self, backup: StoreBackup, target: Target) -> AbstractContextManager[RestoredSet]:
        """Not yet."""
        self._not_yet()

    def place(self, backup: StoreBackup, target: Target) -> None:
        """Not yet."""
        self._not_yet()

    def put_back(self, backup: StoreBackup, target: Target) -> None:
        """Not yet."""
        self._not_yet()

    def discard(self, target: Target) -> None:
        """Not yet."""
        self._not_yet()

    def _not_yet(self) -> NoReturn:
        raise RequestError(
            f"store {self.name} of {self.topology.name}: this version of Midtime marks DynamoDB, and cannot restore it yet",
            fix="restore its tables to the instant that the restore point names for this store, by hand",
        )
