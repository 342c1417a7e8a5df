"""What runs on the instance, and by which connection it is read. Oracle and SQL Server may do without one where nobody has to be judged."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from midtime.model.topology import Topology
from midtime.stores.managed_sql import data
from midtime.stores.managed_sql.data import Data

if TYPE_CHECKING:
    from midtime.model.topology.cloud import Aurora, Rds
    from midtime.stores.rds.clients import RdsClients

SPOKEN = {"oracle": "Oracle", "sqlserver": "SQL Server"}
EARLY = timedelta(seconds=1)
"""Oracle's redo has whole seconds; of SQL Server's databases, of which one may be a second apart, nobody says which is late or early."""


def is_unread(spec: Rds | Aurora) -> bool:
    """Whether it is marked and restored without anybody who looks into it."""
    return spec.dialect in SPOKEN and spec.data_conn_id is None


def early_of(spec: Rds | Aurora) -> timedelta:
    """How much before an instant a restore to it may land."""
    return EARLY if spec.dialect in SPOKEN else timedelta(0)


def data_of(topology: Topology, aws: RdsClients) -> Data:
    """The database itself, which has a connection of its own.

    :raises StoreAccessError: nothing can read it
    """
    if not (found := data.data_of(topology, aws.store, aws.spec)):
        raise data.no_data(aws.store)
    return found
