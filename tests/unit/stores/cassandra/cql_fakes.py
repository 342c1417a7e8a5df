"""A cluster that answers CQL from memory, page by page, and fails when it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from midtime.errors import StoreUnreachableError
from midtime.stores.cassandra.cql import PAGE, CqlSession, Page, Row


class FakeCluster(CqlSession):
    """A session to it.

    :param tables: rows by a word that the query has; read by parts of the ring, a row's first column is its token
    :param failing: says of each page that is waited for whether it fails
    """

    def __init__(self, tables: Mapping[str, Sequence[Row]], failing: Iterator[bool] | None = None) -> None:
        super().__init__(None, "fake")
        self.tables = tables
        self.failing = failing or iter(())
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        self.pages: list[int] = []
        self.executed: list[tuple[str, tuple[Any, ...], float]] = []

    partitioner = "Murmur3Partitioner"  # type: ignore[assignment]

    def prepare(self, query: str) -> Any:
        return query

    def execute(self, statement: str, parameters: Sequence[Any] = (), *, seconds: float = 0) -> None:
        self.executed.append((statement, tuple(parameters), seconds))

    def begin(self, query: Any, parameters: Sequence[Any] = (), *, page: int = PAGE, state: bytes | None = None) -> Callable[[], Page]:
        self.asked.append((query, tuple(parameters)))
        rows = self._answer(query, parameters)
        start = int(state or b"0")
        end = start + page

        def wait() -> Page:
            if next(self.failing, False):
                raise StoreUnreachableError("a node is gone")
            self.pages.append(page)
            return list(rows[start:end]), str(end).encode() if end < len(rows) else None

        return wait

    def _answer(self, query: str, parameters: Sequence[Any]) -> Sequence[Row]:
        rows = next((rows for word, rows in self.tables.items() if word in query), ())
        if "token(" in query:
            after, to = parameters
            return [row for row in rows if after < row[0] <= to]
        if " IN ?" in query:
            return [row for row in rows if row[0] in parameters[0]]
        if parameters:
            return [row[1:] for row in rows if row[0] == parameters[0]]
        return rows
