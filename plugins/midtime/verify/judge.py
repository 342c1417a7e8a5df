"""Reads a restored set once and judges it.

Memory does not grow with the number of good records: they are seen in batches and forgotten. What the Coordinator does not vouch for waits
on disk (``suspects``) until every store was read, because only all records of a transaction together show what it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from midtime.verify import rules
from midtime.verify.coordinators import decide, oldest_row
from midtime.verify.facts import Bounds, TopologyFacts
from midtime.verify.reading import Batch, read_ahead
from midtime.verify.records import FENCE_TABLE, Coordinator, FenceObservation, Record, RecordSource, TxState
from midtime.verify.suspects import Suspects
from midtime.verify.tally import MAX_EXAMPLES, Tally
from midtime.verify.verdict import Finding, Reason, Verdict
from midtime.verify.writesets import WriteSets


def judge(
    sources: Mapping[str, RecordSource],
    coordinators: Sequence[Coordinator],
    facts: TopologyFacts,
    bounds: Bounds,
    fences: Sequence[FenceObservation] = (),
    *,
    fenced: Collection[str] | None = None,
    examples: int = MAX_EXAMPLES,
) -> Verdict:
    """The verdict on a restored set that no ScalarDB process has touched yet.

    :param sources: every restored store under its name in the topology
    :param coordinators: every Coordinator of the topology, as restored
    :param fences: one observation for every store in which fence rows were looked for
    :param fenced: the stores whose restore could have missed the window; default: all
    :param examples: how many findings of each rule the verdict names; the counts are exact anyway
    """
    with Suspects() as suspects:
        reading = _Reading(coordinators, facts, bounds, suspects, Tally(examples))
        reading.coordinator_rows()
        for store, source in sources.items():
            reading.tables(store, source)
        with read_ahead(sources) as batches:
            for batch in batches:
                reading.batch(batch)
        reading.gathered(frozenset(sources))
        reading.fences(sources if fenced is None else fenced, fences)
        return reading.tally.verdict(facts)


class _Reading:
    """One pass over a set."""

    def __init__(self, coordinators: Sequence[Coordinator], facts: TopologyFacts, bounds: Bounds, suspects: Suspects, tally: Tally) -> None:
        there = [(each, each.exists()) for each in coordinators]
        self._coordinators = [each for each, exists in there if exists]
        self._missing = [each.name for each, exists in there if not exists]
        self._facts = facts
        self._bounds = bounds
        self._limit = bounds.start_ms + facts.clock_bound_ms
        self._suspects = suspects
        self._writes = WriteSets(facts, bounds)
        self._transactional = False
        self.tally = tally

    def coordinator_rows(self) -> None:
        """The recent rows of every Coordinator: their stamps, and what they say they wrote."""
        for coordinator in self._coordinators:
            for row in coordinator.rows_newer_than(min(self._limit, self._writes.oldest_needed)):
                self._found(rules.row_stamp(coordinator.name, row, self._facts, self._bounds))
                self._writes.expect(row)

    def tables(self, store: str, source: RecordSource) -> None:
        """What there is to read in one store, and what is not read."""
        others = [table for table in source.non_transactional() if not table.endswith(f".{FENCE_TABLE}")]
        self.tally.non_transactional += [f"{store}: {table}" for table in others]
        self.tally.tables_read += len(source.tables())

    def batch(self, batch: Batch) -> None:
        """Some records of one table."""
        followed = self._writes.follows(batch.store, batch.table)
        tx_ids = {record.tx_id for record in batch.records if record.tx_id is not None}
        decided = decide(tx_ids, self._coordinators) if tx_ids else {}
        self._transactional = self._transactional or bool(tx_ids)
        self.tally.records_read += len(batch.records)
        waiting = []
        for record in batch.records:
            decision = decided.get(record.tx_id or "")
            row = decision.state if decision else None
            if decision and decision.contradicts_itself:
                self._found(rules.contradiction(record, decision))
            if (record.prepared_at or 0) > self._limit or (record.committed_at or 0) > self._limit:
                self._found(rules.stamps(record, self._facts, self._bounds))
            if followed:
                self._found(self._writes.see(record))
            settled = record.tx_state == TxState.COMMITTED and row is TxState.COMMITTED
            if not settled and self._must_wait(record, row):
                waiting.append((record, row is TxState.ABORTED))
        if waiting:
            self._suspects.add(waiting)

    def _must_wait(self, record: Record, row: TxState | None) -> bool:
        """Whether only the transaction's other records can tell what this one is."""
        if odd := rules.odd_state(record):
            self._found(odd)
            return False
        if record.tx_id is None:
            self.tally.explained[Reason.IMPORTED] += 1
            return False
        if record.tx_state != TxState.COMMITTED:
            self.tally.in_flight["roll_forward" if row is TxState.COMMITTED else "roll_back"] += 1
            return row is not TxState.COMMITTED
        if row is None and record.table in self._facts.copied_in and (record.committed_at or 0) <= self._limit:
            self.tally.explained[Reason.COPIED_IN] += 1
            return False
        return True

    def gathered(self, stores: frozenset[str]) -> None:
        """What can only be said after the last record."""
        oldest = oldest_row(self._coordinators) if self._facts.coordinator_recreated else None
        for case in self._suspects:
            said = rules.suspect(case, self._facts, self._bounds, oldest)
            if isinstance(said, Reason):
                self.tally.explained[said] += case.committed_records
            else:
                self._found(said)
        self.tally.add(self._writes.absent(stores))
        if self._transactional:
            self.tally.add(rules.missing_coordinator(name) for name in self._missing)
        else:
            self.tally.notes.append("no transactional record was read: nothing is proven about transactions")
        if self._writes.left_out:
            self.tally.notes.append(f"write sets: {self._writes.left_out} entries were beyond what is compared")

    def fences(self, stores: Iterable[str], observations: Sequence[FenceObservation]) -> None:
        """What the fence rows say, and what they leave open."""
        self.tally.add(rules.fences(observations))
        self.tally.notes += rules.fence_notes(set(stores), self._facts, self._bounds, observations)

    def _found(self, finding: Finding | None) -> None:
        if finding is not None:
            self.tally.add([finding])
