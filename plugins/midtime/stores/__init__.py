"""The databases that Midtime knows: one folder or file each, loaded only when a topology uses it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from midtime.errors import RequestError
from midtime.model.topology.cloud import CloudDatabase

if TYPE_CHECKING:
    from midtime.model.topology import Topology
    from midtime.model.topology.model import AnyStore
    from midtime.stores.base import Store
    from midtime.stores.copied import CopiedStore
    from midtime.stores.managed import ManagedStore

ENGINES = {
    ("postgresql", "dump"): "midtime.stores.postgresql.store:PostgresqlStore",
    ("mysql", "dump"): "midtime.stores.mysql.store:MysqlStore",
    ("sqlite", "dump"): "midtime.stores.sqlite.store:SqliteStore",
    ("postgresql", "pitr"): "midtime.stores.postgresql_pitr.store:PostgresqlPitrStore",
    ("mysql", "pitr"): "midtime.stores.mysql_pitr.store:MysqlPitrStore",
    ("cassandra", "snapshot"): "midtime.stores.cassandra.store:CassandraStore",
    ("dynamodb", "pitr"): "midtime.stores.dynamodb.store:DynamodbStore",
    ("cosmosdb", "pitr"): "midtime.stores.cosmosdb.store:CosmosdbStore",
    ("azure_postgresql", "pitr"): "midtime.stores.azure_database.store:AzureDatabaseStore",
    ("azure_mysql", "pitr"): "midtime.stores.azure_database.store:AzureDatabaseStore",
    ("rds", "pitr"): "midtime.stores.rds.store:RdsStore",
    ("aurora", "pitr"): "midtime.stores.rds.store:RdsStore",
}
"""(engine, method) -> module:class. ``dump`` of a managed service is its dialect's, see :func:`_kind`."""


def open_store(topology: Topology, name: str) -> Store:
    """The store of that name. Opens no connection.

    :raises RequestError: the topology has none of that name
    """
    try:
        spec = topology.store(name)
    except KeyError:
        raise RequestError(
            f"{topology.name} has no store {name!r} any more",
            fix="put it back into the topology file; it has " + ", ".join(store.name for store in topology.stores),
        ) from None
    module, _, attribute = ENGINES[_kind(spec)].partition(":")
    store: Store = getattr(import_module(module), attribute)(topology, name)
    return store


def _kind(spec: AnyStore) -> tuple[str, str]:
    """A managed service is dumped as any server of the dialect that it speaks."""
    return (spec.speaks if spec.method == "dump" and isinstance(spec, CloudDatabase) else spec.engine, spec.method)


def open_copied(topology: Topology, name: str) -> CopiedStore:
    """The same of a store whose data we copy.

    :raises RequestError: it is no such store
    """
    from midtime.stores.copied import CopiedStore

    if not isinstance(store := open_store(topology, name), CopiedStore):
        raise RequestError(
            f"store {name!r} of {topology.name} is not copied but marked", fix="use MarkOperator for it, as the backup DAG does"
        )
    return store


def open_managed(topology: Topology, name: str) -> ManagedStore:
    """The same of a store that a service restores to an instant of its own clock.

    :raises RequestError: it is no such store
    """
    from midtime.stores.managed import ManagedStore

    if not isinstance(store := open_store(topology, name), ManagedStore):
        raise RequestError(f"store {name!r} of {topology.name} is not marked but copied", fix="capture it, as the backup DAG does")
    return store
