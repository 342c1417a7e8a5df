"""Fence rows in a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from psycopg import Connection, sql

from midtime.stores.fences import PLACES, Fence, fence_table
from midtime.stores.postgresql.connections import session_errors

Session = Connection[tuple[Any, ...]]


def fence_of(session: Session, conn_id: str, namespaces: Sequence[str]) -> Fence:
    """The fence that a session writes."""

    def execute(statement: str, parameters: Sequence[Any]) -> object:
        return session.execute(statement.encode(), parameters or None)

    errors = partial(session_errors, session, conn_id)
    # A dump is of the whole database: other logins that back it up must be able to read what this one makes.
    grant = ("GRANT SELECT ON {table} TO PUBLIC",)
    return Fence(execute, lambda: _exists(session, namespaces), errors, _name(session, namespaces), afterwards=grant)


def places(session: Session, namespaces: Sequence[str], window: str) -> frozenset[str]:
    """Which rows of a window a restored database holds."""
    if not _exists(session, namespaces):
        return frozenset()
    query = PLACES.format(table=_name(session, namespaces), mark="%s")
    return frozenset(place for (place,) in session.execute(query.encode(), (window,)))


def _exists(session: Session, namespaces: Sequence[str]) -> bool:
    return bool(session.execute("SELECT 1 FROM pg_tables WHERE (schemaname, tablename) = (%s, %s)", fence_table(namespaces)).fetchone())


def _name(session: Session, namespaces: Sequence[str]) -> str:
    return sql.Identifier(*fence_table(namespaces)).as_string(session)
