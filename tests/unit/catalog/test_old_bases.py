"""When a base goes: nobody's restore point loses its base, whatever the order in which two runs do what they do."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import count

import pytest

from midtime import retention
from midtime.catalog import Catalog, half_written, leases, objects, old_bases
from midtime.catalog.bases import Base, Bases
from midtime.catalog.folders import EXPIRED
from midtime.catalog.half_written import BACKUP_LEASE
from midtime.errors import CatalogError, LeaseHeldError, MidtimeError
from midtime.model.instants import utc_now
from midtime.model.topology import Topology
from midtime.retention import Outcome, Retention
from midtime.sweeping import sweep
from tests.unit import retention_examples
from tests.unit.base_examples import add, base, begin, point_on
from tests.unit.builders import part, topology
from tests.unit.fakes import FakeStore
from tests.unit.retention_examples import NOW
from tests.unit.steps import Killed, at_operation, kill

OLD, NEW = 1, 99
"""Days; it is day 100."""


@pytest.fixture(autouse=True)
def setting(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeStore.install(monkeypatch)
    retention_examples.at(monkeypatch)


def bank(catalog: Catalog) -> Topology:
    return topology(destination=catalog.destination, retention={"keep_last": 1, "keep_days": 0})


def retain(catalog: Catalog, *, dry_run: bool = False) -> Outcome:
    return Retention(bank(catalog), "retention/1", dry_run=dry_run).run()


def there(catalog: Catalog, made: Base) -> bool:
    return made.id in Bases(catalog, made.store).folders()


def whole(catalog: Catalog, made: Base) -> None:
    bases = Bases(catalog, made.store)
    assert bases.load(made.id) == made
    assert objects.read(bases.folder(made.id) / "base.tar.gz") == b"data"


class TestGoes:
    def test_old_unnamed_and_not_the_newest(self, any_catalog: Catalog) -> None:
        old, new = add(any_catalog, days=OLD), add(any_catalog, days=2)
        any_catalog.publish(point_on(new, days=NEW))
        assert retain(any_catalog).bases == [f"accounts/{old.id}"]
        assert not there(any_catalog, old)
        whole(any_catalog, new)

    def test_with_the_last_restore_point_that_names_it(self, any_catalog: Catalog) -> None:
        old, new = add(any_catalog, days=OLD), add(any_catalog, days=NEW)
        any_catalog.publish(point_on(old, days=2))
        any_catalog.publish(point_on(new, days=NEW))
        outcome = retain(any_catalog)
        assert len(outcome.removed) == 1
        assert outcome.bases == [f"accounts/{old.id}"]

    def test_a_dry_run_only_says_so(self, any_catalog: Catalog) -> None:
        old = add(any_catalog, days=OLD)
        any_catalog.publish(point_on(add(any_catalog, days=2), days=NEW))
        assert retain(any_catalog, dry_run=True).bases == [f"accounts/{old.id}"]
        whole(any_catalog, old)

    def test_of_a_store_that_the_topology_has_no_more(self, any_catalog: Catalog) -> None:
        old = add(any_catalog, days=OLD, store="gone")
        assert retain(any_catalog).bases == [f"gone/{old.id}"]

    def test_a_broken_one(self, any_catalog: Catalog) -> None:
        old = add(any_catalog, days=OLD)
        objects.replace(Bases(any_catalog, "accounts").folder(old.id) / "base.json", b"{")
        add(any_catalog, days=2)
        assert retain(any_catalog).bases == [f"accounts/{old.id}"]


class TestStays:
    def test_the_newest(self, any_catalog: Catalog) -> None:
        only = add(any_catalog, days=OLD)
        assert retain(any_catalog).bases == []
        whole(any_catalog, only)

    def test_the_newest_that_can_be_used_and_the_newest_at_all(self, any_catalog: Catalog) -> None:
        usable, newer = add(any_catalog, days=OLD), add(any_catalog, days=2)
        objects.replace(Bases(any_catalog, "accounts").folder(newer.id) / "base.json", b"of a newer Midtime, perhaps")
        assert retain(any_catalog).bases == []
        whole(any_catalog, usable)

    def test_one_younger_than_a_day(self, any_catalog: Catalog) -> None:
        young = add(any_catalog, days=99.5)
        add(any_catalog, days=99.9)
        assert retain(any_catalog).bases == []
        whole(any_catalog, young)

    def test_one_that_a_restore_point_names(self, any_catalog: Catalog) -> None:
        old = add(any_catalog, days=OLD)
        add(any_catalog, days=NEW)
        any_catalog.publish(point_on(old, days=NEW))
        assert retain(any_catalog).bases == []
        whole(any_catalog, old)

    def test_one_that_is_named_by_a_manifest_which_this_midtime_cannot_read(self, any_catalog: Catalog) -> None:
        old = add(any_catalog, days=OLD)
        add(any_catalog, days=NEW)
        named = point_on(old, days=NEW)
        objects.create(any_catalog.folder(named.id) / "manifest.json", named.seal().replace(b'"version": 1', b'"version": 2'))
        assert retain(any_catalog).bases == []
        whole(any_catalog, old)

    def test_one_that_a_backup_in_the_making_names(self, any_catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(half_written, "utc_now", utc_now)  # what is written now was not written long ago
        old = add(any_catalog, days=OLD)
        add(any_catalog, days=NEW)
        any_catalog.begin(point_on(old, days=NEW).id)
        any_catalog.add_part(point_on(old, days=NEW).id, part(details={"base": old.reference}))
        assert retain(any_catalog).bases == []
        whole(any_catalog, old)

    def test_all_of_them_while_a_backup_lives(self, any_catalog: Catalog) -> None:
        old = add(any_catalog, days=OLD)
        add(any_catalog, days=2)
        any_catalog.leases.acquire(BACKUP_LEASE, "backup/1")
        assert retain(any_catalog).bases == []
        assert Bases(any_catalog, "accounts").reason(old.id, EXPIRED).endswith("unreadable"), "nothing is marked any more"
        any_catalog.leases.release(BACKUP_LEASE, "backup/1")
        assert retain(any_catalog).bases == [f"accounts/{old.id}"]


class TestInTheMiddleOfABackup:
    """A backup holds its lease, chooses the newest base that is not marked, names it, and gives the lease back; retention at every step of it."""

    def backup(self, catalog: Catalog, chosen: list[Base]) -> None:
        catalog.leases.acquire(BACKUP_LEASE, "backup/1")
        found = next((each for each in Bases(catalog, "accounts").usable() if each.details.get("fits")), None)
        if found:
            chosen.append(found)
            point = point_on(found, days=NEW)
            catalog.begin(point.id)
            catalog.add_part(point.id, point.stores[0])
            catalog.publish(point)
        catalog.leases.release(BACKUP_LEASE, "backup/1")

    def prepare(self, catalog: Catalog) -> Base:
        """The newest does not fit the server, as after a promotion that was undone: the old one is chosen."""
        old = base(days=OLD, details={"fits": True})
        begin(catalog, old).publish(old)
        add(catalog, days=2)
        return old

    def test_retention_at_every_step_of_a_backup(self, any_catalog: Catalog) -> None:
        seen = self.each_step(any_catalog, lambda chosen: self.backup(any_catalog, chosen), lambda _: quietly(lambda: retain(any_catalog)))
        assert seen == {True, False}

    def test_a_backup_at_every_step_of_retention(self, any_catalog: Catalog) -> None:
        seen = self.each_step(
            any_catalog, lambda _: quietly(lambda: retain(any_catalog)), lambda chosen: quietly(lambda: self.backup(any_catalog, chosen))
        )
        assert seen == {True, False}

    def each_step(self, catalog: Catalog, first: Callable[[list[Base]], object], second: Callable[[list[Base]], object]) -> set[bool]:
        seen = set()
        for number in count(1):
            old, chosen = self.prepare(catalog), list[Base]()
            with at_operation(number, lambda: second(chosen)) as done:  # noqa: B023
                first(chosen)
            seen.add(bool(chosen))
            if chosen:
                whole(catalog, old)
            else:
                retain(catalog)
                assert not there(catalog, old), "nothing keeps it for ever"
            objects.remove_tree(catalog.root)
            if len(done) < number:
                return seen
        raise AssertionError


def quietly(work: Callable[[], object]) -> None:
    with suppress(LeaseHeldError, CatalogError):
        work()


class TestKilled:
    def test_at_every_step_it_is_whole_or_ended_by_the_next(self, any_catalog: Catalog) -> None:
        for number in count(1):
            old = add(any_catalog, days=OLD)
            new = add(any_catalog, days=2)
            any_catalog.publish(point_on(new, days=NEW))
            with at_operation(number, kill) as done:
                try:
                    retain(any_catalog)
                except Killed:
                    any_catalog.leases.release(retention.RETENTION_LEASE, "retention/1")
            usable = [each.id for each in Bases(any_catalog, "accounts").usable()]
            if old.id in usable:
                whole(any_catalog, old)
            retain(any_catalog)
            assert not there(any_catalog, old)
            whole(any_catalog, new)
            objects.remove_tree(any_catalog.root)
            if len(done) < number:
                break

    def test_anothers_mark_is_not_taken_back(self, any_catalog: Catalog) -> None:
        """Of a mark that is found nobody knows how much is removed already."""
        old = add(any_catalog, days=OLD)
        add(any_catalog, days=2)
        bases = Bases(any_catalog, "accounts")
        bases.mark(old.id, EXPIRED, "an earlier try")
        any_catalog.leases.acquire(BACKUP_LEASE, "backup/1")
        assert retain(any_catalog).bases == []
        assert EXPIRED in objects.names(bases.folder(old.id))


class TestSwept:
    def test_half_written_when_no_backup_lives(self, any_catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        bases = begin(any_catalog, base(days=NEW))
        clock = [NOW]
        for module in (leases, old_bases):
            monkeypatch.setattr(module, "utc_now", lambda: clock[0])
        any_catalog.leases.acquire(BACKUP_LEASE, "backup/1")
        assert old_bases.sweep_half_written_bases(any_catalog) == []
        clock[0] = NOW + timedelta(minutes=20)  # it ran out, but its run may come back
        assert old_bases.sweep_half_written_bases(any_catalog) == []
        clock[0] = NOW + timedelta(minutes=31)
        assert old_bases.sweep_half_written_bases(any_catalog) == [f"accounts/{base(days=NEW).id}"]
        assert bases.folders() == []
        lease = any_catalog.leases.current(BACKUP_LEASE)
        assert lease
        assert lease.released

    def test_by_the_sweeper_of_every_minute(self, any_catalog: Catalog) -> None:
        begin(any_catalog, base(days=NEW))
        kept = add(any_catalog, days=2)
        any_catalog.leases.release("x", any_catalog.leases.acquire("x", "y").holder)
        assert list(sweep(bank(any_catalog))) == [f"removed base accounts/{base(days=NEW).id}: its backup never ended"]
        whole(any_catalog, kept)

    def test_a_slow_writer_at_every_step(self, any_catalog: Catalog) -> None:
        """It publishes a base that is whole, or finds it swept; never one without its artifact."""
        seen = set()
        for number in count(1):
            made = base(days=NEW)
            bases = begin(any_catalog, made)
            results: list[bool] = []

            def publish(bases: Bases = bases, made: Base = made, results: list[bool] = results) -> None:
                try:
                    bases.publish(made)
                    results.append(True)
                except MidtimeError:
                    results.append(False)

            with at_operation(number, publish) as done:
                quietly(lambda: old_bases.sweep_half_written_bases(any_catalog))
            if bases.newest():
                whole(any_catalog, made)
            if results:
                seen.add(results[0])
                assert not results[0] or bases.newest()
            objects.remove_tree(any_catalog.root)
            if len(done) < number:
                break
        assert seen == {True, False}


def test_an_id_of_a_day_that_never_was_stays(any_catalog: Catalog) -> None:
    odd = base(id="20261399T000000Z-ffffff")
    begin(any_catalog, odd).publish(odd)
    add(any_catalog, days=2)
    assert retain(any_catalog).bases == []
    assert there(any_catalog, odd)
