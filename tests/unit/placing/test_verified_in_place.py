"""A cluster can be read only where it stays: it is placed first, then the whole set is verified, and a bad one goes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from midtime.catalog import Catalog
from midtime.errors import ContentError, MidtimeError, StoreUnreachableError
from tests.unit.placing_world import NEW, OLD, THREE, Run, World, states
from tests.unit.steps import Killed


def clustered(*stores: str, all_of: tuple[str, ...] = THREE) -> World:
    world = World(*all_of)
    world.in_cluster = frozenset(stores)
    return world


@pytest.fixture
def ring(destination: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The second of three stores is a cluster."""
    return Run(clustered("b"), destination, monkeypatch)


class TestForward:
    def test_it_comes_first(self, ring: Run) -> None:
        ring.place()
        assert ring.acts == "ask a, ask b, ask c, stop, place b, verify, place a, place c, start, look"
        assert (ring.world.whole(), ring.world.running) == (NEW, True)

    def test_nothing_but_clusters(self, destination: str, monkeypatch: pytest.MonkeyPatch) -> None:
        run = Run(clustered(*THREE), destination, monkeypatch)
        run.place()
        assert run.acts.endswith("place a, place b, place c, verify, start, look")

    def test_verified_again_by_a_retry(self, ring: Run) -> None:
        """Killed after the verification: nobody wrote down that it was good."""
        _die_after(ring, "verify")
        ring.place()
        assert ring.acts.endswith("verify, stop again, place b, verify, place a, place c, start, look")

    def test_but_not_once_another_store_was_begun(self, ring: Run) -> None:
        """It may have its final name, under which nobody can verify it; and it is begun only after a good verification."""
        _die_after(ring, "place a")
        ring.place()
        assert ring.acts.count("verify") == 1
        assert (ring.world.whole(), ring.world.running) == (NEW, True)


class TestBad:
    def test_everything_goes_back(self, ring: Run) -> None:
        ring.world.failing["verify"] = 1
        with pytest.raises(ContentError, match="not good: verify fails; everything is as it was, and the products run on it"):
            ring.place()
        assert ring.acts.endswith("place b, verify, back b, start, look")
        assert (ring.world.whole(), ring.world.running) == (OLD, True)
        assert states(ring)[-1] == "undone"

    def test_it_cannot_be_read(self, ring: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        def silent(*_: object) -> None:
            raise StoreUnreachableError("no quorum")

        monkeypatch.setattr("midtime.placing.verify", silent)
        with pytest.raises(StoreUnreachableError, match=r"^no quorum; everything is as it was"):
            ring.place()
        assert (ring.world.whole(), ring.world.running) == (OLD, True)

    def test_another_store_cannot_be_placed_after_it(self, ring: Run) -> None:
        ring.world.failing["place c"] = 1
        with pytest.raises(StoreUnreachableError, match="store c could not be put in place"):
            ring.place()
        assert ring.acts.endswith("back c, back a, back b, start, look")


def test_killed_at_any_moment(memory_catalogs: Iterator[Catalog]) -> None:
    """Then the task comes again, or its teardown, or the sweeper; a set that is bad is in place for nobody, whoever comes."""
    for who in ("place", "release", "sweep"):
        for bad in (False, True):
            moment, ended = 0, set()
            while True:
                moment += 1
                with pytest.MonkeyPatch.context() as patch:
                    run = Run(clustered("b", all_of=("a", "b")), next(memory_catalogs).destination, patch)
                    run.world.failing["verify"] = 99 if bad else 0
                    run.world.dies_at = run.world.moments + moment
                    try:
                        with suppress(MidtimeError):
                            run.place()
                        break
                    except Killed:
                        with suppress(MidtimeError):
                            getattr(run, who)()
                    assert run.world.running
                    ended.add(run.world.whole())
            assert moment > 20
            assert ended == ({OLD} if bad else {NEW} if who == "place" else {OLD, NEW})


def _die_after(run: Run, act: str) -> None:
    world = run.world

    def moment() -> None:
        if world.done[-1:] == [act]:
            world.dies_at = world.moments + 1
        World.moment(world)

    world.moment = moment  # type: ignore[method-assign]
    with pytest.raises(Killed):
        run.place()
    del world.moment
    world.dies_at = None
