"""A whole table, read in parts of the ring: several are in flight, memory is bounded, and every row comes once, whatever has to be asked again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from midtime.errors import StoreUnreachableError
from midtime.stores.cassandra.cql import PAGE, TRIES, CqlSession, Page, Row, pause, quoted

RINGS = {"Murmur3Partitioner": (-(2**63), 2**63 - 1), "RandomPartitioner": (-1, 2**127)}
"""The token before the first that a row can have, and the last."""
PARTS = 32
IN_FLIGHT = 4
SMALLEST_PAGE = 20


def parts(partitioner: str, count: int = PARTS) -> list[tuple[int, ...]]:
    """The ring, cut: each part begins behind its first token and ends with its second. One part without bounds where tokens are no numbers."""
    if partitioner not in RINGS:
        return [()]
    before, last = RINGS[partitioner]
    edges = [before + (last - before) * edge // count for edge in range(count + 1)]
    return list(pairwise(edges))


@dataclass(slots=True)
class _Part:
    """How far one part was read. A state goes on exactly behind the last row that came, at any node and with any size of page."""

    bounds: tuple[int, ...]
    wait: Callable[[], Page]
    state: bytes | None = None
    page: int = PAGE
    failures: int = 0

    def tire(self, error: StoreUnreachableError) -> None:
        """The same page again, later and in smaller pieces, but not for ever."""
        self.failures += 1
        if self.failures == TRIES:
            raise error
        pause(self.failures - 1)
        self.page = max(self.page // 4, SMALLEST_PAGE)


class Scan:
    """One reading of a table.

    :param table: (keyspace, name)
    :param columns: those that are wanted
    :param partition: the columns of the partition key
    """

    def __init__(self, session: CqlSession, table: tuple[str, str], columns: Sequence[str], partition: Sequence[str]) -> None:
        self.session = session
        self._ring = parts(session.partitioner)
        query = f"SELECT {', '.join(map(quoted, columns))} FROM {quoted(*table)}"
        token = f"token({', '.join(map(quoted, partition))})"
        bounded = f"{query} WHERE {token} > ? AND {token} <= ?"
        self._query: Any = session.prepare(bounded if self._ring[0] else query)

    def pages(self) -> Iterator[list[Row]]:
        """The rows, in no order.

        :raises StoreError: a part cannot be read, though it was asked for again and again
        """
        todo = deque(self._ring)
        running: deque[_Part] = deque()
        while todo or running:
            while todo and len(running) < IN_FLIGHT:
                bounds = todo.popleft()
                running.append(_Part(bounds, self.session.begin(self._query, bounds)))
            rows, going_on = self._advanced(running.popleft())
            running.extend(going_on)
            if rows:
                yield rows

    def _advanced(self, part: _Part) -> tuple[list[Row], list[_Part]]:
        """The next rows of a part, and the part itself, unless that was all; what follows is under way."""
        try:
            rows, part.state = part.wait()
        except StoreUnreachableError as error:
            part.tire(error)
            rows = []
        else:
            part.failures = 0
            if part.state is None:
                return rows, []
        part.wait = self.session.begin(self._query, part.bounds, page=part.page, state=part.state)
        return rows, [part]
