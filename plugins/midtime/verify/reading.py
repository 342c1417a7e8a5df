"""Reads all stores of a set at once, each on a thread of its own and a few batches ahead of whoever judges them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from midtime.verify.records import Record, RecordSource

AHEAD = 1
"""Batches that wait at most, for each store; what bounds memory."""
LOOK_SECONDS = 0.1
"""How often a reader whose batch nobody takes asks whether it is still wanted."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some records of one table."""

    store: str
    table: str
    records: Sequence[Record]


@contextmanager
def read_ahead(sources: Mapping[str, RecordSource]) -> Iterator[Iterator[Batch]]:
    """The batches of all stores, as they come. On leaving, every reader has ended and no source is used any more.

    What a source raises comes out of the iterator.
    """
    waiting: queue.Queue[Batch | BaseException | None] = queue.Queue(AHEAD * max(1, len(sources)))
    over = threading.Event()
    readers = [
        threading.Thread(target=_read, args=(store, source, waiting, over), name=f"read-{store}", daemon=True)
        for store, source in sources.items()
    ]
    for reader in readers:
        reader.start()
    try:
        yield _taken(waiting, len(readers))
    finally:
        over.set()
        for reader in readers:
            reader.join()


def _taken(waiting: queue.Queue[Batch | BaseException | None], readers: int) -> Iterator[Batch]:
    while readers:
        given = waiting.get()
        if isinstance(given, BaseException):
            raise given
        if given is None:
            readers -= 1
        else:
            yield given


def _read(store: str, source: RecordSource, waiting: queue.Queue[Batch | BaseException | None], over: threading.Event) -> None:
    try:
        for table in source.tables():
            for records in source.records(table):
                if not _put(waiting, Batch(store, table, records), over):
                    return
    except BaseException as error:  # noqa: BLE001 - raised again by whoever takes the batches
        _put(waiting, error, over)
    else:
        _put(waiting, None, over)


def _put(waiting: queue.Queue[Batch | BaseException | None], given: Batch | BaseException | None, over: threading.Event) -> bool:
    while not over.is_set():
        try:
            waiting.put(given, timeout=LOOK_SECONDS)
        except queue.Full:
            continue
        return True
    return False
