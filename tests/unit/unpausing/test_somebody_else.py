"""Nothing that may be somebody else's is unpaused: another window's, a person's, a rival sweeper's."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from midtime import lifting, unpausing
from midtime.catalog import objects
from midtime.catalog.pause_leases import PauseLeases
from midtime.errors import (
    StillPausedError,
)
from midtime.model.topology import Topology
from midtime.pausing import journal_of
from midtime.scalar.double import Double
from midtime.scalar.endpoint import Endpoint
from midtime.scalar.watchdog import Watchdog
from midtime.scalar.watchdog_process import SEEN_SECONDS
from midtime.unpausing import unpause_run
from tests.unit.pause_examples import RUN, given_back, left, open_leases
from tests.unit.unpausing.examples import be_later, closed, journal, pause, sweep


class TestSomebodyElse:
    @pytest.mark.fault(
        "The watchdog unpaused, and somebody else has paused since", "The watchdog's journal says so: their pause is not lifted."
    )
    def test_what_the_watchdog_opened_is_not_lifted_again(
        self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]
    ) -> None:
        left(leases, *ends[:2])
        journal("w1", ends[0].address)
        journal("w2", ends[1].address)
        pause(double)
        done, alarm = sweep(bank)
        assert closed(double) == [True, False, True]
        assert alarm is None
        assert f"{ends[0]} was unpaused by the watchdog of {RUN}" in done
        assert given_back(leases, double.addresses[:2])

    @pytest.mark.usefixtures("short")
    def test_the_journal_stays_for_those_that_are_lifted_later(
        self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]
    ) -> None:
        left(leases, *ends[:2])
        journal("w1", ends[0].address, ends[1].address)
        refused = leases.folder(ends[1].address) / "pause.1.json"
        kept = objects.read(refused)
        objects.replace(refused, b"{")
        assert sweep(bank)[1] is not None
        objects.replace(refused, kept)
        pause(double, 1)
        sweep(bank)
        assert closed(double)[1] is True

    def test_paused_again_right_after_is_left_so(self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]) -> None:
        left(leases, ends[0])
        pause(double, 0)
        double.control(lie={"check_paused": True}, endpoint=0)
        done, _ = sweep(bank)
        (said,) = done
        assert said.startswith(f"{ends[0]} IS PAUSED AND LEFT SO: it was unpaused ({RUN}), and paused again at once by somebody else")
        assert "`midtime unpause bank`" in said
        assert len(double.calls("unpause")) == 1

    def test_another_window_s_lease_is_not_touched(self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]) -> None:
        left(leases, ends[0], holder="another run", ended=-30)
        left(leases, ends[1])
        before = leases.current(ends[0].address)
        pause(double)
        sweep(bank)
        unpause_run(bank, RUN)
        assert closed(double) == [True, False, True]
        assert leases.current(ends[0].address) == before

    @pytest.mark.fault(
        "Two sweeps run at once, and a new window opens between them", "Only one of them lifts; the new window is not touched."
    )
    def test_a_slow_sweeper_does_not_lift_the_next_window(
        self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        left(leases, ends[0])
        pause(double, 0)
        real = lifting.lift

        def late(*arguments: Any) -> Any:
            monkeypatch.setattr(unpausing, "lift", real)
            assert sweep(bank) == ([f"{ends[0]} unpaused: {RUN}"], None)
            left(leases, ends[0], holder="the next run", ended=-30)
            pause(double, 0)
            return real(*arguments)

        monkeypatch.setattr(unpausing, "lift", late)
        done, alarm = sweep(bank)
        assert closed(double)[0] is True
        assert alarm is None
        assert "is being unpaused by somebody else" in done[0]
        assert open_leases(leases)[ends[0].address].holder == "the next run"

    def test_two_sweepers_at_once(self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]) -> None:
        for number in range(5):
            left(leases, *ends, window=f"w{number}")
            pause(double)
            meet = threading.Barrier(2)

            def one(_: int, meet: threading.Barrier = meet) -> tuple[list[str], StillPausedError | None]:
                meet.wait()
                return sweep(bank)

            with ThreadPoolExecutor(2) as pool:
                (first, alarm), (second, other) = pool.map(one, range(2))
            assert (alarm, other) == (None, None)
            assert closed(double) == [False] * 3
            assert sorted(line for line in first + second if " unpaused: " in line) == sorted(f"{each} unpaused: {RUN}" for each in ends)
            assert given_back(leases, double.addresses)

    def test_a_sweeper_that_died_at_it_is_followed(self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]) -> None:
        left(leases, ends[0])
        address = ends[0].address
        assert leases.take_over(address, open_leases(leases)[address], by="it", ttl=timedelta(seconds=30))
        pause(double, 0)
        assert sweep(bank) == ([], None)
        assert closed(double)[0] is True
        be_later(leases, ends[0])
        assert sweep(bank) == ([f"{ends[0]} unpaused: {RUN}"], None)


class TestNextWindow:
    """An endpoint is not given back before a watchdog that stays has seen it open: the next window's Pause would pass for ours."""

    @pytest.mark.fault(
        "The next window pauses right after a plain chain has ended",
        "The watchdog of the plain chain, which stays, has seen the endpoint open by then: it does not lift the next window.",
    )
    def test_a_watchdog_that_stays_does_not_lift_it(
        self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lifting, "SEEN_SECONDS", SEEN_SECONDS)
        dog = Watchdog(ends[:1], journal=journal_of("w1"))
        dog.start()
        deadline = time.monotonic() + SEEN_SECONDS + 3
        dog.about_to_pause({ends[0].address: time.monotonic()}, deadline)
        left(leases, ends[0], ended=-30)
        pause(double, 0)
        dog.answered([ends[0].address])
        dog.stay()
        dog.close()
        assert unpause_run(bank, RUN) == [f"{ends[0]} unpaused: {RUN}"]
        assert given_back(leases, double.addresses[:1])
        pause(double, 0)
        assert dog.unpaused() == {ends[0].address}  # it has found it open
        time.sleep(max(0.0, deadline + 1 - time.monotonic()))
        assert closed(double)[0] is True

    def test_the_lease_stays_for_so_long(
        self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lifting, "SEEN_SECONDS", 1.5)
        left(leases, ends[0])
        pause(double, 0)
        real, given = PauseLeases.release, []

        def release(*arguments: Any, **more: Any) -> None:
            given.append(time.monotonic())
            real(*arguments, **more)

        monkeypatch.setattr(PauseLeases, "release", release)
        sweep(bank)
        assert given[0] - double.calls("unpause")[0]["at"] >= 1.5
