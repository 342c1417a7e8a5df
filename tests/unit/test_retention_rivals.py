"""Retention and whoever begins to restore at the same moment: whatever the order of their steps, nobody restores what is removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from midtime.catalog import Catalog, objects
from midtime.catalog.restore_points import EXPIRED
from midtime.errors import LeaseHeldError
from midtime.model.restore_point import State
from midtime.restoring import Plan
from midtime.retention import RETENTION_LEASE
from tests.unit import retention_examples as examples
from tests.unit.builders import days_later
from tests.unit.every_day import ON_DISK
from tests.unit.fakes import FakeStore
from tests.unit.retention_examples import add, look_whole, planned, reserved, retain
from tests.unit.steps import Stepper, at_operation, stepped

OLD = days_later(1).id


@pytest.fixture(autouse=True)
def setting(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeStore.install(monkeypatch)
    examples.at(monkeypatch)


def settled(catalog: Catalog, plan: Plan, got_it: bool) -> None:
    """Reserved and whole, or refused and free."""
    look_whole(catalog)
    entry, lease = catalog.entry(OLD), catalog.leases.current(plan.lease)
    if got_it:
        assert entry
        assert entry.state is State.RESTORABLE
        assert lease
        assert not lease.released
    else:
        assert lease is None or lease.released
    if lease:
        catalog.leases.release(plan.lease, lease.holder)
    assert OLD in retain(catalog).removed or OLD not in catalog.folders(), "nothing keeps it for ever"


class TestOneInTheMiddleOfTheOther:
    @ON_DISK
    def test_a_restore_at_every_step_of_retention(self, any_catalog: Catalog) -> None:
        won = set()
        for number in count(1):
            add(any_catalog, 1, 99)
            plan, got = planned(any_catalog, OLD), []
            with at_operation(number, lambda: got.append(reserved(any_catalog, plan))) as done:  # noqa: B023
                retain(any_catalog)
            if len(done) < number:
                break
            settled(any_catalog, plan, *got)
            won.add(got[0])
            objects.remove_tree(any_catalog.root)
        assert won == {True, False}

    def test_retention_at_every_step_of_a_restore(self, any_catalog: Catalog) -> None:
        won = set()
        for number in count(1):
            add(any_catalog, 1, 99)
            plan = planned(any_catalog, OLD)
            with at_operation(number, lambda: retain(any_catalog)) as done:
                got = reserved(any_catalog, plan)
            if len(done) < number:
                break
            settled(any_catalog, plan, got)
            won.add(got)
            objects.remove_tree(any_catalog.root)
        assert won == {True, False}

    @ON_DISK
    def test_a_lease_at_every_step_of_ending_what_another_began(self, any_catalog: Catalog) -> None:
        """A restore has its lease for a moment before it finds the mark: what is half removed must not be given back to it."""
        for number in count(1):
            add(any_catalog, 1, 99)
            any_catalog.mark(OLD, EXPIRED, "old")
            objects.remove_tree(any_catalog.folder(OLD) / "accounts" / "1.dat")
            with at_operation(number, lambda: any_catalog.leases.acquire("restore-r", "r", details={"restore_point": OLD})) as done:
                retain(any_catalog)
            look_whole(any_catalog)
            objects.remove_tree(any_catalog.root)
            if len(done) < number:
                break


class TestInTurns:
    """The one stops at some step while the other goes some steps and stops, then both go on: orders with three changes.

    :param apart: from one step that is tried to the next; with 1 these are all orders
    """

    @pytest.mark.parametrize("apart", [2, pytest.param(1, marks=pytest.mark.long)])
    @pytest.mark.parametrize("first", ["retention", "restore"])
    def test_of_steps(self, first: str, apart: int, memory_catalogs: Iterator[Catalog]) -> None:
        won = []
        for number in count(1, apart):
            for other in count(1, apart):
                catalog = next(memory_catalogs)
                add(catalog, 1, 99)
                plan = planned(catalog, OLD)
                works: list[Callable[[], Any]] = [lambda: retain(catalog), lambda: reserved(catalog, plan)]  # noqa: B023
                stepper = Stepper(number, other)
                with stepped(stepper):
                    results = stepper.run(*(works if first == "retention" else reversed(works)))
                got = results[1] if first == "retention" else results[0]
                settled(catalog, plan, got)
                won.append(got)
                if stepper.steps["second"] < other:
                    break
            if stepper.steps["first"] < number:
                break
        assert set(won) == {True, False}
        assert len(won) > 50, len(won)


class TestLostLease:
    @ON_DISK
    def test_a_second_retention_at_every_step_of_one_that_stood_still(self, any_catalog: Catalog) -> None:
        """Its lease ran out; the second one and a restore have come and gone when it wakes."""
        for number in count(1):
            add(any_catalog, 1, 2, 99)
            plan = planned(any_catalog, OLD)

            def rivals() -> None:
                if lease := any_catalog.leases.current(RETENTION_LEASE):
                    any_catalog.leases.renew(lease, timedelta(minutes=-1)) if not lease.released else None
                retain(any_catalog, holder="another airflow")
                reserved(any_catalog, plan)  # noqa: B023

            with at_operation(number, rivals) as done:
                try:
                    retain(any_catalog)
                except LeaseHeldError as error:
                    assert "lost" in error.message or "another airflow" in error.message  # noqa: PT017
            look_whole(any_catalog)
            any_catalog.leases.release(plan.lease, "restore/r")
            retain(any_catalog, holder="the next")
            assert any_catalog.folders() == [days_later(99).id]
            objects.remove_tree(any_catalog.root)
            if len(done) < number:
                break
