"""Leases: one holder at a time, whatever threads, processes and clocks do, and a holder that lost it finds out."""

from __future__ import annotations

import errno
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from midtime.catalog import Catalog, Lease, Leases, leases, objects
from midtime.catalog.leases import BETWEEN_TASKS
from midtime.errors import CatalogError, DestinationError, LeaseHeldError
from tests.unit.catalog.test_objects import interrupt
from tests.unit.processes import kill_when_it_says_so, race, until

NAME = "backup"
PAST = timedelta(seconds=-1)
NOW = datetime(2026, 11, 21, 2, tzinfo=UTC)


@pytest.fixture
def folder(any_catalog: Catalog) -> Leases:
    return any_catalog.leases


@pytest.fixture
def on_disk(catalog: Catalog) -> Leases:
    return catalog.leases


class Clock:
    """All clocks of a test."""

    now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, time: timedelta) -> None:
        self.now += time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(leases, "utc_now", made)
    return made


def before(monkeypatch: pytest.MonkeyPatch, function: str, act: Callable[[], object]) -> None:
    """Let rivals act once, right before the next write."""
    real = getattr(objects, function)

    def instead(*args: Any) -> Any:
        monkeypatch.setattr(objects, function, real)
        act()
        return real(*args)

    monkeypatch.setattr(objects, function, instead)


class TestAcquire:
    def test_a_free_one(self, folder: Leases, clock: Clock) -> None:
        lease = folder.acquire(NAME, "a", details={"targets": [1]})
        assert lease == Lease(NAME, 1, "a", NOW + BETWEEN_TASKS, {"targets": [1]})
        assert folder.current(NAME) == lease
        assert lease.live(NOW)

    def test_a_held_one(self, folder: Leases, clock: Clock) -> None:
        lease = folder.acquire(NAME, "a")
        clock.pass_by(BETWEEN_TASKS - timedelta(microseconds=1))
        with pytest.raises(LeaseHeldError, match="a works on 'backup' until 2026-11-21T02:15:00Z") as caught:
            folder.acquire(NAME, "b")
        assert caught.value.retryable
        assert folder.current(NAME) == lease

    def test_an_expired_one(self, folder: Leases, clock: Clock) -> None:
        folder.acquire(NAME, "a")
        clock.pass_by(BETWEEN_TASKS)
        assert folder.acquire(NAME, "b").generation == 2
        assert folder.current(NAME) == Lease(NAME, 2, "b", clock.now + BETWEEN_TASKS)

    def test_a_released_one(self, folder: Leases) -> None:
        folder.acquire(NAME, "a")
        folder.release(NAME, "a")
        assert folder.acquire(NAME, "b").generation == 2

    def test_again_by_its_holder(self, folder: Leases, clock: Clock) -> None:
        folder.acquire(NAME, "a", details={"x": 1})
        clock.pass_by(timedelta(minutes=5))
        assert folder.acquire(NAME, "a") == Lease(NAME, 1, "a", clock.now + BETWEEN_TASKS, {"x": 1})
        assert folder.acquire(NAME, "a", details={"x": 2}).details == {"x": 2}

    def test_again_by_its_holder_after_it_expired(self, folder: Leases) -> None:
        folder.acquire(NAME, "a", ttl=PAST)
        assert folder.acquire(NAME, "a").generation == 2

    def test_names_do_not_mix(self, folder: Leases) -> None:
        for name in ("backup", "backup.1", "drill-abcdef", "backup.x"):
            folder.acquire(name, name)
        assert folder.names() == ["backup", "backup.1", "backup.x", "drill-abcdef"]
        assert {name: lease.holder for name in folder.names() if (lease := folder.current(name))} == {name: name for name in folder.names()}

    def test_old_generations_are_forgotten(self, folder: Leases) -> None:
        for turn in range(12):
            folder.acquire(NAME, f"{turn}", ttl=PAST)
        assert objects.names(folder.folder) == ["backup.12.json"]


class TestRenewAndRelease:
    def test_renew(self, folder: Leases, clock: Clock) -> None:
        lease = folder.acquire(NAME, "a")
        clock.pass_by(timedelta(minutes=10))
        renewed = folder.renew(lease)
        assert renewed.expires_at == clock.now + BETWEEN_TASKS
        assert folder.current(NAME) == renewed

    def test_renew_late_but_still_ours(self, folder: Leases) -> None:
        lease = folder.acquire(NAME, "a", ttl=PAST)
        assert folder.renew(lease).live(leases.utc_now())
        with pytest.raises(LeaseHeldError):
            folder.acquire(NAME, "b")

    @pytest.mark.parametrize("rival", ["b", "a"])
    def test_renew_after_a_takeover(self, folder: Leases, rival: str) -> None:
        lease = folder.acquire(NAME, "a", ttl=PAST)
        theirs = folder.acquire(NAME, rival)
        with pytest.raises(LeaseHeldError, match="was lost"):
            folder.renew(lease)
        assert folder.current(NAME) == theirs

    def test_renew_after_release(self, folder: Leases) -> None:
        lease = folder.acquire(NAME, "a")
        folder.release(NAME, "a")
        with pytest.raises(LeaseHeldError):
            folder.renew(lease)
        assert folder.acquire(NAME, "b")

    def test_renew_what_was_never_there(self, folder: Leases) -> None:
        with pytest.raises(LeaseHeldError):
            folder.renew(Lease(NAME, 1, "a", NOW))
        assert folder.names() == []

    def test_release_by_somebody_else(self, folder: Leases) -> None:
        lease = folder.acquire(NAME, "a")
        folder.release(NAME, "b")
        folder.release("nothing", "b")
        assert folder.current(NAME) == lease

    def test_release_twice(self, folder: Leases) -> None:
        folder.acquire(NAME, "a")
        folder.release(NAME, "a")
        folder.release(NAME, "a")
        mine = folder.acquire(NAME, "b")
        folder.release(NAME, "a")
        assert folder.current(NAME) == mine


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


class TestHeld:
    @pytest.fixture(autouse=True)
    def short(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(leases, "WORKING", timedelta(seconds=0.2))
        running = threading.active_count()
        yield
        assert threading.active_count() == running, "no renewer is left"

    def expiry(self, folder: Leases) -> datetime:
        current = folder.current(NAME)
        assert current
        return current.expires_at

    def test_renews_all_the_while(self, folder: Leases) -> None:
        folder.acquire(NAME, "a", details={"x": 1})
        with folder.held(NAME, "a") as lease:
            seen = {lease.expires_at}
            until(lambda: seen.add(self.expiry(folder)) or len(seen) > 4, "renewed four times")
            assert min(seen) + timedelta(seconds=0.1) < max(seen)
        left = self.expiry(folder) - leases.utc_now()
        assert BETWEEN_TASKS - timedelta(minutes=1) < left <= BETWEEN_TASKS, "the next task has its time to start"
        assert (current := folder.current(NAME))
        assert (current.holder, current.generation, current.details) == ("a", 1, {"x": 1})

    @pytest.mark.parametrize("there", ["nothing", "another's", "released", "taken over"])
    def test_needs_the_lease(self, folder: Leases, there: str) -> None:
        if there == "another's":
            folder.acquire(NAME, "b")
        if there in ("released", "taken over"):
            folder.acquire(NAME, "a", ttl=PAST)
        if there == "released":
            folder.release(NAME, "a")
        if there == "taken over":
            folder.acquire(NAME, "b")
        with pytest.raises(LeaseHeldError), folder.held(NAME, "a"):
            pytest.fail("may not get in here")

    @pytest.mark.parametrize("rival", ["b", "a"])
    def test_notices_at_its_end_that_it_was_lost(self, folder: Leases, rival: str) -> None:
        folder.acquire(NAME, "a")
        with pytest.raises(LeaseHeldError, match=f"of a was lost to {rival}"), folder.held(NAME, "a") as lease:
            objects.create(folder._path(NAME, 2), Lease(NAME, 2, rival, lease.expires_at + BETWEEN_TASKS).encode())
        assert (current := folder.current(NAME))
        assert (current.generation, current.holder) == (2, rival)

    def test_stops_renewing_what_is_lost(self, folder: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
        logged: list[str] = []
        monkeypatch.setattr(leases.log, "error", lambda *args: logged.append(args[0] % args[1:]))
        folder.acquire(NAME, "a")
        with pytest.raises(LeaseHeldError), folder.held(NAME, "a") as lease:
            taken = Lease(NAME, 2, "b", lease.expires_at)
            objects.create(folder._path(NAME, 2), taken.encode())
            until(lambda: logged, "the renewer says that it is lost")
        assert len(logged) == 1
        assert "lost to b" in logged[0]
        assert folder.current(NAME) == taken

    def test_goes_on_when_the_destination_hiccups(self, folder: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.acquire(NAME, "a")
        failures: list[str] = []
        real = objects.replace

        def hiccup(path: Any, content: bytes) -> None:
            if len(failures) < 2:
                failures.append("x")
                raise DestinationError("does not answer")
            real(path, content)

        with folder.held(NAME, "a") as lease:
            monkeypatch.setattr(objects, "replace", hiccup)
            until(lambda: len(failures) == 2 and self.expiry(folder) > lease.expires_at, "renewed after two failures")

    def test_an_error_inside_is_not_covered_by_the_loss(self, folder: Leases) -> None:
        folder.acquire(NAME, "a")
        with pytest.raises(OSError, match="the cause") as caught, folder.held(NAME, "a") as lease:
            objects.create(folder._path(NAME, 2), Lease(NAME, 2, "b", lease.expires_at).encode())
            raise OSError(errno.EIO, "the cause")
        assert caught.value.errno == errno.EIO

    def test_after_an_error_it_expires_soon(self, folder: Leases) -> None:
        folder.acquire(NAME, "a")
        with pytest.raises(ZeroDivisionError), folder.held(NAME, "a"):
            raise ZeroDivisionError
        assert self.expiry(folder) < leases.utc_now() + timedelta(seconds=1)

    def test_a_process_that_dies_keeps_nobody_out_for_long(self, on_disk: Leases) -> None:
        on_disk.acquire(NAME, "dead")

        def work(here: Callable[[], NoReturn]) -> None:
            with on_disk.held(NAME, "dead"):
                here()

        kill_when_it_says_so(work)

        def taken() -> bool:
            try:
                return on_disk.acquire(NAME, "b").holder == "b"
            except LeaseHeldError:
                return False

        until(taken, "taken over")
        assert (current := on_disk.current(NAME))
        assert current.generation == 2


class TestFiles:
    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"{",
            b"{}",
            b"[]",
            b"null",
            b"3",
            b'"x"',
            b"\xff",
            b'{"holder": "a", "expires_at": "soon", "details": {}, "released": false}',
        ],
    )
    def test_unreadable(self, folder: Leases, raw: bytes) -> None:
        objects.create(folder.folder / f"{NAME}.1.json", raw)
        for ask in (
            lambda: folder.current(NAME),
            lambda: folder.acquire(NAME, "a"),
            lambda: folder.release(NAME, "a"),
            lambda: folder.renew(Lease(NAME, 1, "a", NOW)),
        ):
            with pytest.raises(CatalogError, match=r"backup\.1\.json is unreadable") as caught:
                ask()
            assert not isinstance(caught.value, LeaseHeldError)
            assert "remove that file when nothing runs" in caught.value.fix
        assert objects.read(folder.folder / f"{NAME}.1.json") == raw, "and nobody is let in over it"

    @pytest.mark.parametrize("clockless", ["2026-11-21T02:00:00", "2026-11-21", 5, None])
    def test_an_expiry_without_offset_is_unreadable(self, folder: Leases, clockless: object) -> None:
        body = {"holder": "a", "expires_at": clockless, "details": {}, "released": False}
        objects.create(folder.folder / f"{NAME}.1.json", json.dumps(body).encode())
        with pytest.raises(CatalogError, match="unreadable"):
            folder.current(NAME)

    @pytest.mark.parametrize(
        "stray",
        [
            "notes.txt",
            ".probe",
            "backup.json",
            "backup.x.json",
            "backup.².json",
            "backup.٣.json",
            "backup.-1.json",
            "backup.9.json.bak",
            "backup.09.json",
            ".backup.9.json",
            f".backup.9.json.{'0' * 32}",
            ".9.json",
            "backup.99999999999999999999999.json",
        ],
    )
    def test_strays_are_ignored(self, folder: Leases, stray: str) -> None:
        folder.acquire(NAME, "a")
        objects.create(folder.folder / stray, b"?")
        assert folder.names() == [NAME]
        assert (current := folder.current(NAME))
        assert current.generation == 1
        folder.release(NAME, "a")
        assert folder.acquire(NAME, "b").generation == 2

    def test_a_lease_there_and_back(self) -> None:
        lease = Lease("n", 7, "holder / ü", NOW, {"targets": [{"store": "a"}]}, True)
        assert Lease.decode("n", 7, lease.encode()) == lease
        assert not lease.live(NOW - timedelta(days=1)), "released"

    def test_the_destination_s_trouble_is_not_a_free_lease(self, folder: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.acquire(NAME, "a")

        def fails(_: object) -> None:
            raise DestinationError("does not answer")

        for function in ("names", "read"):
            with monkeypatch.context() as patch:
                patch.setattr(objects, function, fails)
                with pytest.raises(DestinationError):
                    folder.acquire(NAME, "b")
