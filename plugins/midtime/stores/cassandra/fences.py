"""Fence rows in a Cassandra keyspace, written at QUORUM: of every replica set that a snapshot holds a quorum of, one has them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from midtime.stores.cassandra.cql import CqlSession, quoted
from midtime.stores.cassandra.cql_driver import SECONDS as PATIENCE
from midtime.stores.cassandra.cql_errors import cql_errors
from midtime.stores.fences import PLACES, SECONDS, Fence, fence_table

_COLUMNS = "window_id text, place text, written_at bigint, PRIMARY KEY (window_id, place)"
_EXISTS = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s AND table_name = %s"


def fence_of(session: CqlSession, namespaces: Sequence[str]) -> Fence:
    """The fence that a session writes.

    A table that is there is never made anew, not even by `IF NOT EXISTS`: two nodes that do it at once make two tables of one name. Nothing
    here expires by itself: a backup outlives what the live table keeps, and a row that has expired would be missing in what is restored.
    """
    table = quoted(*fence_table(namespaces))

    def execute(statement: str, parameters: Sequence[Any]) -> None:
        session.execute(statement, parameters, seconds=PATIENCE if statement.startswith("CREATE") else SECONDS)

    def forget(instant: int) -> None:
        for window, written in session.rows(f"SELECT window_id, written_at FROM {table}"):
            if written < instant:
                session.execute(f"DELETE FROM {table} WHERE window_id = %s", (window,))

    errors = partial(cql_errors, session.where)
    return Fence(execute, lambda: _exists(session, namespaces), errors, table, columns=_COLUMNS, forget=forget)


def places(session: CqlSession, namespaces: Sequence[str], window: str) -> frozenset[str]:
    """Which rows of a window a restored cluster holds."""
    if not _exists(session, namespaces):
        return frozenset()
    query = PLACES.format(table=quoted(*fence_table(namespaces)), mark="%s")
    return frozenset(place for (place,) in session.rows(query, (window,)))


def _exists(session: CqlSession, namespaces: Sequence[str]) -> bool:
    return bool(session.rows(_EXISTS, fence_table(namespaces)))
