"""The second line of defence: what dead windows left paused is unpaused, and nothing that may be somebody else's is."""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from midtime import finding, lifting, unpausing
from midtime.catalog import objects
from midtime.catalog.pause_leases import PauseLeases
from midtime.errors import (
    CatalogError,
    DestinationError,
    LeaseHeldError,
    ProductNotReadyError,
    StillPausedError,
    WindowVoidError,
)
from midtime.model.instants import to_rfc3339, utc_now
from midtime.model.topology import Topology
from midtime.pausing import journal_of
from midtime.scalar.discovery import pods
from midtime.scalar.double import Double
from midtime.scalar.endpoint import Endpoint, Identity, TlsFiles
from midtime.unpausing import MAY_LIFT, close_window, require_open, sweep_pauses, unpause_run
from tests.unit.pause_examples import RUN, endpoint, given_back, left, open_leases, paused_topology

LATE = MAY_LIFT.total_seconds() + 1
IDENTITY = Identity("ledger-0", "uid-0", "containerd://0", 0)
NOBODY = "127.0.0.1:1"


@pytest.fixture(scope="module")
def module_double() -> Iterator[Double]:
    with Double(count=3) as double:
        yield double


@pytest.fixture
def double(module_double: Double, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Double:
    """Three endpoints, open; journals of watchdogs lie in the test's own folder."""
    module_double.control(reset=True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return module_double


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for an endpoint that is not there."""
    monkeypatch.setattr(lifting, "TRY_SECONDS", 3.0)


@pytest.fixture
def bank(double: Double, destination: str) -> Topology:
    return paused_topology(destination, *double.addresses)


@pytest.fixture
def leases(destination: str) -> PauseLeases:
    return PauseLeases(destination)


@pytest.fixture
def ends(double: Double) -> list[Endpoint]:
    return [endpoint(address) for address in double.addresses]


def pause(double: Double, *numbers: int) -> None:
    for number in numbers or range(len(double.addresses)):
        double.control(foreign="pause", endpoint=number)


def closed(double: Double) -> list[bool]:
    found: list[bool] = double.control(state=True)["paused"]
    return found


def sweep(*topologies: Topology) -> tuple[list[str], StillPausedError | None]:
    """What was done, and the alarm."""
    done: list[str] = []
    try:
        done.extend(sweep_pauses(topologies))
    except StillPausedError as error:
        return done, error
    return done, None


def journal(window: str, *addresses: str) -> None:
    path = journal_of(window)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"did": "watches"}),
        *(json.dumps({"did": "unpaused", "endpoint": address}) for address in addresses),
        '{"did": "unp',
    ]
    path.write_text("\n".join(lines))


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
        self.be_later(leases, ends[1])
        assert sweep(bank) == ([f"{ends[1]} unpaused: {RUN}"], None)

    def be_later(self, leases: PauseLeases, each: Endpoint) -> None:
        """Let the time pass for which the failed attempt had the lease to itself."""
        path = leases.folder(each.address) / f"pause.{open_leases(leases)[each.address].generation}.json"
        body = json.loads(objects.read(path)) | {"expires_at": to_rfc3339(utc_now() - timedelta(seconds=1))}
        objects.replace(path, json.dumps(body).encode())

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


class TestIdentity:
    @pytest.fixture
    def now(self, monkeypatch: pytest.MonkeyPatch) -> list[Endpoint]:
        """What discovery says."""
        found: list[Endpoint] = []
        monkeypatch.setattr(finding, "endpoints_of", lambda _: list(found))
        return found

    @pytest.mark.parametrize(
        "change",
        [None, {"uid": "uid-1"}, {"container": "containerd://1"}, {"restarts": 1}],
        ids=["gone", "replaced", "container", "restarted"],
    )
    @pytest.mark.fault(
        "An endpoint was restarted or replaced after its window died", "It is not lifted: whoever pauses it now is somebody else."
    )
    def test_not_the_same_any_more(
        self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint], now: list[Endpoint], change: dict[str, Any] | None
    ) -> None:
        left(leases, replace(ends[0], identity=IDENTITY))
        if change:
            now.append(replace(ends[0], identity=replace(IDENTITY, **change)))
        pause(double, 0)
        done, alarm = sweep(bank)
        assert (done, alarm) == ([f"{ends[0]} was restarted or replaced since {RUN} paused it: not paused by us any more"], None)
        assert closed(double)[0] is True
        assert given_back(leases, double.addresses[:1])

    def test_the_same(self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint], now: list[Endpoint]) -> None:
        left(leases, replace(ends[0], identity=IDENTITY))
        now.append(replace(ends[0], identity=IDENTITY, tls=TlsFiles(ca="/another/file")))
        pause(double, 0)
        assert sweep(bank)[1] is None
        assert closed(double)[0] is False

    def test_discovery_fails(
        self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[object] = []

        def fail(products: object) -> list[Endpoint]:
            asked.append(products)
            raise OSError("no route to the API server")

        monkeypatch.setattr(finding, "endpoints_of", fail)
        left(leases, *(replace(each, identity=IDENTITY) for each in ends[:2]))
        left(leases, ends[2])
        pause(double)
        _, alarm = sweep(bank)
        assert closed(double) == [True, True, False]
        assert alarm is not None
        assert "no route to the API server" in alarm.message
        assert sorted(open_leases(leases)) == sorted(each.address for each in ends[:2])
        assert len(asked) == 1  # not once for each of a thousand endpoints

    @pytest.mark.fault(
        "A pod of the product does not come up when the others must be unpaused", "Those that are there are unpaused all the same."
    )
    def test_a_product_that_is_not_at_rest(
        self, double: Double, bank: Topology, leases: PauseLeases, ends: list[Endpoint], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def not_ready(_: object) -> list[Endpoint]:
            raise ProductNotReadyError("pod prod/ledger-2 is not ready")

        monkeypatch.setattr(finding, "endpoints_of", not_ready)
        monkeypatch.setattr(pods, "remains", lambda _: pods.Remains(True, (), (ends[0].address,)))
        left(leases, *(replace(each, identity=IDENTITY) for each in ends[:2]))
        pause(double)
        done, alarm = sweep(bank)
        assert closed(double) == [False, True, True]
        assert (len(done), alarm) == (2, None)
        assert f"{ends[1]} was restarted or replaced" in "".join(done)


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
        assert done == [f"{ends[0]} unpaused, and paused again by somebody else: {RUN}"]
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
        TestAlarm().be_later(leases, ends[0])
        assert sweep(bank) == ([f"{ends[0]} unpaused: {RUN}"], None)


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
        leases.release(double.addresses[:1], holder=RUN)
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


def test_journals_of_windows_that_are_long_over_are_forgotten(double: Double) -> None:
    for window, days in (("old", 8), ("new", 1)):
        journal(window)
        os.utime(journal_of(window), times=(time.time() - days * 86400,) * 2)
    assert sweep() == ([], None)
    assert [path.name for path in journal_of("x").parent.iterdir()] == ["watchdog-new.jsonl"]
