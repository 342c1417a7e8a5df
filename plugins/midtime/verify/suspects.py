"""Transactions that the Coordinator does not vouch for, gathered over all tables and stores before anybody judges them.

With one-phase commit or a purge that can be nearly every record of the set, so they lie on disk: in SQLite's temporary database,
which has no name, spills from a small cache and vanishes with the connection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from types import TracebackType
from typing import Self

from midtime.verify.records import Record, TxState

_CACHE_KIB = 16 * 1024
_CREATE = "CREATE TABLE suspect (tx_id, aborted, store, tbl, key, state, version, prepared, committed)"
_INSERT = "INSERT INTO suspect VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SELECT = "SELECT * FROM suspect ORDER BY tx_id, store, tbl, key"


@dataclass(slots=True)
class Suspect:
    """One transaction without a COMMITTED Coordinator row, and what its records look like together.

    :param aborted: the Coordinator has an ABORTED row; otherwise it has none
    :param committed: the first COMMITTED record, :param elsewhere: the first one in another store
    :param in_flight: the first PREPARED or DELETED record
    :param one_phase: every COMMITTED record has ``tx_prepared_at == tx_committed_at``, as one-phase commit stamps them
    :param latest_ms: the latest stamp of its COMMITTED records; ``None`` when one of them has none
    """

    tx_id: str
    aborted: bool
    committed: Record | None = None
    elsewhere: Record | None = None
    in_flight: Record | None = None
    committed_records: int = 0
    in_flight_records: int = 0
    one_phase: bool = True
    latest_ms: int | None = 0

    def take(self, record: Record) -> None:
        """Add one of its records."""
        if record.tx_state == TxState.COMMITTED:
            self._take_committed(record)
        else:
            self.in_flight = self.in_flight or record
            self.in_flight_records += 1

    def _take_committed(self, record: Record) -> None:
        self.committed = self.committed or record
        if self.elsewhere is None and record.store != self.committed.store:
            self.elsewhere = record
        self.committed_records += 1
        self.one_phase = self.one_phase and record.prepared_at is not None and record.prepared_at == record.committed_at
        stamp = record.committed_at if record.committed_at is not None else record.prepared_at
        self.latest_ms = None if self.latest_ms is None or stamp is None else max(self.latest_ms, stamp)


class Suspects:
    """All of them, on disk; a context manager."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._db.execute("PRAGMA temp_store = FILE")
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute(_CREATE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._db.close()

    def add(self, records: Iterable[tuple[Record, bool]]) -> None:
        """Keep these records; the flag says whether the Coordinator has an ABORTED row for the transaction."""
        self._db.execute("BEGIN")
        self._db.executemany(_INSERT, (self._row(record, aborted) for record, aborted in records))
        self._db.execute("COMMIT")

    def __iter__(self) -> Iterator[Suspect]:
        """Each transaction once, folded from its records."""
        for (tx_id, aborted), rows in groupby(self._db.execute(_SELECT), key=lambda row: (row[0], bool(row[1]))):
            suspect = Suspect(tx_id, aborted)
            for _, _, store, table, key, state, version, prepared, committed in rows:
                suspect.take(Record(store, table, key, tx_id, state, version, prepared, committed))
            yield suspect

    @staticmethod
    def _row(record: Record, aborted: bool) -> tuple[object, ...]:
        place = (record.store, record.table, record.key)
        return (record.tx_id, aborted, *place, record.tx_state, record.tx_version, record.prepared_at, record.committed_at)
