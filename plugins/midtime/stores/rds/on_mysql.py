"""MySQL and MariaDB on RDS, and Aurora MySQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import cast

from midtime.clocks import read_sql
from midtime.model.clock_readings import ClockReading
from midtime.model.restore_point import StoreBackup, TableContent
from midtime.model.topology import Topology
from midtime.model.topology.cloud import Aurora, Rds
from midtime.stores.base import Question
from midtime.stores.fences import SECONDS, Fence
from midtime.stores.mysql.checks import check_namespaces, check_server
from midtime.stores.mysql.connections import Session, connect
from midtime.stores.mysql.fences import fence_of
from midtime.stores.mysql.restored import RestoredDatabases
from midtime.stores.mysql.tools import Clients
from midtime.stores.rds.dialects import Differences

_SYSTEM = ("information_schema", "mysql", "performance_schema", "sys")
_DATABASES = "SELECT schema_name FROM information_schema.schemata ORDER BY 1"


def read_clock(spec: Rds | Aurora, conn_id: str) -> ClockReading:
    """Not the statement's beginning, but now; the session's time zone is UTC."""
    with connect(conn_id) as session:
        _hurry(session)

        def ask() -> datetime:
            said: datetime = session.value("SELECT SYSDATE(6)")
            return said.replace(tzinfo=UTC)

        return read_sql(spec.name, ask)


@contextmanager
def fence(topology: Topology, spec: Rds | Aurora, conn_id: str) -> Iterator[Fence]:
    """In the first of the namespaces."""
    with connect(conn_id) as session:
        _hurry(session)
        session.rows(f"SET SESSION innodb_lock_wait_timeout = {SECONDS}, lock_wait_timeout = {SECONDS}")
        yield fence_of(session, conn_id, topology.all_namespaces(spec.name))


def questions(topology: Topology, spec: Rds | Aurora, conn_id: str) -> Iterator[Question]:
    """Version, namespaces, Coordinator."""

    def serves() -> str:
        with connect(conn_id) as session:
            return check_server(session)

    def namespaces() -> str:
        with connect(conn_id) as session:
            return check_namespaces(session, topology, spec.name)

    yield "lets us in", serves
    yield "has every namespace", namespaces


class RestoredServer(RestoredDatabases):
    """The databases of an instance or cluster that was restored, under their own names.

    :param differences: says what of its settings is not as it was marked
    """

    def __init__(self, topology: Topology, backup: StoreBackup, session: Session, streaming: Session, differences: Differences) -> None:
        names = {str(name): str(name) for (name,) in session.rows(_DATABASES) if name not in _SYSTEM}
        nothing_is_dumped = cast(Clients, None)
        super().__init__(topology, backup, names, clients=nothing_is_dumped, session=session, streaming=streaming)
        self._differences = differences

    def content(self) -> tuple[TableContent, ...]:
        """Nothing: a mark counts nothing."""
        return ()

    def schema_differences(self) -> Sequence[str]:
        """Nothing to compare."""
        return ()

    def setting_differences(self) -> Sequence[str]:
        """For people to put back."""
        return self._differences()


@contextmanager
def restored(
    topology: Topology, backup: StoreBackup, spec: Rds | Aurora, at: tuple[str, int], differences: Differences
) -> Iterator[RestoredServer]:
    """By the login of the live databases, with its TLS."""
    conn_id = str(spec.data_conn_id)
    with connect(conn_id, host=at) as session, connect(conn_id, host=at) as streaming:
        yield RestoredServer(topology, backup, session, streaming, differences)


def _hurry(session: Session) -> None:
    limit = f"max_statement_time = {SECONDS}" if session.mariadb else f"max_execution_time = {1000 * SECONDS}"
    session.rows(f"SET SESSION {limit}")
