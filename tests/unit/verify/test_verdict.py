"""The verdict as a value: three ways, exact counts, few examples, and there and back through JSON."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from midtime.verify.facts import TopologyFacts
from midtime.verify.judge import judge
from midtime.verify.records import CoordinatorRow, Record, WriteEntry
from midtime.verify.tally import MAX_EXAMPLES
from midtime.verify.verdict import Outcome, Rule, Verdict
from midtime.verify.writesets import WriteSets

from .fakes import COMMITTED, START, WINDOW, FakeCoordinator, FakeStore, fenced, record, row, verdict

ONE_PHASE = record("o", key="o", prepared_at=START - 9, committed_at=START - 9)


class TestThreeWays:
    def test_torn_outweighs_unexplained(self) -> None:
        judged = verdict([ONE_PHASE, record("t")])
        assert (judged.outcome, judged.passed) == (Outcome.TORN, False)
        assert judged.severities == {"torn": 1, "unexplained": 1, "note": 0}
        assert judged.findings[0].tx_id == "t", "the gravest comes first"

    def test_unexplained_fails_unless_allowed(self) -> None:
        assert verdict([ONE_PHASE]).passed is False
        allowed = verdict([ONE_PHASE], facts=TopologyFacts(allow_unexplained=1))
        assert (allowed.outcome, allowed.passed) == (Outcome.UNEXPLAINED, True)
        assert allowed.summary().startswith("unexplained (allowed)")

    def test_no_more_are_allowed_than_the_topology_says(self) -> None:
        judged = verdict([ONE_PHASE, replace(ONE_PHASE, tx_id="p", key="p")], facts=TopologyFacts(allow_unexplained=1))
        assert judged.passed is False
        assert judged.summary().startswith("unexplained: ")

    def test_torn_cannot_be_allowed(self) -> None:
        assert verdict([record("t")], facts=TopologyFacts(allow_unexplained=1)).passed is False

    def test_good(self) -> None:
        judged = verdict([record("t")], [row("t")])
        assert judged.passed
        assert judged.summary() == "good: 1 record in 1 table read"


class TestWords:
    def test_summary_names_record_and_transaction_in_one_line(self) -> None:
        line = verdict([record("t", key="id=7")]).summary()
        assert "unknown-to-coordinator 1" in line
        assert "a a.t[id=7], transaction t" in line
        assert "\n" not in line

    @pytest.mark.parametrize("records", [[record("t")], [ONE_PHASE], [record("t", committed_at=START + 900)], []])
    def test_there_and_back_through_json(self, records: list[Record]) -> None:
        judged = verdict(records, [row("t")], fences=fenced("a"))
        assert Verdict.from_dict(json.loads(json.dumps(judged.to_dict()))) == judged


class TestCaps:
    def test_counts_are_exact_and_examples_few(self) -> None:
        judged = verdict(record(f"t{n}", key=f"k{n}") for n in range(500))
        assert judged.counts == {Rule.UNKNOWN: 500}
        assert len(judged.findings) == MAX_EXAMPLES
        assert len(verdict([record(f"t{n}", key=f"k{n}") for n in range(9)], examples=4).findings) == 4

    def test_lookups_are_batched(self) -> None:
        coordinator = FakeCoordinator([row(f"t{n}") for n in range(300)])
        judge({"a": FakeStore((record(f"t{n}", key=f"k{n}") for n in range(300)), batch=100)}, [coordinator], TopologyFacts(), WINDOW)
        assert coordinator.lookups == [100, 100, 100]

    def test_write_sets_are_followed_up_to_a_limit_and_removals_never_forgotten(self) -> None:
        writes = WriteSets(TopologyFacts(), WINDOW, max_keys=1)
        for tx_id, key, deleted in (("t", "k", False), ("u", "l", False), ("v", "k", True)):
            writes.expect(CoordinatorRow(tx_id, COMMITTED, START, (), (WriteEntry("a", "a.t", key, tx_id, 1, deleted),)))
        assert writes.left_out == 1
        assert list(writes.absent(frozenset("a"))) == []

    @pytest.mark.parametrize("facts", [TopologyFacts(), TopologyFacts(one_phase_commit=True), TopologyFacts(purge=True)])
    def test_memory_does_not_grow_with_the_records(self, facts: TopologyFacts) -> None:
        few, many = _peak_memory(4_000, facts), _peak_memory(40_000, facts)
        assert many < few * 1.5 + 200_000


class _Endless(FakeStore):
    """Makes its records when asked: known ones in a plain topology, one-phase commits otherwise."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def tables(self) -> Sequence[str]:
        return ["a.t"]

    def records(self, table: str) -> Iterator[Sequence[Record]]:
        for at in range(0, self._count, 1_000):
            yield [Record("a", table, f"k{n}", f"t{n}", COMMITTED, 1, START - 9, START - 9) for n in range(at, at + 1_000)]


class _Knowing(FakeCoordinator):
    def lookup(self, tx_ids: Sequence[str]) -> dict[str, CoordinatorRow]:  # type: ignore[override]
        return {tx_id: row(tx_id) for tx_id in tx_ids}


def _peak_memory(count: int, facts: TopologyFacts) -> int:
    coordinator = _Knowing() if facts.rows_are_complete else FakeCoordinator()
    tracemalloc.start()
    try:
        judged = judge({"a": _Endless(count)}, [coordinator], facts, WINDOW, fenced("a"))
        assert (judged.outcome, judged.records_read) == (Outcome.GOOD, count)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
