"""Fence rows in a MySQL or MariaDB database."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from midtime.stores.fences import PLACES, Fence, fence_table
from midtime.stores.mysql.connections import Session, session_errors
from midtime.stores.mysql.programs import quoted

_EXISTS = "SELECT 1 FROM information_schema.tables WHERE table_schema = %s AND table_name = %s"


def fence_of(session: Session, conn_id: str, namespaces: Sequence[str]) -> Fence:
    """The fence that a session writes."""
    where = fence_table(namespaces)
    errors = partial(session_errors, session, conn_id)
    return Fence(session.rows, lambda: _exists(session, where), errors, _name(where), options="ENGINE=InnoDB")


def places(session: Session, database: str, window: str) -> frozenset[str]:
    """Which rows of a window a restored database holds.

    :param database: what the store's first namespace is called now
    """
    where = fence_table([database])
    if not _exists(session, where):
        return frozenset()
    return frozenset(place for (place,) in session.rows(PLACES.format(table=_name(where), mark="%s"), (window,)))


def _exists(session: Session, where: tuple[str, str]) -> bool:
    return session.value(_EXISTS, where) is not None


def _name(where: tuple[str, str]) -> str:
    return ".".join(map(quoted, where))
