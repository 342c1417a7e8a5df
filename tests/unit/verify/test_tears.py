"""Every kind of tear is found, named, and weighed: torn, unexplained or a note."""

from __future__ import annotations

from dataclasses import replace

import pytest

from midtime.verify.facts import Bounds, TopologyFacts
from midtime.verify.judge import judge
from midtime.verify.records import CoordinatorRow, FenceObservation, Record, WriteEntry
from midtime.verify.verdict import Outcome, Rule, Severity

from .fakes import ABORTED, COMMITTED, DELETED, PREPARED, START, WINDOW, FakeCoordinator, FakeStore, fenced, record, row, rules_of, verdict

BOUND = TopologyFacts().clock_bound_ms
SNAPSHOT = Bounds(START)


class TestHalfCommitted:
    @pytest.mark.parametrize("state", [PREPARED, DELETED])
    def test_committed_here_and_in_flight_there_is_torn_and_named(self, state: int) -> None:
        judged = verdict([record("t", key="id=7"), record("t", state, store="b", key="id=9")])
        (finding,) = judged.findings
        assert (judged.outcome, finding.rule) == (Outcome.TORN, Rule.HALF_COMMITTED)
        assert (finding.store, finding.table, finding.key, finding.tx_id) == ("a", "a.t", "id=7", "t")
        assert "b b.t[id=9]" in finding.message

    def test_a_committed_row_makes_it_good(self) -> None:
        assert verdict([record("t"), record("t", PREPARED, store="b")], [row("t")]).outcome is Outcome.GOOD

    @pytest.mark.parametrize("name", ["one_phase_commit", "purge", "coordinator_recreated"])
    def test_no_declaration_excuses_it(self, name: str) -> None:
        judged = verdict([record("t"), record("t", PREPARED, store="b")], facts=TopologyFacts(**{name: True}))  # type: ignore[arg-type]
        assert rules_of(judged) == {Rule.HALF_COMMITTED: 1}

    def test_within_one_store_too(self) -> None:
        assert verdict([record("t"), record("t", PREPARED, key="l")]).outcome is Outcome.TORN


class TestInFlight:
    def test_is_decided_as_lazy_recovery_would(self) -> None:
        records = [record("c", PREPARED), record("a", DELETED, key="l"), record("n", PREPARED, store="b")]
        judged = verdict(records, [row("c"), row("a", ABORTED)])
        assert judged.outcome is Outcome.GOOD
        assert judged.in_flight == {"roll_forward": 1, "roll_back": 2}


class TestUnknown:
    def test_in_two_stores_is_torn(self) -> None:
        assert rules_of(verdict([record("t"), record("t", store="b")])) == {Rule.TWO_STORES: 1}

    def test_in_one_store_is_torn_when_nothing_is_declared(self) -> None:
        judged = verdict([record("t"), record("t", key="l")])
        assert rules_of(judged) == {Rule.UNKNOWN: 1}
        assert "2 record(s)" in judged.findings[0].message

    def test_a_missing_coordinator_is_torn(self) -> None:
        judged = judge({"a": FakeStore([record("t", PREPARED)])}, [FakeCoordinator(exists=False)], TopologyFacts(), WINDOW, fenced("a"))
        assert rules_of(judged) == {Rule.NO_COORDINATOR: 1}

    @pytest.mark.parametrize("second", [row("t", ABORTED), row("t" * 24 + ":c", ABORTED)])
    def test_coordinators_that_contradict_each_other_are_torn(self, second: CoordinatorRow) -> None:
        """Two-phase commit with a Coordinator each: lazy recovery of one server rolls back what the other has committed."""
        first = FakeCoordinator([row(second.tx_id)])
        for order in ([first, FakeCoordinator([second], name="b/second")], [FakeCoordinator([second], name="b/second"), first]):
            judged = judge({"a": FakeStore([record(second.tx_id)])}, order, TopologyFacts(), WINDOW, fenced("a"))
            assert (judged.outcome, rules_of(judged)) == (Outcome.TORN, {Rule.CONTRADICTION: 1})
            assert "COMMITTED in a/coordinator, ABORTED in b/second" in judged.findings[0].message

    def test_an_aborted_group_says_nothing_of_what_another_coordinator_committed(self) -> None:
        tx_id = "t" * 24 + ":c"
        coordinators = [FakeCoordinator([row(tx_id)]), FakeCoordinator([row("t" * 24, ABORTED)], name="b/second")]
        assert judge({"a": FakeStore([record(tx_id)])}, coordinators, TopologyFacts(), WINDOW, fenced("a")).outcome is Outcome.GOOD

    @pytest.mark.parametrize("state", [0, 4, 9, None])
    def test_a_state_that_scalardb_never_writes_is_unexplained(self, state: int | None) -> None:
        judged = verdict([record("t", state)], [row("t")])
        assert (judged.outcome, rules_of(judged)) == (Outcome.UNEXPLAINED, {Rule.ODD_STATE: 1})


class TestStamps:
    def test_prepared_after_the_start_is_torn(self) -> None:
        late = record("t", prepared_at=START + BOUND + 1, committed_at=START + BOUND + 2)
        assert rules_of(verdict([late], [row("t")])) == {Rule.STAMP: 1}

    @pytest.mark.parametrize("bounds", [WINDOW, SNAPSHOT])
    def test_within_the_clock_bound_is_good(self, bounds: Bounds) -> None:
        edge = record("t", prepared_at=START + BOUND, committed_at=START + BOUND)
        judged = verdict([edge], [row("t", at=START + BOUND)], bounds=bounds)
        assert (judged.outcome, judged.counts, judged.clock_bound_ms) == (Outcome.GOOD, {}, BOUND)

    def test_rolled_back_records_count_as_well(self) -> None:
        assert rules_of(verdict([record("t", PREPARED, prepared_at=START + BOUND + 1)])) == {Rule.STAMP: 1}

    def test_row_committed_after_the_start_is_torn(self) -> None:
        judged = verdict([record("u")], [row("u"), row("t", at=START + BOUND + 1)])
        assert rules_of(judged) == {Rule.STAMP: 1}
        assert (judged.findings[0].store, judged.findings[0].tx_id) == ("a/coordinator", "t")

    def test_lazy_recovery_inside_the_window_is_a_note(self) -> None:
        recovered = record("t", committed_at=START + 3_000)
        judged = verdict([recovered], [row("t"), row("u", ABORTED, at=START + 3_000)])
        assert (judged.outcome, rules_of(judged)) == (Outcome.GOOD, {Rule.LAZY_RECOVERY: 2})
        assert all(finding.severity is Severity.NOTE for finding in judged.findings)

    def test_made_final_after_the_end_is_unexplained(self) -> None:
        late = WINDOW.last_ms + BOUND + 1
        judged = verdict([record("t", committed_at=late)], [row("t"), row("u", ABORTED, at=late)], bounds=WINDOW)
        assert (judged.outcome, rules_of(judged)) == (Outcome.UNEXPLAINED, {Rule.STAMP_AFTER_END: 2})

    def test_a_product_whose_clock_runs_ahead_tears_no_single_snapshot(self) -> None:
        """It is told, so that the clock or the bound is mended; the backup is good."""
        late = SNAPSHOT.start_ms + BOUND + 1
        records = [record("t", prepared_at=late, committed_at=late), record("u", committed_at=late)]
        judged = verdict(records, [row("t", at=late), row("u"), row("v", ABORTED, at=late)], bounds=SNAPSHOT)
        assert judged.outcome is Outcome.GOOD
        assert rules_of(judged) == {Rule.STAMP: 2, Rule.STAMP_AFTER_END: 2}
        assert all(finding.severity is Severity.NOTE for finding in judged.findings)

    def test_a_window_cannot_end_before_it_starts(self) -> None:
        with pytest.raises(ValueError, match="before it starts"):
            Bounds(2, 1)


class TestFences:
    def test_before_missing_is_too_early(self) -> None:
        judged = verdict([record("t")], [row("t")], fences=[*fenced("a"), FenceObservation("b", False, False)])
        assert (judged.outcome, judged.findings[0].store) == (Outcome.TORN, "b")
        assert "too early" in judged.findings[0].message

    def test_after_present_is_too_late(self) -> None:
        judged = verdict([record("t")], [row("t")], fences=[*fenced("a"), FenceObservation("b", True, True)])
        assert rules_of(judged) == {Rule.FENCE: 1}
        assert "too late" in judged.findings[0].message

    def test_without_fences_the_verdict_says_what_is_not_proven(self) -> None:
        judged = verdict([record("t")], [row("t")], TopologyFacts(fence=False), fences=())
        assert judged.notes == ("not proven against a restore that lands too early",)

    def test_a_store_without_fence_is_named(self) -> None:
        judged = verdict([record("t")], [row("t")], fences=fenced("a"))
        assert judged.notes == ("not proven against a restore that lands too early: no fence was looked for in b",)

    def test_a_single_snapshot_needs_none(self) -> None:
        assert verdict([record("t")], [row("t")], TopologyFacts(fence=False), SNAPSHOT, fences=()).notes == ()


class TestWriteSets:
    def wrote(self, tx_id: str = "t", version: int | None = 5, *, deleted: bool = False, store: str = "b") -> WriteEntry:
        return WriteEntry(store, f"{store}.t", "k", tx_id, version, deleted)

    def judged(
        self, held: Record | None, *entries: WriteEntry, facts: TopologyFacts | None = None, at: int = START - 1_000
    ) -> dict[str, int]:
        rows = [row("w" + str(n), COMMITTED, at, (), entry) for n, entry in enumerate(entries)]
        known = [row("t"), row("u"), row("old")]
        return rules_of(verdict([held] if held else [], [*rows, *known], facts))

    @pytest.mark.parametrize(
        "held",
        [
            record("t", store="b", tx_version=5),
            record("u", store="b", tx_version=6),
            record("t", PREPARED, store="b", tx_version=5),
            record("new", PREPARED, store="b", tx_version=6),
        ],
    )
    def test_that_transaction_or_a_higher_version_is_good(self, held: Record) -> None:
        assert self.judged(held, self.wrote()) == {}

    @pytest.mark.parametrize(
        "held", [record("old", store="b", tx_version=4), record("old", store="b", tx_version=5), record(None, store="b")]
    )
    def test_an_older_record_is_torn(self, held: Record) -> None:
        assert self.judged(held, self.wrote()) == {Rule.WRITE_SET: 1}

    def test_a_missing_record_is_torn_and_named(self) -> None:
        judged = verdict([record("t")], [row("t", COMMITTED, START - 1_000, (), self.wrote())])
        assert (judged.findings[0].store, judged.findings[0].key, judged.findings[0].tx_id) == ("b", "k", "t")

    @pytest.mark.parametrize("facts", [TopologyFacts(purge=True), TopologyFacts(one_phase_commit=True)])
    def test_where_a_removal_may_leave_no_row_it_is_unexplained(self, facts: TopologyFacts) -> None:
        assert verdict([record("t")], [row("t", COMMITTED, START - 1_000, (), self.wrote())], facts).outcome is Outcome.UNEXPLAINED

    def test_the_newest_write_counts(self) -> None:
        assert self.judged(record("u", store="b", tx_version=6), self.wrote(), self.wrote("u", 6)) == {}
        assert self.judged(record("t", store="b", tx_version=5), self.wrote(), self.wrote("u", 6)) == {Rule.WRITE_SET: 1}

    def test_removed_afterwards_is_good(self) -> None:
        assert self.judged(None, self.wrote(), self.wrote("u", 6, deleted=True)) == {}

    def test_removed_but_still_there_is_torn(self) -> None:
        left = record("old", store="b", tx_version=4)
        assert self.judged(left, self.wrote(deleted=True)) == {Rule.WRITE_SET: 1}

    def test_removed_and_inserted_anew_is_good(self) -> None:
        anew = record("u", store="b", tx_version=1, prepared_at=START - 900, committed_at=START - 890)
        assert self.judged(anew, self.wrote(deleted=True)) == {}

    def test_removal_in_flight_is_good(self) -> None:
        assert self.judged(record("t", DELETED, store="b", tx_version=5), self.wrote(deleted=True)) == {}

    def test_old_commits_are_not_followed(self) -> None:
        assert self.judged(record("old", store="b", tx_version=4), self.wrote(), at=START - 61_000) == {}

    def test_stores_that_were_not_restored_are_not_missed(self) -> None:
        assert self.judged(record("t"), self.wrote(store="elsewhere")) == {}

    @pytest.mark.parametrize(("prepared_at", "found"), [(START - 900, {}), (START - 1_900, {}), (START - 2_100, {Rule.WRITE_SET: 1})])
    def test_without_a_version_a_later_preparation_counts(self, prepared_at: int, found: dict[str, int]) -> None:
        held = record("u", store="b", prepared_at=prepared_at, committed_at=START - 800)
        assert self.judged(held, self.wrote(version=None)) == found
        assert self.judged(record(None, store="b", prepared_at=None), self.wrote(version=None)) == {Rule.WRITE_SET: 1}

    def test_a_product_that_logs_none_may_have_removed_it(self) -> None:
        silent = replace(row("u"), write_set=None)
        judged = verdict([record("t")], [row("t", COMMITTED, START - 1_000, (), self.wrote()), silent])
        assert (judged.outcome, rules_of(judged)) == (Outcome.UNEXPLAINED, {Rule.WRITE_SET: 1})
