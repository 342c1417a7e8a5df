"""ScalarDB's records and Coordinator rows, read from a restored SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from midtime.stores.scalardb_records import BATCH, MARKS, Table, TableCoordinator, TableRecords, printable
from midtime.stores.sqlite import content
from midtime.stores.sqlite.content import quoted

PARAMETERS = 900
"""Of one statement; the oldest libraries allow no more than 999."""


class SqliteRecords(TableRecords):
    """The records of one restored file."""

    def __init__(self, session: sqlite3.Connection, store: str, skip: Collection[Table] = ()) -> None:
        super().__init__(store, skip)
        self.session = session

    @cached_property
    def _names(self) -> list[str]:
        return [name for name in content.tables(self.session) if not name.startswith("sqlite_")]

    def columns(self) -> Mapping[Table, Collection[str]]:
        """Of the tables that have a namespace: ScalarDB makes no others."""
        return {content.place(name): _columns(self.session, name) for name in self._names if content.place(name)[0]}

    def non_transactional(self) -> Sequence[str]:
        """Those without a namespace are none of ScalarDB's, whatever their columns are called."""
        return sorted([*super().non_transactional(), *(content.label(name) for name in self._names if not content.place(name)[0])])

    def read(self, table: Table) -> Iterator[Sequence[tuple[Any, ...]]]:
        """(key, marks) of every row."""
        name = _name(table)
        found = sorted((column for column in content.columns(self.session, name) if column.key), key=lambda column: column.key)
        keys = [quoted(column.name) for column in found] or ["rowid"]
        cursor = self.session.execute(f"SELECT {', '.join([*keys, *MARKS])} FROM {quoted(name)}")
        while rows := cursor.fetchmany(BATCH):
            yield [(printable(row[: len(keys)]), *row[len(keys) :]) for row in rows]


class SqliteCoordinator(TableCoordinator):
    """A restored Coordinator table."""

    def __init__(self, session: sqlite3.Connection, store: str, namespace: str) -> None:
        super().__init__(store, namespace)
        self.session = session

    def exists(self) -> bool:
        """Whether the file has the table."""
        return _name(self.table) in content.tables(self.session)

    def lookup_rows(self, tx_ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """The rows of these transactions."""
        for start in range(0, len(tx_ids), PARAMETERS):
            asked = tx_ids[start : start + PARAMETERS]
            yield from self.session.execute(f"{self._select} WHERE tx_id IN ({', '.join('?' * len(asked))})", asked)

    def newer_rows(self, instant: int) -> Iterable[tuple[Any, ...]]:
        """The rows made after ``instant``, streamed."""
        return self.session.execute(f"{self._select} WHERE tx_created_at > ?", (instant,))

    def oldest_created_at(self) -> int | None:
        """The oldest row's ``tx_created_at`` in milliseconds."""
        row = self.session.execute(f"SELECT min(tx_created_at) FROM {quoted(_name(self.table))}").fetchone()
        return row[0] if row else None

    @cached_property
    def _select(self) -> str:
        # Only from ScalarDB 3.13 (group commit) on does the table have children.
        children = "tx_child_ids" if "tx_child_ids" in _columns(self.session, _name(self.table)) else "NULL"
        return f"SELECT tx_id, tx_state, tx_created_at, {children} FROM {quoted(_name(self.table))}"


def _name(table: Table) -> str:
    """As it is in the file; SQLite has no schemas."""
    return "$".join(table)


def _columns(session: sqlite3.Connection, name: str) -> set[str]:
    return {column.name for column in content.columns(session, name)}
