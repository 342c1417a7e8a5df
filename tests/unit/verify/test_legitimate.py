"""The ten cases that look like a tear and are none (facts: "COMMITTED, but unknown to the Coordinator" is legitimate)."""

from __future__ import annotations

import pytest

from midtime.verify.facts import TopologyFacts
from midtime.verify.judge import judge
from midtime.verify.verdict import Outcome, Rule

from .fakes import ABORTED, COMMITTED, PREPARED, START, WINDOW, FakeCoordinator, FakeStore, fenced, record, row, rules_of, verdict

PARENT = "0123456789abcdef01234567"
FULL = f"{PARENT}$child-1"


class TestCase1ImportedRecord:
    @pytest.mark.parametrize("state", [None, COMMITTED])
    def test_tx_id_null_is_good(self, state: int | None) -> None:
        judged = verdict([record(None, state, tx_version=None, prepared_at=None, committed_at=None)])
        assert judged.outcome is Outcome.GOOD
        assert judged.explained == {"imported": 1}

    def test_tx_id_null_but_prepared_is_odd(self) -> None:
        assert rules_of(verdict([record(None, PREPARED)])) == {Rule.ODD_STATE: 1}


class TestCase2GroupCommit:
    @pytest.mark.parametrize("full", [FULL, FULL.replace("$", ":")], ids=["later", "3.13"])
    def test_child_of_the_parent_row_is_known(self, full: str) -> None:
        assert verdict([record(full)], [row(PARENT, COMMITTED, START - 4_990, ("child-0", "child-1"))]).outcome is Outcome.GOOD

    def test_late_child_has_a_row_of_its_own(self) -> None:
        rows = [row(PARENT, COMMITTED, START - 4_990, ("child-0",)), row(FULL)]
        assert verdict([record(FULL)], rows).outcome is Outcome.GOOD

    def test_child_that_the_parent_does_not_name_is_unknown(self) -> None:
        judged = verdict([record(FULL)], [row(PARENT, COMMITTED, START - 4_990, ("child-0", "child-11"))])
        assert rules_of(judged) == {Rule.UNKNOWN: 1}
        assert judged.findings[0].tx_id == FULL

    def test_aborted_parent_without_children_says_nothing(self) -> None:
        aborted = row(PARENT, ABORTED)
        assert verdict([record(FULL)], [aborted]).outcome is Outcome.TORN
        assert verdict([record(FULL)], [aborted, row(FULL)]).outcome is Outcome.GOOD

    def test_in_flight_child_is_rolled_forward_by_the_parent_row(self) -> None:
        judged = verdict([record(FULL, PREPARED)], [row(PARENT, COMMITTED, START - 4_990, ("child-1",))])
        assert judged.in_flight == {"roll_forward": 1, "roll_back": 0}

    @pytest.mark.parametrize("tx_id", ["0123456789abcdef0123456$child", "0123456789abcdef012345678$child", "short$child", PARENT])
    def test_other_ids_are_read_whole(self, tx_id: str) -> None:
        parents = [row(parent, COMMITTED, START, ("child",)) for parent in (tx_id[:23], tx_id[:24], tx_id[:25], "short") if parent != tx_id]
        assert verdict([record(tx_id)], parents).outcome is Outcome.TORN
        assert verdict([record(tx_id)], [row(tx_id)]).outcome is Outcome.GOOD


class TestCase3OnePhaseCommit:
    ONE_PHASE = record("t", prepared_at=START - 5_000, committed_at=START - 5_000)

    def test_declared_and_shaped_like_it_is_good(self) -> None:
        judged = verdict([self.ONE_PHASE], facts=TopologyFacts(one_phase_commit=True))
        assert (judged.outcome, judged.explained) == (Outcome.GOOD, {"one-phase-commit": 1})

    def test_shaped_like_it_but_not_declared_is_unexplained(self) -> None:
        judged = verdict([self.ONE_PHASE])
        assert judged.outcome is Outcome.UNEXPLAINED
        assert "does not declare" in judged.findings[0].message

    def test_declared_but_not_shaped_like_it_is_unexplained(self) -> None:
        assert verdict([record("t")], facts=TopologyFacts(one_phase_commit=True)).outcome is Outcome.UNEXPLAINED

    def test_in_two_stores_is_torn(self) -> None:
        both = [self.ONE_PHASE, record("t", store="b", prepared_at=START - 5_000, committed_at=START - 5_000)]
        assert rules_of(verdict(both, facts=TopologyFacts(one_phase_commit=True))) == {Rule.TWO_STORES: 1}

    def test_missing_stamps_are_not_its_shape(self) -> None:
        bare = record("t", prepared_at=None, committed_at=None)
        assert verdict([bare], facts=TopologyFacts(one_phase_commit=True)).outcome is Outcome.UNEXPLAINED


class TestCase4RowWasRemoved:
    PURGE = TopologyFacts(purge=True)

    def test_finished_before_the_window_is_good_even_in_two_stores(self) -> None:
        judged = verdict([record("t"), record("t", store="b")], facts=self.PURGE)
        assert (judged.outcome, judged.explained) == (Outcome.GOOD, {"row-purged": 2})

    def test_siblings_of_a_removed_group_row_are_good(self) -> None:
        assert verdict([record(FULL), record(f"{PARENT}$child-2", key="l")], facts=self.PURGE).outcome is Outcome.GOOD

    def test_made_final_inside_the_window_is_not_covered(self) -> None:
        late = record("t", committed_at=START + 600)
        assert verdict([late], facts=self.PURGE).outcome is Outcome.UNEXPLAINED

    def test_in_flight_without_row_carries_a_note(self) -> None:
        judged = verdict([record("t", PREPARED)], facts=self.PURGE)
        assert (judged.outcome, rules_of(judged)) == (Outcome.GOOD, {Rule.PURGE_IN_FLIGHT: 1})


class TestCase5RowSaysAborted:
    def test_all_records_committed_is_good(self) -> None:
        judged = verdict([record("t"), record("t", store="b")], [row("t", ABORTED)])
        assert (judged.outcome, judged.explained) == (Outcome.GOOD, {"row-aborted-later": 2})

    def test_one_record_still_in_flight_is_torn(self) -> None:
        judged = verdict([record("t"), record("t", PREPARED, store="b")], [row("t", ABORTED)])
        assert rules_of(judged) == {Rule.HALF_COMMITTED: 1}
        assert "ABORTED" in judged.findings[0].message


class TestCase6AnotherCoordinator:
    def test_a_row_in_any_coordinator_is_enough(self) -> None:
        stores = {"a": FakeStore([record("t"), record("u", key="l")]), "b": FakeStore()}
        coordinators = [FakeCoordinator([row("t")]), FakeCoordinator([row("u")], name="b/second")]
        assert judge(stores, coordinators, TopologyFacts(), WINDOW, fenced("a", "b")).outcome is Outcome.GOOD

    def test_committed_in_one_outweighs_aborted_in_another(self) -> None:
        coordinators = [FakeCoordinator([row("t")]), FakeCoordinator([row("t", ABORTED)], name="b/second")]
        for order in (coordinators, coordinators[::-1]):
            judged = judge({"a": FakeStore([record("t", PREPARED)])}, order, TopologyFacts(), WINDOW, fenced("a"))
            assert judged.in_flight["roll_forward"] == 1


class TestCase7CoordinatorRecreated:
    RECREATED = TopologyFacts(coordinator_recreated=True)

    def test_older_than_the_oldest_row_is_good(self) -> None:
        judged = verdict([record("t"), record("t", store="b")], [row("u", at=START - 1_000)], self.RECREATED)
        assert (judged.outcome, judged.explained) == (Outcome.GOOD, {"older-than-coordinator": 2})

    def test_younger_than_the_oldest_row_is_unexplained(self) -> None:
        assert verdict([record("t")], [row("u", at=START - 9_000)], self.RECREATED).outcome is Outcome.UNEXPLAINED

    def test_an_empty_coordinator_explains_nothing(self) -> None:
        assert verdict([record("t")], [], self.RECREATED).outcome is Outcome.UNEXPLAINED

    def test_undeclared_it_is_torn(self) -> None:
        assert verdict([record("t")], [row("u", at=START - 1_000)]).outcome is Outcome.TORN


class TestCase8CopiedInWithTheirColumns:
    FACTS = TopologyFacts(copied_in=frozenset({"b.t"}))

    def test_declared_table_is_good(self) -> None:
        judged = verdict([record("t", store="b"), record("u", key="l")], [row("u")], self.FACTS)
        assert (judged.outcome, judged.explained) == (Outcome.GOOD, {"copied-in": 1})

    def test_other_tables_are_not_covered(self) -> None:
        assert verdict([record("t")], facts=self.FACTS).outcome is Outcome.TORN

    def test_what_was_written_later_is_not_covered(self) -> None:
        assert verdict([record("t", store="b", committed_at=START + 600)], facts=self.FACTS).outcome is Outcome.TORN


class TestCase9NotConsensusCommit:
    def test_tables_without_columns_are_listed_and_not_read(self) -> None:
        stores = {"auditor": FakeStore(non_transactional=["scalar.asset", "scalar.asset_lock"])}
        judged = judge(stores, [], TopologyFacts(), WINDOW, fenced("auditor"))
        assert judged.outcome is Outcome.GOOD
        assert judged.non_transactional == ("auditor: scalar.asset", "auditor: scalar.asset_lock")
        assert any("nothing is proven about transactions" in note for note in judged.notes)

    def test_then_a_missing_coordinator_is_no_tear(self) -> None:
        judged = judge({"a": FakeStore()}, [FakeCoordinator(exists=False)], TopologyFacts(), WINDOW, fenced("a"))
        assert judged.outcome is Outcome.GOOD


class TestCase10ReadOnly:
    def test_a_row_without_records_is_good(self) -> None:
        assert verdict([record("t")], [row("t"), row("read-only"), row("aborted", ABORTED)]).outcome is Outcome.GOOD
