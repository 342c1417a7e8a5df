"""`midtime unpause`: everything is opened, whoever paused it, with as little help as possible; and it says whose window that ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from midtime import emergency, finding, pausing
from midtime.catalog import objects
from midtime.catalog.pause_leases import PauseLeases
from midtime.cli.main import main
from midtime.errors import DestinationError, DiscoveryError, ProductNotReadyError
from midtime.model.instants import utc_now
from midtime.model.topology import Topology, written
from midtime.scalar.discovery import pods
from midtime.scalar.double import Double
from tests.unit.builders import topology
from tests.unit.cli.conftest import Files, Midtime
from tests.unit.pause_examples import LEDGER, RUN, endpoint, given_back, left, open_leases, paused_topology

NOBODY = "127.0.0.1:1"
PODS = {"kind": "scalardb-cluster", "endpoints": {"kubernetes": {"namespace": "prod", "release": "bank"}}}


@pytest.fixture(scope="module")
def module_double() -> Iterator[Double]:
    with Double(count=3) as double:
        yield double


@pytest.fixture
def double(module_double: Double, monkeypatch: pytest.MonkeyPatch) -> Double:
    module_double.control(reset=True)
    module_double.control(foreign="pause")
    monkeypatch.setattr(emergency, "SEEN_SECONDS", 0.0)
    return module_double


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for an endpoint that is not there."""
    monkeypatch.setattr(emergency, "TRY_SECONDS", 3.0)


@pytest.fixture
def bank(double: Double, files: Files) -> Topology:
    """Of its three endpoints, one is an Auditor's, which a window would not pause."""
    return add(files, statics(double.addresses[:2]), statics(double.addresses[2:], "scalardl-auditor"))


@pytest.fixture
def leases(destination: str) -> PauseLeases:
    return PauseLeases(destination)


def statics(addresses: list[str], kind: str = LEDGER) -> dict[str, Any]:
    return {"kind": kind, "endpoints": {"static": addresses}, "stores": ["accounts" if kind == LEDGER else "points"]}


def add(files: Files, *products: dict[str, Any]) -> Topology:
    made = paused_topology(files.destination, products=list(products))
    (files.folder / "bank.yaml").write_text(written(made))
    return made


def closed(double: Double) -> list[bool]:
    found: list[bool] = double.control(state=True)["paused"]
    return found


@pytest.mark.fault("Somebody else's pause was never lifted", "`midtime unpause` lifts it, whoever paused, the Auditor's too.")
def test_everything_is_unpaused(midtime: Midtime, double: Double, bank: Topology) -> None:
    double.control(foreign="unpause", endpoint=1)
    answer = midtime("unpause", "bank", "--json")
    assert answer.good
    assert closed(double) == [False] * 3
    assert answer.json["topology"] == "bank"
    assert answer.json["good"] is True
    assert {each["address"]: each["became"] for each in answer.json["endpoints"]} == {
        double.addresses[0]: "unpaused",
        double.addresses[1]: "was open",
        double.addresses[2]: "unpaused",
    }
    assert answer.json["leases"] == []


def test_what_a_person_reads(midtime: Midtime, double: Double, bank: Topology, leases: PauseLeases) -> None:
    left(leases, endpoint(double.addresses[0]), ended=-30)
    left(leases, endpoint(double.addresses[1]), ended=30)
    text = midtime("unpause", "bank").text
    for address in double.addresses:
        assert any(line.startswith(address) and " unpaused" in line for line in text.splitlines())
    assert f"✓ {double.addresses[0]} leased by {RUN} until" in text
    assert "given back; that window is void, there will be no restore point of it" in text
    assert "given back; that run is over or dead" in text


def test_nobody_had_a_lease(midtime: Midtime, bank: Topology) -> None:
    assert "no window of Midtime has a lease on any of them" in midtime("unpause", "bank").text


def test_leases_are_given_back(midtime: Midtime, double: Double, bank: Topology, leases: PauseLeases) -> None:
    left(leases, *map(endpoint, double.addresses[:2]))
    left(leases, endpoint("10.9.9.9:1"), topology="loans", holder="another run")
    answer = midtime("unpause", "bank", "--json")
    assert given_back(leases, double.addresses[:2])
    assert list(open_leases(leases)) == ["10.9.9.9:1"]
    assert [(each["subject"], each["good"], each["holder"]) for each in answer.json["leases"]] == [
        (address, True, RUN) for address in [each["subject"] for each in answer.json["leases"]]
    ]
    assert {each["subject"] for each in answer.json["leases"]} == set(double.addresses[:2])


@pytest.mark.usefixtures("short")
def test_one_that_cannot_be_unpaused(midtime: Midtime, double: Double, bank: Topology, leases: PauseLeases) -> None:
    left(leases, *map(endpoint, double.addresses[:2]))
    double.control(refuse=True, endpoint=0)
    answer = midtime("unpause", "bank")
    assert not answer.good
    assert closed(double) == [True, False, False]
    assert any(line.startswith(double.addresses[0]) and "failed" in line for line in answer.text.splitlines())
    assert "the lease stays, midtime__sweep goes on trying" in answer.text
    assert list(open_leases(leases)) == [double.addresses[0]]


def test_one_that_is_paused_again_at_once(midtime: Midtime, double: Double, bank: Topology) -> None:
    double.control(lie={"check_paused": True}, endpoint=0)
    answer = midtime("unpause", "bank")
    assert not answer.good
    assert "it was unpaused, and paused again at once" in answer.text


def test_one_whose_tls_files_are_not_here(midtime: Midtime, double: Double, files: Files) -> None:
    lost = statics(double.addresses[:1]) | {"tls": {"ca": "/nowhere/ca.pem"}}
    add(files, lost, statics(double.addresses[1:], "scalardl-auditor"))
    answer = midtime("unpause", "bank")
    assert not answer.good
    assert "/nowhere/ca.pem" in answer.text
    assert closed(double) == [True, False, False]


class TestWithLittleHelp:
    @pytest.mark.fault("The object store is down in an emergency", "`midtime unpause` unpauses all the same, and says that leases stay.")
    def test_leases_that_cannot_be_read(self, midtime: Midtime, double: Double, bank: Topology, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MIDTIME_LEASES", "nosuchscheme://bucket")
        answer = midtime("unpause", "bank")
        assert answer.good
        assert closed(double) == [False] * 3
        assert "✗ leases cannot be read, so that who paused cannot be told" in answer.text

    def test_leases_that_cannot_be_written(
        self, midtime: Midtime, double: Double, bank: Topology, leases: PauseLeases, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise DestinationError("it is read-only now")

        left(leases, endpoint(double.addresses[0]))
        monkeypatch.setattr(objects, "replace", refuse)
        answer = midtime("unpause", "bank")
        assert answer.good
        assert "it could not be given back: it is read-only now" in answer.text

    def test_a_lease_that_nobody_can_read(self, midtime: Midtime, double: Double, bank: Topology, leases: PauseLeases) -> None:
        objects.create(leases.folder(double.addresses[0]) / "pause.1.json", b"{")
        answer = midtime("unpause", "bank")
        assert answer.good
        assert "pause.1.json is unreadable" in answer.text
        assert closed(double) == [False] * 3

    def test_the_lease_of_an_endpoint_that_is_gone(self, midtime: Midtime, bank: Topology, leases: PauseLeases) -> None:
        left(leases, endpoint(NOBODY))
        text = midtime("unpause", "bank").text
        assert f"{NOBODY} is not of this topology any more: leased by {RUN} until" in text
        assert f"remove {leases.folder(NOBODY)}" in text

    @pytest.mark.fault(
        "Kubernetes does not answer in an emergency", "`midtime unpause` unpauses the other products, and names the one it could not find."
    )
    @pytest.mark.parametrize("error", [DiscoveryError("no such host"), OSError("the database is down")])
    def test_discovery_fails_for_one_product(
        self, midtime: Midtime, double: Double, files: Files, error: Exception, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = pausing.endpoints_of

        def fail(products: list[Any]) -> Any:
            if products[0].endpoints.kubernetes:
                raise error
            return real(products)

        monkeypatch.setattr(finding, "endpoints_of", fail)
        add(files, PODS, statics(double.addresses, "scalardl-ledger"))
        answer = midtime("unpause", "bank", "--json")
        assert not answer.good
        assert closed(double) == [False] * 3
        (failed,) = [each for each in answer.json["endpoints"] if each["became"] == "failed"]
        assert failed["subject"] == "scalardb-cluster"
        assert str(error) in failed["detail"]

    def test_pods_that_are_not_ready_are_unpaused_too(
        self, midtime: Midtime, double: Double, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def not_ready(_: object) -> Any:
            raise ProductNotReadyError("a rollout is in progress")

        monkeypatch.setattr(finding, "endpoints_of", not_ready)
        monkeypatch.setattr(pods, "remains", lambda _: pods.Remains(True, (), tuple(double.addresses)))
        add(files, PODS)
        assert midtime("unpause", "bank").good
        assert closed(double) == [False] * 3

    @pytest.mark.fault(
        "Airflow's database is down in an emergency", "`midtime unpause` unpauses what the topology file lists, with exit code 0."
    )
    def test_without_airflow_s_database(self, double: Double, bank: Topology, leases: PauseLeases, files: Files, tmp_path: Path) -> None:
        left(leases, endpoint(double.addresses[0]), ended=-30)
        down = {
            "AIRFLOW_HOME": str(tmp_path / "new"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg2://nobody@127.0.0.1:1/none",
            "MIDTIME_TOPOLOGIES": str(files.folder),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        done = subprocess.run(
            [sys.executable, "-m", "midtime", "unpause", "bank", "--json"],
            env=os.environ | down,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, closed(double)) == (0, [False] * 3), done.stderr
        assert json.loads(done.stdout)["leases"][0]["good"] is True
        assert given_back(leases, double.addresses[:1])


class TestExitCode:
    def exit_code(self, *words: str) -> Any:
        with pytest.raises(SystemExit) as caught:
            main(["unpause", *words])
        return caught.value.code

    def test_open(self, bank: Topology) -> None:
        assert self.exit_code("bank") == 0

    @pytest.mark.usefixtures("short")
    def test_not_everything(self, double: Double, bank: Topology) -> None:
        double.control(refuse=True, endpoint=0)
        assert self.exit_code("bank") == 1

    def test_wrong_usage(self, bank: Topology, files: Files, capsys: pytest.CaptureFixture[str]) -> None:
        single = topology(name="single", destination=files.destination)
        (files.folder / "single.yaml").write_text(written(single))
        assert self.exit_code("single") == 2
        assert "has no products" in capsys.readouterr().err
        assert self.exit_code("nosuch") == 2
        assert self.exit_code() == 2


def test_a_lease_that_is_taken_meanwhile_is_not_the_one_that_is_given_back(
    midtime: Midtime, double: Double, bank: Topology, leases: PauseLeases, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = double.addresses[0]
    left(leases, endpoint(address))
    real = PauseLeases.release

    def late(self: PauseLeases, addresses: list[str], *, holder: str, window: object) -> None:
        monkeypatch.setattr(PauseLeases, "release", real)
        self.release(addresses, holder=holder, window=window)
        self.take({address: {"window": "next"}}, holder="the next run", expires_at=utc_now() + timedelta(seconds=30))
        self.release(addresses, holder=holder, window=window)

    monkeypatch.setattr(PauseLeases, "release", late)
    midtime("unpause", "bank")
    assert open_leases(leases)[address].holder == "the next run"


@pytest.mark.fault(
    "The topology file is wrong in an emergency", "`midtime unpause` uses what it says of the products, and tells what is wrong."
)
def test_a_wrong_file(midtime: Midtime, double: Double, bank: Topology, files: Files) -> None:
    path = next(files.folder.glob("*.yaml"))
    path.write_text(path.read_text() + "schedul: never\n")
    answer = midtime("unpause", "bank")
    assert answer.good
    assert closed(double) == [False] * 3
    assert "only its products are used" in answer.warned


def test_a_name_that_is_nobody(midtime: Midtime, double: Double, files: Files, short: None) -> None:
    """A window refuses it; in an emergency the others of its product are opened all the same."""
    add(files, {"kind": LEDGER, "endpoints": {"static": [double.addresses[0], "nobody.invalid:60053"]}})
    answer = midtime("unpause", "bank", "--json")
    assert not answer.good
    assert closed(double)[0] is False
    assert {each["address"]: each["became"] for each in answer.json["endpoints"]} == {
        double.addresses[0]: "unpaused",
        "nobody.invalid:60053": "failed",
    }
