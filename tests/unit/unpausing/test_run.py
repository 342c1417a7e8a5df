"""A run unpauses what it paused, and ends the window of a plain chain."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from midtime.catalog import objects
from midtime.catalog.pause_leases import PauseLeases
from midtime.errors import (
    CatalogError,
    DestinationError,
    LeaseHeldError,
    StillPausedError,
    WindowVoidError,
)
from midtime.model.instants import to_rfc3339, utc_now
from midtime.model.topology import Topology
from midtime.scalar.double import Double
from midtime.scalar.endpoint import Endpoint
from midtime.unpausing import close_window, require_open, unpause_run
from tests.unit.pause_examples import RUN, given_back, left, open_leases, paused_topology
from tests.unit.unpausing.examples import NOBODY, closed, journal, pause


class TestUnpauseRun:
    @pytest.mark.fault(
        "The pausing task and its watchdog are both killed", "The unpausing task of the run unpauses what the run's leases name."
    )
    def test_before_its_lease_has_run_out(self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]) -> None:
        left(leases, *ends, ended=-30)
        pause(double)
        assert sorted(unpause_run(bank, RUN)) == sorted(f"{each} unpaused: {RUN}" for each in ends)
        assert closed(double) == [False] * 3
        assert given_back(leases, double.addresses)

    def test_again(self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]) -> None:
        left(leases, *ends, ended=-30)
        unpause_run(bank, RUN)
        pause(double)
        assert unpause_run(bank, RUN) == []
        assert closed(double) == [True] * 3

    @pytest.mark.usefixtures("short")
    def test_one_that_does_not_answer(self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]) -> None:
        left(leases, *ends, ended=-30)
        pause(double)
        double.control(refuse=True, endpoint=2)
        with pytest.raises(StillPausedError, match="could not be unpaused") as caught:
            unpause_run(bank, RUN)
        assert caught.value.retryable
        assert closed(double) == [False, False, True]
        double.control(refuse=False)

    def test_leases_that_cannot_be_read_are_no_leases_given_back(
        self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        left(leases, *ends[:2], ended=-30)
        pause(double)
        real = objects.read

        def fail(path: Any) -> bytes:
            if str(double.ports[0]) in str(path):
                raise DestinationError("it does not answer")
            return real(path)

        monkeypatch.setattr(objects, "read", fail)
        with pytest.raises(DestinationError):
            unpause_run(bank, RUN)
        assert closed(double) == [True, False, True]

    def test_an_unreadable_one_of_ours(self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]) -> None:
        objects.create(leases.folder(ends[0].address) / "pause.1.json", b"{")
        with pytest.raises(CatalogError, match="unreadable"):
            unpause_run(bank, RUN)

    def test_an_unreadable_one_of_others(self, bank: Topology, leases: PauseLeases) -> None:
        objects.create(leases.folder("10.9.9.9:1") / "pause.1.json", b"{")
        assert unpause_run(bank, RUN) == []

    def test_while_somebody_else_is_at_it(self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]) -> None:
        left(leases, ends[0])
        address = ends[0].address
        leases.take_over(address, open_leases(leases)[address], by="process 7 on host", ttl=timedelta(seconds=30))
        with pytest.raises(LeaseHeldError, match="is being unpaused by process 7 on host") as caught:
            unpause_run(bank, RUN)
        assert caught.value.retryable


class TestRequireOpen:
    def test_open(self, bank: Topology) -> None:
        assert require_open(bank) == ["3 of 3 endpoints are not paused"]

    def test_what_somebody_else_paused_is_named_and_left(self, double: Double, bank: Topology, ends: list[Endpoint]) -> None:
        pause(double, 1)
        assert require_open(bank) == [f"{ends[1]}: paused by somebody else, and left so"]
        assert closed(double) == [False, True, False]

    def test_one_that_does_not_answer(self, double: Double, destination: str) -> None:
        (said,) = require_open(paused_topology(destination, NOBODY))
        assert said.startswith("not every endpoint could be asked: ")


class TestCloseWindow:
    """The end of a plain chain."""

    @pytest.fixture
    def begun(self, double: Double, leases: PauseLeases, ends: list[Endpoint]) -> dict[str, Any]:
        left(leases, *ends, ended=-30)
        pause(double)
        now = utc_now()
        return {
            "id": "w1",
            "start": to_rfc3339(now - timedelta(seconds=1)),
            "deadline": to_rfc3339(now + timedelta(seconds=60)),
            "endpoints": [each.to_dict() for each in ends],
        }

    def test_good(self, double: Double, bank: Topology, leases: PauseLeases, begun: dict[str, Any]) -> None:
        before = utc_now()
        said = close_window(bank, RUN, begun)
        assert said["window"]["start"] == begun["start"]
        assert to_rfc3339(before) <= said["window"]["end"]
        assert said["window"]["end"] < to_rfc3339(utc_now())
        assert (said["kind"], len(said["unpaused"]), said["endpoints"]) == ("pause window", 3, begun["endpoints"])
        assert closed(double) == [False] * 3
        assert given_back(leases, double.addresses)

    def void(self, double: Double, bank: Topology, begun: dict[str, Any], match: str) -> None:
        with pytest.raises(WindowVoidError, match=match):
            close_window(bank, RUN, begun)
        assert closed(double) == [False] * 3

    @pytest.mark.fault(
        "Plain chain: somebody unpauses in mid-window", "The window proves nothing and the chain fails; all endpoints are unpaused."
    )
    def test_one_was_unpaused(self, double: Double, bank: Topology, leases: PauseLeases, begun: dict[str, Any]) -> None:
        double.control(foreign="unpause", endpoint=1)
        self.void(double, bank, begun, "an endpoint was unpaused, restarted or given up")
        assert given_back(leases, double.addresses)

    def test_one_was_given_up_by_the_sweeper(self, double: Double, bank: Topology, leases: PauseLeases, begun: dict[str, Any]) -> None:
        leases.release(double.addresses[:1], holder=RUN, window="w1")
        double.control(foreign="unpause", endpoint=0)
        self.void(double, bank, begun, "an endpoint was unpaused, restarted or given up")

    def test_the_watchdog_unpaused_one_and_somebody_paused_it(self, double: Double, bank: Topology, begun: dict[str, Any]) -> None:
        journal("w1", double.addresses[0])
        with pytest.raises(WindowVoidError):
            close_window(bank, RUN, begun)
        assert closed(double) == [True, False, False]

    def test_after_the_deadline(self, double: Double, bank: Topology, begun: dict[str, Any]) -> None:
        self.void(double, bank, begun | {"deadline": to_rfc3339(utc_now() - timedelta(seconds=1))}, "its deadline had passed")

    def test_a_second_time(self, double: Double, bank: Topology, begun: dict[str, Any]) -> None:
        """A retry of the task that ended the window may not take its first try's unpausing for a proof."""
        close_window(bank, RUN, begun)
        self.void(double, bank, begun, "an endpoint was unpaused")

    def test_another_window_of_the_same_run(self, double: Double, bank: Topology, begun: dict[str, Any]) -> None:
        with pytest.raises(WindowVoidError):
            close_window(bank, RUN, begun | {"id": "w0"})
        assert closed(double) == [True] * 3

    @pytest.mark.usefixtures("short")
    def test_one_is_unreachable(self, double: Double, bank: Topology, begun: dict[str, Any]) -> None:
        double.control(refuse=True, endpoint=0)
        with pytest.raises(StillPausedError, match="could not be unpaused"):
            close_window(bank, RUN, begun)
        assert closed(double) == [True, False, False]
