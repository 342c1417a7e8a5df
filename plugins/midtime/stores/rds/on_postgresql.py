"""PostgreSQL on RDS and Aurora."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from midtime.clocks import read_sql
from midtime.model.clock_readings import ClockReading
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.model.topology.cloud import Aurora, Rds
from midtime.stores.base import Question
from midtime.stores.fences import SECONDS, Fence
from midtime.stores.postgresql.connections import Session, connect
from midtime.stores.postgresql.fences import fence_of
from midtime.stores.postgresql.server import check_namespaces, version_text
from midtime.stores.postgresql_pitr.restored import RestoredHistory
from midtime.stores.rds.dialects import Differences


def read_clock(spec: Rds | Aurora, conn_id: str) -> ClockReading:
    """Not the transaction's beginning, but now."""
    with connect(conn_id, spec.database) as session:
        _hurry(session)

        def ask() -> datetime:
            ((said,),) = session.execute("SELECT clock_timestamp()")
            answer: datetime = said
            return answer

        return read_sql(spec.name, ask)


@contextmanager
def fence(topology: Topology, spec: Rds | Aurora, conn_id: str) -> Iterator[Fence]:
    """Its commits are on disk: what a service keeps of a server that crashes is what was flushed."""
    with connect(conn_id, spec.database) as session:
        _hurry(session)
        yield fence_of(session, conn_id, topology.all_namespaces(spec.name))


def questions(topology: Topology, spec: Rds | Aurora, conn_id: str) -> Iterator[Question]:
    """Version, namespaces, Coordinator."""

    def serves() -> str:
        with connect(conn_id, spec.database) as session:
            return f"PostgreSQL {version_text(session)}"

    def namespaces() -> str:
        with connect(conn_id, spec.database) as session:
            return check_namespaces(session, topology, spec.name)

    yield "lets us in", serves
    yield "has every namespace", namespaces


class RestoredServer(RestoredHistory):
    """A database on an instance or cluster that was restored.

    :param differences: says what of its settings is not as it was marked
    """

    def __init__(self, topology: Topology, backup: StoreBackup, session: Session, streaming: Session, differences: Differences) -> None:
        super().__init__(topology, backup, session, streaming)
        self._differences = differences

    def setting_differences(self) -> Sequence[str]:
        """For people to put back."""
        return self._differences()


@contextmanager
def restored(
    topology: Topology, backup: StoreBackup, spec: Rds | Aurora, at: tuple[str, int], differences: Differences
) -> Iterator[RestoredServer]:
    """By the login of the live database, with its TLS."""
    conn_id = str(spec.data_conn_id)
    with connect(conn_id, spec.database, host=at) as session, connect(conn_id, spec.database, host=at) as streaming:
        yield RestoredServer(topology, backup, session, streaming, differences)


def _hurry(session: Session) -> None:
    session.execute(f"SET statement_timeout = {1000 * SECONDS}".encode())
