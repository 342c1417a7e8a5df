"""A set is placed whole or not at all, whoever dies when; products never run on half of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from midtime.catalog import given_up
from midtime.errors import (
    LeaseHeldError,
    MidtimeError,
    ProductRunningError,
    RestoreFailedError,
    StoreUnreachableError,
    TargetExistsError,
)
from midtime.model.instants import utc_now
from midtime.operators.base import TaskKilledError
from midtime.sweeping import sweep
from tests.unit.placing_world import LEASE, NEW, OLD, THREE, Run, World, WorldStore, states
from tests.unit.steps import Killed


class TestForward:
    def test_in_order(self, run: Run) -> None:
        assert run.place() == {"a": "a_final", "b": "b_final", "c": "c_final"}
        assert run.acts == "ask a, ask b, ask c, stop, place a, place b, place c, start, look"
        assert states(run) == ["stopping", "placing", "placing a", "placing a b", "placing a b c", "placed", "done"]
        run.release()
        assert run.world.whole() == NEW
        assert run.acts.endswith("look, discard a, discard b, discard c")
        assert run.lease.released

    def test_beside_nothing_is_stopped(self, beside: Run) -> None:
        beside.place()
        assert beside.acts == "ask a, ask b, ask c, place a, place b, place c"
        assert states(beside)[-2:] == ["placed", "done"]
        assert list(given_up.all_of(beside.catalog)) == []

    def test_again_after_success(self, run: Run) -> None:
        """Killed after the last entry, before Airflow heard of it."""
        run.place()
        before = run.acts
        run.place()
        assert run.acts == before

    def test_tried_again_goes_on(self, run: Run) -> None:
        run.world.dies_at = 25
        with pytest.raises(Killed):
            run.place()
        assert "placing" in states(run)[-1]
        assert run.world.running is False
        run.place()
        assert run.acts.count("stop again") == 1
        assert run.acts.count("ask a") == 1, "names that are taken by ourselves are not asked for again"
        assert (run.world.whole(), run.world.running) == (NEW, True)


class TestRefused:
    def test_before_anything_is_touched(self, run: Run) -> None:
        """The plan may be a day old."""
        run.world.failing["ask b"] = 1
        with pytest.raises(TargetExistsError, match="b: ask b fails"):
            run.place()
        assert run.acts == "ask a, ask b, ask c"
        assert (run.world.whole(), run.world.running, states(run)) == (OLD, True, [])

    def test_products_that_cannot_be_found(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        def untellable(_: Any) -> Any:
            raise ProductRunningError("cannot be seen")

        monkeypatch.setattr("midtime.products.find_all", untellable)
        with pytest.raises(ProductRunningError):
            run.place()
        assert (run.acts, states(run)) == ("ask a, ask b, ask c", [])

    def test_a_product_that_does_not_stop(self, run: Run) -> None:
        """Those before it were stopped already."""
        run.world.failing["stop"] = 1
        with pytest.raises(ProductRunningError, match="stop fails; everything is as it was, and the products run on it"):
            run.place()
        assert run.acts == "ask a, ask b, ask c, stop, start, look"
        assert states(run) == ["stopping", "put back", "undone"]


class TestBack:
    @pytest.mark.parametrize("store", THREE)
    def test_a_store_that_cannot_be_placed(self, run: Run, store: str) -> None:
        run.world.failing[f"place {store}"] = 1
        with pytest.raises(
            StoreUnreachableError, match=f"^store {store} could not be put in place: place {store} fails; everything is as it was"
        ):
            run.place()
        begun = THREE[: THREE.index(store) + 1]
        assert [each for each in run.world.done if each.startswith("back")] == [f"back {each}" for each in reversed(begun)]
        assert run.acts.endswith("back a, start, look")
        assert (run.world.whole(), run.world.running) == (OLD, True)
        run.place()
        assert (run.world.whole(), run.world.running) == (NEW, True), "what passes is tried again, from the beginning"

    def test_beside(self, beside: Run) -> None:
        beside.world.failing["place c"] = 9
        with pytest.raises(StoreUnreachableError, match=r"everything is as it was$"):
            beside.place()
        assert beside.acts.endswith("place c, back c, back b, back a")
        beside.release()
        assert beside.world.whole() == OLD
        assert beside.acts.endswith("back a, discard a, discard b, discard c")

    def test_the_store_that_failed_is_named_when_it_was_begun_before(self, run: Run) -> None:
        run.world.dies_at = 42
        with pytest.raises(Killed):
            run.place()
        assert states(run)[-1] == "placing a b c"
        run.world.failing["place a"] = 1
        with pytest.raises(StoreUnreachableError, match="store a could not"):
            run.place()
        assert run.world.whole() == OLD

    def test_an_error_of_a_driver(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(self: Any, *_: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(WorldStore, "place", broken)
        with pytest.raises(ZeroDivisionError):
            run.place()
        assert (run.world.whole(), run.world.running) == (OLD, True)

    def test_a_task_that_airflow_ends(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        def told(self: Any, *_: Any) -> None:
            if self.name == "b":
                raise TaskKilledError
            real(self, *_)

        real = WorldStore.place
        monkeypatch.setattr(WorldStore, "place", told)
        with pytest.raises(TaskKilledError):
            run.place()
        assert run.acts.endswith("place a, back b, back a, start, look")

    def test_the_products_do_not_come_up(self, run: Run) -> None:
        """On the former data, which is in order: the teardown tries again."""
        run.world.failing |= {"place b": 1, "start": 1}
        with pytest.raises(StoreUnreachableError, match="every store is as it was, but start fails"):
            run.place()
        run.release()
        assert (run.world.whole(), run.world.running, run.lease.released) == (OLD, True, True)


class TestHalfRestored:
    """A store cannot be put back: nothing may write to such a set."""

    @pytest.fixture
    def half(self, run: Run) -> Run:
        run.world.failing |= {"place c": 1, "back b": 1}
        return run

    def test_products_stay_stopped_and_it_says_so(self, half: Run) -> None:
        with pytest.raises(RestoreFailedError) as caught:
            half.place()
        said = str(caught.value)
        assert "store c could not be put in place: place c fails; then THE SET IS HALF RESTORED" in said
        assert "the products are stopped and MUST STAY SO, store b (final name b_final) could not be put back: back b fails" in said
        assert "as they were: a, c" in said
        assert half.world.live == {"a": OLD, "b": NEW, "c": OLD}
        assert half.world.running is False
        assert states(half)[-1] == "putting back b"

    def test_the_teardown_keeps_the_copies_and_tries_again(self, half: Run) -> None:
        half.world.failing["back b"] = 2
        with suppress(RestoreFailedError):
            half.place()
        with pytest.raises(RestoreFailedError, match="HALF RESTORED"):
            half.release()
        assert not half.lease.released
        assert "discard" not in half.acts
        half.release()
        assert (half.world.whole(), half.world.running, half.lease.released) == (OLD, True, True)
        assert half.acts.endswith("back b, start, look, discard a, discard b, discard c")

    def test_a_retry_puts_back_first(self, half: Run) -> None:
        with suppress(RestoreFailedError):
            half.place()
        half.place()
        assert "back b, start, look, ask a, ask b, ask c, stop, place a" in half.acts
        assert (half.world.whole(), half.world.running) == (NEW, True)

    def test_the_sweeper_tries_every_minute(self, half: Run) -> None:
        half.world.failing["back b"] = 3
        with suppress(RestoreFailedError):
            half.place()
        for _ in range(2):
            with pytest.raises(RestoreFailedError, match="HALF RESTORED"):
                list(Sweeping(half))
        assert "discard" not in half.acts
        half.world.failing.clear()
        lines = list(Sweeping(half))
        assert any("The run died while it was putting back: everything goes back" in line for line in lines)
        assert (half.world.whole(), half.world.running, half.lease.released) == (OLD, True, True)


class Sweeping:
    """The first sweep after a quarter of an hour; the next ones follow at once."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def __iter__(self) -> Iterator[str]:
        if self.run.lease.abandoned(utc_now()):
            return sweep(self.run.topology)
        return iter(self.run.sweep())


class TestForwardOnly:
    """All stores were placed: whoever comes starts the products, and puts nothing back."""

    @pytest.mark.parametrize("who", ["place", "release", "sweep"])
    def test_after_death(self, run: Run, who: str) -> None:
        run.world.failing["start"] = 1
        with pytest.raises(ProductRunningError):
            run.place()
        assert states(run)[-1] == "placed"
        getattr(run, who)()
        assert "back" not in run.acts
        assert not [each for each in states(run) if "back" in each]
        assert states(run).count("placed") == 2, "whoever took over wrote that down before the products were started"
        assert (run.world.whole(), run.world.running) == (NEW, True)

    @pytest.mark.parametrize("failing", ["start", "look"])
    def test_a_product_that_does_not_serve_is_an_alarm_and_the_copies_go(self, run: Run, failing: str) -> None:
        run.world.failing[failing] = 9
        for who in (run.place, run.release, run.sweep):
            with pytest.raises(ProductRunningError, match=f"{failing} fails"):
                who()
        assert run.world.whole() == NEW
        assert run.world.working == set()
        assert not run.lease.released, "the sweeper goes on trying"
        run.world.failing.clear()
        run.sweep()
        assert run.lease.released


class TestRivals:
    """Somebody else goes on with the run while its task still lives."""

    @pytest.mark.parametrize("act", ["ask b", "stop", "place a", "place b", "place c", "start"])
    def test_a_task_that_lost_its_lease_does_nothing_more(self, run: Run, monkeypatch: pytest.MonkeyPatch, act: str) -> None:
        self._overtaken(run, monkeypatch, act, run.sweep)
        assert run.lease.holder.startswith("midtime__sweep")

    @pytest.mark.parametrize("act", ["place a", "place b", "place c", "start"])
    def test_nor_does_one_whose_own_teardown_ran(self, run: Run, monkeypatch: pytest.MonkeyPatch, act: str) -> None:
        """The same holder, the same lease: only the journal tells."""
        self._overtaken(run, monkeypatch, act, run.release)

    def _overtaken(self, run: Run, monkeypatch: pytest.MonkeyPatch, act: str, rival: Any) -> None:
        after: list[str] = []
        real = World.act

        def interrupted(world: World, what: str, *args: Any) -> Any:
            if what == act:
                monkeypatch.setattr(World, "act", real)
                rival()
                after.extend(run.world.done)
                raise StoreUnreachableError("and then it fails")
            return real(world, what, *args)

        monkeypatch.setattr(World, "act", interrupted)
        if act in ("start",):  # no journal entry follows a start that failed
            with pytest.raises(MidtimeError):
                run.place()
        else:
            with pytest.raises((LeaseHeldError, StoreUnreachableError)) as caught:
                run.place()
            if act != "ask b":
                assert isinstance(caught.value, LeaseHeldError)
        ours = [each for each in run.world.done[len(after) :] if not each.startswith("ask")]
        assert ours == [], "it went on"
        assert run.world.running
        assert run.world.whole() in (OLD, NEW)

    def test_the_lease_alone_is_lost(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """The sweeper has it and has not written anything yet: the journal is left to it as it is."""
        real = WorldStore.place

        def place(self: Any, *args: Any) -> None:
            real(self, *args)
            if self.name == "b":
                run.catalog.leases.renew(run.lease, timedelta(minutes=-16))
                run.catalog.leases.acquire(LEASE, "midtime__sweep/1", details=run.lease.details)

        monkeypatch.setattr(WorldStore, "place", place)
        with pytest.raises(LeaseHeldError, match="was lost to midtime__sweep/1"):
            run.place()
        assert states(run)[-1] == "placing a b c"
        assert run.acts.endswith("place a, place b")

    def test_two_tries_of_one_task(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """Airflow took the first for dead. Both hold the same lease; whoever wrote first goes on."""
        real = WorldStore.place

        def place(self: Any, *args: Any) -> None:
            real(self, *args)
            if self.name == "b":
                monkeypatch.setattr(WorldStore, "place", real)
                run.place()
                run.world.done.append("awake again")

        monkeypatch.setattr(WorldStore, "place", place)
        with pytest.raises(LeaseHeldError, match="somebody else goes on"):
            run.place()
        assert run.acts.endswith("start, look, awake again")
        assert states(run)[-1] == "done"
        assert run.world.whole() == NEW
