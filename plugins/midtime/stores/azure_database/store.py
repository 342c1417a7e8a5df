"""The store of a flexible server: marked, and restored by the service itself into a server of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import cached_property
from typing import cast

from midtime.model.clock_readings import ClockReading
from midtime.model.restore_point import StoreBackup
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores.azure_database import handing, marking, placing, restoring, targets
from midtime.stores.azure_database.azure import Azure, Spec
from midtime.stores.azure_database.checks import BackupChecks
from midtime.stores.azure_database.restorable import restorable
from midtime.stores.azure_database.restored import open_restored
from midtime.stores.base import Question, Reached, Restorable, Say, Shelf, Target, Waiting
from midtime.stores.fences import FenceWriter
from midtime.stores.managed import ManagedStore
from midtime.stores.managed_sql.data import Data, data_of, no_data
from midtime.stores.managed_sql.restored import RestoredServer


class AzureDatabaseStore(ManagedStore):
    """The namespaces of one topology in one flexible server, for PostgreSQL or for MySQL."""

    @cached_property
    def azure(self) -> Azure:
        """The client of the control plane."""
        return Azure(self.name, self.spec)

    @property
    def spec(self) -> Spec:
        """What the topology says."""
        return cast(Spec, self.topology.store(self.name))

    @cached_property
    def data(self) -> Data | None:
        """The database itself, if there is a connection to it."""
        return data_of(self.topology, self.name, self.spec)

    # -- backup ---------------------------------------------------------------------------------------------------------------------

    def questions(self) -> Iterator[Question]:
        """All that a mark needs."""
        yield from BackupChecks(self.topology, self.azure, self.data).questions()

    def read_clock(self) -> ClockReading:
        """The database's own."""
        return self._reached().read_clock()

    def fence(self) -> AbstractContextManager[FenceWriter]:
        """Rows in a table of the first namespace."""
        return self._reached().fence()

    def mark(self, instant: datetime, shelf: Shelf, say: Say) -> StoreBackup:
        """Note the server and its settings."""
        return marking.mark(self.azure, self.data, instant, shelf, say)

    def restorable(self, backup: StoreBackup, passed: Collection[str] = ()) -> Restorable:
        """Whether the instant is old enough."""
        return restorable(self.azure, backup)

    # -- restore --------------------------------------------------------------------------------------------------------------------

    def target(self, wish: TargetWish | None, *, run: str, drill: bool, in_place: bool) -> Target:
        """``to`` or ``name`` is the new server's name."""
        return targets.target_of(self.topology, self.name, wish, run=run, drill=drill, in_place=in_place)

    def restore_questions(self, target: Target, backup: StoreBackup) -> Iterator[Question]:
        """The marked server and its history, a name that is free."""
        yield from targets.RestoreChecks(self.topology, self._azure_of(target), target, backup).questions()

    def drill_questions(self) -> Iterator[Question]:
        """A name that fits."""
        target = self.target(self.topology.drill.targets.get(self.name), run="000000", drill=True, in_place=False)
        yield from targets.drill_questions(self.topology, self._azure_of(target), target)

    def restore(self, backup: StoreBackup, shelf: Shelf, target: Target, say: Say) -> Waiting | None:
        """One look at what the service does."""
        return restoring.restore(self.topology, self._azure_of(target), self.data, backup, shelf, target, say)

    @contextmanager
    def restored(self, backup: StoreBackup, target: Target) -> Iterator[RestoredServer]:
        """The new server."""
        with open_restored(self.topology, self._azure_of(target), self._reached(), backup, target) as restored:
            yield restored

    def place(self, backup: StoreBackup, target: Target) -> None:
        """Make it ready for products."""
        placing.place(self.topology, self._azure_of(target), target)

    def put_back(self, backup: StoreBackup, target: Target) -> None:
        """Undo that."""
        placing.put_back(self.topology, self._azure_of(target), target)

    def discard(self, target: Target) -> None:
        """Remove the server that is provably this run's."""
        placing.discard(self.topology, self._azure_of(target), target)

    def reached(self, name: str) -> Reached:
        """The login of the live one, at the address of a copy that was placed."""
        return handing.reached(self.topology, self.azure, name)

    def _azure_of(self, target: Target) -> Azure:
        return targets.azure_of(self.topology, target)

    def _reached(self) -> Data:
        if self.data is None:
            raise no_data(self.name)
        return self.data
