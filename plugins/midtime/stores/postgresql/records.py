"""ScalarDB's records and Coordinator rows as verification wants them, read from a restored PostgreSQL database.

Everything is streamed by server-side cursors: memory does not grow with the data.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from psycopg import Connection, sql

from midtime.stores.postgresql import content
from midtime.verify.records import CoordinatorRow, Record

Session = Connection[tuple[Any, ...]]
BATCH = 5_000
_MARKS = ("tx_id", "tx_state", "tx_version", "tx_prepared_at", "tx_committed_at")
_METADATA_SUFFIX = "_tx_metadata"


class PostgresRecords:
    """The records of one restored database.

    :param session: open to the restored database; used by one thread
    :param store: the store's name in the topology
    :param skip: ``schema.table`` names that hold no records, the Coordinator's tables
    """

    def __init__(self, session: Session, store: str, skip: Collection[str] = ()) -> None:
        self.session = session
        self.store = store
        self.skip = frozenset(skip)

    @cached_property
    def _columns(self) -> dict[tuple[str, str], list[content.Column]]:
        found = (table for table in content.tables(self.session) if ".".join(table) not in self.skip)
        return {(schema, name): content.columns(self.session, schema, name) for schema, name in found}

    @cached_property
    def _places(self) -> dict[str, tuple[str, str]]:
        """Where the transaction columns of each table are, by the name that ScalarDB's users know."""
        return {
            f"{schema}.{name.removesuffix(_METADATA_SUFFIX)}": (schema, name)
            for (schema, name), columns in self._columns.items()
            if {column.name for column in columns}.issuperset(_MARKS)
        }

    def tables(self) -> Sequence[str]:
        """Every table that carries Consensus Commit's columns, itself or in its metadata table."""
        return sorted(self._places)

    def non_transactional(self) -> Sequence[str]:
        """Every other table; the data half of a table whose metadata stands apart is not one of them."""
        halves = {(schema, name) for schema, name in self._places.values()}
        halves |= {(schema, f"{name.removesuffix(_METADATA_SUFFIX)}{end}") for schema, name in halves for end in ("", "_data")}
        return sorted(f"{schema}.{name}" for schema, name in self._columns if (schema, name) not in halves)

    def records(self, table: str) -> Iterator[Sequence[Record]]:
        """The records of one table, in batches."""
        schema, name = self._places[table]
        keys = sorted((column for column in self._columns[schema, name] if column.key), key=lambda column: column.key)
        key = (
            sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(column.name)) for column in keys)
            if keys
            else sql.SQL("ctid::text")
        )
        query = sql.SQL("SELECT ARRAY[{}], {} FROM {}").format(
            key, sql.SQL(", ").join(map(sql.Identifier, _MARKS)), sql.Identifier(schema, name)
        )
        for rows in _stream(self.session, query):
            yield [Record(self.store, table, "/".join(row[0]), *row[1:]) for row in rows]


class PostgresCoordinator:
    """A restored Coordinator table, ``<namespace>.state``."""

    def __init__(self, session: Session, store: str, namespace: str) -> None:
        self.session = session
        self.name = f"{store}/{namespace}"
        self.schema = namespace
        self.table = sql.Identifier(namespace, "state")

    def exists(self) -> bool:
        """Whether the database has the table."""
        return (self.schema, "state") in content.tables(self.session)

    @cached_property
    def _columns(self) -> set[str]:
        return {column.name for column in content.columns(self.session, self.schema, "state")}

    def lookup(self, tx_ids: Collection[str]) -> Mapping[str, CoordinatorRow]:
        """The rows of these transactions."""
        query = sql.SQL("{} WHERE tx_id = ANY(%s)").format(self._select)
        return {row.tx_id: row for row in map(_coordinator_row, self.session.execute(query, (list(tx_ids),)))}

    def oldest_created_at(self) -> int | None:
        """The oldest row's ``tx_created_at`` in milliseconds."""
        row = self.session.execute(sql.SQL("SELECT min(tx_created_at) FROM {}").format(self.table)).fetchone()
        return row[0] if row else None

    def rows_newer_than(self, instant: int) -> Iterator[CoordinatorRow]:
        """The rows made after ``instant``, streamed."""
        query = sql.SQL("{} WHERE tx_created_at > {}").format(self._select, sql.Literal(instant))
        for rows in _stream(self.session, query):
            yield from map(_coordinator_row, rows)

    @property
    def _select(self) -> sql.Composable:
        # Only from ScalarDB 3.13 (group commit) on does the table have children.
        children = sql.SQL("tx_child_ids" if "tx_child_ids" in self._columns else "NULL")
        return sql.SQL("SELECT tx_id, tx_state, tx_created_at, {} FROM {}").format(children, self.table)


def _coordinator_row(row: tuple[Any, ...]) -> CoordinatorRow:
    tx_id, state, created_at, children = row
    return CoordinatorRow(tx_id, state, created_at, tuple(children.split(",")) if children else ())


def _stream(session: Session, query: sql.Composable) -> Iterator[list[tuple[Any, ...]]]:
    with session.transaction(), session.cursor(name="midtime_records") as cursor:
        cursor.itersize = BATCH
        cursor.execute(query.as_bytes(session))
        while rows := cursor.fetchmany(BATCH):
            yield rows
