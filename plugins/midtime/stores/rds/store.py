"""The RDS and Aurora stores: marked, and restored by the service itself into an instance or a cluster of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from functools import cached_property
from typing import cast

from midtime.model.clock_readings import ClockReading
from midtime.model.restore_point import StoreBackup
from midtime.model.topology.cloud import Aurora, Rds
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores.base import Question, Reached, Restorable, RestoredSet, Say, Shelf, Target, Waiting
from midtime.stores.fences import FenceWriter
from midtime.stores.managed import ManagedStore
from midtime.stores.rds import handing, marking, placing, restoring, targets
from midtime.stores.rds.checks import BackupChecks
from midtime.stores.rds.clients import RdsClients
from midtime.stores.rds.dialects import data_of, early_of
from midtime.stores.rds.restorable import restorable
from midtime.stores.rds.restored import open_restored
from midtime.stores.rds.servers import flavour_of


class RdsStore(ManagedStore):
    """One instance, or one cluster."""

    @cached_property
    def aws(self) -> RdsClients:
        """The clients."""
        return RdsClients(self.name, cast(Rds | Aurora, self.topology.store(self.name)))

    @property
    def fleet(self) -> bool:
        """The databases of one SQL Server come back within a second of each other: as if several machines told the time."""
        return self.aws.spec.dialect == "sqlserver"

    @property
    def early(self) -> timedelta:
        """Oracle and SQL Server by up to a second."""
        return early_of(self.aws.spec)

    # -- backup ---------------------------------------------------------------------------------------------------------------------

    def questions(self) -> Iterator[Question]:
        """All that a mark needs."""
        yield from BackupChecks(self.topology, self.aws).questions()

    def bearer(self) -> str:
        """The resource id: names are swapped by a blue/green switchover, or by hand."""
        flavour = flavour_of(self.aws.spec)
        found = flavour.find(self.aws, flavour.live(self.aws.spec))
        return found.resource_id if found else ""

    def read_clock(self) -> ClockReading:
        """The database's own, by the data connection."""
        return data_of(self.topology, self.aws).read_clock()

    def fence(self) -> AbstractContextManager[FenceWriter]:
        """A session in the database itself."""
        return data_of(self.topology, self.aws).fence()

    def mark(self, instant: datetime, shelf: Shelf, say: Say) -> StoreBackup:
        """Note the instance or cluster with its settings."""
        return marking.mark(self.aws, instant, shelf, say)

    def restorable(self, backup: StoreBackup, passed: Collection[str] = ()) -> Restorable:
        """Whether its history reaches the instant."""
        return restorable(self.aws, backup)

    # -- restore --------------------------------------------------------------------------------------------------------------------

    def target(self, wish: TargetWish | None, *, run: str, drill: bool, in_place: bool) -> Target:
        """``to`` or ``name`` is the new one's name."""
        return targets.target_of(self.topology, self.name, wish, run=run, drill=drill, in_place=in_place)

    def restore_questions(self, target: Target, backup: StoreBackup) -> Iterator[Question]:
        """What was marked and its history, a name that is free."""
        yield from targets.RestoreChecks(self.topology, self._aws_of(target), target, backup).questions()

    def drill_questions(self) -> Iterator[Question]:
        """A name that fits, a class that Amazon offers."""
        target = self.target(self.topology.drill.targets.get(self.name), run="000000", drill=True, in_place=False)
        yield from targets.drill_questions(self.topology, self._aws_of(target), target)

    def restore(self, backup: StoreBackup, shelf: Shelf, target: Target, say: Say) -> Waiting | None:
        """One look at what the service does."""
        return restoring.restore(self.topology, self._aws_of(target), backup, shelf, target, say)

    @contextmanager
    def restored(self, backup: StoreBackup, target: Target) -> Iterator[RestoredSet]:
        """The copy, at its own address."""
        with open_restored(self.topology, self._aws_of(target), backup, target) as restored:
            yield restored

    def place(self, backup: StoreBackup, target: Target) -> None:
        """From now on it stays."""
        placing.place(self.topology, self._aws_of(target), target)

    def put_back(self, backup: StoreBackup, target: Target) -> None:
        """Undo that."""
        placing.put_back(self.topology, self._aws_of(target), target)

    def discard(self, target: Target) -> None:
        """Remove what is provably this run's."""
        placing.discard(self.topology, self._aws_of(target), target)

    def reached(self, name: str) -> Reached:
        """The login of the live one, at the address of a copy that was placed."""
        return handing.reached(self.topology, self.aws, name)

    def _aws_of(self, target: Target) -> RdsClients:
        found = targets.aws_of(self.topology, target)
        return self.aws if found.spec == self.aws.spec else found
