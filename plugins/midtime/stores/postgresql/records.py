"""ScalarDB's records and Coordinator rows, read from a restored PostgreSQL database by server-side cursors: memory does not grow."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from psycopg import Connection, sql

from midtime.stores.postgresql import content
from midtime.stores.scalardb_records import BATCH, MARKS, Table, TableCoordinator, TableRecords

Session = Connection[tuple[Any, ...]]


class PostgresRecords(TableRecords):
    """The records of one restored database.

    :param session: open to the restored database; used by one thread
    """

    def __init__(self, session: Session, store: str, skip: Collection[Table] = ()) -> None:
        super().__init__(store, skip)
        self.session = session

    def columns(self) -> Mapping[Table, Collection[str]]:
        """The names of the columns of every table."""
        found = content.tables(self.session)
        return {table: [column.name for column in content.columns(self.session, *table)] for table in found}

    def read(self, table: Table) -> Iterator[Sequence[tuple[Any, ...]]]:
        """(key, marks) of every row."""
        keys = sorted((column for column in content.columns(self.session, *table) if column.key), key=lambda column: column.key)
        key = (
            sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(column.name)) for column in keys)
            if keys
            else sql.SQL("ctid::text")
        )
        query = sql.SQL("SELECT ARRAY[{}], {} FROM {}").format(key, sql.SQL(", ").join(map(sql.Identifier, MARKS)), sql.Identifier(*table))
        for rows in _stream(self.session, query):
            yield [("/".join(row[0]), *row[1:]) for row in rows]


class PostgresCoordinator(TableCoordinator):
    """A restored Coordinator table."""

    def __init__(self, session: Session, store: str, namespace: str) -> None:
        super().__init__(store, namespace)
        self.session = session

    def exists(self) -> bool:
        """Whether the database has the table."""
        return self.table in content.tables(self.session)

    @cached_property
    def _columns(self) -> set[str]:
        return {column.name for column in content.columns(self.session, *self.table)}

    def lookup_rows(self, tx_ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """The rows of these transactions."""
        yield from self.session.execute(sql.SQL("{} WHERE tx_id = ANY(%s)").format(self._select), (list(tx_ids),))

    def newer_rows(self, instant: int) -> Iterator[tuple[Any, ...]]:
        """The rows made after ``instant``, streamed."""
        for rows in _stream(self.session, sql.SQL("{} WHERE tx_created_at > {}").format(self._select, sql.Literal(instant))):
            yield from rows

    def oldest_created_at(self) -> int | None:
        """The oldest row's ``tx_created_at`` in milliseconds."""
        row = self.session.execute(sql.SQL("SELECT min(tx_created_at) FROM {}").format(sql.Identifier(*self.table))).fetchone()
        return row[0] if row else None

    @property
    def _select(self) -> sql.Composable:
        # Only from ScalarDB 3.13 (group commit) on does the table have children.
        children = sql.SQL("tx_child_ids" if "tx_child_ids" in self._columns else "NULL")
        return sql.SQL("SELECT tx_id, tx_state, tx_created_at, {} FROM {}").format(children, sql.Identifier(*self.table))


def _stream(session: Session, query: sql.Composable) -> Iterator[list[tuple[Any, ...]]]:
    with session.transaction(), session.cursor(name="midtime_records") as cursor:
        cursor.itersize = BATCH
        cursor.execute(query.as_bytes(session))
        while rows := cursor.fetchmany(BATCH):
            yield rows
