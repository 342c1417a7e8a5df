"""Databases and products that are none, and death at any moment: what the tests of placing a set play with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from midtime import products
from midtime.catalog import Catalog, Lease, given_up, objects
from midtime.catalog.placings import Entry
from midtime.errors import ProductRunningError, StoreUnreachableError, TargetExistsError
from midtime.model.instants import run_suffix, utc_now
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.operators.base import run_name
from midtime.operators.release import ReleaseRestoreOperator
from midtime.operators.restore import PlaceOperator
from midtime.restoring import Plan, reserve
from midtime.stores.base import WILL_BE, Question, Target
from midtime.sweeping import sweep
from midtime.verification import Verification
from tests.unit.builders import part, point, topology
from tests.unit.fakes import FakeStore
from tests.unit.steps import Killed

RUN = SimpleNamespace(start_date=datetime(2026, 11, 21, 3, tzinfo=UTC), run_after=datetime(2026, 11, 21, 3, tzinfo=UTC))
CONTEXT: Any = {"dag": SimpleNamespace(dag_id="bank__restore"), "run_id": "manual__1", "dag_run": RUN}
LEASE = f"restore-{run_suffix(run_name(CONTEXT))}"
OLD, HALF, NEW = "old", "half", "new"
TWO, THREE = ("a", "b"), ("a", "b", "c")
"""Stores."""


class World:
    """What is live, what runs, and who dies when."""

    def __init__(self, *stores: str, in_place: bool = True) -> None:
        self.stores, self.in_place = stores, in_place
        self.live = dict.fromkeys(stores, OLD)
        self.working = set(stores)
        self.running = True
        self.stopping = False
        """A stop is at work: it goes on when whoever began it is dead, and ends what was not started meanwhile."""
        self.done: list[str] = []
        """What was done, in order, journal entries included."""
        self.moments = 0
        self.dies_at: int | None = None
        self.dead = False
        self.failing: dict[str, int] = {}
        """By what is done (``place b``, ``start``, ...): how many more times it fails."""
        self.in_cluster: frozenset[str] = frozenset()
        """Stores that are verified in place."""

    def moment(self) -> None:
        """Something may kill the process here; a dead one does nothing more."""
        self.moments += 1
        if self.dead or self.moments == self.dies_at:
            self.dead = True
            raise Killed
        if self.running and self.in_place:
            assert len(set(self.live.values())) == 1, f"products run on {self.live}"
            assert HALF not in self.live.values()

    @contextmanager
    def act(self, what: str, error: type[Exception] = StoreUnreachableError) -> Iterator[None]:
        self.moment()
        self.done.append(what)
        if self.failing.get(what, 0):
            self.failing[what] -= 1
            raise error(f"{what} fails")
        yield
        self.moment()

    def acts_after_discard(self) -> list[str]:
        """What somebody still did to the stores when the working copies were gone already."""
        discarded = [number for number, each in enumerate(self.done) if each.startswith("discard")]
        return [each for each in self.done[discarded[0] :] if each.startswith(("place", "back"))] if discarded else []

    def whole(self) -> str:
        (only,) = set(self.live.values())
        return only


class WorldStore(FakeStore):
    """A store of the world."""

    world: ClassVar[World]

    def restore_questions(self, target: Target, backup: StoreBackup) -> Iterator[Question]:
        yield "is reachable", lambda: pytest.fail("asked for more than the names")
        yield WILL_BE, self._free

    def _free(self) -> str:
        with self.world.act(f"ask {self.name}", TargetExistsError):
            assert self.world.live[self.name] == OLD
        return "fine"

    def verified_in_place(self, target: Target) -> bool:
        return self.name in self.world.in_cluster

    def place(self, backup: StoreBackup, target: Target) -> None:
        world = self.world
        with world.act(f"place {self.name}"):
            assert self.name in world.working, "nothing is left to place"
            assert not (world.running and world.in_place), "placed under running products"
            world.live[self.name] = HALF
            world.moment()
            world.live[self.name] = NEW

    def put_back(self, backup: StoreBackup, target: Target) -> None:
        world = self.world
        with world.act(f"back {self.name}"):
            assert not (world.running and world.in_place), "put back under running products"
            world.live[self.name] = HALF
            world.moment()
            world.live[self.name] = OLD

    def discard(self, target: Target) -> None:
        with self.world.act(f"discard {self.name}"):
            assert HALF not in self.world.live.values()
            self.world.working.discard(self.name)


class Run:
    """One restore run, planned, whose stores are restored and verified."""

    def __init__(self, world: World, destination: str, patch: pytest.MonkeyPatch) -> None:
        self.world = WorldStore.world = world
        WorldStore.install(patch)
        self.topology: Topology = topology(*world.stores, destination=destination)
        self.catalog = Catalog(destination, self.topology.name)
        manifest = point(stores=tuple(part(store) for store in world.stores))
        if not self.catalog.folders():
            self.catalog.publish(manifest)
        aside = "before" if world.in_place else None
        targets = tuple(Target(store, "own", f"tmp_{store}", f"{store}_final", aside) for store in world.stores)
        self.plan = Plan("restore", manifest.id, manifest.midtime, utc_now(), world.in_place, targets, LEASE)
        reserve(self.catalog, self.plan, run_name(CONTEXT))
        self._play_products(patch)
        self._play_verification(patch)
        self._play_death(patch)

    def _play_verification(self, patch: pytest.MonkeyPatch) -> None:
        world = self.world

        def judged(_: Topology, __: Any, targets: Iterable[Target]) -> Verification:
            assert [target.store for target in targets] == list(world.stores)
            assert not (world.running and world.in_place), "products run on what nobody has verified"
            assert {store for store, what in world.live.items() if what == NEW} == world.in_cluster
            try:
                with world.act("verify"):
                    return Verification(verdict=None)
            except StoreUnreachableError as error:
                return Verification(verdict=None, differences=(str(error),))

        patch.setattr("midtime.placing.verify", judged)

    def _play_products(self, patch: pytest.MonkeyPatch) -> None:
        world = self.world

        def stop(_: Topology, known: Mapping[str, Sequence[str]], *, again: bool) -> None:
            world.stopping = not world.dead
            try:
                with world.act("stop again" if again else "stop", ProductRunningError):
                    assert known == {"ledger": ("a:1",)}
                    world.running = world.stopping = False
            except ProductRunningError:
                world.stopping = False
                raise

        def start(_: Topology) -> None:
            with world.act("start", ProductRunningError):
                assert len(set(world.live.values())) == 1, "started on a mixed set"
                assert [each.stores for each in given_up.all_of(self.catalog)] == [world.stores] * (world.whole() == NEW)
                world.running, world.stopping = not world.stopping, False

        def serving(_: Topology) -> Iterator[str]:
            with world.act("look", ProductRunningError):
                assert world.running
            yield "the ledger serves"

        patch.setattr(products, "find_all", lambda _: {"ledger": ("a:1",)})
        patch.setattr(products, "stop_all", stop)
        patch.setattr(products, "start_all", start)
        patch.setattr(products, "require_serving", serving)

    def _play_death(self, patch: pytest.MonkeyPatch) -> None:
        for name in ("create", "replace"):
            real = getattr(objects, name)

            def instead(path: Any, content: bytes, real: Any = real) -> None:
                self.world.moment()
                real(path, content)
                self.world.moment()

            patch.setattr(objects, name, instead)

    # -- who comes ------------------------------------------------------------------------------------------------------------------------

    def place(self) -> Any:
        return self._as(PlaceOperator(task_id="place", topology=self.topology, plan=self.plan.to_dict()).work)

    def release(self) -> Any:
        return self._as(ReleaseRestoreOperator(task_id="release", topology=self.topology, kind="restore").work)

    def sweep(self) -> list[str]:
        """After a quarter of an hour without a sign of life."""
        self.world.dead = False
        lease = self.lease
        if not lease.released:
            self.catalog.leases.renew(lease, timedelta(minutes=-16))
        return list(sweep(self.topology))

    def _as(self, work: Any) -> Any:
        self.world.dead = False
        return work(CONTEXT)

    @property
    def lease(self) -> Lease:
        found = self.catalog.leases.current(LEASE)
        assert found
        return found

    @property
    def acts(self) -> str:
        return ", ".join(self.world.done)


def states(run: Run) -> list[str]:
    """What its journal says, entry after entry: the state, and the stores that were begun."""
    folder = run.catalog.root / ".placings" / LEASE
    names = sorted(int(name.removesuffix(".json")) for name in objects.names(folder))
    return [f"{entry.state} {' '.join(entry.begun)}".strip() for entry in (Entry.decode(objects.read(folder / f"{n}.json")) for n in names)]
