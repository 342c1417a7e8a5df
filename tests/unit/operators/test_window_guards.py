"""Small guards around a window: a stuck endpoint's lease stays, and what was said in another window counts for nothing in this one."""

from __future__ import annotations

import time
from typing import Any

import pytest

from midtime.catalog.pause_leases import PauseLeases
from midtime.errors import WindowVoidError
from midtime.operators.meeting import Guest, Host
from midtime.scalar.double import Double
from tests.unit.operators.tasks import Hub, wait_until
from tests.unit.operators.test_window import armable, double, hub, run_all, topology  # noqa: F401 - fixtures
from tests.unit.pause_examples import given_back, open_leases


@pytest.mark.fault("An endpoint cannot be unpaused", "its lease stays open, so the unpausing task and the sweeper know of it")
def test_the_lease_of_a_stuck_endpoint_stays(hub: Hub, double: Double, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr("midtime.scalar.guard.PATIENCE", 0.3)
    double.control(endpoint=1, unpause={"fail": "INTERNAL"})
    run_all(hub)
    assert hub.errors == {}
    leases = PauseLeases(hub.topology.destination)
    assert list(open_leases(leases)) == [double.addresses[1]]
    assert given_back(leases, [double.addresses[0]])
    evidence = hub.results["pause"]
    assert evidence["unpaused"] == {"by": "nobody yet and the pausing task", "at": None}
    assert evidence["seconds_paused"] is None
    double.control(endpoint=1, unpause=None)
    wait_until(lambda: not double.paused)  # the watchdog goes on trying


class Meetings:
    """A window's host and a guest of it, over one hub."""

    def __init__(self, hub: Hub) -> None:  # noqa: F811
        self.hub = hub
        hub.states |= {"pause": "running", "dump_accounts": "running"}
        self.host = Host(hub.context("pause"), "w1", ["dump_accounts"])
        self.guest = Guest(hub.context("dump_accounts"), "pause")

    def window(self, **said: Any) -> None:
        self.hub.xcoms["pause", "window"] = said


@pytest.fixture
def meetings(hub: Hub) -> Meetings:  # noqa: F811
    return Meetings(hub)


def test_a_report_of_another_window_is_none(meetings: Meetings) -> None:
    meetings.hub.xcoms["dump_accounts", "captured"] = {"window": "w0", "store": "accounts"}
    assert meetings.host.captured() == {}
    meetings.hub.xcoms["dump_accounts", "captured"] = {"window": "w1", "store": "accounts"}
    assert list(meetings.host.captured()) == ["dump_accounts"]


class TestClosed:
    @pytest.fixture
    def opened(self, meetings: Meetings, monkeypatch: pytest.MonkeyPatch) -> Meetings:
        """The guest is in the window ``w1``."""
        monkeypatch.setattr(meetings.guest, "_opened", ("w1", time.monotonic()))
        return meetings

    def test_this_window(self, opened: Meetings) -> None:
        opened.window(id="w1", state="closed", midtime="2026-11-21T00:00:00Z")
        assert opened.guest.wait_closed("w1") == "2026-11-21T00:00:00Z"

    def test_another_window(self, opened: Meetings) -> None:
        """The pausing task was cleared and ran again; its second window is good, and says nothing about what was captured in the first."""
        opened.window(id="w2", state="closed", midtime="2026-11-21T00:00:00Z")
        with pytest.raises(WindowVoidError, match="another one was opened"):
            opened.guest.wait_closed("w1")
