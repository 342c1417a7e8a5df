"""What runs on the instance: PostgreSQL and MySQL are read as on any managed server, Oracle and SQL Server not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midtime.errors import StoreAccessError
from midtime.model.topology import Topology
from midtime.stores.managed_sql import data
from midtime.stores.managed_sql.data import Data

if TYPE_CHECKING:
    from midtime.stores.rds.clients import RdsClients

SPOKEN = {"oracle": "Oracle", "sqlserver": "SQL Server"}


def data_of(topology: Topology, aws: RdsClients) -> Data:
    """The database itself, which has a connection of its own.

    :raises StoreAccessError: nothing can read it
    """
    if aws.spec.dialect in SPOKEN:
        raise StoreAccessError(
            f"store {aws.store}: Midtime has no driver for {SPOKEN[aws.spec.dialect]}", fix="it takes no part in a pause; see docs/rds.md"
        )
    if not (found := data.data_of(topology, aws.store, aws.spec)):
        raise StoreAccessError(
            f"store {aws.store} has no `data_conn_id`, by which its data are reached", fix="name a connection to the database itself"
        )
    return found
