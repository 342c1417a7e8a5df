"""What was newest at a date: not what was still being written, nor what is invalid, and nothing stands in for what was removed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from midtime.catalog import Catalog, drill_reports, objects
from midtime.catalog.folders import EXPIRED
from midtime.catalog.history import newest_at
from midtime.errors import RestorePointNotFoundError
from midtime.model.restore_point import RestorePoint
from tests.unit.builders import MIDTIME, days_later, drill_report


def publish(catalog: Catalog, *points: RestorePoint) -> None:
    for each in points:
        objects.create(catalog.folder(each.id) / "manifest.json", each.seal())


def remove(catalog: Catalog, point: RestorePoint) -> None:
    """As retention does."""
    catalog.mark(point.id, EXPIRED, "older than 30 days")
    drill_reports.archive(catalog, point.id)
    catalog.remove_expired(point.id)


def test_the_newest_then(any_catalog: Catalog) -> None:
    publish(any_catalog, days_later(0), days_later(2), days_later(4))
    assert newest_at(any_catalog, MIDTIME + timedelta(days=3)).id == days_later(2).id


def test_one_that_was_still_being_written_was_not_there(any_catalog: Catalog) -> None:
    """Its midtime lies before that date, its manifest after it: a loss then would not have come back from it."""
    slow = days_later(1)
    publish(any_catalog, days_later(0), slow)
    assert newest_at(any_catalog, slow.finished_at - timedelta(seconds=1)).id == days_later(0).id
    assert newest_at(any_catalog, slow.finished_at).id == slow.id


def test_an_invalid_one_is_passed_over(any_catalog: Catalog) -> None:
    publish(any_catalog, days_later(0), days_later(1))
    any_catalog.invalidate(days_later(1).id, "lost")
    assert newest_at(any_catalog, MIDTIME + timedelta(days=3)).id == days_later(0).id


def test_none_yet(any_catalog: Catalog) -> None:
    publish(any_catalog, days_later(3))
    with pytest.raises(
        RestorePointNotFoundError, match=f"had no restorable restore point at .*; the oldest that is there now is {days_later(3).id}"
    ):
        newest_at(any_catalog, MIDTIME)


def test_none_at_all(any_catalog: Catalog) -> None:
    with pytest.raises(RestorePointNotFoundError, match="had no restorable restore point"):
        newest_at(any_catalog, MIDTIME)


def test_an_older_one_does_not_stand_in_for_a_removed_one(any_catalog: Catalog) -> None:
    """It would report a loss of data that nobody would have had."""
    gone = days_later(2)
    publish(any_catalog, days_later(0), gone, days_later(4))
    drill_reports.add(any_catalog, drill_report(gone))
    remove(any_catalog, gone)
    with pytest.raises(RestorePointNotFoundError, match=f"{gone.id}, the newest restore point .* was removed by retention"):
        newest_at(any_catalog, MIDTIME + timedelta(days=3))
    assert newest_at(any_catalog, MIDTIME + timedelta(days=1)).id == days_later(0).id
    assert newest_at(any_catalog, MIDTIME + timedelta(days=5)).id == days_later(4).id


def test_one_that_was_never_drilled_leaves_a_trace_as_well(any_catalog: Catalog) -> None:
    publish(any_catalog, days_later(0), days_later(2))
    remove(any_catalog, days_later(2))
    with pytest.raises(RestorePointNotFoundError, match="was removed by retention"):
        newest_at(any_catalog, MIDTIME + timedelta(days=3))


def test_one_that_is_being_removed(any_catalog: Catalog) -> None:
    """Marked, and not archived yet."""
    publish(any_catalog, days_later(0), days_later(2))
    any_catalog.mark(days_later(2).id, EXPIRED, "older than 30 days")
    with pytest.raises(RestorePointNotFoundError, match="was removed by retention"):
        newest_at(any_catalog, MIDTIME + timedelta(days=3))


def test_an_invalid_one_that_was_removed_is_passed_over(any_catalog: Catalog) -> None:
    publish(any_catalog, days_later(0), days_later(2))
    any_catalog.invalidate(days_later(2).id, "lost")
    remove(any_catalog, days_later(2))
    assert newest_at(any_catalog, MIDTIME + timedelta(days=3)).id == days_later(0).id


def test_a_removed_one_that_was_still_being_written_then(any_catalog: Catalog) -> None:
    slow = days_later(2)
    publish(any_catalog, days_later(0), slow)
    remove(any_catalog, slow)
    assert newest_at(any_catalog, slow.finished_at - timedelta(seconds=1)).id == days_later(0).id


def test_half_written_ones_and_odd_names(any_catalog: Catalog) -> None:
    publish(any_catalog, days_later(0))
    any_catalog.begin(days_later(1).id)
    for name in (days_later(1).id, "20269999T000000Z-abcdef"):
        objects.create(any_catalog.folder(name) / "accounts" / "toc.dat", b"half")
    objects.replace(any_catalog.root / ".drills" / "not an id" / "x.json", b"{}")
    assert newest_at(any_catalog, MIDTIME + timedelta(days=3)).id == days_later(0).id
