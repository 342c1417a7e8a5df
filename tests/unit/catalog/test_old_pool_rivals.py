"""Backups, retentions and sweepers of one pool in any order, each of whom may stall, lose its lease, wake up, or die: what is published is whole.

Each rule of the protocol is broken once, to see that this is found.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import count

import fsspec
import pytest
from airflow.sdk.io import attach
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from midtime.catalog import Catalog, half_written, leases, objects, old_pool
from midtime.catalog.bases import look_at_artifacts
from midtime.catalog.folders import MANIFEST
from midtime.catalog.half_written import BACKUP_LEASE
from midtime.catalog.leases import WORKING
from midtime.catalog.pool import Pool
from midtime.errors import MidtimeError
from midtime.model.restore_point import State
from midtime.retention import RETENTION_LEASE
from tests.unit.catalog.lease_examples import Clock
from tests.unit.pool_examples import STORE, back_up, put, write_known
from tests.unit.retention_examples import NOW
from tests.unit.scheduled import Actor, scheduled
from tests.unit.steps import at_operation

CONTENTS = (b"x", b"y")
ALL = 10**6
Break = Callable[[pytest.MonkeyPatch], object]


def retain(catalog: Catalog, holder: str) -> None:
    """As :class:`midtime.retention.Retention`, as far as the pool is concerned."""
    lease = catalog.leases.acquire(RETENTION_LEASE, holder, ttl=WORKING)
    with catalog.given_back(lease):
        for pool in old_pool.rooms(catalog):
            old_pool.collect(catalog, pool, NOW, lambda: catalog.leases.renew(lease, WORKING))


def collect(catalog: Catalog) -> None:
    """Its core, also without a lease of its own: of two that do this at once none may harm."""
    old_pool.collect(catalog, Pool(catalog, STORE), NOW, lambda: None)


def back_up_briefly(catalog: Catalog, days: int, *contents: bytes, holder: str = "backup/1") -> None:
    """As :func:`back_up`, in fewer steps."""
    lease = catalog.leases.acquire(BACKUP_LEASE, holder)
    point = write_known(catalog, days, *contents)
    catalog.leases.renew(lease)
    catalog.publish(point)
    catalog.leases.release(BACKUP_LEASE, holder)


def whole(catalog: Catalog) -> int:
    """How many can be restored; each has all of its content."""
    found = [entry for entry in catalog.entries() if entry.state is State.RESTORABLE]
    for entry in found:
        assert entry.restore_point
        look_at_artifacts(catalog, entry.restore_point)
    return len(found)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (leases, half_written):
        monkeypatch.setattr(module, "utc_now", made)
    monkeypatch.setattr(old_pool, "BATCH", 1)
    return made


def quietly(*works: Callable[[], object]) -> None:
    for work in works:
        with suppress(MidtimeError):
            work()


# -- broken rules -------------------------------------------------------------------------------------------------------------------------


def ignore_what_is_condemned(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Pool, "condemned", lambda _: set())


def read_what_is_condemned_last(patch: pytest.MonkeyPatch) -> None:
    def known(pool: Pool) -> dict[tuple[str, int], str]:
        there = list(pool.listed())
        condemned = pool.condemned()
        return {(name[3:67], look.size): name for name, look in there if name[3:] not in condemned}

    patch.setattr(Pool, "known", known)


def ask_for_no_backup(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(old_pool, "backup_under_way", lambda _: False)


def ask_before_condemning_only(patch: pytest.MonkeyPatch) -> None:
    real = old_pool.backup_under_way
    patch.setattr(old_pool, "backup_under_way", lambda catalog: not Pool(catalog, STORE).condemned() and real(catalog))


def pass_over_half_written_points(patch: pytest.MonkeyPatch) -> None:
    real = old_pool._listings

    def published(catalog: Catalog, name: str, store: str) -> Iterator[bytes]:
        return real(catalog, name, store) if MANIFEST in objects.names(catalog.folder(name)) else iter(())

    patch.setattr(old_pool, "_listings", published)


def read_listings_once(patch: pytest.MonkeyPatch) -> None:
    real = old_pool._spare
    patch.setattr(old_pool, "_spare", lambda catalog, pool, left, read: set() if read != () else real(catalog, pool, left, read))


def condemn_by_anothers_list(patch: pytest.MonkeyPatch) -> None:
    real = Pool.condemn
    patch.setattr(Pool, "condemn", lambda pool, found: real(pool, set(found) - pool.condemned()))


# -- one in the middle of the other -------------------------------------------------------------------------------------------------------


def a_retention_at_every_step_of_a_backup(catalogs: Iterator[Catalog], clock: Clock) -> None:
    each_step(catalogs, lambda catalog: back_up(catalog, 1, *CONTENTS), lambda catalog: quietly(lambda: retain(catalog, "r1")))


def a_backup_at_every_step_of_a_retention(catalogs: Iterator[Catalog], clock: Clock) -> None:
    each_step(catalogs, lambda catalog: retain(catalog, "r1"), lambda catalog: quietly(lambda: back_up(catalog, 1, *CONTENTS)))


def a_backup_that_stalls(catalogs: Iterator[Catalog], clock: Clock) -> None:
    """Its lease runs out, another backup comes and goes, and a retention."""

    def rivals(catalog: Catalog) -> None:
        clock.pass_by(timedelta(hours=1))
        quietly(lambda: back_up(catalog, 2, b"z", holder="backup/2"), lambda: retain(catalog, "r1"))

    each_step(catalogs, lambda catalog: back_up(catalog, 1, *CONTENTS), rivals)


def a_backup_that_is_swept(catalogs: Iterator[Catalog], clock: Clock) -> None:
    def rivals(catalog: Catalog) -> None:
        clock.pass_by(timedelta(hours=1))
        quietly(catalog.sweep_half_written, lambda: retain(catalog, "r1"))

    each_step(catalogs, lambda catalog: back_up(catalog, 1, *CONTENTS), rivals)


def a_retention_that_stalls(catalogs: Iterator[Catalog], clock: Clock) -> None:
    """Another one takes its lease; backups come before and after that."""

    def rivals(catalog: Catalog) -> None:
        quietly(lambda: back_up(catalog, 1, b"x"))
        clock.pass_by(timedelta(hours=1))
        quietly(lambda: retain(catalog, "r2"), lambda: back_up(catalog, 2, *CONTENTS, holder="backup/2"))

    each_step(catalogs, lambda catalog: retain(catalog, "r1"), rivals)


def a_retention_that_wakes_up_in_a_backup(catalogs: Iterator[Catalog], clock: Clock) -> None:
    """Another one comes right after it."""

    def in_turns(catalog: Catalog, first: Actor, second: Actor) -> None:
        first.go(ALL)
        quietly(lambda: collect(catalog))
        second.go(ALL)

    each_two_steps(catalogs, collect, lambda catalog: back_up_briefly(catalog, 1, b"x"), in_turns)


def two_retentions_that_stall(catalogs: Iterator[Catalog], clock: Clock) -> None:
    """The first wakes up while the second stands still and a backup lives; another backup comes when that is gone."""

    def in_turns(catalog: Catalog, first: Actor, second: Actor) -> None:
        catalog.leases.acquire(BACKUP_LEASE, "backup/1")
        first.go(ALL)
        quietly(lambda: back_up_briefly(catalog, 1, b"x"))
        second.go(ALL)

    each_two_steps(catalogs, collect, collect, in_turns)


def each_two_steps(
    catalogs: Iterator[Catalog],
    first: Callable[[Catalog], object],
    second: Callable[[Catalog], object],
    go_on: Callable[[Catalog, Actor, Actor], object],
) -> None:
    """The first stops after some steps, the second after some others; whoever comes then says how it goes on."""
    for one in itertools.count(1):
        for other in itertools.count(1):
            catalog = next(catalogs)
            put(catalog, b"x")
            with scheduled():
                actors = Actor(functools.partial(first, catalog)), Actor(functools.partial(second, catalog))
                actors[0].go(one)
                actors[1].go(other)
                ended = [actor.ended for actor in actors]
                if not any(ended):
                    go_on(catalog, *actors)
                for actor in actors:
                    actor.go(ALL)
            whole(catalog)
            if any(ended):
                break
        if ended[0]:
            return


def each_step(catalogs: Iterator[Catalog], first: Callable[[Catalog], object], second: Callable[[Catalog], object]) -> None:
    for number in count(1):
        catalog = next(catalogs)
        put(catalog, *CONTENTS)
        with at_operation(number, lambda: second(catalog)) as done:  # noqa: B023
            quietly(lambda: first(catalog))  # noqa: B023
        whole(catalog)
        if len(done) < number:
            return


SYSTEMATIC = [
    a_retention_at_every_step_of_a_backup,
    a_backup_at_every_step_of_a_retention,
    a_backup_that_stalls,
    a_backup_that_is_swept,
    a_retention_that_stalls,
    a_retention_that_wakes_up_in_a_backup,
    two_retentions_that_stall,
]


@pytest.mark.parametrize("rivals", SYSTEMATIC)
def test_nothing_is_lost(rivals: Callable[..., None], memory_catalogs: Iterator[Catalog], clock: Clock) -> None:
    rivals(memory_catalogs, clock)


@pytest.mark.parametrize(
    ("rule", "rivals"),
    [
        (ignore_what_is_condemned, a_backup_at_every_step_of_a_retention),
        (read_what_is_condemned_last, a_retention_that_wakes_up_in_a_backup),
        (ask_for_no_backup, a_retention_at_every_step_of_a_backup),
        (ask_before_condemning_only, a_retention_that_wakes_up_in_a_backup),
        (pass_over_half_written_points, a_backup_that_stalls),
        (read_listings_once, a_backup_at_every_step_of_a_retention),
        (condemn_by_anothers_list, two_retentions_that_stall),
    ],
)
def test_a_rule_that_is_broken_is_found(
    rule: Break, rivals: Callable[..., None], memory_catalogs: Iterator[Catalog], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule(monkeypatch)
    with pytest.raises(MidtimeError, match="is missing"):
        rivals(memory_catalogs, clock)


# -- any order ----------------------------------------------------------------------------------------------------------------------------

moves = st.tuples(st.integers(0, 4), st.integers(1, 30) | st.just(ALL), st.sampled_from(["go"] * 6 + ["hour passes", "kill"]))


def play(catalog: Catalog, clock: Clock, plan: list[tuple[int, int, str]]) -> int:
    """Who is at the end of his work, or dead, begins anew; at the end whoever is left goes on to his end."""
    days = itertools.count(1)
    works: list[Callable[[], object]] = [
        lambda: back_up_briefly(catalog, next(days), b"x", holder=f"backup/{next(days)}"),
        lambda: back_up(catalog, next(days), *CONTENTS, holder=f"backup/{next(days)}"),
        lambda: retain(catalog, f"r{next(days)}"),
        lambda: retain(catalog, f"r{next(days)}"),
        catalog.sweep_half_written,
    ]
    with scheduled():
        actors = [Actor(work) for work in works]
        for who, steps, event in plan:
            if event == "hour passes":
                clock.pass_by(timedelta(hours=1))
            if event == "kill":
                actors[who].kill()
            if actors[who].ended:
                actors[who] = Actor(works[who])
            actors[who].go(steps)
        for actor in actors:
            actor.go(ALL)
    return whole(catalog)


def test_in_any_order(clock: Clock) -> None:
    memory = fsspec.filesystem("memory")
    attach("memory", fs=memory)
    published = []

    @given(st.lists(moves, max_size=14))
    @settings(max_examples=40, phases=[Phase.generate, Phase.shrink])
    def plays(plan: list[tuple[int, int, str]]) -> None:
        memory.store.clear()
        catalog = Catalog("memory://any/destination", "bank")
        put(catalog, *CONTENTS)
        published.append(play(catalog, clock, plan))

    plays()
    memory.store.clear()
    assert max(published) > 2
    assert len(set(published)) > 1
