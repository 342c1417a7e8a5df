"""Reports of drills: kept beside the restore point, kept when it goes, told even when they cannot be read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from midtime.catalog import Catalog, drill_reports, objects
from midtime.catalog.drill_reports import archive, every
from midtime.catalog.folders import EXPIRED
from midtime.errors import CatalogError
from midtime.model.restore_point import DrillReport, RestorePoint
from tests.unit.builders import days_later, drill_report

ARCHIVED = ".drills"


def publish(catalog: Catalog, *points: RestorePoint) -> None:
    for each in points:
        objects.create(catalog.folder(each.id) / "manifest.json", each.seal())


def remove(catalog: Catalog, point: RestorePoint) -> None:
    archive(catalog, point.id)
    objects.remove_tree(catalog.folder(point.id))


def kept(catalog: Catalog) -> list[tuple[str, bool]]:
    return [(each.restore_point, each.report is not None) for each in every(catalog)]


def test_of_one_restore_point_oldest_first(any_catalog: Catalog) -> None:
    point = days_later(0)
    publish(any_catalog, point)
    for hours in (3, 1, 2):
        drill_reports.add(any_catalog, drill_report(point, hours=hours))
    assert [each.rpo_seconds for each in drill_reports.of(any_catalog, point.id)] == [3600, 7200, 10800]
    assert drill_reports.of(any_catalog, days_later(1).id) == []


def test_a_second_try_replaces_the_first(any_catalog: Catalog) -> None:
    publish(any_catalog, days_later(0))
    first = drill_report(days_later(0), good=False)
    drill_reports.add(any_catalog, first)
    drill_reports.add(any_catalog, first.model_copy(update={"good": True}))
    assert [each.good for each in drill_reports.of(any_catalog, first.restore_point)] == [True]


def test_all_of_all_newest_first(any_catalog: Catalog) -> None:
    """By what they stand for: a drill of last week that was backfilled today belongs to last week."""
    old, new = days_later(0), days_later(5)
    backfilled = drill_report(old).model_copy(update={"as_of": old.midtime, "started_at": new.midtime + timedelta(days=9)})
    for report in (drill_report(old, hours=2), drill_report(new), backfilled):
        drill_reports.add(any_catalog, report)
    assert [each.stands_for for each in every(any_catalog)] == [
        new.midtime + timedelta(hours=1),
        old.midtime + timedelta(hours=2),
        old.midtime,
    ]


def test_those_of_removed_restore_points_stay(any_catalog: Catalog) -> None:
    gone, there = days_later(0), days_later(1)
    publish(any_catalog, gone, there)
    for each in (gone, there):
        drill_reports.add(any_catalog, drill_report(each))
    remove(any_catalog, gone)
    assert kept(any_catalog) == [(there.id, True), (gone.id, True)]
    assert any_catalog.folders() == [there.id]


def test_archiving_again_changes_nothing(any_catalog: Catalog) -> None:
    point = days_later(0)
    publish(any_catalog, point)
    drill_reports.add(any_catalog, drill_report(point))
    assert archive(any_catalog, point.id) == archive(any_catalog, point.id) != []
    assert kept(any_catalog) == [(point.id, True)]  # in both places by now, but one drill


def test_what_was_archived_stays_when_a_removal_is_tried_again(any_catalog: Catalog) -> None:
    """The first try died in the middle of the removal: fewer files are left to copy."""
    point = days_later(0)
    publish(any_catalog, point)
    for hours in (1, 2):
        drill_reports.add(any_catalog, drill_report(point, hours=hours))
    names = archive(any_catalog, point.id)
    objects.remove_tree(any_catalog.folder(point.id) / "drills" / names[0])
    archive(any_catalog, point.id)
    objects.remove_tree(any_catalog.folder(point.id))
    assert len(every(any_catalog)) == 2


def test_a_report_that_was_written_again_is_archived_again(any_catalog: Catalog) -> None:
    publish(any_catalog, days_later(0))
    report = drill_report(days_later(0), good=False)
    drill_reports.add(any_catalog, report)
    archive(any_catalog, report.restore_point)
    drill_reports.add(any_catalog, report.model_copy(update={"good": True}))
    archive(any_catalog, report.restore_point)
    objects.remove_tree(any_catalog.folder(report.restore_point))
    (found,) = every(any_catalog)
    assert found.report is not None
    assert found.report.good


def test_a_copy_that_is_not_what_was_copied(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be removed after that."""
    publish(catalog, days_later(0))
    report = drill_report(days_later(0))
    drill_reports.add(catalog, report)
    replace = objects.replace
    monkeypatch.setattr(objects, "replace", lambda path, content: replace(path, content[:-1]))
    with pytest.raises(CatalogError, match="differs from"):
        archive(catalog, report.restore_point)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 2}', b"\xff\xfe"])
def test_an_unreadable_one_is_told(any_catalog: Catalog, content: bytes) -> None:
    point = days_later(0)
    report = drill_report(point)
    drill_reports.add(any_catalog, report)
    path = any_catalog.folder(point.id) / "drills" / "2026-11-22T050000.25Z.json"
    objects.replace(path, content)
    (unreadable, readable) = every(any_catalog)
    assert (unreadable.report, unreadable.path) == (None, str(path))
    assert unreadable.error
    assert unreadable.started_at.isoformat() == "2026-11-22T05:00:00.250000+00:00"  # its name says it
    assert readable.report == report
    remove(any_catalog, point)
    assert kept(any_catalog) == [(point.id, False), (point.id, True)]


def test_one_of_a_restore_point_that_was_removed_meanwhile(any_catalog: Catalog) -> None:
    """Beside a manifest that is gone it would be swept as a backup that never ended."""
    point = days_later(0)
    publish(any_catalog, point)
    remove(any_catalog, point)
    where = drill_reports.add(any_catalog, drill_report(point))
    assert f"/{ARCHIVED}/{point.id}/" in where
    assert any_catalog.folders() == []
    assert kept(any_catalog) == [(point.id, True)]


@pytest.mark.parametrize("moment", ["before it is written", "after it is written"])
def test_one_of_a_restore_point_that_is_being_removed(any_catalog: Catalog, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """Retention has copied the reports already when this one comes."""
    point = days_later(0)
    publish(any_catalog, point)
    real = objects.replace

    def marked(path: Any, content: bytes) -> None:
        if moment == "after it is written":
            real(path, content)
        if not any_catalog.mark(point.id, EXPIRED, "old"):
            monkeypatch.setattr(objects, "replace", real)
        real(path, content)

    monkeypatch.setattr(objects, "replace", marked)
    drill_reports.add(any_catalog, drill_report(point))
    assert kept(any_catalog) == [(point.id, True)]
    any_catalog.remove_expired(point.id)
    assert kept(any_catalog) == [(point.id, True)]


def test_one_of_a_newer_midtime_is_archived_as_it_is(any_catalog: Catalog) -> None:
    point = days_later(0)
    publish(any_catalog, point)
    content = b'{"version": 2, "more": "than we know"}'
    objects.replace(any_catalog.folder(point.id) / "drills" / "2026-11-22T050000Z.json", content)
    remove(any_catalog, point)
    (found,) = every(any_catalog)
    assert found.report is None
    assert objects.read(any_catalog.root / ARCHIVED / point.id / found.name) == content


@pytest.mark.parametrize("name", [".2026-11-22T050000Z.json.0123", ".x.json", "2026-11-22T050000Z.json.tmp", "readme"])
def test_what_a_killed_writer_left_is_no_report(any_catalog: Catalog, name: str) -> None:
    objects.replace(any_catalog.folder(days_later(0).id) / "drills" / name, b"half")
    assert every(any_catalog) == []


def test_files_and_folders_of_odd_names(any_catalog: Catalog) -> None:
    """Somebody tidied up by hand: nothing of that hides a report."""
    drill_reports.add(any_catalog, drill_report(days_later(0)))
    objects.replace(any_catalog.folder(days_later(1).id) / "drills" / "copy of yesterday's.json", b"{}")
    objects.replace(any_catalog.folder("20269999T000000Z-abcdef") / "drills" / "x.json", b"{}")
    objects.replace(any_catalog.root / ARCHIVED / "not an id" / "x.json", b"{}")
    assert sorted(kept(any_catalog)) == sorted([(days_later(0).id, True), (days_later(1).id, False), ("20269999T000000Z-abcdef", False)])


def test_since(any_catalog: Catalog) -> None:
    for days in range(4):
        drill_reports.add(any_catalog, drill_report(days_later(days)))
    since = drill_report(days_later(2)).started_at
    assert [each.restore_point for each in every(any_catalog, since=since)] == [days_later(3).id, days_later(2).id]


def test_what_is_older_is_not_even_read(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(catalog, *map(days_later, range(4)))
    for days in range(4):
        drill_reports.add(catalog, drill_report(days_later(days)))
    read: list[str] = []
    original = objects.read
    monkeypatch.setattr(objects, "read", lambda path: (read.append(str(path)), original(path))[1])
    every(catalog, since=drill_report(days_later(3)).started_at)
    assert len(read) == 1


def test_a_report_that_is_archived_while_all_are_read(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listed beside its manifest, gone from there when it is its turn: found in the archive."""
    point = days_later(0)
    publish(catalog, point)
    drill_reports.add(catalog, drill_report(point))
    archived = drill_reports.archived

    def retention(of: Catalog) -> list[str]:
        found = archived(of)
        remove(of, point)
        return found

    monkeypatch.setattr(drill_reports, "archived", retention)
    assert kept(catalog) == [(point.id, True)]


def test_thousands(catalog: Catalog) -> None:
    """A restore point a day for three years, each drilled three times."""
    for days in range(1000):
        report = drill_report(days_later(days))
        for hours in range(3):
            drill_reports.add(catalog, report.model_copy(update={"started_at": report.started_at + timedelta(hours=hours)}))
    assert len(every(catalog)) == 3000


def test_old_reports_can_still_be_read() -> None:
    body = drill_report(days_later(0)).model_dump(mode="json")
    del body["as_of"]
    assert DrillReport.model_validate(body).stands_for == drill_report(days_later(0)).started_at
