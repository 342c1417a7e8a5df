"""Pause leases: all of a window's endpoints or none, one window at a time, and what was left open stays in the way."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any, NoReturn

import pytest

from midtime.catalog import Catalog, objects
from midtime.catalog.leases import Lease, Leases
from midtime.catalog.pause_leases import FOLDER, LIFTING, PauseLeases, lease_place
from midtime.errors import ArmingError, CatalogError, DestinationError, ForeignPauseError
from midtime.model.instants import utc_now
from tests.unit.catalog.lease_examples import PAST, before
from tests.unit.pause_examples import given_back, open_leases
from tests.unit.processes import kill_when_it_says_so, race

A, B, C = "10.0.0.1:60053", "[fd00::1]:60053", "ledger.example.com:50053"
ALL = [A, B, C]
SOON = timedelta(seconds=30)
TRIES = 15


def window(name: str, *addresses: str) -> dict[str, dict[str, str]]:
    return {address: {"window": name} for address in addresses}


@pytest.fixture
def leases(any_catalog: Catalog) -> PauseLeases:
    """On disk, and in an object store that knows nothing of files."""
    return PauseLeases(any_catalog.destination)


@pytest.fixture
def on_disk(destination: str) -> PauseLeases:
    return PauseLeases(destination)


class TestPlace:
    def test_the_destination(self) -> None:
        assert lease_place("s3://bucket") == "s3://bucket"

    @pytest.mark.parametrize("said", ["file:///leases", " file:///leases\n"])
    def test_one_for_all(self, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MIDTIME_LEASES", said)
        assert lease_place("s3://bucket") == "file:///leases"

    def test_an_empty_one_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MIDTIME_LEASES", " ")
        assert lease_place("s3://bucket") == "s3://bucket"


class TestTake:
    def test_all_with_their_details(self, leases: PauseLeases) -> None:
        leases.take(window("w", *ALL), holder="a", expires_at=utc_now() + SOON)
        found = open_leases(leases)
        assert sorted(found) == sorted(ALL)
        assert {(each.holder, each.details["window"]) for each in found.values()} == {("a", "w")}

    def test_given_back_and_taken_again(self, leases: PauseLeases) -> None:
        for number in range(3):
            leases.take(window(f"w{number}", *ALL), holder=f"{number}", expires_at=utc_now() + SOON)
            leases.release(ALL, holder=f"{number}", window=f"w{number}")
        assert open_leases(leases) == {}
        assert {leases.current(each).generation for each in ALL} == {3}  # type: ignore[union-attr]

    @pytest.mark.fault(
        "Two topologies share an endpoint", "The second window is refused while the first one's lease is open; nothing is paused."
    )
    def test_one_that_is_taken_refuses_all(self, leases: PauseLeases) -> None:
        leases.take(window("w", B), holder="a", expires_at=utc_now() + SOON)
        with pytest.raises(ForeignPauseError, match=r"\[fd00::1\]:60053 is leased by a, paused until") as caught:
            leases.take(window("v", *ALL), holder="b", expires_at=utc_now() + SOON)
        assert "midtime__sweep" in caught.value.fix
        assert list(open_leases(leases)) == [B]
        assert open_leases(leases)[B].holder == "a"

    def test_one_that_was_left_open_is_in_the_way_for_ever(self, leases: PauseLeases) -> None:
        """What it names may still be paused: time alone does not open a gate."""
        leases.take(window("w", A), holder="dead", expires_at=utc_now() + timedelta(days=-365))
        with pytest.raises(ForeignPauseError, match="leased by dead"):
            leases.take(window("v", A), holder="b", expires_at=utc_now() + SOON)
        with pytest.raises(ForeignPauseError, match="leased by dead"):
            leases.require_free([C, A], holder="b")

    @pytest.mark.parametrize("ttl", [SOON, PAST])
    def test_the_same_run_has_another_window(self, leases: PauseLeases, ttl: timedelta) -> None:
        """A cleared task would overwrite what is known of the pause that its first try left."""
        leases.take(window("w", A), holder="a", expires_at=utc_now() + ttl)
        with pytest.raises(ForeignPauseError):
            leases.take(window("v", A, B), holder="a", expires_at=utc_now() + SOON)
        assert {address: each.details["window"] for address, each in open_leases(leases).items()} == {A: "w"}

    def test_capitals_make_no_other_host(self, leases: PauseLeases) -> None:
        leases.take(window("w", C), holder="a", expires_at=utc_now() + SOON)
        with pytest.raises(ForeignPauseError):
            leases.take(window("v", C.upper()), holder="b", expires_at=utc_now() + SOON)

    def test_an_unreadable_one_is_in_the_way(self, on_disk: PauseLeases) -> None:
        objects.create(on_disk.folder(A) / "pause.4.json", b"{")
        with pytest.raises(CatalogError, match=r"lease file .*pause\.4\.json is unreadable"):
            on_disk.take(window("w", A, B), holder="a", expires_at=utc_now() + SOON)
        with pytest.raises(CatalogError, match="unreadable"):
            on_disk.require_free([A], holder="a")
        assert on_disk.current(B) is None or given_back(on_disk, [B])

    def test_one_that_is_refused_by_the_store(self, on_disk: PauseLeases, monkeypatch: pytest.MonkeyPatch) -> None:
        real = objects.create

        def refuse(path: Any, content: bytes) -> None:
            real(path, content)
            if "fd00" in str(path):
                raise DestinationError("the reply was lost")

        monkeypatch.setattr(objects, "create", refuse)
        with pytest.raises(DestinationError, match="the reply was lost"):
            on_disk.take(window("w", *ALL), holder="a", expires_at=utc_now() + SOON)
        assert open_leases(on_disk) == {}

    def test_a_rival_took_it_and_left_it_open_since_we_looked(self, on_disk: PauseLeases, monkeypatch: pytest.MonkeyPatch) -> None:
        """A lease that has run out by the time we write is no free one."""
        on_disk.take(window("u", A), holder="x", expires_at=utc_now() + SOON)
        on_disk.release([A], holder="x", window="u")
        before(monkeypatch, "create", lambda: on_disk.take(window("w", A), holder="dead", expires_at=utc_now() + PAST))
        with pytest.raises(ForeignPauseError):
            on_disk.take(window("v", A), holder="b", expires_at=utc_now() + SOON)
        assert open_leases(on_disk)[A].holder == "dead"

    def test_rivals_came_and_went_since_we_looked(self, on_disk: PauseLeases, monkeypatch: pytest.MonkeyPatch) -> None:
        """The next generation has been made and forgotten again: creating it proves nothing."""

        def rivals() -> None:
            on_disk.take(window("w", A), holder="x", expires_at=utc_now() + SOON)
            on_disk.release([A], holder="x", window="w")
            on_disk.take(window("u", A), holder="c", expires_at=utc_now() + SOON)

        before(monkeypatch, "create", rivals)
        with pytest.raises(ForeignPauseError, match="was lost to c"):
            on_disk.take(window("v", A), holder="b", expires_at=utc_now() + SOON)
        assert open_leases(on_disk)[A].holder == "c"


class TestRelease:
    def test_only_the_holder_s(self, leases: PauseLeases) -> None:
        leases.take(window("w", *ALL), holder="a", expires_at=utc_now() + SOON)
        leases.release([*ALL, "10.0.0.9:1"], holder="b", window="w")
        assert sorted(open_leases(leases)) == sorted(ALL)

    @pytest.mark.fault(
        "The pausing task's first try wakes up after its second has begun", "It gives back its own leases only, not the second's."
    )
    def test_only_the_window_s(self, leases: PauseLeases) -> None:
        leases.take(window("second", *ALL), holder="a", expires_at=utc_now() + SOON)
        leases.release(ALL, holder="a", window="first")
        assert sorted(open_leases(leases)) == sorted(ALL)

    def test_not_what_is_taken_since_we_looked(self, on_disk: PauseLeases, monkeypatch: pytest.MonkeyPatch) -> None:
        on_disk.take(window("w", A), holder="a", expires_at=utc_now() + SOON)

        real = Leases.current

        def look(self: Leases, name: str) -> Lease | None:
            found = real(self, name)
            monkeypatch.setattr(Leases, "current", real)
            on_disk.release([A], holder="a", window="w")
            on_disk.take(window("v", A), holder="a", expires_at=utc_now() + SOON)
            return found

        monkeypatch.setattr(Leases, "current", look)
        on_disk.release([A], holder="a", window="w")
        assert open_leases(on_disk)[A].details["window"] == "v"

    def test_twice(self, leases: PauseLeases) -> None:
        leases.take(window("w", A), holder="a", expires_at=utc_now() + SOON)
        leases.release([A], holder="a", window="w")
        leases.release([A], holder="a", window="w")
        assert given_back(leases, [A])

    def test_one_that_cannot_be_given_back_keeps_no_other(self, on_disk: PauseLeases) -> None:
        many = [f"10.0.0.{number}:1" for number in range(40)]
        on_disk.take(window("w", *many), holder="a", expires_at=utc_now() + SOON)
        objects.replace(on_disk.folder(many[0]) / "pause.1.json", b"{")
        with pytest.raises(CatalogError, match="unreadable"):
            on_disk.release(many, holder="a", window="w")
        assert given_back(on_disk, many[1:])


class TestRequireHeld:
    """Right before the first Pause."""

    @pytest.fixture
    def held(self, leases: PauseLeases) -> PauseLeases:
        leases.take(window("w", *ALL), holder="a", expires_at=utc_now() + SOON)
        return leases

    def require(self, leases: PauseLeases, seconds: float = 5, **changes: Any) -> None:
        leases.require_held(ALL, **({"holder": "a", "window": "w"} | changes), until=lambda: utc_now() + timedelta(seconds=seconds))

    def test_good(self, held: PauseLeases) -> None:
        self.require(held)

    def test_they_run_out_too_soon(self, held: PauseLeases) -> None:
        with pytest.raises(ArmingError, match="took so long that 3 of them would run out in the window") as caught:
            self.require(held, SOON.total_seconds() + 1)
        assert "MIDTIME_LEASES" in caught.value.fix

    def test_how_long_looking_takes_counts(self, held: PauseLeases, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []
        real = PauseLeases.current
        monkeypatch.setattr(PauseLeases, "current", lambda self, address: asked.append(address) or real(self, address))

        def until() -> datetime:
            assert sorted(asked) == sorted(ALL)
            return utc_now()

        held.require_held(ALL, holder="a", window="w", until=until)
        assert asked

    @pytest.mark.parametrize("changes", [{"holder": "b"}, {"window": "v"}])
    def test_somebody_else_s(self, held: PauseLeases, changes: dict[str, str]) -> None:
        with pytest.raises(ArmingError, match="is not leased by this window any more; nothing was paused"):
            self.require(held, **changes)

    def test_one_was_given_back(self, held: PauseLeases) -> None:
        held.release([B], holder="a", window="w")
        with pytest.raises(ArmingError, match=r"\[fd00::1\]:60053 is not leased"):
            self.require(held)


class TestLook:
    def test_nothing_there(self, leases: PauseLeases) -> None:
        assert list(leases.look()) == []

    def test_an_unreadable_one_hides_no_other_and_is_told(self, on_disk: PauseLeases) -> None:
        on_disk.take(window("w", *ALL), holder="a", expires_at=utc_now() + SOON)
        objects.replace(on_disk.folder(B) / "pause.1.json", b"{}")
        found = dict(on_disk.look())
        assert isinstance(found[B], CatalogError)
        assert {address for address, each in found.items() if not isinstance(each, CatalogError)} == {A, C}
        seen: list[str] = []
        with pytest.raises(CatalogError, match="unreadable"):
            seen.extend(address for address, _ in on_disk.open())
        assert sorted(seen) == sorted([A, C])


class TestTakeOver:
    def test_by_one_of_two(self, leases: PauseLeases) -> None:
        leases.take(window("w", A), holder="a", expires_at=utc_now() + PAST)
        lease = open_leases(leases)[A]
        assert leases.take_over(A, lease, by="one", ttl=SOON)
        assert not leases.take_over(A, lease, by="two", ttl=SOON)
        now = open_leases(leases)[A]
        assert (now.generation, now.holder, now.details) == (2, "a", {"window": "w", LIFTING: "one"})

    def test_both_at_the_same_moment(self, on_disk: PauseLeases, monkeypatch: pytest.MonkeyPatch) -> None:
        on_disk.take(window("w", A), holder="a", expires_at=utc_now() + PAST)
        lease = open_leases(on_disk)[A]
        before(monkeypatch, "create", lambda: on_disk.take_over(A, lease, by="one", ttl=SOON))
        assert not on_disk.take_over(A, lease, by="two", ttl=SOON)
        assert open_leases(on_disk)[A].details[LIFTING] == "one"

    def test_not_what_was_given_back(self, leases: PauseLeases) -> None:
        leases.take(window("w", A), holder="a", expires_at=utc_now() + PAST)
        lease = open_leases(leases)[A]
        leases.release([A], holder="a", window="w")
        assert not leases.take_over(A, lease, by="one", ttl=SOON)
        leases.take(window("v", A), holder="b", expires_at=utc_now() + SOON)
        assert not leases.take_over(A, lease, by="one", ttl=SOON)
        assert open_leases(leases)[A].holder == "b"


def attempt(leases: PauseLeases, number: int, addresses: list[str], meet: Callable[[], object]) -> bool:
    meet()
    with suppress(ForeignPauseError):
        leases.take(window(f"w{number}", *addresses), holder=f"{number}", expires_at=utc_now() + SOON)
        return True
    return False


def check_race(leases: PauseLeases, won: list[bool], sets: list[list[str]]) -> None:
    """At most one has everything; whoever lost has nothing. (Both may step aside from one another.)"""
    winners = [number for number, good in enumerate(won) if good]
    assert len(winners) <= 1
    held = {address: each.holder for address, each in open_leases(leases).items()}
    assert held == {address: str(number) for number in winners for address in sets[number]}


class TestRivals:
    SETS = ([A, B], [B, C], [C, B, A])

    @pytest.mark.fault(
        "Two windows start on a shared endpoint at the same moment",
        "At most one of them gets all of its endpoints; the other pauses nothing.",
    )
    def test_threads(self, on_disk: PauseLeases) -> None:
        for each in range(TRIES):
            leases = PauseLeases(f"{on_disk.place}/{each}")
            meet = Barrier(len(self.SETS)).wait
            with ThreadPoolExecutor(len(self.SETS)) as pool:
                won = list(pool.map(lambda number: attempt(leases, number, self.SETS[number], meet), range(len(self.SETS))))  # noqa: B023
            check_race(leases, won, list(self.SETS))

    def test_one_endpoint_goes_to_exactly_one(self, on_disk: PauseLeases) -> None:
        for each in range(TRIES):
            leases = PauseLeases(f"{on_disk.place}/{each}")
            meet = Barrier(4).wait
            with ThreadPoolExecutor(4) as pool:
                won = list(pool.map(lambda number: attempt(leases, number, [A], meet), range(4)))  # noqa: B023
            assert sum(won) == 1

    def test_processes(self, destination: str) -> None:
        objects.open_destination(destination)  # imported before the fork
        for each in range(3):
            place = f"{destination}/{each}"
            won = race(2, lambda number, meet: attempt(PauseLeases(place), number, list(self.SETS[number]), meet))  # noqa: B023
            check_race(PauseLeases(place), won, list(self.SETS))


class TestDeath:
    """kill -9 between any two writes of a window's taking and giving back."""

    @pytest.mark.parametrize("writes", [0, 1, 2, 3])
    def test_while_it_takes(self, on_disk: PauseLeases, writes: int) -> None:
        def take(here: Callable[[], NoReturn]) -> None:
            self.die_after(writes, "create", here)
            on_disk.take(window("w", *ALL), holder="dead", expires_at=utc_now() + PAST)
            here()

        kill_when_it_says_so(take)
        found = open_leases(on_disk)
        assert len(found) == writes
        assert {each.holder for each in found.values()} <= {"dead"}
        for address in ALL:
            if address in found:
                with pytest.raises(ForeignPauseError, match="leased by dead"):
                    on_disk.take(window("v", address), holder="b", expires_at=utc_now() + SOON)
            else:
                on_disk.take(window("v", address), holder="b", expires_at=utc_now() + SOON)

    @pytest.mark.parametrize("writes", [0, 1, 2, 3])
    def test_while_it_gives_back(self, on_disk: PauseLeases, writes: int) -> None:
        on_disk.take(window("w", *ALL), holder="dead", expires_at=utc_now() + SOON)

        def release(here: Callable[[], NoReturn]) -> None:
            self.die_after(writes, "replace", here)
            on_disk.release(ALL, holder="dead", window="w")
            here()

        kill_when_it_says_so(release)
        assert len(open_leases(on_disk)) == 3 - writes
        on_disk.release(ALL, holder="dead", window="w")
        assert given_back(on_disk, ALL)

    @staticmethod
    def die_after(writes: int, function: str, here: Callable[[], NoReturn]) -> None:
        """In the process that is going to be killed: one write after the other, so many of them."""
        real = getattr(objects, function)
        done: list[str] = []

        def instead(*args: Any) -> None:
            if len(done) >= writes:
                here()
            done.append(function)
            real(*args)

        setattr(objects, function, instead)
        from midtime.catalog import pause_leases

        pause_leases.AT_ONCE = 1


def test_lies_beside_the_topologies(on_disk: PauseLeases) -> None:
    on_disk.take(window("w", A), holder="a", expires_at=utc_now() + SOON)
    assert objects.names(objects.open_destination(on_disk.place)) == [FOLDER]
