"""Only what is still the same endpoint is lifted, as far as discovery can tell."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from midtime import finding
from midtime.catalog.pause_leases import PauseLeases
from midtime.errors import (
    ProductNotReadyError,
)
from midtime.model.topology import Topology
from midtime.scalar.discovery import pods
from midtime.scalar.double import Double
from midtime.scalar.endpoint import Endpoint, TlsFiles
from tests.unit.pause_examples import RUN, given_back, left, open_leases
from tests.unit.unpausing.examples import IDENTITY, closed, pause, sweep


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
            time.sleep(0.3)  # the other endpoints are looked at meanwhile
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
