"""The sweeper: removes what the dead left, and nothing of the living."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from midtime.catalog import Catalog, Lease, Leases, objects
from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.errors import CatalogError, LeaseHeldError, StoreUnreachableError
from midtime.model.topology import Topology
from midtime.operators.sweep import SweepOperator
from midtime.stores.base import Target
from midtime.sweeping import sweep
from tests.unit.builders import days_later, part, point, topology
from tests.unit.fakes import FakeStore

DEAD = timedelta(minutes=-16)
POINT = point()


@pytest.fixture(autouse=True)
def fake_store(monkeypatch: pytest.MonkeyPatch) -> type[FakeStore]:
    return FakeStore.install(monkeypatch)


@pytest.fixture
def bank(destination: str) -> Topology:
    return topology("accounts", "points", destination=destination)


def target(store: str, run: str = "abcdef") -> Target:
    return Target(store, "db", f"tmp_{run}_{store}", f"{store}_restored")


def reserve(catalog: Catalog, run: str = "abcdef", *, stores: tuple[str, ...] = ("accounts", "points"), ttl: timedelta = DEAD) -> str:
    name = f"drill-{run}"
    catalog.leases.acquire(name, f"drill/{run}", details={"targets": [target(store, run).to_dict() for store in stores]}, ttl=ttl)
    return name


def half_write(catalog: Catalog, day: int = 1) -> str:
    name = days_later(day).id
    catalog.begin(name)
    catalog.add_part(name, part())
    return name


class TestBackups:
    def test_of_a_dead_run(self, bank: Topology, catalog: Catalog) -> None:
        catalog.publish(POINT)
        left = half_write(catalog)
        catalog.leases.acquire(BACKUP_LEASE, "dead", ttl=DEAD)
        assert list(sweep(bank)) == [f"removed {left}: a backup that never ended"]
        assert catalog.folders() == [POINT.id]
        assert list(sweep(bank)) == []

    def test_of_a_living_run(self, bank: Topology, catalog: Catalog) -> None:
        left = half_write(catalog)
        catalog.leases.acquire(BACKUP_LEASE, "alive")
        assert list(sweep(bank)) == []
        assert catalog.folders() == [left]

    def test_what_no_lease_was_ever_taken_for(self, bank: Topology, catalog: Catalog) -> None:
        """Somebody may be copying restore points into a new destination."""
        left = half_write(catalog)
        assert list(sweep(bank)) == []
        assert catalog.folders() == [left]

    def test_nothing_at_all(self, bank: Topology) -> None:
        assert list(sweep(bank)) == []


class TestWorkingCopies:
    def test_of_a_dead_run(self, bank: Topology, catalog: Catalog) -> None:
        name = reserve(catalog)
        assert list(sweep(bank)) == [
            "removed tmp_abcdef_accounts of store accounts: drill/abcdef died",
            "removed tmp_abcdef_points of store points: drill/abcdef died",
        ]
        assert FakeStore.discarded == [target("accounts"), target("points")]
        lease = catalog.leases.current(name)
        assert lease
        assert lease.released
        assert list(sweep(bank)) == []
        assert len(FakeStore.discarded) == 2

    def test_a_run_that_only_stalled_finds_its_lease_lost(self, bank: Topology, catalog: Catalog) -> None:
        """Its working copies are gone: it must not go on as if they were there."""
        lease = catalog.leases.current(reserve(catalog))
        assert lease
        list(sweep(bank))
        with pytest.raises(LeaseHeldError):
            catalog.leases.renew(lease)

    def test_leases_of_runs_long_over_are_forgotten(self, bank: Topology, catalog: Catalog) -> None:
        catalog.leases.release(reserve(catalog, "aaaaaa", ttl=-timedelta(days=2)), "drill/aaaaaa")
        catalog.leases.release(reserve(catalog, "bbbbbb"), "drill/bbbbbb")
        list(sweep(bank))
        assert [name for name in catalog.leases.names() if name != BACKUP_LEASE] == ["drill-bbbbbb"]

    def test_of_a_living_run(self, bank: Topology, catalog: Catalog) -> None:
        reserve(catalog, ttl=timedelta(minutes=1))
        assert list(sweep(bank)) == []
        assert FakeStore.discarded == []

    def test_of_a_run_that_ended_in_order(self, bank: Topology, catalog: Catalog) -> None:
        catalog.leases.release(reserve(catalog), "drill/abcdef")
        assert list(sweep(bank)) == []
        assert FakeStore.discarded == []

    def test_the_dead_among_the_living(self, bank: Topology, catalog: Catalog) -> None:
        reserve(catalog, "aaaaaa", ttl=timedelta(minutes=1))
        reserve(catalog, "dddddd")
        catalog.leases.acquire(BACKUP_LEASE, "alive")
        assert len(list(sweep(bank))) == 2
        assert {each.working for each in FakeStore.discarded} == {"tmp_dddddd_accounts", "tmp_dddddd_points"}

    def test_what_cannot_be_removed_is_tried_again(self, bank: Topology, catalog: Catalog) -> None:
        name = reserve(catalog)
        FakeStore.failures = {"tmp_abcdef_accounts": StoreUnreachableError("down", fix="wait")}
        first, second = sweep(bank)
        assert first == "could not remove tmp_abcdef_accounts of store accounts, will try again: down — wait"
        assert second.startswith("removed tmp_abcdef_points")
        lease = catalog.leases.current(name)
        assert lease
        assert not lease.released
        FakeStore.failures = {}
        assert [line.split()[1] for line in sweep(bank)] == ["tmp_abcdef_accounts", "tmp_abcdef_points"]
        assert (after := catalog.leases.current(name))
        assert after.released

    def test_one_dead_run_s_trouble_keeps_no_other_from_being_swept(self, bank: Topology, catalog: Catalog) -> None:
        reserve(catalog, "aaaaaa", stores=("accounts",))
        reserve(catalog, "bbbbbb", stores=("accounts",))
        FakeStore.failures = {"tmp_aaaaaa_accounts": StoreUnreachableError("down")}
        assert [line.split()[0] for line in sweep(bank)] == ["could", "removed"]

    def test_of_a_store_that_the_topology_has_no_more(self, bank: Topology, catalog: Catalog, destination: str) -> None:
        """It was taken out of the file while its drill lay dead: that must stop neither this sweep nor the other topologies'."""
        name = reserve(catalog)
        lines = list(sweep(topology("accounts", destination=destination)))
        assert [line.split()[0] for line in lines] == ["removed", "could"]
        assert "has no store 'points' any more" in lines[1]
        lease = catalog.leases.current(name)
        assert lease
        assert not lease.released, "nothing is forgotten"

    def test_a_lease_without_targets(self, bank: Topology, catalog: Catalog) -> None:
        catalog.leases.acquire("restore-abcdef", "r", ttl=DEAD)
        assert list(sweep(bank)) == []
        assert (after := catalog.leases.current("restore-abcdef"))
        assert after.released

    def test_an_unreadable_lease_is_told(self, bank: Topology, catalog: Catalog) -> None:
        objects.create(catalog.leases.folder / "drill-abcdef.1.json", b"{")
        with pytest.raises(CatalogError, match="unreadable"):
            list(sweep(bank))
        assert FakeStore.discarded == []

    @pytest.mark.parametrize("name", ["backup", "drill-aaaaaa"])
    def test_an_unreadable_lease_keeps_no_other_from_being_swept(self, bank: Topology, catalog: Catalog, name: str) -> None:
        objects.create(catalog.leases.folder / f"{name}.1.json", b"{")
        reserve(catalog, "bbbbbb")
        lines = []
        with pytest.raises(CatalogError, match=f"{name}.*unreadable"):
            lines.extend(sweep(bank))  # what was yielded until then stays in the list
        assert len(FakeStore.discarded) == 2

    def test_a_rival_sweeper_that_is_faster(self, bank: Topology, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        reserve(catalog, "aaaaaa")
        reserve(catalog, "bbbbbb")
        real = objects.create

        def rival(path: Any, content: bytes) -> None:
            monkeypatch.setattr(objects, "create", real)
            real(path, content.replace(b"midtime__sweep/", b"midtime__sweep/x"))
            real(path, content)

        monkeypatch.setattr(objects, "create", rival)
        assert len(list(sweep(bank))) == 2
        assert {each.working for each in FakeStore.discarded} == {"tmp_bbbbbb_accounts", "tmp_bbbbbb_points"}

    def test_two_sweepers_are_told_apart(self, bank: Topology, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that took the lease between the other's look and its grasp keeps it."""
        name = reserve(catalog)
        rival = sweep(bank)
        real = Leases.acquire

        def meanwhile(self: Leases, *args: Any, **kwargs: Any) -> Lease:
            monkeypatch.setattr(Leases, "acquire", real)
            next(rival)  # stops after its first removal, the lease in its hands
            return real(self, *args, **kwargs)

        monkeypatch.setattr(Leases, "acquire", meanwhile)
        assert list(sweep(bank)) == []
        assert FakeStore.discarded == [target("accounts")]
        assert len(list(rival)) == 1
        assert (after := catalog.leases.current(name))
        assert after.released


def test_what_killed_processes_left_among_the_leases(bank: Topology, catalog: Catalog) -> None:
    probe = catalog.leases.folder / f".probe-{'0' * 32}"
    objects.create(probe, b"")
    assert list(sweep(bank)) == []
    os.utime(probe.path, (0.5, 0.5))
    assert list(sweep(bank)) == [f"removed {probe.name}: a killed process left it"]
    assert objects.names(catalog.leases.folder) == []


class TestOperator:
    @pytest.mark.parametrize("error", [ValueError("a driver's own"), StoreUnreachableError("down", fix="wait")])
    def test_one_topology_s_trouble_keeps_no_other_from_being_swept(self, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        swept: list[str] = []
        logged: list[Any] = []

        def fake(of: Topology) -> Iterator[str]:
            yield "removed something"
            if of.name == "bank":
                raise error
            swept.append(of.name)

        monkeypatch.setattr("midtime.operators.sweep.sweep", fake)
        operator = SweepOperator(task_id="sweep", topologies=[topology(), topology(name="shop")])
        monkeypatch.setattr(operator.log, "exception", lambda *args: logged.append(args), raising=False)
        with pytest.raises(type(error), match=str(error)):
            operator.execute({})
        assert swept == ["shop"]
        assert len(logged) == 1, "with its traceback"

    def test_tells_what_was_done(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("midtime.operators.sweep.sweep", lambda of: iter(["removed x"]))
        assert SweepOperator(task_id="sweep", topologies=[topology()]).execute({}) == ["bank: removed x"]
