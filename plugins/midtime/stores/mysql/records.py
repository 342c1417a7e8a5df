"""ScalarDB's records and Coordinator rows, streamed from restored MySQL databases."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from midtime.stores.mysql import content
from midtime.stores.mysql.connections import Session
from midtime.stores.mysql.programs import quoted
from midtime.stores.scalardb_records import MARKS, Table, TableCoordinator, TableRecords, printable

_COLUMNS = (
    "SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE table_schema IN ({}) ORDER BY ordinal_position"
)


class MysqlRecords(TableRecords):
    """The records of restored databases.

    :param session: used by one thread, for nothing else while rows come
    :param databases: original name -> name on the server
    """

    def __init__(self, session: Session, databases: Mapping[str, str], store: str, skip: Collection[Table] = ()) -> None:
        super().__init__(store, skip)
        self.session = session
        self.databases = databases

    def columns(self) -> Mapping[Table, Collection[str]]:
        """The names of the columns of every table, by the originals' names."""
        original = {new: old for old, new in self.databases.items()}
        held = {(table.database, table.name) for table in content.base_tables(content.tables(self.session, list(original)))}
        found: dict[Table, list[str]] = {}
        for schema, table, column in self.session.about(_COLUMNS, list(original)):
            if (schema, table) in held:
                found.setdefault((original[schema], table), []).append(column)
        return found

    @cached_property
    def _keys(self) -> dict[Table, tuple[str, ...]]:
        return content.keys(self.session, list(self.databases.values()))

    def read(self, table: Table) -> Iterator[Sequence[tuple[Any, ...]]]:
        """(key, marks) of every row."""
        schema, name = self.databases[table[0]], table[1]
        key = self._keys.get((schema, name)) or tuple(self.columns()[table])
        wanted = ", ".join(quoted(column) for column in (*MARKS, *key))
        for rows in self.session.stream(f"SELECT {wanted} FROM {quoted(schema)}.{quoted(name)}"):
            yield [(printable(row[len(MARKS) :]), *row[: len(MARKS)]) for row in rows]


class MysqlCoordinator(TableCoordinator):
    """A restored Coordinator table.

    :param database: its database's name on the server
    """

    def __init__(self, session: Session, store: str, namespace: str, database: str) -> None:
        super().__init__(store, namespace)
        self.session = session
        self.database = database

    def exists(self) -> bool:
        """Whether the database has the table."""
        return bool(self._columns)

    @cached_property
    def _columns(self) -> set[str]:
        return {column for _, table, column in self.session.about(_COLUMNS, [self.database]) if table == "state"}

    def lookup_rows(self, tx_ids: Sequence[str]) -> list[tuple[Any, ...]]:
        """The rows of these transactions, letter for letter: the column's collation may be more generous."""
        if not tx_ids:
            return []
        wanted = set(tx_ids)
        found = self.session.rows(f"{self._select} WHERE tx_id IN ({', '.join(['%s'] * len(tx_ids))})", tx_ids)
        return [row for row in found if row[0] in wanted]

    def newer_rows(self, instant: int) -> Iterator[tuple[Any, ...]]:
        """The rows made after ``instant``, streamed."""
        for rows in self.session.stream(f"{self._select} WHERE tx_created_at > %s", (instant,)):
            yield from rows

    def oldest_created_at(self) -> int | None:
        """The oldest row's ``tx_created_at`` in milliseconds."""
        found: int | None = self.session.value(f"SELECT min(tx_created_at) FROM {self._table}")
        return found

    @property
    def _table(self) -> str:
        return f"{quoted(self.database)}.state"

    @property
    def _select(self) -> str:
        children = "tx_child_ids" if "tx_child_ids" in self._columns else "NULL"
        return f"SELECT tx_id, tx_state, tx_created_at, {children} FROM {self._table}"
