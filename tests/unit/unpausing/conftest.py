"""Three endpoints, a topology over them, and its leases."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from midtime import lifting
from midtime.catalog.pause_leases import PauseLeases
from midtime.model.topology import Topology
from midtime.scalar.double import Double
from midtime.scalar.endpoint import Endpoint
from tests.unit.pause_examples import endpoint, paused_topology


@pytest.fixture(scope="module")
def module_double() -> Iterator[Double]:
    with Double(count=3) as double:
        yield double


@pytest.fixture
def double(module_double: Double, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Double:
    """Three endpoints, open; journals of watchdogs lie in the test's own folder."""
    module_double.control(reset=True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(lifting, "SEEN_SECONDS", 0.0)
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
