"""The write-set rule: what recently committed transactions say they wrote must be there, theirs or newer.

Of all rules the only one that sees, without a fence, a store that was brought back too early. It needs ``tx_write_set``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from midtime.verify.facts import Bounds, TopologyFacts
from midtime.verify.records import CoordinatorRow, Record, TxState, WriteEntry
from midtime.verify.verdict import Finding, Rule, Severity

MAX_KEYS = 200_000  # some tens of megabytes; a minute of a busy system


@dataclass(slots=True)
class _Expected:
    """What recent transactions did to one record: their last write and their last removal, each with its row's ``tx_created_at``."""

    write: WriteEntry | None = None
    written_at: int = 0
    removal: WriteEntry | None = None
    removed_at: int = 0

    def merge(self, entry: WriteEntry, created_at: int) -> None:
        if entry.deleted:
            if self.removal is None or created_at > self.removed_at:
                self.removal, self.removed_at = entry, created_at
        elif self.write is None or (entry.tx_version or 0, created_at) > (self.write.tx_version or 0, self.written_at):
            self.write, self.written_at = entry, created_at


class WriteSets:
    """Gathers the expectations from Coordinator rows, ticks them off while records go by, and names what is left.

    :param max_keys: how many records are followed; those beyond are counted in :attr:`left_out`
    """

    def __init__(self, facts: TopologyFacts, bounds: Bounds, max_keys: int = MAX_KEYS) -> None:
        self._expected: dict[tuple[str, str], dict[str, _Expected]] = {}
        self._since = bounds.start_ms - facts.write_set_lookback_ms
        self._slack = 2 * facts.clock_bound_ms  # between the stamps of two products
        # A removal by one-phase commit has no row, and a purged one no longer: then an absent record proves little.
        self._unseen_removals = facts.one_phase_commit or facts.purge
        self._room = max_keys
        self.left_out = 0

    @property
    def oldest_needed(self) -> int:
        """From which ``tx_created_at`` rows matter: removals a little earlier than writes, for their stamps may be off."""
        return self._since - self._slack

    def expect(self, row: CoordinatorRow) -> None:
        """Take over what a COMMITTED row says it wrote."""
        if row.state != TxState.COMMITTED or row.created_at is None:
            return
        if row.write_set is None:
            self._unseen_removals = True  # its product does not log write sets
            return
        for entry in row.write_set:
            if entry.deleted or row.created_at > self._since:
                self._expect(entry, row.created_at)

    def _expect(self, entry: WriteEntry, created_at: int) -> None:
        keys = self._expected.setdefault((entry.store, entry.table), {})
        if entry.key not in keys:
            if not self._room:
                self.left_out += 1
                return
            self._room -= 1
        # A key that is followed takes every later entry, also when there is no more room: a forgotten removal would be a false alarm.
        keys.setdefault(entry.key, _Expected()).merge(entry, created_at)

    def follows(self, store: str, table: str) -> bool:
        """Whether records of this table need to be shown to :meth:`see`."""
        return bool(self._expected.get((store, table)))

    def see(self, record: Record) -> Finding | None:
        """Tick a record off; a finding when it is older than what was written last."""
        expected = self._expected.get((record.store, record.table), {}).pop(record.key, None)
        if expected is None:
            return None
        if expected.removal is not None:
            return self._seen_after_removal(record, expected.removal, expected.removed_at)
        if expected.write is None or self._has(record, expected.write, expected.written_at):
            return None
        held = f"transaction {record.tx_id}, version {record.tx_version}"
        return self._finding(expected.write, f"the write was committed, but the record is still of {held}")

    def absent(self, stores: frozenset[str]) -> Iterator[Finding]:
        """What was expected in these stores and never came by."""
        for (store, _), keys in self._expected.items():
            for expected in keys.values() if store in stores else ():
                if expected.write is not None and expected.removal is None:
                    yield self._finding(expected.write, "the write was committed, but there is no such record")

    def _has(self, record: Record, write: WriteEntry, written_at: int) -> bool:
        if record.tx_id == write.tx_id:
            return True
        if write.tx_version is not None:
            return (record.tx_version or 0) > write.tx_version
        # ScalarDB 3.19 logs keys only. Whoever wrote over it prepared after its commit, give or take two clocks.
        return record.prepared_at is not None and record.prepared_at + self._slack >= written_at

    def _seen_after_removal(self, record: Record, removal: WriteEntry, removed_at: int) -> Finding | None:
        # Inserted anew, its version starts at 1 again; only a record that is also older than the removal was left behind by it.
        older = record.prepared_at is not None and record.prepared_at + self._slack < removed_at
        lower = removal.tx_version is None or (record.tx_version or 0) < removal.tx_version
        if record.tx_id == removal.tx_id or not (older and lower):
            return None
        return self._finding(removal, f"the record was removed, but is there with version {record.tx_version}")

    def _finding(self, entry: WriteEntry, text: str) -> Finding:
        severity = Severity.UNEXPLAINED if self._unseen_removals else Severity.TORN
        return Finding(Rule.WRITE_SET, severity, text, entry.store, entry.table, entry.key, entry.tx_id)
