"""The database inside a server, reached through a connection of its own: clock, fence rows, and what was restored."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

from midtime.errors import StoreAccessError
from midtime.model.topology import Topology
from midtime.stores.fences import FenceWriter
from midtime.stores.naming import airflow_connection, require_type

if TYPE_CHECKING:
    from midtime.model.clock_readings import ClockReading
    from midtime.model.restore_point import StoreBackup
    from midtime.model.topology.cloud import AnyCloudDatabase
    from midtime.stores.base import RestoredSet

DIALECTS = {
    "postgresql": "midtime.stores.managed_sql.postgresql:PostgresqlData",
    "mysql": "midtime.stores.managed_sql.mysql:MysqlData",
    "oracle": "midtime.stores.managed_sql.oracle:OracleData",
    "sqlserver": "midtime.stores.managed_sql.sqlserver:SqlserverData",
}


At = tuple[str, int | None]
"""Where a restored server is: its address, and its port if that is not the live one's."""


class Data(ABC):
    """What one dialect makes of it. Opens nothing by itself.

    :param conn_id: the connection of the live database; a restored one has the same logins at another address
    """

    conn_type: ClassVar[str]
    """Airflow's word for a connection of this dialect."""

    def __init__(self, topology: Topology, store: str, conn_id: str, database: str | None) -> None:
        self.topology, self.store, self.conn_id, self.wished = topology, store, conn_id, database
        self.namespaces = topology.all_namespaces(store)

    @property
    @abstractmethod
    def database(self) -> str:
        """The one that holds the namespaces; empty where each of them is one."""

    @abstractmethod
    def check(self) -> str:
        """Whether it answers and has the namespaces.

        :raises StoreError: it does not
        """

    @abstractmethod
    def read_clock(self) -> ClockReading:
        """The server's clock.

        :raises StoreError: it does not say
        """

    @abstractmethod
    def fence(self) -> AbstractContextManager[FenceWriter]:
        """A session that writes fence rows."""

    @abstractmethod
    def reach(self, at: At) -> None:
        """Whether a restored server lets us in.

        :raises StoreError: it does not
        """

    @abstractmethod
    def restored(self, backup: StoreBackup, at: At) -> AbstractContextManager[RestoredSet]:
        """The same database on a restored server."""

    @property
    def host(self) -> str:
        """Where the connection leads.

        :raises StoreAccessError: there is none, or it is of another type
        """
        if not (connection := airflow_connection(self.conn_id)):
            raise StoreAccessError(f"there is no Airflow connection {self.conn_id!r}", fix="add it, or correct the store's `data_conn_id`")
        require_type(self.store, connection, self.conn_type)
        return connection.host or "localhost"


def data_of(topology: Topology, store: str, spec: AnyCloudDatabase) -> Data | None:
    """The data of a store, if it has a connection to them."""
    if spec.data_conn_id is None:
        return None
    module, _, name = DIALECTS[spec.speaks].partition(":")
    made: Data = getattr(import_module(module), name)(topology, store, spec.data_conn_id, spec.database)
    return made


def no_data(store: str) -> StoreAccessError:
    """Its data can be reached by nothing that the topology names."""
    return StoreAccessError(
        f"store {store} has no `data_conn_id`, by which its data are reached", fix="name a connection to the database itself"
    )


def same_host(one: str, other: str) -> bool:
    """Whether two names mean one machine: a private endpoint or an alias is as good as the server's own name."""
    return one.lower() == other.lower() or bool(_addresses(one) & _addresses(other))


def _addresses(host: str) -> set[str]:
    with suppress(OSError):
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    return set()
