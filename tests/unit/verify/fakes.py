"""A restored set in memory: stores and Coordinators that tests fill by hand."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from midtime.verify.facts import Bounds, TopologyFacts
from midtime.verify.judge import judge
from midtime.verify.records import CoordinatorRow, FenceObservation, Record, TxState, WriteEntry
from midtime.verify.verdict import Verdict

START = 1_000_000  # epoch ms; windows of the tests are 10 s long
WINDOW = Bounds(START, START + 10_000)
COMMITTED, ABORTED, PREPARED, DELETED = TxState.COMMITTED, TxState.ABORTED, TxState.PREPARED, TxState.DELETED


class FakeStore:
    """Records by table, handed out in small batches; counts how many batches were asked for."""

    def __init__(self, records: Iterable[Record] = (), non_transactional: Sequence[str] = (), batch: int = 3) -> None:
        self.all = list(records)
        self._non_transactional = non_transactional
        self._batch = batch

    def tables(self) -> Sequence[str]:
        return sorted({record.table for record in self.all})

    def records(self, table: str) -> Iterator[Sequence[Record]]:
        mine = [record for record in self.all if record.table == table]
        for at in range(0, len(mine), self._batch):
            yield mine[at : at + self._batch]

    def non_transactional(self) -> Sequence[str]:
        return self._non_transactional


class FakeCoordinator:
    """Rows by id; remembers the size of each look-up."""

    def __init__(self, rows: Iterable[CoordinatorRow] = (), name: str = "a/coordinator", exists: bool = True) -> None:
        self.rows = {row.tx_id: row for row in rows}
        self.name = name
        self.lookups: list[int] = []
        self._exists = exists

    def exists(self) -> bool:
        return self._exists

    def lookup(self, tx_ids: Collection[str]) -> Mapping[str, CoordinatorRow]:
        self.lookups.append(len(tx_ids))
        return {tx_id: self.rows[tx_id] for tx_id in tx_ids if tx_id in self.rows}

    def oldest_created_at(self) -> int | None:
        return min((row.created_at for row in self.rows.values() if row.created_at is not None), default=None)

    def rows_newer_than(self, instant: int) -> Iterator[CoordinatorRow]:
        return (row for row in self.rows.values() if row.created_at is not None and row.created_at > instant)


def record(tx_id: str | None, state: TxState | int | None = COMMITTED, store: str = "a", key: str = "k", **changes: object) -> Record:
    """A record of ``<store>.t``, prepared five seconds before the start and committed 20 ms later."""
    final = state == COMMITTED
    made = Record(store, f"{store}.t", key, tx_id, state, 1, START - 5_000, START - 4_980 if final else None)
    return replace(made, **changes)  # type: ignore[arg-type]


def row(
    tx_id: str, state: TxState = COMMITTED, at: int = START - 4_990, children: tuple[str, ...] = (), *writes: WriteEntry
) -> CoordinatorRow:
    """A Coordinator row from between preparation and commit of :func:`record`."""
    return CoordinatorRow(tx_id, state, at, children, writes)


def fenced(*stores: str) -> list[FenceObservation]:
    """Fences as they must be."""
    return [FenceObservation(store, before_present=True, after_present=False) for store in stores]


def verdict(
    records: Iterable[Record],
    rows: Iterable[CoordinatorRow] = (),
    facts: TopologyFacts | None = None,
    bounds: Bounds = WINDOW,
    fences: Sequence[FenceObservation] | None = None,
    **more: int,
) -> Verdict:
    """Judge these records in stores ``a`` and ``b`` with one Coordinator."""
    records = list(records)
    sources = {name: FakeStore(each for each in records if each.store == name) for name in ("a", "b")}
    seen = fenced("a", "b") if fences is None else fences
    return judge(sources, [FakeCoordinator(rows)], facts or TopologyFacts(), bounds, seen, **more)


def rules_of(judged: Verdict) -> dict[str, int]:
    """Counts by rule, as plain strings."""
    return dict(judged.counts)
