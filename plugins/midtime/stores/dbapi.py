"""What the sessions of several drivers have in common: Python's DB-API, in autocommit, with ``%s`` for every parameter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

BATCH = 5_000


class DbapiSession:
    """A connection in autocommit; used by one thread at a time."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def cursor(self, *, streaming: bool = False) -> Any:
        """A cursor.

        :param streaming: rows are left on the server until they are asked for
        """
        return self.connection.cursor()

    def spelled(self, query: str) -> str:
        """A query as the driver wants to have its parameters."""
        return query

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query; none of a statement."""
        with self.cursor() as cursor:
            cursor.execute(self.spelled(query), tuple(parameters))
            return list(cursor.fetchall()) if cursor.description else []

    def value(self, query: str, parameters: Sequence[Any] = ()) -> Any:
        """The first value of the first row; None without a row."""
        found = self.rows(query, parameters)
        return found[0][0] if found else None

    def about(self, query: str, names: Sequence[str], *more: Sequence[str]) -> list[tuple[Any, ...]]:
        """The rows whose first column is one of these names, letter for letter: a catalog may compare more generously.

        :param query: with ``{0}`` for the names, ``{1}`` for the next list
        """
        if not names:
            return []
        lists = [names, *more]
        marks = [", ".join(["%s"] * len(each)) for each in lists]
        wanted = set(names)
        return [row for row in self.rows(query.format(*marks), [name for each in lists for name in each]) if row[0] in wanted]

    def stream(self, query: str, parameters: Sequence[Any] = ()) -> Iterator[list[tuple[Any, ...]]]:
        """The rows in batches; memory does not grow with them. The session can do nothing else meanwhile."""
        with self.cursor(streaming=True) as cursor:
            cursor.execute(self.spelled(query), tuple(parameters))
            while rows := cursor.fetchmany(BATCH):
                yield list(rows)
