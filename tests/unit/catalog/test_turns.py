"""Turns: never more windows than there is room for, and nobody is kept out for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest

from midtime.catalog import Catalog, Lease, leases, objects
from midtime.catalog.leases import BETWEEN_TASKS
from midtime.catalog.turns import Turns, turn
from tests.unit.catalog.lease_examples import Clock, before
from tests.unit.processes import race


@pytest.fixture
def turns(any_catalog: Catalog) -> Turns:
    return Turns(any_catalog.destination)


@pytest.fixture
def on_disk(destination: str) -> Turns:
    return Turns(destination)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(leases, "utc_now", made)
    monkeypatch.setattr("midtime.catalog.turns.utc_now", made)
    return made


def admitted(turns: Turns, names: Iterable[str], *, slots: int = 3, capacity: int = 7) -> str:
    return "".join(name for name in names if not turns.admit(name, f"run of {name}", slots=slots, capacity=capacity))


class TestRoom:
    @pytest.mark.fault(
        "More windows are due than the executor has slots for",
        "Windows wait for their turn before anything is paused, and hold no slot meanwhile.",
    )
    def test_as_many_as_there_is_room_for(self, turns: Turns) -> None:
        assert admitted(turns, "abcde") == "ab"
        assert turns.admit("c", "run of c", slots=3, capacity=7) == "6 of 7 slots are held by the windows of a, b, and 3 are needed"
        assert turns.admit("c", "run of c", slots=1, capacity=7) == ""

    def test_one_that_ends_makes_room(self, turns: Turns) -> None:
        admitted(turns, "ab")
        turns.release("a", "run of a")
        assert admitted(turns, "cd") == "c"

    def test_a_big_one_alone_is_let_in(self, turns: Turns) -> None:
        assert admitted(turns, "a", slots=100) == "a"
        assert admitted(turns, "b", slots=1) == ""

    def test_a_big_one_waits_for_the_others(self, turns: Turns) -> None:
        admitted(turns, "a", slots=1)
        assert admitted(turns, "b", slots=100) == ""
        turns.release("a", "run of a")
        assert admitted(turns, "b", slots=100) == "b"

    def test_who_has_a_turn_keeps_it(self, turns: Turns) -> None:
        admitted(turns, "ab")
        assert admitted(turns, "abc") == "ab"

    def test_another_run_of_the_same_topology_waits(self, turns: Turns) -> None:
        admitted(turns, "a")
        assert "run of a works on 'turn-a'" in turns.admit("a", "another run", slots=3, capacity=70)


class TestEnd:
    def test_twice(self, turns: Turns) -> None:
        admitted(turns, "a")
        turns.release("a", "run of a")
        turns.release("a", "run of a")
        turns.release("never", "there")
        assert turns.leases.names() == ["door"]

    def test_only_by_its_holder(self, turns: Turns) -> None:
        admitted(turns, "ab")
        turns.release("a", "another run")
        assert admitted(turns, "c") == ""

    @pytest.mark.fault("A run dies that had its turn", "Its turn runs out after 15 minutes, and the windows that wait go on.")
    def test_a_dead_run_s_turn_runs_out(self, turns: Turns, clock: Clock) -> None:
        admitted(turns, "ab")
        clock.pass_by(BETWEEN_TASKS - timedelta(seconds=1))
        assert admitted(turns, "c") == ""
        clock.pass_by(timedelta(seconds=1))
        assert admitted(turns, "cde") == "cd"

    def test_waiting_prolongs_it(self, turns: Turns, clock: Clock) -> None:
        admitted(turns, "ab")
        clock.pass_by(BETWEEN_TASKS - timedelta(seconds=1))
        admitted(turns, "a")
        clock.pass_by(timedelta(seconds=1))
        assert admitted(turns, "cd") == "c"

    def test_death_in_the_door(self, turns: Turns, clock: Clock) -> None:
        turns.leases.acquire("door", "dead", ttl=timedelta(seconds=30))
        assert turns.admit("a", "run of a", slots=1, capacity=7) == "another window is being admitted"
        clock.pass_by(timedelta(seconds=30))
        assert admitted(turns, "a") == "a"


class TestRivals:
    def test_two_at_the_door(self, turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
        """The other one is about to come in when we want to."""
        before(monkeypatch, "create", lambda: admitted(turns, "b", slots=5))
        assert admitted(turns, "a", slots=5) == ""
        assert [name for name in turns.leases.names() if name != "door"] == [turn("b")]

    def test_one_that_was_let_in_since_we_looked(self, turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was to be seen from outside the door does not count."""
        real = turns.leases.acquire

        def late(*arguments: Any, **words: Any) -> Lease:
            monkeypatch.setattr(turns.leases, "acquire", real)
            assert admitted(turns, "b", slots=5) == "b"
            return real(*arguments, **words)

        monkeypatch.setattr(turns.leases, "acquire", late)
        assert admitted(turns, "a", slots=5) == ""
        assert [name for name in turns.leases.names() if name != "door"] == [turn("b")]

    def test_one_that_stood_still_in_the_door(self, turns: Turns, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its turn was not to be seen when the next one counted."""
        real = objects.create

        def stand_still(path: Any, content: bytes) -> None:
            if turn("a") in str(path):
                monkeypatch.setattr(objects, "create", real)
                clock.pass_by(timedelta(seconds=31))
                assert admitted(turns, "b", slots=5) == "b"
            real(path, content)

        monkeypatch.setattr(objects, "create", stand_still)
        assert turns.admit("a", "run of a", slots=5, capacity=7) == "another window was admitted meanwhile"
        assert admitted(turns, "c", slots=2) == "c"

    def test_threads(self, on_disk: Turns) -> None:
        for each in range(10):
            here = Turns(f"{on_disk.leases.folder}/{each}")
            meet = Barrier(4)

            def contend(name: str, here: Turns = here, meet: Barrier = meet) -> str:
                meet.wait()
                return admitted(here, name)

            with ThreadPoolExecutor(4) as pool:
                came = "".join(pool.map(contend, "abcd"))
            assert len(came) <= 2
            assert len(came + admitted(here, "abcd".translate({ord(name): None for name in came}))) == 2

    def test_processes(self, on_disk: Turns, destination: str) -> None:
        def contend(number: int, meet: Callable[[], object]) -> str:
            meet()
            return admitted(Turns(destination), "abc"[number])

        for _ in range(3):
            came = "".join(race(3, contend))
            assert len(came) <= 2
            for name in came:
                on_disk.release(name, f"run of {name}")


def test_five_hundred_topologies_cost_no_more_than_those_that_have_a_turn(on_disk: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them had a turn before: what they left must not be read again by each that asks."""
    for number in range(500):
        name = f"topology-{number}"
        assert admitted(on_disk, [name]) == name
        on_disk.release(name, f"run of {name}")
    admitted(on_disk, "ab")
    reads: list[object] = []
    real = objects.read

    def count(path: Any) -> bytes:
        reads.append(path)
        return real(path)

    monkeypatch.setattr(objects, "read", count)
    assert admitted(on_disk, "c", capacity=9) == "c"
    assert len(reads) <= 15
