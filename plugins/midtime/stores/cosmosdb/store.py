"""The Cosmos DB store: marked, and restored by the service itself into an account of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import cast

from midtime.model.clock_readings import ClockReading
from midtime.model.restore_point import StoreBackup
from midtime.model.topology.cloud import Cosmosdb
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores.base import Question, Reached, Restorable, Say, Shelf, Target, Waiting
from midtime.stores.cosmosdb import clock, handing, marking, placing, restoring, targets
from midtime.stores.cosmosdb.azure import Azure
from midtime.stores.cosmosdb.checks import BackupChecks
from midtime.stores.cosmosdb.containers import fence_name
from midtime.stores.cosmosdb.fences import CosmosdbFence
from midtime.stores.cosmosdb.restorable import restorable
from midtime.stores.cosmosdb.restored import RestoredAccount, open_restored
from midtime.stores.managed import ManagedStore


class CosmosdbStore(ManagedStore):
    """The containers of one topology in one account."""

    fleet = True

    @cached_property
    def azure(self) -> Azure:
        """The clients."""
        return Azure(self.name, cast(Cosmosdb, self.topology.store(self.name)))

    # -- backup ---------------------------------------------------------------------------------------------------------------------

    def questions(self) -> Iterator[Question]:
        """All that a mark needs."""
        yield from BackupChecks(self.topology, self.azure).questions()

    def read_clock(self) -> ClockReading:
        """The ``Date`` of its answers."""
        return clock.read_clock(self.azure)

    @contextmanager
    def fence(self) -> Iterator[CosmosdbFence]:
        """Rows in a container of their own."""
        yield CosmosdbFence(self.azure, fence_name(self.topology, self.name))

    def mark(self, instant: datetime, shelf: Shelf, say: Say) -> StoreBackup:
        """Note the account and every container with its settings."""
        return marking.mark(self.topology, self.azure, instant, shelf, say)

    def restorable(self, backup: StoreBackup, passed: Collection[str] = ()) -> Restorable:
        """Whether the backups of every container reach the instant."""
        return restorable(self.azure, backup, passed)

    # -- restore --------------------------------------------------------------------------------------------------------------------

    def target(self, wish: TargetWish | None, *, run: str, drill: bool, in_place: bool) -> Target:
        """``to`` or ``name`` is the new account's name."""
        return targets.target_of(self.topology, self.name, wish, run=run, drill=drill, in_place=in_place)

    def restore_questions(self, target: Target, backup: StoreBackup) -> Iterator[Question]:
        """The marked account and its history, a name that is free."""
        yield from targets.RestoreChecks(self.topology, self._azure_of(target), target, backup).questions()

    def drill_questions(self) -> Iterator[Question]:
        """A name that fits."""
        target = self.target(self.topology.drill.targets.get(self.name), run="000000", drill=True, in_place=False)
        yield from targets.drill_questions(self.topology, self._azure_of(target), target)

    def restore(self, backup: StoreBackup, shelf: Shelf, target: Target, say: Say) -> Waiting | None:
        """One look at what the service does."""
        return restoring.restore(self.topology, self._azure_of(target), backup, shelf, target, say)

    @contextmanager
    def restored(self, backup: StoreBackup, target: Target) -> Iterator[RestoredAccount]:
        """The new account."""
        with open_restored(self.topology, self._azure_of(target), target) as restored:
            yield restored

    def place(self, backup: StoreBackup, target: Target) -> None:
        """Make it ready for products."""
        placing.place(self.topology, self._azure_of(target), target)

    def put_back(self, backup: StoreBackup, target: Target) -> None:
        """Undo that."""
        placing.put_back(self.topology, self._azure_of(target), target)

    def discard(self, target: Target) -> None:
        """Remove the account that is provably this run's."""
        placing.discard(self.topology, self._azure_of(target), target)

    def reached(self, name: str) -> Reached:
        """Address and key of an account that was placed."""
        return handing.reached(self.topology, self.azure, name)

    def _azure_of(self, target: Target) -> Azure:
        return targets.azure_of(self.topology, target)
