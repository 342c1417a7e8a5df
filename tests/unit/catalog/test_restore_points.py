"""States and names: what a restore point is worth, and which one a person means; believed only when sealed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midtime.catalog import Catalog, objects
from midtime.catalog.restore_points import INVALID, MANIFEST
from midtime.errors import ManifestError, RestorePointNotFoundError
from midtime.model.restore_point import RestorePoint, State
from tests.unit.builders import days_later, drill_report, resealed
from tests.unit.catalog.examples import POINT, disk
from tests.unit.catalog.test_objects import interrupt
from tests.unit.processes import kill_when_it_says_so


class TestStates:
    def test_drilled(self, any_catalog: Catalog) -> None:
        any_catalog.publish(POINT)
        any_catalog.add_drill_report(drill_report(POINT, good=False))
        assert any_catalog.newest(1)[0].state is State.RESTORABLE, "a drill that failed proves nothing"
        any_catalog.add_drill_report(drill_report(POINT, hours=2))
        assert any_catalog.newest(1)[0].state is State.DRILLED
        assert [report.good for report in any_catalog.drill_reports(POINT.id)] == [False, True]
        assert any_catalog.resolve("latest") == any_catalog.resolve(POINT.id) == POINT

    @pytest.mark.parametrize("raw", [b"", b"{}", b"not json", b'{"good": true}', b"\xff"])
    def test_an_unreadable_drill_report_proves_nothing(self, catalog: Catalog, raw: bytes) -> None:
        catalog.publish(POINT)
        objects.create(catalog.folder(POINT.id) / "drills" / "1.json", raw)
        assert catalog.newest(1)[0].state is State.RESTORABLE
        catalog.add_drill_report(drill_report(POINT))
        assert catalog.newest(1)[0].state is State.DRILLED

    @pytest.mark.parametrize("place", ["before fsync", "after fsync", "before rename"])
    def test_a_drill_report_that_was_never_finished(self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
        catalog.publish(POINT)

        def work(here: Callable[[], NoReturn]) -> None:
            interrupt(monkeypatch, place, here)
            catalog.add_drill_report(drill_report(POINT))

        kill_when_it_says_so(work)
        assert catalog.drill_reports(POINT.id) == []
        assert catalog.newest(1)[0].state is State.RESTORABLE

    def test_invalid(self, any_catalog: Catalog) -> None:
        any_catalog.publish(days_later(0))
        any_catalog.publish(days_later(1))
        any_catalog.add_drill_report(drill_report(days_later(1)))
        any_catalog.invalidate(days_later(1).id, "torn")
        any_catalog.invalidate(days_later(1).id, "another reason")
        newest, older = any_catalog.newest(2)
        assert (newest.state, newest.reason, newest.restore_point) == (State.INVALID, "torn", days_later(1))
        assert older.state is State.RESTORABLE
        assert any_catalog.resolve("latest") == days_later(0)
        with pytest.raises(ManifestError, match="is invalid: torn"):
            any_catalog.resolve(days_later(1).id)

    @pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"null", b'{"reason"', b"\xff"])
    def test_invalid_without_a_readable_reason_is_invalid(self, catalog: Catalog, raw: bytes) -> None:
        catalog.publish(POINT)
        objects.create(catalog.folder(POINT.id) / INVALID, raw)
        assert (catalog.newest(1)[0].state, catalog.newest(1)[0].reason) == (State.INVALID, "its invalid.json is unreadable")
        with pytest.raises(RestorePointNotFoundError):
            catalog.resolve("latest")


class TestUnbelievable:
    @pytest.mark.parametrize(
        ("raw", "reason"),
        [
            (b"", "unreadable"),
            (POINT.seal()[: len(POINT.seal()) // 2], "unreadable"),
            (POINT.seal().replace(b'"rows": 3', b'"rows": 4'), "edited"),
            (b"[" * 100_000, "unreadable"),
            (resealed(days_later(1), version=2), "of version 2"),
            (days_later(2).seal(), f"belongs to bank/{days_later(2).id}"),
            (days_later(1, topology="shop").seal(), "belongs to shop/"),
        ],
        ids=["empty", "truncated", "edited", "nested", "version", "another id's", "another topology's"],
    )
    def test_shown_as_invalid_and_passed_over(self, any_catalog: Catalog, raw: bytes, reason: str) -> None:
        any_catalog.publish(days_later(0))
        bad = days_later(1).id
        objects.create(any_catalog.folder(bad) / MANIFEST, raw)
        newest, older = any_catalog.newest(9)
        assert (newest.id, newest.state, newest.restore_point) == (bad, State.INVALID, None)
        assert reason in newest.reason
        assert older.state is State.RESTORABLE
        assert any_catalog.resolve("latest") == days_later(0)
        with pytest.raises(ManifestError, match=reason):
            any_catalog.resolve(bad)
        assert any_catalog.half_written() == [], "kept for diagnosis"
        assert any_catalog.sweep_half_written() == []

    def test_a_restore_point_moved_to_another_folder(self, catalog: Catalog, destination: str) -> None:
        catalog.publish(POINT)
        shutil.copytree(disk(catalog, POINT.id), disk(catalog, days_later(1).id))
        shutil.copytree(disk(catalog), disk(Catalog(destination, "shop")))
        assert catalog.resolve("latest") == POINT
        with pytest.raises(ManifestError, match=f"belongs to bank/{POINT.id}"):
            catalog.load(days_later(1).id)
        with pytest.raises(ManifestError, match=f"belongs to bank/{POINT.id}"):
            Catalog(destination, "shop").load(POINT.id)


class TestResolve:
    def test_latest_at(self, any_catalog: Catalog) -> None:
        for day in (1, 2, 3):
            any_catalog.publish(days_later(day))
        any_catalog.invalidate(days_later(2).id, "torn")

        def at(days: float) -> RestorePoint:
            return any_catalog.resolve("latest", at=days_later(0).finished_at + timedelta(days=days))

        assert at(3) == at(99) == any_catalog.resolve("latest") == days_later(3)
        assert at(2.9) == at(2) == at(1) == days_later(1)
        with pytest.raises(RestorePointNotFoundError, match="no restorable restore point at 2026-11-21"):
            at(0.9)

    @given(days=st.sets(st.integers(0, 40), max_size=8), at=st.integers(-1, 41))
    @settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_latest_at_is_the_newest_not_after(self, tmp_path_factory: pytest.TempPathFactory, days: set[int], at: int) -> None:
        catalog = Catalog(f"file://{tmp_path_factory.mktemp('at')}", "bank")
        for day in days:
            catalog.publish(days_later(day))
        expected = max((day for day in days if day <= at), default=None)
        if expected is not None:
            assert catalog.resolve("latest", at=days_later(0).finished_at + timedelta(days=at)) == days_later(expected)
            return
        with pytest.raises(RestorePointNotFoundError):
            catalog.resolve("latest", at=days_later(0).finished_at + timedelta(days=at))

    @pytest.mark.parametrize(
        "wanted", ["", "newest", "LATEST", "..", "../bank", "/etc/passwd", ".leases", f"{POINT.id}/", f"{POINT.id}\n", f"./{POINT.id}"]
    )
    def test_what_is_no_id(self, any_catalog: Catalog, wanted: str) -> None:
        any_catalog.publish(POINT)
        with pytest.raises(RestorePointNotFoundError, match="is not a restore point id"):
            any_catalog.resolve(wanted)

    def test_an_id_that_is_not_there(self, any_catalog: Catalog) -> None:
        with pytest.raises(RestorePointNotFoundError, match="bank has no restore point") as caught:
            any_catalog.resolve(POINT.id)
        assert "midtime list bank" in caught.value.fix
