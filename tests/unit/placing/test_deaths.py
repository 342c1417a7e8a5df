"""Whoever dies when: the set is whole afterwards, and products never ran on half of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from midtime.catalog import Catalog
from midtime.errors import (
    MidtimeError,
)
from tests.unit.placing_world import NEW, OLD, THREE, TWO, Run, World
from tests.unit.steps import Killed, at_operation


@pytest.mark.parametrize("rival", ["sweep", "release"])
def test_somebody_takes_the_run_right_before_any_operation(memory_catalogs: Iterator[Catalog], rival: str) -> None:
    """The task is frozen at each operation on the object store, its lease runs out, a rival ends the run; then the task wakes up."""
    number, ended = 0, []
    while True:
        number += 1
        with pytest.MonkeyPatch.context() as patch:
            run = Run(World(*TWO), next(memory_catalogs).destination, patch)
            with at_operation(number, getattr(run, rival)) as done, suppress(MidtimeError):
                run.place()
            if len(done) < number:
                break
            run.sweep()
            assert (run.world.running, run.lease.released) == (True, True), number
            assert run.world.acts_after_discard() == [], number
            ended.append(run.world.whole())
    assert ended.count(OLD) > 30
    assert ended.count(NEW) > 10


WHO = st.sampled_from(["place", "release", "sweep"])

FAILURES = st.dictionaries(
    st.sampled_from([f"{verb} {store}" for verb in ("place", "back", "ask") for store in THREE] + ["stop", "start", "look", "discard a"]),
    st.integers(1, 3),
    max_size=2,
)


@pytest.mark.parametrize("in_place", [True, False])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    stores=st.sampled_from([("a",), TWO, THREE]),
    deaths=st.lists(st.tuples(st.integers(1, 60), WHO), max_size=3),
    failing=FAILURES,
)
@example(stores=THREE, deaths=[(36, "release")], failing={})
@example(stores=THREE, deaths=[(36, "sweep")], failing={"back b": 1})
def test_whoever_dies_when(
    memory_catalogs: Iterator[Catalog], in_place: bool, stores: tuple[str, ...], deaths: list[tuple[int, str]], failing: dict[str, int]
) -> None:
    """The task, its retry, the teardown and the sweeper die at drawn moments; in the end the set is whole, and the products run."""
    with pytest.MonkeyPatch.context() as patch:
        run = Run(World(*stores, in_place=in_place), next(memory_catalogs).destination, patch)
        world = run.world
        world.failing = {what: times for what, times in failing.items() if what.split()[-1] in (*stores, "stop", "start", "look")}
        released = False
        for moments, who in [(deaths[0][0] if deaths else 10_000, "place"), *((m, w) for m, w in deaths[1:])]:
            if who == "place" and (released or run.lease.holder.startswith("midtime__sweep")):
                continue
            released = released or who == "release"
            world.dies_at = world.moments + moments
            with suppress(Killed, MidtimeError):
                getattr(run, who)()
        world.dies_at = None
        for _ in range(12):  # more often than anything fails
            with suppress(MidtimeError):
                run.sweep()
        assert world.whole() in (OLD, NEW), world.done
        assert world.running
        assert run.lease.released
        assert world.working == set()


def test_every_moment(memory_catalogs: Iterator[Catalog]) -> None:
    """Killed at each moment of placing two stores, then each of the three that may come."""
    for who in ("place", "release", "sweep"):
        moment, ended = 0, set()
        while True:
            moment += 1
            with pytest.MonkeyPatch.context() as patch:
                run = Run(World(*TWO), next(memory_catalogs).destination, patch)
                run.world.dies_at = run.world.moments + moment
                try:
                    run.place()
                    break
                except Killed:
                    getattr(run, who)()
                assert run.world.running
                ended.add(run.world.whole())
        assert moment > 30
        assert ended == ({NEW} if who == "place" else {OLD, NEW})
