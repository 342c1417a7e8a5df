"""What is asked before a window: endpoints found, leased by nobody, answering, not paused, and room; nothing is changed by asking."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from midtime import pausing
from midtime.catalog import Catalog
from midtime.catalog.pause_leases import PauseLeases
from midtime.errors import AdminUnreachableError, ForeignPauseError, RequestError
from midtime.model.topology import Topology, written
from midtime.preflight import backup_checks, require, window_checks
from midtime.scalar.double import Double
from tests.unit.fakes import FakeStore
from tests.unit.pause_examples import LEDGER, RUN, endpoint, left, open_leases, paused_topology

NOBODY = "127.0.0.1:1"
PAUSING_RPCS = ("pause", "unpause")


@pytest.fixture(scope="module")
def module_double() -> Iterator[Double]:
    with Double(count=7) as double:
        yield double


@pytest.fixture
def double(module_double: Double, monkeypatch: pytest.MonkeyPatch) -> Double:
    module_double.control(reset=True)
    monkeypatch.setattr(pausing, "CONNECT_SECONDS", 2.0)
    return module_double


@pytest.fixture
def bank(double: Double, destination: str) -> Topology:
    return paused_topology(destination, *double.addresses)


def test_good(double: Double, bank: Topology, destination: str) -> None:
    answers = require(window_checks(bank))
    assert [(each.subject, each.question) for each in answers] == [
        ("window", "lasts"),
        ("executor", "has room for the window"),
        ("leases", "lie in one place"),
        (LEDGER, "is found at"),
        (LEDGER, "is free"),
        (LEDGER, "answers scalar-admin"),
    ]
    assert answers[3].detail == f"{', '.join(sorted(double.addresses)[:5])} and 2 more"
    assert answers[5].detail == "7 endpoints not paused"
    assert not any(double.calls(rpc) for rpc in PAUSING_RPCS)
    assert open_leases(PauseLeases(destination)) == {}


def test_is_part_of_a_backup_s_preflight(bank: Topology, catalog: Catalog, double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeStore.install(monkeypatch)
    asked = [each.question for each in backup_checks(bank, catalog)]
    assert asked[-6:] == [each.question for each in window_checks(bank)]


@pytest.mark.fault("Somebody else has paused before the window", "The preflight refuses and names the endpoints; their pause stays.")
def test_somebody_else_s_pause(double: Double, bank: Topology) -> None:
    double.control(foreign="pause", endpoint=2)
    with pytest.raises(ForeignPauseError, match=double.addresses[2]) as caught:
        require(window_checks(bank))
    assert "midtime unpause" in caught.value.fix
    assert double.paused
    assert not any(double.calls(rpc) for rpc in PAUSING_RPCS)


@pytest.mark.parametrize("ended", [-30, 3600], ids=["open", "left by a dead window"])
def test_another_window_s_lease(double: Double, bank: Topology, destination: str, ended: float) -> None:
    leases = PauseLeases(destination)
    left(leases, endpoint(double.addresses[3]), ended=ended)
    with pytest.raises(ForeignPauseError, match=f"{double.addresses[3]} is leased by {RUN}"):
        require(window_checks(bank))


def test_one_that_does_not_answer(double: Double, destination: str) -> None:
    with pytest.raises(AdminUnreachableError, match=NOBODY):
        require(window_checks(paused_topology(destination, *double.addresses, NOBODY)))


def test_leases_in_two_places(double: Double, bank: Topology, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loans.yaml").write_text(written(paused_topology("file:///elsewhere", double.addresses[0], name="loans")))
    monkeypatch.setenv("MIDTIME_TOPOLOGIES", str(tmp_path))
    with pytest.raises(RequestError, match="bank and loans both pause"):
        require(window_checks(bank))


def test_no_room(bank: Topology, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDTIME_WINDOW_SLOTS", "2")
    with pytest.raises(RequestError, match="needs 3 executor slots at once"):
        require(window_checks(bank))


def test_a_hold_that_no_store_needs_is_told_of(destination: str, double: Double) -> None:
    """It is an outage, and it buys nothing."""
    bank = paused_topology(destination, *double.addresses, pause={"hold": "8s"})
    assert "`hold: auto` makes the outage shorter" in next(iter(window_checks(bank))).detail
    assert "hold: auto" not in next(iter(window_checks(paused_topology(destination, *double.addresses)))).detail
