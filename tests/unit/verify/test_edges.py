"""Where each rule begins and ends to the millisecond, and how grave each of them is."""

from __future__ import annotations

import pytest

from midtime.verify import rules
from midtime.verify.facts import Bounds, TopologyFacts
from midtime.verify.judge import judge
from midtime.verify.records import FenceObservation, WriteEntry
from midtime.verify.verdict import Outcome, Rule, Severity, Verdict
from midtime.verify.writesets import WriteSets

from .fakes import ABORTED, COMMITTED, PREPARED, START, WINDOW, FakeCoordinator, FakeStore, fenced, record, row, rules_of, verdict

FACTS = TopologyFacts()
BOUND = FACTS.clock_bound_ms
END = WINDOW.last_ms


def _missing_coordinator() -> Verdict:
    return judge({"a": FakeStore([record("t")])}, [FakeCoordinator(exists=False)], TopologyFacts(purge=True), WINDOW, fenced("a"))


def _write_set(*, deleted: bool = False, **facts: bool) -> Verdict:
    entry = WriteEntry("a", "a.t", "gone", "t", 2, deleted)
    return verdict([record("t")], [row("t", COMMITTED, START - 10, (), entry)], TopologyFacts(**facts))  # type: ignore[arg-type]


def _contradiction() -> Verdict:
    coordinators = [FakeCoordinator([row("t")]), FakeCoordinator([row("t", ABORTED)], name="b/second")]
    return judge({"a": FakeStore([record("t")])}, coordinators, TopologyFacts(), WINDOW, fenced("a"))


GRAVITY = [
    (Rule.STAMP, Outcome.TORN, lambda: verdict([record("t", prepared_at=START + BOUND + 1)], [row("t")])),
    (Rule.STAMP, Outcome.TORN, lambda: verdict([], [row("t", at=START + BOUND + 1)])),
    (Rule.FENCE, Outcome.TORN, lambda: verdict([], fences=[FenceObservation("a", False, False), *fenced("b")])),
    (Rule.FENCE, Outcome.TORN, lambda: verdict([], fences=[FenceObservation("a", True, True), *fenced("b")])),
    (Rule.NO_COORDINATOR, Outcome.TORN, _missing_coordinator),
    (Rule.CONTRADICTION, Outcome.TORN, _contradiction),
    (Rule.WRITE_SET, Outcome.TORN, _write_set),
    (Rule.WRITE_SET, Outcome.UNEXPLAINED, lambda: _write_set(purge=True)),
    (Rule.UNKNOWN, Outcome.TORN, lambda: verdict([record("t")])),
    (Rule.UNKNOWN, Outcome.UNEXPLAINED, lambda: verdict([record("t", committed_at=END)], facts=TopologyFacts(purge=True))),
    (Rule.TWO_STORES, Outcome.TORN, lambda: verdict([record("t"), record("t", store="b")])),
    (Rule.HALF_COMMITTED, Outcome.TORN, lambda: verdict([record("t"), record("t", PREPARED, store="b")])),
    (Rule.ODD_STATE, Outcome.UNEXPLAINED, lambda: verdict([record(None, 9)])),
    (Rule.STAMP_AFTER_END, Outcome.UNEXPLAINED, lambda: verdict([record("t", committed_at=END + BOUND + 1)], [row("t")])),
    (Rule.LAZY_RECOVERY, Outcome.GOOD, lambda: verdict([record("t", committed_at=END)], [row("t")])),
    (Rule.PURGE_IN_FLIGHT, Outcome.GOOD, lambda: verdict([record("t", PREPARED)], facts=TopologyFacts(purge=True))),
]


@pytest.mark.parametrize(("rule", "outcome", "judged"), [pytest.param(*each, id=f"{each[0]}-{each[1]}") for each in GRAVITY])
def test_gravity(rule: Rule, outcome: Outcome, judged: object) -> None:
    found: Verdict = judged()  # type: ignore[operator]
    severity = Severity.NOTE if outcome is Outcome.GOOD else Severity(outcome.value)
    assert rule in {finding.rule for finding in found.findings if finding.severity is severity}
    assert found.outcome is outcome


def test_every_rule_has_its_gravity_tested() -> None:
    assert {rule for rule, _, _ in GRAVITY} == set(Rule)


class TestStampEdges:
    @pytest.mark.parametrize(
        ("prepared", "committed", "rule"),
        [
            (START + BOUND, START + BOUND, None),
            (START + BOUND + 1, None, Rule.STAMP),
            (None, START + BOUND, None),
            (None, START + BOUND + 1, Rule.LAZY_RECOVERY),
            (None, END + BOUND, Rule.LAZY_RECOVERY),
            (None, END + BOUND + 1, Rule.STAMP_AFTER_END),
            (None, None, None),
        ],
    )
    def test_of_records(self, prepared: int | None, committed: int | None, rule: Rule | None) -> None:
        found = rules.stamps(record("t", prepared_at=prepared, committed_at=committed), FACTS, WINDOW)
        assert (found and found.rule) == rule

    @pytest.mark.parametrize(
        ("at", "rule"),
        [(START + BOUND, None), (START + BOUND + 1, "lazy-recovery"), (END + BOUND, "lazy-recovery"), (END + BOUND + 1, "stamp-after-end")],
    )
    def test_of_aborted_rows(self, at: int, rule: str | None) -> None:
        found = rules.row_stamp("a/coordinator", row("t", ABORTED, at), FACTS, WINDOW)
        assert (found and found.rule) == rule


class TestDeclarationEdges:
    @pytest.mark.parametrize(("committed", "good"), [(START + BOUND, True), (START + BOUND + 1, False)])
    def test_purge_covers_what_was_final_at_the_start(self, committed: int, good: bool) -> None:
        judged = verdict([record("t", committed_at=committed)], facts=TopologyFacts(purge=True))
        assert (judged.outcome is Outcome.GOOD) is good

    @pytest.mark.parametrize(("ahead", "good"), [(2 * BOUND - 1, True), (2 * BOUND, False)])
    def test_older_than_the_coordinator_give_or_take_two_clocks(self, ahead: int, good: bool) -> None:
        facts = TopologyFacts(coordinator_recreated=True)
        judged = verdict([record("t", committed_at=START - 4_000 + ahead)], [row("u", at=START - 4_000)], facts)
        assert (judged.outcome is Outcome.GOOD) is good

    @pytest.mark.parametrize(("committed", "good"), [(START + BOUND, True), (START + BOUND + 1, False)])
    def test_copied_in_before_the_start(self, committed: int, good: bool) -> None:
        judged = verdict([record("t", committed_at=committed)], facts=TopologyFacts(copied_in=frozenset({"a.t"})))
        assert (judged.outcome is Outcome.GOOD) is good

    def test_an_aborted_row_needs_no_note_about_purge(self) -> None:
        assert verdict([record("t", PREPARED)], [row("t", ABORTED)], TopologyFacts(purge=True)).counts == {}

    def test_the_hint_comes_only_where_it_helps(self) -> None:
        one_phase = record("t", prepared_at=START - 9, committed_at=START - 9)
        assert "shaped like" in verdict([one_phase]).findings[0].message
        assert "shaped like" not in verdict([record("t")], facts=TopologyFacts(one_phase_commit=True)).findings[0].message
        both = [one_phase, record("t", key="l")]
        assert "shaped like" not in verdict(both, facts=TopologyFacts(purge=True, clock_bound_ms=-(10**6))).findings[-1].message

    def test_an_odd_record_is_not_held_against_its_transaction(self) -> None:
        assert rules_of(verdict([record("t", 9), record("t", key="l")])) == {Rule.UNKNOWN: 1, Rule.ODD_STATE: 1}


class TestWriteSetEdges:
    SINCE = START - FACTS.write_set_lookback_ms

    def followed(self, *entries: tuple[WriteEntry, int]) -> WriteSets:
        writes = WriteSets(FACTS, Bounds(START))
        for entry, at in entries:
            writes.expect(row(entry.tx_id, COMMITTED, at, (), entry))
        return writes

    def entry(self, tx_id: str = "t", version: int | None = 2, *, deleted: bool = False) -> WriteEntry:
        return WriteEntry("a", "a.t", "k", tx_id, version, deleted)

    @pytest.mark.parametrize(("at", "found"), [(SINCE, 0), (SINCE + 1, 1)])
    def test_recent_begins_with_the_lookback(self, at: int, found: int) -> None:
        assert len(list(self.followed((self.entry(), at)).absent(frozenset("a")))) == found

    @pytest.mark.parametrize(("prepared", "stale"), [(START - 5_000 - 2 * BOUND, False), (START - 5_001 - 2 * BOUND, True)])
    def test_without_versions_two_clocks_are_allowed(self, prepared: int, stale: bool) -> None:
        held = record("u", prepared_at=prepared, tx_version=1)
        assert (self.followed((self.entry(version=None), START - 5_000)).see(held) is not None) is stale
        assert (self.followed((self.entry(deleted=True), START - 5_000)).see(held) is not None) is stale

    @pytest.mark.parametrize(("version", "stale"), [(1, True), (2, False), (None, True)])
    def test_what_a_removal_left_behind_has_a_lower_version(self, version: int | None, stale: bool) -> None:
        held = record("u", prepared_at=START - 9_000, tx_version=version)
        assert (self.followed((self.entry(deleted=True), START - 5_000)).see(held) is not None) is stale

    def test_the_last_removal_counts(self) -> None:
        removals = [(self.entry("t", 2, deleted=True), START - 9_000), (self.entry("v", 2, deleted=True), START - 1_000)]
        held = record("u", prepared_at=START - 5_000, tx_version=1)
        for order in (removals, removals[::-1]):
            found = self.followed(*order).see(held)
            assert found is not None
            assert found.tx_id == "v"

    def test_aborted_rows_promise_nothing(self) -> None:
        writes = WriteSets(FACTS, Bounds(START))
        writes.expect(row("t", ABORTED, START, (), self.entry()))
        assert list(writes.absent(frozenset("a"))) == []
