"""What was restored into the schemas of a database, open for verification: ScalarDB's records, the Coordinator, fence rows, a user's checks."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from midtime.errors import RequestError
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.stores.fences import PLACES, fence_table
from midtime.stores.managed_sql.sessions import SchemaSession
from midtime.stores.scalardb_records import MARKS, Table, TableCoordinator, TableRecords, printable

AT_ONCE = 1_000
"""Ids in one question; Oracle takes no longer list."""
_ASKS = re.compile(r"[\s(]*(?:SELECT|WITH)\b", re.IGNORECASE)
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|\[[^\]]*\]")
_DOES_MORE = re.compile(
    r";\s*\S|--|/\*|\b(?:ALTER|BACKUP|BEGIN|COMMIT|CREATE|DBCC|DECLARE|DELETE|DENY|DROP|EXEC|EXECUTE|GRANT|INSERT|INTO|KILL|MERGE|OPENQUERY"
    r"|OPENROWSET|RESTORE|REVOKE|ROLLBACK|SAVE|SET|SHUTDOWN|TRUNCATE|UPDATE|USE|WAITFOR)\b",
    re.IGNORECASE,
)


class SchemaRecords(TableRecords):
    """The records of some schemas.

    :param session: used by one thread, for nothing else while rows come
    """

    def __init__(self, session: SchemaSession, schemas: Sequence[str], store: str, skip: Collection[Table] = ()) -> None:
        super().__init__(store, skip)
        self.session, self.schemas = session, schemas

    def columns(self) -> Mapping[Table, Collection[str]]:
        """The names of the columns of every table."""
        return _by_table(self.session.about(self.session.catalog_columns, self.schemas))

    @cached_property
    def _keys(self) -> dict[Table, list[str]]:
        return _by_table(self.session.about(self.session.catalog_keys, self.schemas))

    @cached_property
    def _all(self) -> Mapping[Table, Collection[str]]:
        return self.columns()

    def read(self, table: Table) -> Iterator[Sequence[tuple[Any, ...]]]:
        """(key, marks) of every row."""
        key = self._keys.get(table) or self._all[table]
        wanted = ", ".join(self.session.quoted(column) for column in (*MARKS, *key))
        for rows in self.session.stream(f"SELECT {wanted} FROM {self.session.quoted(*table)}"):
            yield [(printable(row[len(MARKS) :]), row[0], *map(_number, row[1 : len(MARKS)])) for row in rows]


class SchemaCoordinator(TableCoordinator):
    """A restored Coordinator table."""

    def __init__(self, session: SchemaSession, store: str, namespace: str) -> None:
        super().__init__(store, namespace)
        self.session = session

    def exists(self) -> bool:
        """Whether the database has the table, and lets us see it."""
        return bool(self._columns)

    @cached_property
    def _columns(self) -> Collection[str]:
        return _by_table(self.session.about(self.session.catalog_columns, [self.table[0]])).get(self.table, ())

    def lookup_rows(self, tx_ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """The rows of these transactions, letter for letter: SQL Server's collation may be more generous."""
        wanted, ids = set(tx_ids), sorted(set(tx_ids))
        for first in range(0, len(ids), AT_ONCE):
            some = ids[first : first + AT_ONCE]
            marks = ", ".join(["%s"] * len(some))
            found = self.session.rows(f"{self._select} WHERE {self.session.quoted('tx_id')} IN ({marks})", some)
            yield from _numbered(row for row in found if row[0] in wanted)

    def newer_rows(self, instant: int) -> Iterator[tuple[Any, ...]]:
        """The rows made after ``instant``, streamed."""
        for rows in self.session.stream(f"{self._select} WHERE {self.session.quoted('tx_created_at')} > %s", (instant,)):
            yield from _numbered(rows)

    def oldest_created_at(self) -> int | None:
        """The oldest row's ``tx_created_at`` in milliseconds."""
        return _number(self.session.value(f"SELECT MIN({self.session.quoted('tx_created_at')}) FROM {self.session.quoted(*self.table)}"))

    @property
    def _select(self) -> str:
        names = [*map(self.session.quoted, ("tx_id", "tx_state", "tx_created_at"))]
        # Only from ScalarDB 3.13 (group commit) on does the table have children.
        names.append(self.session.quoted("tx_child_ids") if "tx_child_ids" in self._columns else "NULL")
        return f"SELECT {', '.join(names)} FROM {self.session.quoted(*self.table)}"


class RestoredSchemas:
    """A restored server's database: what is in it is what the service says was in it then.

    :param streaming: another session, for records: the Coordinator is asked meanwhile
    """

    def __init__(self, topology: Topology, backup: StoreBackup, session: SchemaSession, streaming: SchemaSession) -> None:
        self.topology, self.backup = topology, backup
        self.session, self.streaming = session, streaming
        self.schemas = topology.all_namespaces(backup.store)

    def content(self) -> tuple[()]:
        """Nothing: a mark counts nothing."""
        return ()

    def schema_differences(self) -> Sequence[str]:
        """Namespaces that are not there, or of which the login may not see all: what is hidden would be called good unread."""
        found = present(self.session, self.schemas)
        missing = [f"schema {name}: missing" for name in self.schemas if name not in found]
        there = [name for name in self.schemas if name in found]
        return missing + [f"schema {name}: the login may not read all of it" for name in self.session.hidden(there)]

    def records(self) -> SchemaRecords:
        """The records, on a session of their own."""
        skip = [(namespace, "state") for namespace in self._coordinators]
        return SchemaRecords(self.streaming, self.schemas, self.backup.store, skip)

    def coordinators(self) -> list[SchemaCoordinator]:
        """The Coordinators that the topology puts into this store."""
        return [SchemaCoordinator(self.session, self.backup.store, namespace) for namespace in self._coordinators]

    def fences(self, window: str, namespace: str) -> frozenset[str]:
        """Which fence rows of a window it holds."""
        return places(self.session, namespace, window)

    def scalar(self, query: str) -> Any:
        """The first value of the first row; the query cannot change anything."""
        if not _ASKS.match(query) or _DOES_MORE.search(_QUOTED.sub("''", query)):
            raise RequestError(f"{query!r} is no single SELECT that only reads", fix="correct the check in the topology file")
        try:
            return self.session.ask(query.rstrip().removesuffix(";"))
        except self.session.raised() as error:
            raise RequestError(f"{query!r} failed: {error}", fix="correct the check in the topology file") from error

    @property
    def _coordinators(self) -> tuple[str, ...]:
        return self.topology.coordinator_namespaces(self.backup.store)


def present(session: SchemaSession, schemas: Sequence[str]) -> set[str]:
    """Those of some schemas that are there."""
    return {row[0] for row in session.about(session.catalog_schemas, schemas)}


def has_table(session: SchemaSession, table: Table) -> bool:
    """Whether it is there, and we may see it."""
    return table in _by_table(session.about(session.catalog_columns, [table[0]]))


def places(session: SchemaSession, namespace: str, window: str) -> frozenset[str]:
    """Which rows of a window are there."""
    table = fence_table([namespace])
    if not has_table(session, table):
        return frozenset()
    return frozenset(place for (place,) in session.rows(PLACES.format(table=session.quoted(*table), mark="%s"), (window,)))


def _by_table(rows: Iterable[tuple[Any, ...]]) -> dict[Table, list[str]]:
    found: dict[Table, list[str]] = {}
    for schema, table, column in rows:
        found.setdefault((schema, table), []).append(column)
    return found


def _numbered(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    return ((tx_id, _number(state), _number(created_at), children) for tx_id, state, created_at, children in rows)


def _number(value: Any) -> int | None:
    """A ``NUMBER`` may come as a decimal or a float, as the driver is set."""
    return None if value is None else int(value)
