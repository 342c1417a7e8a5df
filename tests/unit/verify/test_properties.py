"""The rules against a model of ScalarDB: what one instant holds is good, what two instants hold is found as the facts' table says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from midtime.verify.facts import Bounds, TopologyFacts
from midtime.verify.judge import judge
from midtime.verify.records import CoordinatorRow, FenceObservation
from midtime.verify.verdict import Outcome, Rule, Verdict

from .fakes import COMMITTED, PREPARED, FakeCoordinator, FakeStore, fenced
from .scalardb_model import Cell, Place, Plan, Steps, World

SKEW = 5  # ms that clocks are off, at most
FACTS = TopologyFacts(clock_bound_ms=SKEW)
BLIND = TopologyFacts(clock_bound_ms=10**9)  # switches the stamp rules off
GROUPS = ("", "", "g" * 24, "h" * 24)

PLACES = [(store, key) for store in "ab" for key in ("k0", "k1", "k2")]
skews = st.integers(-SKEW, SKEW)


@dataclass
class History:
    """A world, and the clients that stand somewhere in it."""

    world: World
    clients: list[Steps]

    def step(self, index: int) -> None:
        """Let one client do one storage operation; the clock goes on by a millisecond."""
        self.world.now += 1
        if self.clients:
            client = self.clients[index % len(self.clients)]
            if next(client, self) is self:
                self.clients.remove(client)

    def drain(self) -> None:
        while self.clients:
            self.step(0)


@st.composite
def histories(draw: st.DrawFn, *, one_phase: bool = False, purge: bool = False, write_sets: bool = False) -> History:
    """A dozen transactions, three or so at a time, with recoveries and crashes; interleaved at will and stopped anywhere."""
    # A seed instead of a drawn schedule: hypothesis prefers short lists, in which hardly anything ever commits.
    dice = Random(draw(st.integers(0, 2**32)))
    world = World(stamps_from_row=dice.random() < 0.5, write_sets=write_sets, versions=dice.random() < 0.5)
    world.cells.update({place: Cell(None, None, None, None, None) for place in PLACES if dice.random() < 0.5})
    history = History(world, [])
    for n in range(dice.randint(0, 150)):
        if dice.random() < 0.25 and len(history.clients) < 4:
            history.clients.append(_client(world, n, dice, one_phase))
        if dice.random() < 0.02 and history.clients:
            history.clients.pop()  # a crash: it stands for ever where it is
        if purge and dice.random() < 0.2 and world.rows:
            world.finish(dice.choice(sorted(world.rows)))
        history.step(dice.randrange(99))
    return history


def _client(world: World, n: int, dice: Random, one_phase: bool) -> Steps:
    skew = dice.randint(-SKEW, SKEW)
    if dice.random() < 0.3:
        return world.recovery(dice.choice(PLACES), skew)
    writes = {place: dice.random() < 0.2 for place in dice.sample(PLACES, dice.randint(1, 4))}
    return world.transaction(Plan(f"t{n}", writes, skew, dice.choice(GROUPS), one_phase and dice.random() < 0.5))


def coordinator(rows: dict[str, CoordinatorRow]) -> FakeCoordinator:
    return FakeCoordinator(rows.values())


def at_one_instant(world: World, facts: TopologyFacts = FACTS, bounds: Bounds | None = None) -> Verdict:
    stores = {name: world.store(name) for name in "ab"}
    return judge(stores, [coordinator(world.rows)], facts, bounds or Bounds(world.now), fenced("a", "b"), examples=99)


def copy(rows: dict[str, CoordinatorRow]) -> dict[str, CoordinatorRow]:
    return dict(rows)


class TestOneInstant:
    @given(histories())
    def test_is_always_good(self, history: History) -> None:
        judged = at_one_instant(history.world)
        assert judged.outcome is Outcome.GOOD, judged.summary()
        assert judged.counts == {}

    @given(histories(one_phase=True))
    def test_is_good_with_one_phase_commit(self, history: History) -> None:
        judged = at_one_instant(history.world, replace(FACTS, one_phase_commit=True))
        assert judged.outcome is Outcome.GOOD, judged.summary()

    @given(histories(write_sets=True), st.sampled_from([0, 10, 40, 60_000]))
    def test_is_good_with_write_sets_however_far_one_looks_back(self, history: History, lookback: int) -> None:
        judged = at_one_instant(history.world, replace(FACTS, write_set_lookback_ms=lookback))
        assert judged.counts == {}, judged.summary()

    @given(histories(write_sets=True, one_phase=True))
    def test_write_sets_beside_one_phase_commit_are_never_torn(self, history: History) -> None:
        judged = at_one_instant(history.world, replace(FACTS, one_phase_commit=True))
        assert judged.outcome is not Outcome.TORN, judged.summary()

    @given(histories(one_phase=True))
    def test_undeclared_one_phase_commit_is_unexplained_at_worst(self, history: History) -> None:
        assert at_one_instant(history.world).outcome is not Outcome.TORN

    @given(histories(purge=True))
    def test_is_good_with_purge(self, history: History) -> None:
        judged = at_one_instant(history.world, replace(FACTS, purge=True))
        assert judged.outcome is Outcome.GOOD, judged.summary()

    @given(histories(), st.integers(0, 50))
    def test_background_writers_in_a_window_are_good(self, history: History, drained_for: int) -> None:
        """A drained pause leaves asynchronous commits and lazy recovery; both follow the Coordinator."""
        world = history.world
        history.drain()
        start = world.now
        history.clients = [world.recovery(place) for place in world.cells]
        for index in range(drained_for):
            history.step(index)
        judged = at_one_instant(world, bounds=Bounds(start, world.now + 1))
        assert judged.outcome is Outcome.GOOD, judged.summary()
        assert set(judged.counts) <= {Rule.LAZY_RECOVERY}

    @given(histories())
    def test_in_flight_records_end_as_lazy_recovery_ends_them(self, history: History) -> None:
        world = history.world
        judged = at_one_instant(world)
        forward = sum(cell.in_flight and cell.tx_id in world.committed for cell in world.cells.values())
        assert judged.in_flight == {"roll_forward": forward, "roll_back": sum(c.in_flight for c in world.cells.values()) - forward}


class TestTwoInstants:
    """A transaction over both stores runs between two captures; the Coordinator is in store ``a``."""

    @staticmethod
    def between(history: History, skew: int, pause: int = 0) -> None:
        history.world.now += 2 * SKEW + 1 + pause
        history.clients = [history.world.transaction(Plan("between", {("a", "x"): False, ("b", "x"): False}, skew))]
        history.drain()

    @given(histories(), skews)
    def test_coordinator_first_is_found_without_stamps(self, history: History, skew: int) -> None:
        world = history.world
        early, rows = world.store("a"), copy(world.rows)
        self.between(history, skew)
        judged = judge({"a": early, "b": world.store("b")}, [coordinator(rows)], BLIND, Bounds(world.now), fenced("a", "b"), examples=99)
        assert not judged.passed
        assert "between" in {finding.tx_id for finding in judged.findings}

    @given(histories(), skews)
    def test_coordinator_last_is_found_by_the_stamps_alone(self, history: History, skew: int) -> None:
        world = history.world
        start, early = world.now, world.store("b")
        self.between(history, skew)
        stores, known = {"a": world.store("a"), "b": early}, [coordinator(world.rows)]
        assert judge(stores, known, BLIND, Bounds(start, world.now), fenced("a", "b")).outcome is Outcome.GOOD, "the known blind spot"
        judged = judge(stores, known, FACTS, Bounds(start, world.now), fenced("a", "b"), examples=99)
        assert judged.outcome is Outcome.TORN
        assert {finding.tx_id for finding in judged.findings if finding.rule is Rule.STAMP} >= {"between"}

    @given(histories(write_sets=True), skews, st.integers(0, 100))
    def test_one_store_too_early_is_found_by_fence_and_write_set_alone(self, history: History, skew: int, pause: int) -> None:
        world = history.world
        early = world.store("b")
        self.between(history, skew, pause)
        world.now += SKEW
        stores, bounds = {"a": world.store("a"), "b": early}, Bounds(world.now, world.now + 10)
        without = {key: replace(row, write_set=None) for key, row in world.rows.items()}
        assert judge(stores, [coordinator(without)], FACTS, bounds, fenced("a", "b")).outcome is Outcome.GOOD, "the known blind spot"
        fences = [*fenced("a"), FenceObservation("b", before_present=False, after_present=False)]
        assert judge(stores, [coordinator(without)], FACTS, bounds, fences).counts == {Rule.FENCE: 1}
        judged = judge(stores, [coordinator(world.rows)], FACTS, bounds, fenced("a", "b"))
        assert Rule.WRITE_SET in judged.counts

    @given(histories(), skews)
    def test_one_store_too_late_is_found_twice(self, history: History, skew: int) -> None:
        world = history.world
        start, early, rows = world.now, world.store("a"), copy(world.rows)
        self.between(history, skew)
        stores = {"a": early, "b": world.store("b")}
        judged = judge(stores, [coordinator(rows)], FACTS, Bounds(start, start), fenced("a", "b"), examples=99)
        assert {finding.rule for finding in judged.findings if finding.tx_id == "between"} >= {Rule.STAMP}
        assert set(judged.counts) & {Rule.UNKNOWN, Rule.TWO_STORES}

    @given(histories(), st.lists(st.integers(0, 40), min_size=5, max_size=60))
    def test_whatever_committed_between_them_is_named(self, history: History, more: list[int]) -> None:
        """Not only whole transactions: also those of which the first capture saw the prepared half."""
        world = history.world
        early, rows, decided = world.store("a"), copy(world.rows), set(world.committed)
        for index in more:
            history.step(index)
        late = world.store("b")
        new = {r.tx_id for r in late.all if r.tx_state == COMMITTED and r.tx_id in world.committed - decided}
        assume(new)
        judged = judge({"a": early, "b": late}, [coordinator(rows)], BLIND, Bounds(world.now), fenced("a", "b"), examples=99)
        assert not judged.passed
        assert new <= {finding.tx_id for finding in judged.findings}


class TestMutations:
    """Change one thing in a good set: the rules name it."""

    @given(histories(), st.data())
    def test_removing_a_row_names_its_transaction(self, history: History, data: st.DataObject) -> None:
        world = history.world
        final = {c.tx_id for c in world.cells.values() if c.state == COMMITTED and c.tx_id in world.rows}
        assume(final)
        tx_id = data.draw(st.sampled_from(sorted(str(each) for each in final)))
        del world.rows[tx_id]
        judged = at_one_instant(world)
        assert not judged.passed
        assert tx_id in {finding.tx_id for finding in judged.findings}

    @given(histories(), st.data())
    def test_setting_a_record_back_to_prepared_without_row_names_the_other_half(self, history: History, data: st.DataObject) -> None:
        world = history.world
        halves = _places_by_transaction(world)
        assume(halves)
        tx_id = data.draw(st.sampled_from(sorted(halves)))
        place = data.draw(st.sampled_from(halves[tx_id]))
        world.cells[place] = replace(world.cells[place], state=PREPARED, committed=None)
        assert at_one_instant(world).outcome is Outcome.GOOD, "with its row it would only be rolled forward"
        del world.rows[tx_id]
        found = [finding for finding in at_one_instant(world).findings if finding.rule is Rule.HALF_COMMITTED]
        assert [finding.tx_id for finding in found] == [tx_id]

    @given(histories(), st.data())
    def test_a_stamp_moved_past_the_bound_names_the_record(self, history: History, data: st.DataObject) -> None:
        world = history.world
        stamped = sorted(place for place, cell in world.cells.items() if cell.prepared is not None)
        assume(stamped)
        place = data.draw(st.sampled_from(stamped))
        world.cells[place] = replace(world.cells[place], prepared=world.now + SKEW + 1)
        (finding,) = (each for each in at_one_instant(world).findings if each.rule is Rule.STAMP)
        assert (finding.store, finding.key) == place


@settings(max_examples=25)
@given(histories(), st.permutations("ab"))
def test_the_order_of_stores_does_not_matter(history: History, order: list[str]) -> None:
    world = history.world
    rows = dict(list(world.rows.items())[::2])  # half a Coordinator: plenty to find
    stores = {name: world.store(name) for name in order}
    judged = judge(stores, [coordinator(rows)], FACTS, Bounds(world.now), fenced("a", "b"))
    assert judged.counts == judge(dict(sorted(stores.items())), [coordinator(rows)], FACTS, Bounds(world.now), fenced("a", "b")).counts


@pytest.mark.parametrize("empty", [{}, {"a": FakeStore(), "b": FakeStore()}])
def test_an_empty_set_proves_nothing_and_says_so(empty: dict[str, FakeStore]) -> None:
    judged = judge(empty, [FakeCoordinator()], FACTS, Bounds(0), ())
    assert (judged.outcome, judged.records_read) == (Outcome.GOOD, 0)
    assert judged.notes == ("no transactional record was read: nothing is proven about transactions",)


def _places_by_transaction(world: World) -> dict[str, list[Place]]:
    """Committed transactions with a row of their own and at least two final records."""
    places_of: dict[str, list[Place]] = {}
    for place, cell in sorted(world.cells.items()):
        if cell.state == COMMITTED and cell.tx_id in world.rows:
            places_of.setdefault(str(cell.tx_id), []).append(place)
    return {tx_id: both for tx_id, both in places_of.items() if len(both) > 1}
