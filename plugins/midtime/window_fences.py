"""The fence rows of a window's managed stores. Nobody captures these stores, so the pausing task writes the rows, each on a thread of its own.

Nothing here is waited for inside the window: a service that hangs costs :data:`LIMIT` at most, and then the window, which proves nothing without
the row.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from midtime.errors import MidtimeError, StoreUnreachableError
from midtime.fencing import StoreFence, fence_of
from midtime.model.topology import Topology
from midtime.stores import open_store
from midtime.stores.fences import Place

LIMIT = 3.0
"""Seconds for the row inside the window."""
AFTERWARDS = 30.0
"""Seconds for the row after it, when everything is unpaused and nobody is kept waiting."""


@dataclass(slots=True)
class _Row:
    """One row that is being written."""

    fence: StoreFence
    place: Place
    asked: float
    done: float | None = None
    """``time.monotonic()`` at which it was surely there, or had failed."""
    error: Exception | None = None

    def write(self, window: str) -> None:
        try:
            self.fence.write(window, self.place)
        except Exception as error:  # noqa: BLE001 - told by whoever looks
            self.error = error
        finally:
            self.done = time.monotonic()

    def failure(self, limit: float) -> MidtimeError | None:
        """Why there is no row, once that is known."""
        name = self.fence.store.name
        if self.done is None and time.monotonic() - self.asked > limit:
            return StoreUnreachableError(f"store {name} did not take its fence row within {limit:g} s", fix="see how busy it is")
        if isinstance(self.error, MidtimeError) or self.error is None:
            return self.error
        return StoreUnreachableError(f"store {name} did not take its fence row: {self.error!r}", fix="report this")


@dataclass(slots=True)
class WindowFences:
    """The fences of one window."""

    fences: list[StoreFence]
    _rows: list[_Row] = field(default_factory=list)

    def prepare(self) -> None:
        """Make what tables are missing, and open what writes. Before anything is paused: a service may take a minute for a table.

        :raises StoreError: a store cannot be written to, and its topology does not say ``fence: false``
        """
        if self.fences:
            with ThreadPoolExecutor(len(self.fences), thread_name_prefix="fences") as pool:
                list(pool.map(_ready, self.fences))

    def begin(self, window: str, place: Place) -> None:
        """Start to write a row into every store. Returns at once."""
        self._rows = [_Row(fence, place, time.monotonic()) for fence in self.fences]
        for row in self._rows:
            threading.Thread(target=row.write, args=(window,), name=f"fence-{row.fence.store.name}", daemon=True).start()

    def failure(self, limit: float = LIMIT) -> MidtimeError | None:
        """Why a row is not there and will not be counted on; None while nothing is wrong."""
        return next(filter(None, (row.failure(limit) for row in self._rows)), None)

    @property
    def settled(self) -> bool:
        """Whether every row is written."""
        return all(row.done is not None and row.error is None for row in self._rows)

    @property
    def written_at(self) -> list[float]:
        """``time.monotonic()`` at which each row was surely there; none where the topology declined it."""
        return [row.done for row in self._rows if row.done is not None and row.place in row.fence.written]

    def finish(self, window: str) -> None:
        """Write the rows after the window, and wait for them.

        :raises StoreError: one cannot be written
        """
        self.begin(window, "after")
        while not self.settled:
            if failure := self.failure(AFTERWARDS):
                raise failure
            time.sleep(0.01)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """For the evidence: by store, as :meth:`StoreFence.to_dict` has it."""
        return {fence.store.name: fence.to_dict() for fence in self.fences}


@contextmanager
def window_fences(topology: Topology) -> Iterator[WindowFences]:
    """Those of a topology's managed stores; nothing is made, opened or written yet."""
    with ExitStack() as resources:
        managed = [store.name for store in topology.stores if not store.captured]
        yield WindowFences([fence_of(open_store(topology, name), resources) for name in managed])


def _ready(fence: StoreFence) -> None:
    fence.prepare()
    fence.connect()
