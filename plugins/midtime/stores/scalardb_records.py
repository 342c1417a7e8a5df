"""ScalarDB's records and Coordinator rows in a database's tables, as verification wants them; the engines add how they are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from math import inf
from typing import Any

from midtime.verify.records import CoordinatorRow, Record

Table = tuple[str, str]
"""(namespace, name)."""
BATCH = 5_000
MARKS = ("tx_id", "tx_state", "tx_version", "tx_prepared_at", "tx_committed_at")
_METADATA_SUFFIX = "_tx_metadata"


class TableRecords(ABC):
    """The records of one restored database.

    :param store: the store's name in the topology
    :param skip: the tables that hold no records, the Coordinator's
    """

    def __init__(self, store: str, skip: Collection[Table] = ()) -> None:
        self.store = store
        self.skip = frozenset(skip)

    @abstractmethod
    def columns(self) -> Mapping[Table, Collection[str]]:
        """The names of the columns of every table that people own."""

    @abstractmethod
    def read(self, table: Table) -> Iterator[Sequence[tuple[Any, ...]]]:
        """(key, *:data:`MARKS`) of every row of a table, streamed in batches; ``key`` is a printable text."""

    @cached_property
    def _columns(self) -> dict[Table, set[str]]:
        return {table: set(names) for table, names in self.columns().items() if table not in self.skip}

    @cached_property
    def _places(self) -> dict[str, Table]:
        """Where the transaction columns of each table are, by the name that ScalarDB's users know."""
        return {
            f"{schema}.{name.removesuffix(_METADATA_SUFFIX)}": (schema, name)
            for (schema, name), columns in self._columns.items()
            if columns.issuperset(MARKS)
        }

    def tables(self) -> Sequence[str]:
        """Every table that carries Consensus Commit's columns, itself or in its metadata table."""
        return sorted(self._places)

    def non_transactional(self) -> Sequence[str]:
        """Every other table; the data half of a table whose metadata stands apart is not one of them."""
        halves = set(self._places.values())
        halves |= {(schema, f"{name.removesuffix(_METADATA_SUFFIX)}{end}") for schema, name in halves for end in ("", "_data")}
        return sorted(f"{schema}.{name}" for schema, name in self._columns if (schema, name) not in halves)

    def records(self, table: str) -> Iterator[Sequence[Record]]:
        """The records of one table, in batches."""
        for rows in self.read(self._places[table]):
            yield [Record(self.store, table, *row) for row in rows]


class TableCoordinator(ABC):
    """A restored Coordinator table, ``<namespace>.state``."""

    def __init__(self, store: str, namespace: str) -> None:
        self.name = f"{store}/{namespace}"
        self.table: Table = (namespace, "state")

    @abstractmethod
    def exists(self) -> bool:
        """Whether the database has the table."""

    @abstractmethod
    def lookup_rows(self, tx_ids: Sequence[str]) -> Iterable[tuple[Any, ...]]:
        """(tx_id, tx_state, tx_created_at, tx_child_ids or None) of these transactions."""

    @abstractmethod
    def newer_rows(self, instant: int) -> Iterable[tuple[Any, ...]]:
        """The same of the rows made after ``instant`` (milliseconds), streamed."""

    @abstractmethod
    def oldest_created_at(self) -> int | None:
        """The oldest row's ``tx_created_at`` in milliseconds."""

    def lookup(self, tx_ids: Collection[str]) -> Mapping[str, CoordinatorRow]:
        """The rows of these transactions."""
        return {row.tx_id: row for row in map(_coordinator_row, self.lookup_rows(list(tx_ids)))}

    def rows_newer_than(self, instant: int) -> Iterator[CoordinatorRow]:
        """The rows made after ``instant``."""
        yield from map(_coordinator_row, self.newer_rows(instant))


class ScannedCoordinator(TableCoordinator):
    """One that finds rows by their key, and by time only by reading all of them."""

    def __init__(self, store: str, namespace: str) -> None:
        super().__init__(store, namespace)
        self._oldest: list[int | None] = []

    @abstractmethod
    def pages(self) -> Iterator[Sequence[tuple[Any, ...]]]:
        """All rows as :meth:`lookup_rows` has them; none where there is no such table."""

    def newer_rows(self, instant: float) -> Iterator[tuple[Any, ...]]:
        """The rows made after ``instant``, streamed; on the way, the oldest is found."""
        oldest: int | None = None
        for rows in self.pages():
            stamps = [row[2] for row in rows if row[2] is not None]
            oldest = min(stamps if oldest is None else [oldest, *stamps], default=None)
            yield from (row for row in rows if row[2] is not None and row[2] > instant)
        self._oldest = [oldest]

    def oldest_created_at(self) -> int | None:
        """The oldest row's ``tx_created_at`` in milliseconds."""
        if not self._oldest:
            deque(self.newer_rows(inf), maxlen=0)
        return self._oldest[0]


def _coordinator_row(row: tuple[Any, ...]) -> CoordinatorRow:
    tx_id, state, created_at, children = row
    return CoordinatorRow(tx_id, state, created_at, tuple(children.split(",")) if children else ())


def printable(key: Iterable[object]) -> str:
    """``7``, ``a/7``; a slash inside a text is escaped, so that different keys stay different."""
    parts = (part.hex() if isinstance(part, (bytes, bytearray)) else str(part) for part in key)
    return "/".join(part.replace("\\", "\\\\").replace("/", "\\/") for part in parts)
