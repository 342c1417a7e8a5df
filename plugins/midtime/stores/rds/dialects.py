"""What runs on the instance: its clock, its fence rows, and how what was restored is read. The project's own PostgreSQL and MySQL do the work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from midtime.errors import StoreAccessError
from midtime.model.clock_readings import ClockReading
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.model.topology.cloud import Aurora, Rds
from midtime.stores.base import Question, RestoredSet
from midtime.stores.fences import Fence

if TYPE_CHECKING:
    from midtime.stores.rds.clients import RdsClients

Differences = Callable[[], Sequence[str]]
SPOKEN = {"oracle": "Oracle", "sqlserver": "SQL Server"}
_MODULES = {name: f"midtime.stores.rds.on_{name}" for name in ("postgresql", "mysql")}


class Dialect(Protocol):
    """A module that speaks to the database itself."""

    def read_clock(self, spec: Rds | Aurora, conn_id: str) -> ClockReading:
        """The database's own clock."""

    def fence(self, topology: Topology, spec: Rds | Aurora, conn_id: str) -> AbstractContextManager[Fence]:
        """A session that writes fence rows."""

    def questions(self, topology: Topology, spec: Rds | Aurora, conn_id: str) -> Iterator[Question]:
        """What a backup wants to know of the database."""

    def restored(
        self, topology: Topology, backup: StoreBackup, spec: Rds | Aurora, at: tuple[str, int], differences: Differences
    ) -> AbstractContextManager[RestoredSet]:
        """The same database elsewhere, by the same login."""


def dialect_of(aws: RdsClients) -> tuple[Dialect, str]:
    """What speaks to the database, and the connection to it.

    :raises StoreAccessError: nothing does
    """
    spec = aws.spec
    if spec.dialect not in _MODULES:
        raise StoreAccessError(
            f"store {aws.store}: Midtime has no driver for {SPOKEN[spec.dialect]}", fix="it takes no part in a pause; see docs/rds.md"
        )
    if spec.data_conn_id is None:
        raise StoreAccessError(
            f"store {aws.store} has no `data_conn_id`, by which its data are reached", fix="name a connection to the database itself"
        )
    return cast(Dialect, import_module(_MODULES[spec.dialect])), spec.data_conn_id
