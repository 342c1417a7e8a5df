"""The DynamoDB store: marked, and restored by the service itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import cast

from midtime.model.clock_readings import ClockReading
from midtime.model.restore_point import StoreBackup
from midtime.model.topology.cloud import Dynamodb
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores.base import Question, Restorable, Say, Shelf, Target, Waiting
from midtime.stores.dynamodb import clock, marking, placing, restoring, targets
from midtime.stores.dynamodb.aws import Aws
from midtime.stores.dynamodb.checks import BackupChecks
from midtime.stores.dynamodb.fences import DynamodbFence
from midtime.stores.dynamodb.restorable import restorable
from midtime.stores.dynamodb.restored import RestoredTables, open_restored
from midtime.stores.dynamodb.tables import fence_name
from midtime.stores.managed import ManagedStore


class DynamodbStore(ManagedStore):
    """The tables of one topology in one region of one account."""

    fleet = True

    @cached_property
    def aws(self) -> Aws:
        """The clients."""
        return Aws(self.name, cast(Dynamodb, self.topology.store(self.name)))

    # -- backup ---------------------------------------------------------------------------------------------------------------------

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

    def restorable(self, backup: StoreBackup, passed: Collection[str] = ()) -> Restorable:
        """Whether every table reaches the instant."""
        return restorable(self.aws, backup)

    # -- restore --------------------------------------------------------------------------------------------------------------------

    def target(self, wish: TargetWish | None, *, run: str, drill: bool, in_place: bool) -> Target:
        """``to`` or ``prefix`` is what the new tables' names begin with."""
        return targets.target_of(self.topology, self.name, wish, run=run, drill=drill, in_place=in_place)

    def restore_questions(self, target: Target, backup: StoreBackup) -> Iterator[Question]:
        """The marked tables, their histories, their settings; names that are free."""
        yield from targets.RestoreChecks(self.topology, self._aws_of(target), target, backup).questions()

    def drill_questions(self) -> Iterator[Question]:
        """Names that fit."""
        target = self.target(self.topology.drill.targets.get(self.name), run="000000", drill=True, in_place=False)
        yield from targets.drill_questions(self.topology, self._aws_of(target), target)

    def restore(self, backup: StoreBackup, shelf: Shelf, target: Target, say: Say) -> Waiting | None:
        """One look at what the service does; more restores are asked for as there is room for them."""
        return restoring.restore(self.topology, self._aws_of(target), backup, shelf, target, say)

    @contextmanager
    def restored(self, backup: StoreBackup, target: Target) -> Iterator[RestoredTables]:
        """The copies."""
        with open_restored(self.topology, self._aws_of(target), target) as restored:
            yield restored

    def place(self, backup: StoreBackup, target: Target) -> None:
        """In place: once there is a backup of everything, delete the tables and restore them under their own names. It may take hours."""
        placing.place(self.topology, self._aws_of(target), target)

    def put_back(self, backup: StoreBackup, target: Target) -> None:
        """The same the other way round, from the backups of what was live."""
        placing.put_back(self.topology, self._aws_of(target), target)

    def ends_history(self, target: Target) -> str:
        """A table that is made anew has no history of before."""
        ended = target.aside and placing.made_anew(self.topology, self._aws_of(target), target)
        return f"restored in place by {target.working}; {targets.ENDS}" if ended else ""

    def discard(self, target: Target) -> None:
        """Remove the copies that are provably this run's, and their backups."""
        placing.discard(self.topology, self._aws_of(target), target)

    def _aws_of(self, target: Target) -> Aws:
        return self.aws if target.conn_id == self.aws.spec.conn_id else targets.aws_of(self.topology, target)
