"""When shared content goes, and what is left by a retention that was killed: nothing that a restore point needs, and nothing for ever."""

from __future__ import annotations

import os
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from midtime import retention
from midtime.catalog import Catalog, objects, old_pool
from midtime.catalog.bases import look_at_artifacts
from midtime.catalog.half_written import BACKUP_LEASE
from midtime.catalog.pool import CONDEMNED, Pool
from midtime.errors import LeaseHeldError
from midtime.model.instants import utc_now
from midtime.model.topology import Topology
from midtime.retention import Outcome, Retention
from midtime.sweeping import sweep
from tests.unit import retention_examples
from tests.unit.builders import topology
from tests.unit.fakes import FakeStore
from tests.unit.pool_examples import LISTING, STORE, add, back_up, listing, names, put, write
from tests.unit.steps import Killed, at_operation, kill

OLD, NEW = 1, 99
"""Days; it is day 100."""


@pytest.fixture(autouse=True)
def setting(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeStore.install(monkeypatch)
    retention_examples.at(monkeypatch)


def bank(catalog: Catalog) -> Topology:
    return topology(destination=catalog.destination, retention={"keep_last": 1, "keep_days": 0})


def retain(catalog: Catalog, *, dry_run: bool = False, holder: str = "retention/1") -> Outcome:
    return Retention(bank(catalog), holder, dry_run=dry_run).run()


def condemned(catalog: Catalog) -> list[str]:
    return objects.names(Pool(catalog, STORE).root / CONDEMNED)


class TestGoes:
    def test_with_the_last_restore_point_that_lists_it(self, any_catalog: Catalog) -> None:
        add(any_catalog, OLD, b"old")
        add(any_catalog, NEW, b"new")
        shared = back_up(any_catalog, NEW + 1, b"new", b"newest")
        outcome = retain(any_catalog)
        assert (len(outcome.removed), outcome.content) == (2, 1)
        look_at_artifacts(any_catalog, shared)
        assert len(names(any_catalog)) == 2

    def test_a_dry_run_only_says_so(self, any_catalog: Catalog) -> None:
        put(any_catalog, b"left by a backup that was killed", b"more")
        before = retention_examples.snapshot(any_catalog)
        assert retain(any_catalog, dry_run=True).to_dict()["content"] == 2
        assert retention_examples.snapshot(any_catalog) == before
        assert retain(any_catalog).content == 2

    def test_of_a_store_that_the_topology_has_no_more(self, any_catalog: Catalog) -> None:
        assert STORE not in [store.name for store in bank(any_catalog).stores]
        put(any_catalog, b"x")
        assert retain(any_catalog).content == 1
        assert not names(any_catalog)

    def test_many_at_a_time(self, any_catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(old_pool, "BATCH", 3)
        put(any_catalog, *(bytes([number]) for number in range(8)))
        assert retain(any_catalog).content == 8
        assert not names(any_catalog)

    def test_its_list_with_the_next_retention(self, any_catalog: Catalog) -> None:
        put(any_catalog, b"x")
        retain(any_catalog)
        assert len(condemned(any_catalog)) == 1
        retain(any_catalog)
        assert condemned(any_catalog) == []

    def test_drafts_of_killed_uploads(self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        draft = Path(Pool(catalog, STORE).root.path, "ab", f".upload.{'0a' * 16}")
        draft.parent.mkdir(parents=True)
        draft.write_bytes(b"half")
        retain(catalog)
        assert draft.exists(), "somebody may be writing it"
        monkeypatch.setattr(objects, "utc_now", lambda: utc_now() + timedelta(hours=2))
        retain(catalog)
        assert not draft.exists()


class TestStays:
    def test_what_a_restore_point_lists(self, any_catalog: Catalog) -> None:
        add(any_catalog, NEW, b"x")
        assert retain(any_catalog).content == 0
        assert len(names(any_catalog)) == 1

    def test_what_a_listing_names_that_nobody_can_read(self, any_catalog: Catalog) -> None:
        point = add(any_catalog, NEW, b"x", b"y")
        text = objects.read(any_catalog.folder(point.id) / LISTING)
        objects.replace(any_catalog.folder(point.id) / LISTING, text[:-20])
        assert retain(any_catalog).content == 0

    def test_what_a_manifest_needs_that_nobody_can_read(self, any_catalog: Catalog) -> None:
        point = write(any_catalog, NEW, listing(put(any_catalog, b"x"), [b"x"]))
        objects.create(any_catalog.folder(point.id) / "manifest.json", point.seal().replace(b'"version": 1', b'"version": 2'))
        assert retain(any_catalog).content == 0
        assert len(names(any_catalog)) == 1

    def test_what_is_younger_than_a_day(self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        """However old a copy says it is."""
        (name,) = put(catalog, b"x")
        os.utime(Pool(catalog, STORE).root.path + f"/{name}", (0, 0))
        monkeypatch.setattr(retention, "utc_now", lambda: utc_now() + timedelta(hours=23))
        assert retain(catalog).content == 0
        monkeypatch.setattr(retention, "utc_now", lambda: utc_now() + timedelta(hours=25))
        assert retain(catalog).content == 1

    def test_all_of_it_while_a_backup_lives(self, any_catalog: Catalog) -> None:
        put(any_catalog, b"x")
        any_catalog.leases.acquire(BACKUP_LEASE, "backup/1", ttl=timedelta(days=-1))  # it may only have stalled
        assert retain(any_catalog).content == 0
        assert condemned(any_catalog) == []
        any_catalog.leases.release(BACKUP_LEASE, "backup/1")
        assert retain(any_catalog).content == 1

    def test_what_the_sweepers_are_not_to_touch(self, any_catalog: Catalog) -> None:
        point = add(any_catalog, NEW, b"x")
        put(any_catalog, b"y")
        assert any_catalog.left_behind() == []
        assert any_catalog.sweep_half_written(thorough=True) == []
        assert list(sweep(bank(any_catalog))) == []
        assert len(names(any_catalog)) == 2
        assert any_catalog.folders() == [point.id]


class TestDamage:
    def test_a_restore_point_without_its_content_does_not_count(self, any_catalog: Catalog) -> None:
        """Others go because a newer one stays: it has to be more than a manifest."""
        add(any_catalog, 2, b"old")
        newer = add(any_catalog, NEW, b"new")
        (gone,) = (name for name in names(any_catalog) if name[3:] in objects.read(any_catalog.folder(newer.id) / LISTING).decode())
        objects.remove_tree(Pool(any_catalog, STORE).root / gone)
        outcome = retain(any_catalog)
        assert outcome.removed == {}
        assert "damaged" in outcome.kept[newer.id]


class TestKilled:
    def test_at_every_step_it_is_whole_or_ended_by_the_next(self, any_catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(old_pool, "BATCH", 1)
        for number in count(1):
            put(any_catalog, b"x", b"y")
            kept = add(any_catalog, NEW, b"new")
            with at_operation(number, kill) as done:
                try:
                    retain(any_catalog)
                except Killed:
                    any_catalog.leases.release(retention.RETENTION_LEASE, "retention/1")
            known = Pool(any_catalog, STORE).known()
            assert all(name in names(any_catalog) for name in known.values())
            look_at_artifacts(any_catalog, kept)
            retain(any_catalog)
            retain(any_catalog)
            assert len(names(any_catalog)) == 1
            assert condemned(any_catalog) == []
            objects.remove_tree(any_catalog.root)
            if len(done) < number:
                break

    def test_by_the_loss_of_its_lease(self, any_catalog: Catalog) -> None:
        put(any_catalog, b"x")
        pool = Pool(any_catalog, STORE)

        def lost() -> None:
            raise LeaseHeldError("lost")

        with pytest.raises(LeaseHeldError):
            old_pool.collect(any_catalog, pool, retention_examples.NOW, lost)
        assert len(names(any_catalog)) == 1
        assert pool.known() == {}
