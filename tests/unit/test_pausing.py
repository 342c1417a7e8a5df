"""The leases of a window: taken in time, ours until its end, and given back by nobody else's late waking up."""

from __future__ import annotations

import threading
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from midtime import pausing
from midtime.catalog import objects
from midtime.catalog.pause_leases import AT_ONCE, PauseLeases
from midtime.errors import ArmingError
from midtime.model.instants import from_rfc3339, utc_now
from midtime.pausing import LEASE_MARGIN, Pausing, taking_time
from tests.unit.pause_examples import RUN, endpoint, open_leases, paused_topology
from tests.unit.processes import PATIENCE

DEADLINE = timedelta(seconds=30)
ALL_OPEN: Any = SimpleNamespace(is_open=lambda _: True)
"""A guard that has unpaused everything."""


@pytest.fixture
def leases(destination: str) -> PauseLeases:
    return PauseLeases(destination)


def of(destination: str, count: int = 3, **details: Any) -> Pausing:
    addresses = [f"10.0.0.{number}:1" for number in range(count)]
    topology = paused_topology(destination, *addresses, pause={"drain": "10s", "hold": "10s", "deadline": "30s"})
    return Pausing(topology, RUN, groups=[[endpoint(each) for each in addresses]], **details)


def later(monkeypatch: pytest.MonkeyPatch, time: timedelta) -> None:
    """Let so much time pass for whoever pauses."""
    monkeypatch.setattr(pausing, "utc_now", lambda: utc_now() + time)


def test_they_last_until_right_after_the_deadline(destination: str, leases: PauseLeases) -> None:
    window, before = of(destination), utc_now()
    window.take_leases()
    window.confirm_leases()
    for lease in open_leases(leases).values():
        earliest = before + DEADLINE + LEASE_MARGIN
        assert earliest <= lease.expires_at <= utc_now() + DEADLINE + LEASE_MARGIN + taking_time(3)
        assert from_rfc3339(lease.details["deadline"]) == lease.expires_at
        assert before + timedelta(seconds=10) < from_rfc3339(lease.details["settled"]) < lease.expires_at


@pytest.mark.fault(
    "The object store is so slow that the first leases run out before the last is taken", "Nothing is paused; the run fails and says why."
)
def test_taking_them_took_too_long(destination: str, monkeypatch: pytest.MonkeyPatch) -> None:
    window = of(destination)
    window.take_leases()
    later(monkeypatch, taking_time(3) - timedelta(seconds=2))
    window.confirm_leases()
    later(monkeypatch, taking_time(3))
    with pytest.raises(ArmingError, match="nothing was paused"):
        window.confirm_leases()


def test_a_thousand_have_more_time() -> None:
    assert taking_time(1000) > taking_time(3) + timedelta(seconds=10)
    assert taking_time(1000) < timedelta(minutes=1)  # the sweeper comes only then


@pytest.mark.parametrize("what", ["given back", "another try's"])
def test_one_is_not_ours_any_more(destination: str, leases: PauseLeases, what: str) -> None:
    window = of(destination)
    window.take_leases()
    leases.release(["10.0.0.1:1"], holder=RUN, window=window.id)  # the sweeper, while this process stood still
    if what == "another try's":
        second = of(destination, try_number=2)
        second.groups = [window.groups[0][1:2]]
        second.take_leases()
    with pytest.raises(ArmingError, match=r"10\.0\.0\.1:1 is not leased by this window any more"):
        window.confirm_leases()


def test_many_are_taken_at_once(destination: str, leases: PauseLeases, monkeypatch: pytest.MonkeyPatch) -> None:
    real, meet = objects.create, threading.Barrier(32)

    def slow(*arguments: Any) -> None:
        meet.wait(PATIENCE)
        real(*arguments)

    monkeypatch.setattr(objects, "create", slow)
    of(destination, 64).take_leases()
    assert len(open_leases(leases)) == 64
    assert AT_ONCE >= 32


def test_a_first_try_that_wakes_up_late_leaves_the_second_one_s(destination: str, leases: PauseLeases) -> None:
    first, second = of(destination), of(destination, try_number=2)
    first.take_leases()
    leases.release([each.address for each in first.endpoints], holder=RUN, window=first.id)  # the sweeper, while it stood still
    second.take_leases()
    first.release_leases(ALL_OPEN)
    assert {lease.details["window"] for lease in open_leases(leases).values()} == {second.id}
    second.release_leases(ALL_OPEN)
    assert open_leases(leases) == {}
