"""Retention that was killed, or is not alone: nothing half looks whole, and the next run ends what was begun."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from midtime.catalog import Catalog, drill_reports, objects
from midtime.catalog.restore_points import EXPIRED, MANIFEST
from midtime.errors import LeaseHeldError, RestorePointNotFoundError
from midtime.model.restore_point import State
from midtime.retention import RETENTION_LEASE, Retention
from tests.unit import retention_examples as examples
from tests.unit.builders import days_later, drill_report
from tests.unit.every_day import ON_DISK
from tests.unit.fakes import FakeStore
from tests.unit.retention_examples import add, look_whole, retain, with_artifacts
from tests.unit.steps import Killed, at_operation, kill


@pytest.fixture(autouse=True)
def setting(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeStore.install(monkeypatch)
    examples.at(monkeypatch)


class TestExpired:
    """What a killed retention leaves is nobody's restore point, and the next one's work."""

    @pytest.fixture
    def marked(self, any_catalog: Catalog) -> Catalog:
        add(any_catalog, 1, 2, 99)
        any_catalog.mark(days_later(2).id, EXPIRED, "older than 30 days")
        return any_catalog

    def test_is_shown(self, marked: Catalog) -> None:
        entry = marked.entry(days_later(2).id)
        assert entry
        assert (entry.state, entry.reason, entry.restore_point) == (State.EXPIRED, "older than 30 days", with_artifacts(2))

    def test_is_not_used(self, marked: Catalog) -> None:
        with pytest.raises(RestorePointNotFoundError, match="has expired and is being removed: older than 30 days"):
            marked.resolve(days_later(2).id)
        marked.invalidate(days_later(99).id, "torn")
        assert marked.resolve("latest").id == days_later(1).id

    @pytest.mark.parametrize("raw", [b"", b"[]", b"{}"])
    def test_an_unreadable_mark_is_a_mark(self, marked: Catalog, raw: bytes) -> None:
        objects.replace(marked.folder(days_later(2).id) / EXPIRED, raw)
        assert [entry.state for entry in marked.entries()] == [State.RESTORABLE, State.EXPIRED, State.RESTORABLE]

    def test_outweighs_invalid_and_unreadable(self, marked: Catalog) -> None:
        marked.invalidate(days_later(2).id, "torn")
        objects.replace(marked.folder(days_later(2).id) / MANIFEST, b"")
        entry = marked.entry(days_later(2).id)
        assert entry
        assert (entry.state, entry.restore_point) == (State.EXPIRED, None)

    def test_is_finished_whatever_the_rules_say_by_now(self, marked: Catalog) -> None:
        assert list(retain(marked, days=200, last=9).removed) == [days_later(2).id]

    def test_is_finished_without_its_manifest(self, marked: Catalog) -> None:
        marked.add_drill_report(drill_report(days_later(2)))
        objects.remove_tree(marked.folder(days_later(2).id) / MANIFEST)
        assert list(retain(marked, days=200).removed) == [days_later(2).id]
        assert marked.folders() == [days_later(99).id, days_later(1).id]
        assert [found.restore_point for found in drill_reports.every(marked)] == [days_later(2).id], "a report was left"

    def test_waits_for_whoever_works_with_it(self, marked: Catalog) -> None:
        """It is not ours to take back: whoever wrote it may have removed half of the artifacts."""
        marked.leases.acquire("drill-abcdef", "drill/1", details={"restore_point": days_later(2).id})
        assert days_later(2).id in retain(marked, days=200).kept
        entry = marked.entry(days_later(2).id)
        assert entry
        assert entry.state is State.EXPIRED

    def test_stays_when_nothing_newer_is_left(self, marked: Catalog) -> None:
        marked.invalidate(days_later(99).id, "torn")
        assert days_later(2).id in retain(marked, days=60).kept

    def test_stays_when_it_was_drilled_last(self, marked: Catalog) -> None:
        """A drill that ran when it was marked by somebody who then died."""
        marked.add_drill_report(drill_report(days_later(2)))
        assert days_later(2).id in retain(marked, days=200).kept


@ON_DISK
def test_killed_anywhere(any_catalog: Catalog) -> None:
    """At every operation on an object: what looks whole is whole, and the next run ends what this one began."""
    number = 0
    while True:
        number += 1
        add(any_catalog, 1, 2, 99, drilled=True)
        any_catalog.invalidate(days_later(2).id, "torn")
        died = False
        with at_operation(number, kill) as done:
            try:
                retain(any_catalog)
            except Killed:
                died = True
        look_whole(any_catalog)
        assert any_catalog.resolve("latest").id == days_later(99).id
        if lease := any_catalog.leases.current(RETENTION_LEASE):
            any_catalog.leases.release(RETENTION_LEASE, lease.holder)
        retain(any_catalog, holder="retention/2")
        assert any_catalog.folders() == [days_later(99).id], done[-1]
        assert {found.restore_point for found in drill_reports.every(any_catalog)} == {days_later(day).id for day in (1, 2, 99)}
        objects.remove_tree(any_catalog.root)
        if not died:
            break
    assert number > 40


class TestTwoAtOnce:
    def test_the_second_leaves_it(self, any_catalog: Catalog) -> None:
        add(any_catalog, 1, 99)
        any_catalog.leases.acquire(RETENTION_LEASE, "another airflow")
        assert retain(any_catalog).removed == {}
        assert len(any_catalog.folders()) == 2

    def test_the_lease_is_given_back(self, any_catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        add(any_catalog, 1, 99)
        retain(any_catalog)
        lease = any_catalog.leases.current(RETENTION_LEASE)
        assert lease
        assert lease.released

    def test_one_that_lost_its_lease_goes_no_further(self, any_catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        add(any_catalog, 1, 2, 3, 99)
        real = Retention._finish

        def slowly(self: Retention, decision: Any) -> None:
            lease = any_catalog.leases.current(RETENTION_LEASE)
            assert lease
            any_catalog.leases.renew(lease, timedelta(minutes=-1))
            any_catalog.leases.acquire(RETENTION_LEASE, "another airflow")
            real(self, decision)

        monkeypatch.setattr(Retention, "_finish", slowly)
        with pytest.raises(LeaseHeldError, match="lost to another airflow"):
            retain(any_catalog)
        assert any_catalog.folders() == [days_later(day).id for day in (99, 2, 1)]
        assert [entry.state for entry in any_catalog.entries()] == [State.RESTORABLE, State.EXPIRED, State.RESTORABLE], "one mark, no more"

    @ON_DISK
    def test_anywhere(self, any_catalog: Catalog) -> None:
        """A whole second run, before each operation of the first one."""
        number = 0
        while True:
            number += 1
            add(any_catalog, 1, 2, 99)
            with at_operation(number, lambda: retain(any_catalog, holder="another airflow")) as done:
                retain(any_catalog)
            look_whole(any_catalog)
            retain(any_catalog)
            assert any_catalog.folders() == [days_later(99).id]
            objects.remove_tree(any_catalog.root)
            if len(done) < number:
                return
