"""Leases under rivals: exactly one holder, in any order, at any moment."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from midtime.catalog import Catalog, Lease, Leases, objects
from midtime.errors import LeaseHeldError
from tests.unit.catalog.lease_examples import NAME, PAST, Clock, before
from tests.unit.catalog.test_objects import interrupt
from tests.unit.processes import kill_when_it_says_so, race


class TestUnluckyMoments:
    """A rival acts between two steps of ours: the moments that a race meets once in a thousand times."""

    def test_somebody_takes_the_free_one_first(self, folder: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
        before(monkeypatch, "create", lambda: folder.acquire(NAME, "b"))
        with pytest.raises(LeaseHeldError, match="b works on"):
            folder.acquire(NAME, "a")
        assert (current := folder.current(NAME))
        assert current.holder == "b"

    def test_several_come_and_go_before_we_write(self, folder: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
        """What we read is so old that the next generation has been made and forgotten again: creating it proves nothing."""
        folder.acquire(NAME, "x", ttl=PAST)

        def rivals() -> None:
            folder.acquire(NAME, "y", ttl=PAST)
            folder.acquire(NAME, "b")

        before(monkeypatch, "create", rivals)
        with pytest.raises(LeaseHeldError):
            folder.acquire(NAME, "a")
        assert (current := folder.current(NAME))
        assert (current.generation, current.holder) == (3, "b")

    def test_the_generation_goes_while_we_read_it(self, folder: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.acquire(NAME, "x", ttl=PAST)
        before(monkeypatch, "read", lambda: folder.acquire(NAME, "b"))
        with pytest.raises(LeaseHeldError, match="b works on"):
            folder.acquire(NAME, "a")

    def test_taken_over_while_we_renew(self, folder: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
        lease = folder.acquire(NAME, "a", ttl=PAST)
        before(monkeypatch, "replace", lambda: folder.acquire(NAME, "b"))
        with pytest.raises(LeaseHeldError, match="lost to b"):
            folder.renew(lease)
        assert (current := folder.current(NAME))
        assert current.holder == "b"

    def test_taken_over_while_we_release(self, folder: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.acquire(NAME, "a", ttl=PAST)
        before(monkeypatch, "replace", lambda: folder.acquire(NAME, "b"))
        folder.release(NAME, "a")
        assert (current := folder.current(NAME))
        assert (current.holder, current.released) == ("b", False)

    @pytest.mark.parametrize("place", ["before fsync", "before link", "after link"])
    def test_killed_while_acquiring(self, on_disk: Leases, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
        def work(here: Callable[[], NoReturn]) -> None:
            interrupt(monkeypatch, place, here)
            on_disk.acquire(NAME, "dead")

        kill_when_it_says_so(work)
        if place == "after link":
            assert (current := on_disk.current(NAME))
            assert current.holder == "dead"
        else:
            assert on_disk.names() == []
            assert on_disk.acquire(NAME, "b").generation == 1

    @pytest.mark.parametrize("place", ["before fsync", "before rename"])
    def test_killed_while_renewing(self, on_disk: Leases, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
        lease = on_disk.acquire(NAME, "a")

        def work(here: Callable[[], NoReturn]) -> None:
            interrupt(monkeypatch, place, here)
            on_disk.renew(lease, timedelta(days=1))

        kill_when_it_says_so(work)
        assert on_disk.current(NAME) == lease


class TestRace:
    """Many rounds; in each, exactly one."""

    ROUNDS = 40

    @pytest.fixture(params=["free", "expired", "released"], autouse=True)
    def start(self, request: pytest.FixtureRequest, on_disk: Leases) -> None:
        for turn in range(self.ROUNDS):
            if request.param == "expired":
                on_disk.acquire(f"{turn}", "old", ttl=PAST)
            if request.param == "released":
                on_disk.acquire(f"{turn}", "old")
                on_disk.release(f"{turn}", "old")

    def contend(self, folder: Leases, number: int, meet: Callable[[], object]) -> list[str]:
        won = []
        for turn in range(self.ROUNDS):
            meet()
            try:
                folder.acquire(f"{turn}", f"{number}")
                won.append(f"{turn}")
            except LeaseHeldError:
                pass
        return won

    def exactly_one(self, folder: Leases, wins: list[list[str]]) -> None:
        assert sorted(name for won in wins for name in won) == sorted(f"{turn}" for turn in range(self.ROUNDS))
        for number, won in enumerate(wins):
            assert {lease.holder for name in won if (lease := folder.current(name))} <= {f"{number}"}

    def test_of_processes(self, on_disk: Leases) -> None:
        self.exactly_one(on_disk, race(4, lambda number, meet: self.contend(on_disk, number, meet)))

    def test_of_threads(self, on_disk: Leases) -> None:
        barrier = Barrier(6)
        with ThreadPoolExecutor(6) as pool:
            self.exactly_one(on_disk, list(pool.map(lambda number: self.contend(on_disk, number, barrier.wait), range(6))))


def test_mutual_exclusion_over_many_generations(on_disk: Leases) -> None:
    """Processes take and give back as fast as they can; who has it writes his name, and finds it there when he gives it back."""
    ward = on_disk.folder / "ward"

    def work(number: int, meet: Callable[[], object]) -> tuple[int, int]:
        me = f"{number}".encode()
        taken = broken = 0
        meet()
        while taken < 40:
            try:
                on_disk.acquire(NAME, f"{number}", ttl=timedelta(hours=1))
            except LeaseHeldError:
                continue
            objects.replace(ward, me)
            taken += 1
            broken += objects.read(ward) != me
            on_disk.release(NAME, f"{number}")
        return taken, broken

    assert race(3, work) == [(40, 0)] * 3
    assert (current := on_disk.current(NAME))
    assert current.generation == 120


class LeaseMachine(RuleBasedStateMachine):
    """Against a model: who last got the lease, until when."""

    catalog: Catalog
    clock: Clock
    turn = 0
    holders = st.sampled_from("abc")
    minutes = st.integers(1, 20)

    def __init__(self) -> None:
        super().__init__()
        LeaseMachine.turn += 1
        self.folder = Leases(self.catalog.root / f"{self.turn}")
        self.mine: dict[str, Lease] = {}
        """What each one believes to hold."""
        self.owner: str | None = None
        self.until = self.clock.now

    def free(self) -> bool:
        return self.owner is None or self.until <= self.clock.now

    @rule(holder=holders, minutes=minutes)
    def acquire(self, holder: str, minutes: int) -> None:
        may = self.free() or self.owner == holder
        try:
            lease = self.folder.acquire(NAME, holder, ttl=timedelta(minutes=minutes))
        except LeaseHeldError:
            assert not may
            return
        assert may
        self.mine[holder], self.owner, self.until = lease, holder, lease.expires_at
        assert lease.expires_at == self.clock.now + timedelta(minutes=minutes)

    @precondition(lambda self: self.mine)
    @rule(data=st.data(), minutes=minutes)
    def renew(self, data: st.DataObject, minutes: int) -> None:
        holder = data.draw(st.sampled_from(sorted(self.mine)))
        current = self.folder.current(NAME)
        assert current
        may = self.owner == holder and current.generation == self.mine[holder].generation
        try:
            self.mine[holder] = self.folder.renew(self.mine[holder], timedelta(minutes=minutes))
        except LeaseHeldError:
            assert not may
            del self.mine[holder]
            return
        assert may
        self.until = self.mine[holder].expires_at

    @rule(holder=holders)
    def release(self, holder: str) -> None:
        self.folder.release(NAME, holder)
        if self.owner == holder:
            self.owner = None

    @rule(minutes=minutes)
    def wait(self, minutes: int) -> None:
        self.clock.pass_by(timedelta(minutes=minutes))

    @invariant()
    def agrees(self) -> None:
        current = self.folder.current(NAME)
        live = current is not None and current.live(self.clock.now)
        assert live == (not self.free())
        if live and current:
            assert (current.holder, current.expires_at) == (self.owner, self.until)
        assert len(objects.names(self.folder.folder)) <= 1


def test_whatever_the_order(catalog: Catalog, clock: Clock) -> None:
    LeaseMachine.catalog, LeaseMachine.clock = catalog, clock
    run_state_machine_as_test(
        LeaseMachine, settings=settings(max_examples=40, stateful_step_count=25, suppress_health_check=list(HealthCheck))
    )
