"""Restore points whose histories a service has dropped: expired by nothing but time, offered to nobody, removed when they are old enough."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from midtime.catalog import Catalog, restore_points
from midtime.catalog.folders import EXPIRED
from midtime.errors import RestorePointNotFoundError
from midtime.model.instants import to_rfc3339
from midtime.model.restore_point import RESTORABLE_UNTIL, RestorePoint, State
from tests.unit import retention_examples as examples
from tests.unit.builders import MIDTIME, days_later, drill_report, part
from tests.unit.fakes import FakeStore
from tests.unit.retention_examples import retain

KEPT = timedelta(days=35)


def managed(day: int, *, kept: timedelta = KEPT, store: str = "points", **changes: Any) -> RestorePoint:
    """A database of our own, and one whose service keeps its history so long."""
    midtime = MIDTIME + timedelta(days=day)
    details = {RESTORABLE_UNTIL: to_rfc3339(midtime + kept)}
    own, its = part("accounts"), part(store, engine="dynamodb", method="pitr", midtime=midtime, details=details)
    return days_later(day, stores=(own, its), **changes)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets it be so many days after the first restore point."""
    FakeStore.install(monkeypatch)

    def set_to(days: float) -> datetime:
        now = MIDTIME + timedelta(days=days)
        monkeypatch.setattr(restore_points, "utc_now", lambda: now)
        examples.at(monkeypatch, now)
        return now

    set_to(0)
    return set_to


def publish(catalog: Catalog, *points: RestorePoint, restorable: bool = True) -> None:
    for each in points:
        catalog.publish(each)
        if restorable:
            catalog.make_restorable(each.id, "reached")


def state(catalog: Catalog, point: RestorePoint) -> State:
    entry = catalog.entry(point.id)
    assert entry
    return entry.state


@pytest.mark.parametrize("drilled", [False, True])
@pytest.mark.parametrize("restorable", [False, True])
def test_from_that_moment_on(any_catalog: Catalog, at: Any, restorable: bool, drilled: bool) -> None:
    """Whatever it was before: marked, restorable, drilled."""
    point = managed(0)
    publish(any_catalog, point, restorable=restorable)
    if drilled:
        any_catalog.add_drill_report(drill_report(point))
    at(34.999)
    assert state(any_catalog, point) is ((State.DRILLED if drilled else State.RESTORABLE) if restorable else State.MARKED)
    at(35)
    (entry,) = any_catalog.newest(9)
    assert (entry.state, entry.lapsed) == (State.EXPIRED, True)
    assert entry.reason == f"the history of store points is kept until {to_rfc3339(MIDTIME + KEPT)} only"
    assert entry.to_dict()["restorable_until"] == to_rfc3339(MIDTIME + KEPT)


def test_the_shortest_history_counts(any_catalog: Catalog, at: Any) -> None:
    long, short = managed(0), managed(0, kept=timedelta(days=7), store="tables")
    point = long.model_copy(update={"stores": (*long.stores, short.stores[1])})
    publish(any_catalog, point)
    at(7)
    (entry,) = any_catalog.newest(9)
    assert entry.state is State.EXPIRED
    assert "store tables" in entry.reason


def test_what_we_keep_ourselves_never(any_catalog: Catalog, at: Any) -> None:
    publish(any_catalog, days_later(0))
    at(9999)
    assert any_catalog.newest(9)[0].state is State.RESTORABLE


def test_what_was_invalid_says_so(any_catalog: Catalog, at: Any) -> None:
    point = managed(0)
    publish(any_catalog, point)
    any_catalog.invalidate(point.id, "restored in place")
    at(40)
    (entry,) = any_catalog.newest(9)
    assert (entry.state, entry.reason) == (State.INVALID, "restored in place")


def test_latest_is_another_one(any_catalog: Catalog, at: Any) -> None:
    """By its id it may be asked for: the service knows best, for its setting may have been raised since."""
    own, lapsed = days_later(0), managed(1)
    publish(any_catalog, own, lapsed)
    assert any_catalog.resolve("latest") == lapsed
    at(36)
    assert any_catalog.resolve("latest") == own
    assert any_catalog.resolve(lapsed.id) == lapsed


def test_an_older_one_does_not_stand_in_for_it(any_catalog: Catalog, at: Any) -> None:
    """In a backfill: it would report a loss of data that nobody would have had."""
    own, lapsed = days_later(0), managed(1)
    publish(any_catalog, own, lapsed)
    then = MIDTIME + timedelta(days=999)
    assert any_catalog.resolve("latest", at=then) == lapsed
    at(36)
    with pytest.raises(RestorePointNotFoundError, match=r"cannot be restored any more: the history of store points is kept until"):
        any_catalog.resolve("latest", at=then)


class TestRetention:
    def test_it_goes_by_its_age_alone(self, any_catalog: Catalog, at: Any) -> None:
        """It counts as none of the newest, and keeps nobody from being one."""
        first, lapsed, last = managed(0, kept=timedelta(days=99)), managed(1, kept=timedelta(days=7)), managed(20, kept=timedelta(days=99))
        publish(any_catalog, first, lapsed, last)
        any_catalog.add_drill_report(drill_report(lapsed))
        at(30)
        outcome = retain(any_catalog, last=2, days=30)
        assert outcome.kept[lapsed.id].startswith("younger than 30 days; invalid: the history of store points is kept until")
        at(31)
        outcome = retain(any_catalog, last=2, days=30)
        assert list(outcome.removed) == [lapsed.id]
        assert any_catalog.folders() == [last.id, first.id]

    def test_also_where_nothing_else_is_left(self, any_catalog: Catalog, at: Any) -> None:
        """It could not be restored anyway."""
        waiting, lapsed = managed(1), managed(0)
        publish(any_catalog, lapsed)
        publish(any_catalog, waiting, restorable=False)
        at(36)
        assert set(retain(any_catalog, last=7, days=30).removed) == {lapsed.id, waiting.id}
        assert any_catalog.folders() == []

    def test_one_whose_removal_was_begun(self, any_catalog: Catalog, at: Any) -> None:
        """Is removed to the end, whatever its history."""
        lapsed, newer = managed(0), managed(30)
        publish(any_catalog, lapsed, newer)
        any_catalog.mark(lapsed.id, EXPIRED, "older than 30 days")
        at(36)
        assert not any_catalog.newest(9)[1].lapsed
        assert list(retain(any_catalog, last=1, days=60).removed) == [lapsed.id]
