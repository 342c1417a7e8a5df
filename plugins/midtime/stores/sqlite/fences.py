"""Fence rows in a SQLite file, where a namespace is what stands before a table's name."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import partial

from midtime.stores.fences import PLACES, Fence, fence_table
from midtime.stores.sqlite import content
from midtime.stores.sqlite.files import sqlite_errors


def fence_of(session: sqlite3.Connection, path: str, namespaces: Sequence[str]) -> Fence:
    """The fence that a session writes."""
    errors = partial(sqlite_errors, path)
    return Fence(session.execute, lambda: _exists(session, namespaces), errors, content.quoted(_name(namespaces)), mark="?")


def places(session: sqlite3.Connection, namespaces: Sequence[str], window: str) -> frozenset[str]:
    """Which rows of a window a restored file holds."""
    if not _exists(session, namespaces):
        return frozenset()
    query = PLACES.format(table=content.quoted(_name(namespaces)), mark="?")
    return frozenset(place for (place,) in session.execute(query, (window,)))


def _exists(session: sqlite3.Connection, namespaces: Sequence[str]) -> bool:
    return _name(namespaces) in content.tables(session)


def _name(namespaces: Sequence[str]) -> str:
    return "$".join(fence_table(namespaces))
