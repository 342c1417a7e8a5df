"""The second line of defence: what dead windows left paused is unpaused, and what cannot be is told."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from midtime import finding, lifting, unpausing
from midtime.catalog import objects
from midtime.catalog.pause_leases import PauseLeases
from midtime.errors import (
    DestinationError,
)
from midtime.model.topology import Topology
from midtime.pausing import journal_of
from midtime.scalar.double import Double
from midtime.scalar.endpoint import Endpoint, TlsFiles
from midtime.unpausing import MAY_LIFT, sweep_pauses
from tests.unit.pause_examples import RUN, endpoint, given_back, left, open_leases, paused_topology
from tests.unit.processes import PATIENCE, until
from tests.unit.unpausing.examples import IDENTITY, LATE, NOBODY, be_later, closed, journal, pause, sweep


class TestSweep:
    @pytest.mark.fault(
        "The worker's host dies in mid-window, watchdog and all",
        "midtime__sweep unpauses what the window's leases name within about a minute of their deadline.",
    )
    def test_what_an_expired_lease_names_is_unpaused(
        self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]
    ) -> None:
        left(leases, *ends)
        pause(double)
        done, alarm = sweep(bank)
        assert (closed(double), alarm) == ([False] * 3, None)
        assert sorted(done) == sorted(f"{each} unpaused: {RUN}" for each in ends)
        assert given_back(leases, double.addresses)
        assert sweep(bank) == ([], None)

    def test_a_window_that_may_be_alive_is_left_alone(
        self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]
    ) -> None:
        left(leases, *ends, ended=-30)
        pause(double)
        assert sweep(bank) == ([], None)
        assert closed(double) == [True] * 3
        assert len(open_leases(leases)) == 3

    def test_what_has_no_lease_is_somebody_else_s(self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]) -> None:
        left(leases, ends[0])
        pause(double)
        sweep(bank)
        assert closed(double) == [False, True, True]

    def test_what_is_open_is_only_given_back(self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]) -> None:
        left(leases, ends[0])
        assert sweep(bank) == ([f"{ends[0]} is not paused: {RUN}"], None)
        assert double.calls("unpause") == []
        assert given_back(leases, double.addresses[:1])

    @pytest.mark.fault(
        "A Pause is carried out late, after the window and its worker have died",
        "The endpoint is watched until the drain limit has passed, and unpaused again.",
    )
    def test_a_pause_that_is_still_on_its_way(self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]) -> None:
        left(leases, ends[0], settled=3)
        threading.Timer(0.5, lambda: pause(double, 0)).start()
        done, alarm = sweep(bank)
        assert (closed(double)[0], alarm) == (False, None)
        assert done == [f"{ends[0]} unpaused: {RUN}"]

    @pytest.mark.fault(
        "The topology's file is gone or broken when its window is swept", "The lease says enough: it is unpaused all the same."
    )
    def test_a_topology_that_is_gone(
        self, double: Double, leases: PauseLeases, ends: list[Endpoint], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MIDTIME_LEASES", leases.place)
        left(leases, replace(ends[0], identity=IDENTITY))
        pause(double, 0)
        done, alarm = sweep()
        assert (closed(double)[0], alarm, len(done)) == (False, None, 1)

    def test_a_product_that_is_gone_from_its_topology(
        self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]
    ) -> None:
        left(leases, replace(ends[0], product="renamed", identity=IDENTITY))
        pause(double, 0)
        sweep(bank)
        assert closed(double)[0] is False

    def test_places_of_several_topologies(self, double: Double, destination: str) -> None:
        banks = [
            paused_topology(f"{destination}/{number}", address, name=f"bank-{number}") for number, address in enumerate(double.addresses)
        ]
        for each, address in zip(banks, double.addresses, strict=True):
            left(PauseLeases(each.destination), endpoint(address))
        pause(double)
        objects.replace(objects.open_destination(destination) / "1" / ".pauses" / "x" / "pause.1.json", b"{")
        done, alarm = sweep(*banks, paused_topology("nosuchscheme://bucket", NOBODY, name="lost"))
        assert closed(double) == [False] * 3
        assert len(done) == 3
        assert alarm is not None
        assert "nosuchscheme" in alarm.message
        assert "x is leased, and may be paused" in alarm.message


class TestAlarm:
    @pytest.mark.usefixtures("short")
    @pytest.mark.fault(
        "An endpoint cannot be reached when it must be unpaused",
        "The others are unpaused; the sweep fails every minute until it is reachable, and unpauses it then.",
    )
    def test_one_that_does_not_answer_keeps_no_other_paused(
        self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]
    ) -> None:
        left(leases, *ends)
        pause(double)
        double.control(refuse=True, endpoint=1)
        done, alarm = sweep(bank)
        assert closed(double) == [False, True, False]
        assert len(done) == 2
        assert alarm is not None
        assert alarm.message.startswith(f"{ends[1]}, paused by {RUN}, could not be unpaused: ")
        assert "`midtime unpause bank`" in alarm.fix
        assert list(open_leases(leases)) == [ends[1].address]
        double.control(refuse=False, endpoint=1)
        be_later(leases, ends[1])
        assert sweep(bank) == ([f"{ends[1]} unpaused: {RUN}"], None)

    @pytest.mark.usefixtures("short")
    def test_one_whose_tls_file_is_not_here(self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]) -> None:
        left(leases, replace(ends[0], tls=TlsFiles(ca="/nowhere/ca.pem")), ends[1])
        pause(double)
        _, alarm = sweep(bank)
        assert closed(double) == [True, False, True]
        assert alarm is not None
        assert "/nowhere/ca.pem" in alarm.message

    @pytest.mark.fault(
        "An endpoint was left paused for more than ten minutes after its deadline",
        "It is not lifted, as it may be somebody else's by now; the alarm names it, the run that paused it, and `midtime unpause`.",
    )
    def test_too_late_to_be_surely_ours(self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]) -> None:
        left(leases, ends[0], ended=LATE)
        left(leases, ends[1])
        pause(double)
        _, alarm = sweep(bank)
        assert closed(double) == [True, False, True]
        assert alarm is not None
        for said in (str(ends[0]), RUN, "not lifted", "`midtime unpause bank`", "docs/runbooks/stuck-pause.md"):
            assert said in str(alarm)
        assert list(open_leases(leases)) == [ends[0].address]

    def test_just_in_time(self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]) -> None:
        left(leases, ends[0], ended=MAY_LIFT.total_seconds() - 60)
        pause(double)
        assert sweep(bank)[1] is None
        assert closed(double)[0] is False

    def test_an_attempt_that_died_does_not_prolong_it(
        self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]
    ) -> None:
        left(leases, ends[0], ended=LATE)
        leases.take_over(ends[0].address, open_leases(leases)[ends[0].address], by="a dead sweeper", ttl=timedelta(seconds=-1))
        pause(double)
        assert sweep(bank)[1] is not None
        assert closed(double)[0] is True

    def test_too_late_and_open(self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]) -> None:
        left(leases, ends[0], ended=LATE)
        assert sweep(bank) == ([f"{ends[0]} is open; the lease of {RUN} was left"], None)
        assert given_back(leases, double.addresses[:1])

    @pytest.mark.usefixtures("short")
    def test_too_late_and_unreachable(self, double: Double, destination: str, leases: PauseLeases) -> None:
        left(leases, endpoint(NOBODY), ended=LATE)
        _, alarm = sweep(paused_topology(destination, NOBODY))
        assert alarm is not None
        assert f"{endpoint(NOBODY)} may be paused by {RUN}, and cannot be asked" in alarm.message
        assert "`midtime unpause bank`" in alarm.fix
        assert list(open_leases(leases)) == [NOBODY]

    @pytest.mark.parametrize("content", [b"{", b"{}"])
    def test_a_lease_that_nobody_can_read(
        self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint], content: bytes
    ) -> None:
        left(leases, *ends)
        pause(double)
        objects.replace(leases.folder(ends[0].address) / "pause.1.json", content)
        _, alarm = sweep(bank)
        assert closed(double) == [True, False, False]
        assert alarm is not None
        assert ends[0].address in alarm.message
        assert "remove that file" in alarm.fix

    def test_a_lease_that_makes_no_sense(self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint]) -> None:
        left(leases, ends[0], settled=-1, endpoint="nonsense")
        left(leases, ends[1])
        pause(double)
        _, alarm = sweep(bank)
        assert closed(double) == [True, False, True]
        assert alarm is not None
        assert f"{ends[0].address} is leased by {RUN}, and may be paused" in alarm.message

    def test_a_store_that_can_only_be_read_keeps_nothing_paused(
        self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any) -> None:
            raise DestinationError("it is read-only now")

        left(leases, *ends)
        pause(double)
        monkeypatch.setattr(objects, "create", refuse)
        monkeypatch.setattr(objects, "replace", refuse)
        with pytest.raises(DestinationError, match="read-only"):
            list(sweep_pauses([bank]))
        assert closed(double) == [False] * 3


def test_journals_of_windows_that_are_long_over_are_forgotten(double: Double) -> None:
    for window, days in (("old", 8), ("new", 1)):
        journal(window)
        os.utime(journal_of(window), times=(time.time() - days * 86400,) * 2)
    assert sweep() == ([], None)
    assert [path.name for path in journal_of("x").parent.iterdir()] == ["watchdog-new.jsonl"]


class TestAtOnce:
    """A thousand endpoints are not unpaused one after the other."""

    def test_no_batch_waits_for_another(
        self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        left(leases, *ends)
        pause(double)
        real = PauseLeases.take_over

        def slow(self: PauseLeases, address: str, *arguments: Any, **more: Any) -> bool:
            if address == ends[2].address:
                until(lambda: double.calls("unpause"), "others are unpaused meanwhile")
            return real(self, address, *arguments, **more)

        monkeypatch.setattr(lifting, "BATCH", 2)
        monkeypatch.setattr(PauseLeases, "take_over", slow)
        assert sweep(bank)[1] is None
        assert closed(double) == [False] * 3

    @pytest.mark.parametrize("work", ["take_over", "release"])
    def test_the_leases_of_a_batch_go_together(
        self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint], monkeypatch: pytest.MonkeyPatch, work: str
    ) -> None:
        left(leases, *ends)
        pause(double)
        real, meet = getattr(PauseLeases, work), threading.Barrier(3)

        def together(*arguments: Any, **more: Any) -> Any:
            meet.wait(PATIENCE)
            return real(*arguments, **more)

        monkeypatch.setattr(PauseLeases, work, together)
        assert sweep(bank)[1] is None
        assert given_back(leases, double.addresses)

    def test_what_was_replaced_is_given_back_together(
        self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        left(leases, *(replace(each, identity=IDENTITY) for each in ends))
        monkeypatch.setattr(finding, "endpoints_of", lambda _: [])
        real, meet = PauseLeases.release, threading.Barrier(3)

        def together(*arguments: Any, **more: Any) -> Any:
            meet.wait(PATIENCE)
            return real(*arguments, **more)

        monkeypatch.setattr(PauseLeases, "release", together)
        assert sweep(bank)[1] is None
        assert given_back(leases, double.addresses)

    def test_who_is_too_late_keeps_nobody_waiting(
        self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        left(leases, ends[0], ended=LATE)
        left(leases, ends[1])
        pause(double)
        real = unpausing.paused

        def ask(endpoints: list[Endpoint]) -> list[Endpoint]:
            assert closed(double)[1] is False
            return real(endpoints)

        monkeypatch.setattr(unpausing, "paused", ask)
        done, alarm = sweep(bank)
        assert done == [f"{ends[1]} unpaused: {RUN}"]
        assert alarm is not None
        assert "not lifted" in alarm.message
