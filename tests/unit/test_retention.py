"""Retention on a catalog: what goes is gone, what stays is whole, and whatever interrupts it, nothing half looks whole."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from midtime import retention
from midtime.catalog import Catalog, drill_reports, objects
from midtime.catalog.restore_points import EXPIRED, MANIFEST
from midtime.errors import CatalogError, DestinationError
from midtime.model.restore_point import State
from midtime.retention import Retention
from tests.unit import retention_examples as examples
from tests.unit.builders import days_later, part, resealed, topology
from tests.unit.fakes import FakeStore
from tests.unit.retention_examples import add, look_whole, retain, snapshot


@pytest.fixture(autouse=True)
def setting(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeStore.install(monkeypatch)
    examples.at(monkeypatch)


class TestRemoves:
    def test_what_no_rule_keeps_and_nothing_else(self, any_catalog: Catalog) -> None:
        old, middle, new = add(any_catalog, 1, 50, 99)
        before = snapshot(any_catalog)
        outcome = retain(any_catalog, last=1, days=60)
        assert outcome.removed == {old: "older than 60 days, and not one of the newest 1"}
        assert outcome.kept == {new: "the newest that can be restored", middle: "younger than 60 days"}
        assert any_catalog.folders() == [new, middle]
        after = {path: content for path, content in snapshot(any_catalog).items() if "/.leases/" not in path and "/.drills/" not in path}
        assert after == {path: content for path, content in before.items() if old not in path}

    def test_a_second_time(self, any_catalog: Catalog) -> None:
        add(any_catalog, 1, 2, 3)
        assert len(retain(any_catalog).removed) == 2
        assert retain(any_catalog).removed == {}

    def test_reports_of_drills_survive(self, any_catalog: Catalog) -> None:
        old, *_ = add(any_catalog, 1, drilled=True)
        add(any_catalog, 99, drilled=True)
        (report,) = any_catalog.drill_reports(old)
        retain(any_catalog)
        assert old not in any_catalog.folders()
        assert report in [found.report for found in drill_reports.every(any_catalog)]

    def test_artifacts_then_manifest_then_mark(self, any_catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        """A store removes a folder's objects in any order, and the power may fail between any two."""
        old, _ = add(any_catalog, 1, 99)
        real, beside = objects.remove_tree, dict[str, list[str]]()

        def look(path: Any) -> None:
            beside["folder" if path == any_catalog.folder(old) else path.name] = sorted(objects.names(any_catalog.folder(old)))
            real(path)

        monkeypatch.setattr(objects, "remove_tree", look)
        retain(any_catalog)
        assert (beside[MANIFEST], beside["folder"]) == ([EXPIRED, MANIFEST], [EXPIRED])

    def test_nothing_when_a_report_cannot_be_saved(self, any_catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        old, *_ = add(any_catalog, 1, 99, drilled=True)

        def fails(*_: object) -> None:
            raise CatalogError("differs")

        with monkeypatch.context() as patch:
            patch.setattr(drill_reports, "archive", fails)
            with pytest.raises(CatalogError, match="differs"):
                retain(any_catalog)
        assert any_catalog.load(old), "still whole"
        assert old in retain(any_catalog).removed

    def test_one_s_trouble_keeps_no_other_from_being_removed(self, any_catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        first, second, _ = add(any_catalog, 2, 1, 99)
        real = objects.remove_tree

        def fails(path: Any) -> None:
            if first in str(path):
                raise DestinationError("does not answer")
            real(path)

        monkeypatch.setattr(objects, "remove_tree", fails)
        with pytest.raises(DestinationError, match="does not answer"):
            retain(any_catalog)
        assert second not in any_catalog.folders()

    @pytest.mark.parametrize("name", ["", "..", ".leases", "../bank", "x"])
    def test_only_a_restore_point_s_own_folder(self, any_catalog: Catalog, name: str) -> None:
        add(any_catalog, 1)
        with pytest.raises(CatalogError, match="is not a restore point id"):
            any_catalog.remove_expired(name)
        assert len(any_catalog.folders()) == 1

    def test_only_what_is_marked(self, any_catalog: Catalog) -> None:
        (point,) = add(any_catalog, 1)
        with pytest.raises(CatalogError, match="is not marked"):
            any_catalog.remove_expired(point)
        assert any_catalog.load(point)

    def test_nothing_of_another_topology(self, any_catalog: Catalog) -> None:
        """In one destination, and even when its restore points were moved here by mistake."""
        shop = Catalog(any_catalog.destination, "shop")
        for day in (1, 2):
            shop.publish(days_later(day, topology="shop"))
        objects.create(any_catalog.folder(days_later(1).id) / MANIFEST, days_later(1, topology="shop").seal())
        add(any_catalog, 98, 99)
        outcome = retain(any_catalog)
        assert list(outcome.removed) == [days_later(98).id]
        assert "belongs to shop" in outcome.kept[days_later(1).id]
        assert len(shop.folders()) == 2


class TestKeeps:
    def test_one_that_a_restore_waits_with(self, any_catalog: Catalog) -> None:
        old, *_ = add(any_catalog, 1, 99)
        plan = examples.planned(any_catalog, old)
        assert examples.reserved(any_catalog, plan)
        assert retain(any_catalog).kept[old] == "restore/r works with it"
        any_catalog.leases.release(plan.lease, "restore/r")
        assert old in retain(any_catalog).removed

    @pytest.mark.parametrize("ttl", [timedelta(minutes=-1), timedelta(days=-2)])
    def test_one_whose_lease_expired_and_was_not_swept(self, any_catalog: Catalog, ttl: timedelta) -> None:
        """A task that is slow may come back; until the sweeper has taken its lease over it can."""
        old, *_ = add(any_catalog, 1, 99)
        any_catalog.leases.acquire("drill-abcdef", "drill/1", details={"restore_point": old}, ttl=ttl)
        assert retain(any_catalog).kept[old] == "drill/1 works with it"

    def test_one_of_a_newer_midtime(self, any_catalog: Catalog) -> None:
        objects.create(any_catalog.folder(days_later(1).id) / MANIFEST, resealed(days_later(1), version=2))
        add(any_catalog, 99)
        assert "of version 2" in retain(any_catalog).kept[days_later(1).id]

    @pytest.mark.parametrize("marked", [False, True])
    @pytest.mark.parametrize("changes", [{"new_optional_field": None}, {"stores": []}])
    def test_one_that_nobody_edited_and_we_do_not_understand(self, any_catalog: Catalog, changes: dict[str, Any], marked: bool) -> None:
        """A newer Midtime of the same manifest version wrote it."""
        objects.create(any_catalog.folder(days_later(1).id) / MANIFEST, resealed(days_later(1), **changes))
        if marked:
            any_catalog.mark(days_later(1).id, EXPIRED, "as I wish")
        add(any_catalog, 99)
        assert "not for this Midtime to judge" in retain(any_catalog).kept[days_later(1).id]

    def test_one_of_a_newer_midtime_that_is_marked(self, any_catalog: Catalog) -> None:
        objects.create(any_catalog.folder(days_later(1).id) / MANIFEST, resealed(days_later(1), version=2))
        any_catalog.mark(days_later(1).id, EXPIRED, "as I wish")
        add(any_catalog, 99)
        assert "of version 2" in retain(any_catalog).kept[days_later(1).id]

    @pytest.mark.parametrize("raw", [b"", b"{}", b'{"version": "2", "digest": ""}', b'{"version": null, "digest": ""}'])
    @pytest.mark.parametrize(("day", "stays"), [(99, True), (70, False)])
    def test_an_unreadable_one_for_a_while(self, any_catalog: Catalog, raw: bytes, day: int, stays: bool) -> None:
        objects.create(any_catalog.folder(days_later(day).id) / MANIFEST, raw)
        add(any_catalog, 80)
        assert (days_later(day).id in retain(any_catalog, days=30).kept) == stays

    @pytest.mark.parametrize("damage", ["missing", "truncated"])
    def test_the_newest_whose_artifacts_are_there(self, any_catalog: Catalog, damage: str) -> None:
        """A manifest alone is nothing that older restore points may go for."""
        oldest, older, newest = add(any_catalog, 1, 2, 99)
        artifact = any_catalog.folder(newest) / "accounts" / "1.dat"
        objects.remove_tree(artifact) if damage == "missing" else objects.replace(artifact, b"dat")
        outcome = retain(any_catalog)
        assert list(outcome.removed) == [oldest]
        assert outcome.kept[older] == "the newest that can be restored"
        assert "damaged" in outcome.kept[newest]

    def test_so_many_whole_ones(self, any_catalog: Catalog) -> None:
        """A damaged one among the newest counts for no rule, wherever it stands."""
        first, second, *damaged = add(any_catalog, 1, 2, 97, 98)
        (newest,) = add(any_catalog, 99)
        oldest = add(any_catalog, 0)
        for each in damaged:
            objects.remove_tree(any_catalog.folder(each) / "accounts")
        outcome = retain(any_catalog, last=3)
        assert list(outcome.removed) == oldest
        assert set(outcome.kept) == {first, second, newest, *damaged}
        assert all("damaged, so it does not count" in outcome.kept[each] for each in damaged)

    def test_the_newest_drilled_one_that_is_whole(self, any_catalog: Catalog) -> None:
        oldest, proven, damaged = add(any_catalog, 1, 2, 3, drilled=True)
        (newest,) = add(any_catalog, 99)
        objects.remove_tree(any_catalog.folder(damaged) / "accounts")
        outcome = retain(any_catalog)
        assert list(outcome.removed) == [oldest]
        assert outcome.kept[proven] == "the newest that was drilled"
        assert "damaged" in outcome.kept[damaged]
        assert newest in outcome.kept

    def test_no_more_artifacts_are_looked_at_than_the_rules_need(self, any_catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        add(any_catalog, 1, 2, 3)
        add(any_catalog, 4, 5, drilled=True)
        newest = add(any_catalog, 97, 98, 99)
        looked_at: list[str] = []
        monkeypatch.setattr(retention, "look_at_artifacts", lambda _, point: looked_at.append(point.id))
        retain(any_catalog, last=2)
        assert looked_at == [newest[2], newest[1], days_later(5).id]

    def test_everything_when_a_lease_cannot_be_read(self, any_catalog: Catalog) -> None:
        add(any_catalog, 1, 99)
        objects.create(any_catalog.leases.folder / "drill-abcdef.1.json", b"{")
        before = snapshot(any_catalog)
        with pytest.raises(CatalogError, match="unreadable"):
            retain(any_catalog)
        assert {path for path in before if MANIFEST in path or EXPIRED in path} <= set(snapshot(any_catalog))

    def test_what_a_lease_covers_that_becomes_unreadable_meanwhile(self, any_catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        old, *_ = add(any_catalog, 1, 99)
        real = Catalog.mark

        def meanwhile(self: Catalog, *args: str) -> bool:
            objects.create(any_catalog.leases.folder / "drill-abcdef.1.json", b"{")
            return real(self, *args)

        monkeypatch.setattr(Catalog, "mark", meanwhile)
        with pytest.raises(CatalogError, match="unreadable"):
            retain(any_catalog)
        assert [entry.state for entry in any_catalog.entries()] == [State.RESTORABLE] * 2
        look_whole(any_catalog)
        assert old in any_catalog.folders()

    def test_strays(self, any_catalog: Catalog) -> None:
        add(any_catalog, 1, 99)
        for name in ("notes.txt", f"{days_later(1).id}.bak/manifest.json", "20269999T020007Z-abcdef/manifest.json", ".writing/x"):
            objects.create(any_catalog.root / name, b"")
        strays = {path for path in snapshot(any_catalog) if days_later(1).id + "/" not in path}
        retain(any_catalog)
        assert strays <= set(snapshot(any_catalog))


class TestDryRun:
    def test_says_the_same_and_touches_nothing(self, any_catalog: Catalog) -> None:
        add(any_catalog, 1, 2, 50, 99)
        any_catalog.invalidate(days_later(2).id, "torn")
        any_catalog.mark(days_later(1).id, EXPIRED, "old")
        any_catalog.begin(days_later(50).id)
        half = days_later(3).id
        any_catalog.mark(half, EXPIRED, "old")
        any_catalog.add_part(days_later(4).id, part())
        before = snapshot(any_catalog)
        said = retain(any_catalog, days=60, dry_run=True)
        assert snapshot(any_catalog) == before
        done = retain(any_catalog, days=60)
        assert (said.removed, said.swept) == (done.removed, done.swept)
        assert set(done.removed) == {days_later(1).id, days_later(2).id, half}
        assert said.kept == done.kept

    def test_in_an_empty_destination(self, any_catalog: Catalog) -> None:
        assert retain(any_catalog, dry_run=True).to_dict()["removed"] == []
        assert retain(any_catalog).to_dict()["removed"] == []
        assert objects.names(any_catalog.root) == []


def test_a_topology_that_the_rules_of_another_do_not_touch(any_catalog: Catalog) -> None:
    """Each by its own `retention`."""
    add(any_catalog, 1, 99)
    shop = Catalog(any_catalog.destination, "shop")
    for day in (1, 99):
        shop.publish(days_later(day, topology="shop"))
    Retention(topology(name="shop", destination=any_catalog.destination, retention={"keep_last": 1, "keep_days": 0}), "r").run()
    assert (len(any_catalog.folders()), len(shop.folders())) == (2, 1)


def test_the_default_rules(any_catalog: Catalog) -> None:
    add(any_catalog, *range(60, 100, 4))
    assert sorted(Retention(topology(destination=any_catalog.destination), "r").run().removed) == [
        days_later(60).id,
        days_later(64).id,
        days_later(68).id,
    ]
