"""ScalarDB's records and Coordinator rows, read from a Cassandra cluster part by part of its ring: memory does not grow."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from midtime.stores.cassandra.cql import CqlSession
from midtime.stores.cassandra.scanning import Scan
from midtime.stores.scalardb_records import MARKS, ScannedCoordinator, Table, TableRecords, printable

_TABLES = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"
_COLUMNS = "SELECT table_name, column_name, kind, position FROM system_schema.columns WHERE keyspace_name = %s"
_KEY = ("partition_key", "clustering")
IDS = 20
"""Transactions that one statement asks for; some guardrails allow 25."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What is asked of a table's shape."""

    names: tuple[str, ...]
    partition: tuple[str, ...]
    """The partition key."""
    key: tuple[str, ...]
    """The primary key."""


def shapes(session: CqlSession, keyspaces: Sequence[str]) -> dict[Table, Columns]:
    """The columns of every table of these keyspaces; a materialized view is none."""
    found: dict[Table, Columns] = {}
    for keyspace in keyspaces:
        columns: dict[str, list[tuple[Any, ...]]] = {name: [] for (name,) in session.rows(_TABLES, (keyspace,))}
        for table, *column in session.rows(_COLUMNS, (keyspace,)):
            if table in columns:
                columns[table].append(tuple(column))
        found |= {(keyspace, name): _columns(of_table) for name, of_table in columns.items()}
    return found


def _columns(columns: Sequence[tuple[Any, ...]]) -> Columns:
    def of(*kinds: str) -> tuple[str, ...]:
        found = sorted((kinds.index(kind), position, name) for name, kind, position in columns if kind in kinds)
        return tuple(name for _, _, name in found)

    return Columns(tuple(name for name, _, _ in columns), of(_KEY[0]), of(*_KEY))


class CassandraRecords(TableRecords):
    """The records of one restored cluster.

    :param keyspaces: those that were restored
    """

    def __init__(self, session: CqlSession, keyspaces: Sequence[str], store: str, skip: Collection[Table] = ()) -> None:
        super().__init__(store, skip)
        self.session = session
        self.keyspaces = keyspaces

    @cached_property
    def _shapes(self) -> dict[Table, Columns]:
        return shapes(self.session, self.keyspaces)

    def columns(self) -> Mapping[Table, Collection[str]]:
        """The names of the columns of every table."""
        return {table: shape.names for table, shape in self._shapes.items()}

    def read(self, table: Table) -> Iterator[Sequence[tuple[Any, ...]]]:
        """(key, marks) of every row."""
        shape = self._shapes[table]
        for rows in Scan(self.session, table, (*MARKS, *shape.key), shape.partition).pages():
            yield [(printable(row[len(MARKS) :]), *row[: len(MARKS)]) for row in rows]


class CassandraCoordinator(ScannedCoordinator):
    """A restored Coordinator table. It has no index but its key: what is asked by time is found by reading all of it."""

    def __init__(self, session: CqlSession, store: str, namespace: str) -> None:
        super().__init__(store, namespace)
        self.session = session

    def exists(self) -> bool:
        """Whether the cluster has the table."""
        return self._shape is not None

    @cached_property
    def _shape(self) -> Columns | None:
        return shapes(self.session, self.table[:1]).get(self.table)

    @cached_property
    def _wanted(self) -> tuple[str, ...]:
        # Only from ScalarDB 3.13 (group commit) on does the table have children.
        children = ("tx_child_ids",) if self._shape and "tx_child_ids" in self._shape.names else ()
        return ("tx_id", "tx_state", "tx_created_at", *children)

    @cached_property
    def _by_ids(self) -> Any:
        keyspace, name = self.table
        return self.session.prepare(f'SELECT {", ".join(self._wanted)} FROM "{keyspace}".{name} WHERE tx_id IN ?')

    def lookup_rows(self, tx_ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """The rows of these transactions."""
        some = ([tx_ids[start : start + IDS]] for start in range(0, len(tx_ids), IDS))
        for rows in self.session.many(self._by_ids, some):
            yield from map(_with_children, rows)

    def pages(self) -> Iterator[Sequence[tuple[Any, ...]]]:
        """All rows, as the cluster pages them."""
        for rows in Scan(self.session, self.table, self._wanted, ("tx_id",)).pages():
            yield list(map(_with_children, rows))


def _with_children(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*row, None)[:4]
