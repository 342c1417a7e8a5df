"""The databases that Midtime knows: one folder or file each, loaded only when a topology uses it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from midtime.errors import RequestError

if TYPE_CHECKING:
    from midtime.model.topology import Topology
    from midtime.stores.base import ClockedStore, CopiedStore

ENGINES = {
    ("postgresql", "dump"): "midtime.stores.postgresql.store:PostgresqlStore",
    ("mysql", "dump"): "midtime.stores.mysql.store:MysqlStore",
    ("sqlite", "dump"): "midtime.stores.sqlite.store:SqliteStore",
    ("postgresql", "pitr"): "midtime.stores.postgresql_pitr.store:PostgresqlPitrStore",
    ("mysql", "pitr"): "midtime.stores.mysql_pitr.store:MysqlPitrStore",
    ("cassandra", "snapshot"): "midtime.stores.cassandra.store:CassandraStore",
}
"""(engine, method) -> module:class."""


def open_store(topology: Topology, name: str) -> CopiedStore:
    """The store of that name. Opens no connection.

    :raises RequestError: this version of Midtime cannot work with it
    """
    try:
        spec = topology.store(name)
    except KeyError:
        raise RequestError(
            f"{topology.name} has no store {name!r} any more",
            fix="put it back into the topology file; it has " + ", ".join(store.name for store in topology.stores),
        ) from None
    try:
        module, _, attribute = ENGINES[spec.engine, spec.method].partition(":")
    except KeyError:
        raise RequestError(
            f"store {name!r} of {topology.name}: engine {spec.engine}, method {spec.method} is not supported yet",
            fix="supported are " + ", ".join(f"{engine} ({method})" for engine, method in ENGINES),
        ) from None
    store: CopiedStore = getattr(import_module(module), attribute)(topology, name)
    return store


def open_clocked(topology: Topology, name: str) -> ClockedStore:
    """The same of a store that is not captured: it is restored to an instant of its own clock.

    :raises RequestError: this version of Midtime cannot work with it
    """
    store: Any = open_store(topology, name)
    clocked: ClockedStore = store
    return clocked
