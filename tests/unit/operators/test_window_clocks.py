"""A window with a store that is restored to an instant of its own clock, which is off, uncertain, or jumps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from midtime import stores
from midtime.clocks import read_http_date
from midtime.errors import NoInstantError, WindowVoidError
from midtime.model.clock_readings import ClockReading
from midtime.model.instants import from_rfc3339
from midtime.model.topology import Topology
from midtime.model.window import Window
from midtime.operators.midtime import MidtimeOperator
from midtime.scalar.double import Double
from midtime.stores.fences import Fence, FenceWriter
from tests.unit.builders import topology as build
from tests.unit.fakes import FakeManagedStore
from tests.unit.http_clock import HttpService, http_service
from tests.unit.operators.tasks import ArmableStore, Hub, dump_task, pause_task, preflight_done, wait_until

SECOND = timedelta(seconds=1)


class ManagedStore(FakeManagedStore):
    """Tells the time through the Date header, as DynamoDB and Cosmos DB do."""

    service: ClassVar[HttpService]

    def read_clock(self) -> ClockReading:
        return read_http_date(self.name, self.service.fetch)

    @contextmanager
    def fence(self) -> Iterator[FenceWriter]:
        yield Fence(lambda *_: None, lambda: True, nullcontext, "fence")


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> None:
    for engine, store in ((("postgresql", "dump"), ArmableStore), (("dynamodb", "pitr"), ManagedStore)):
        monkeypatch.setitem(stores.ENGINES, engine, f"{store.__module__}:{store.__name__}")
    ArmableStore.failing, ArmableStore.captured_at, ArmableStore.copied = {}, {}, []


@pytest.fixture
def service() -> Iterator[HttpService]:
    with http_service() as made:
        ManagedStore.service = made
        yield made


@pytest.fixture
def double() -> Iterator[Double]:
    with Double() as made:
        yield made


def window(double: Double, folder: Path, *, within: Any = lambda: None, **pause: str) -> Hub:
    """One window over a captured store and a managed one; ``within`` is done once it is open."""
    topology: Topology = build(
        "accounts",
        destination=f"file://{folder}/points",
        products=[{"kind": "scalardb-cluster", "endpoints": {"static": double.addresses}}],
        scalardb={"coordinators": [{"store": "accounts"}]},
        stores=[
            {"name": "accounts", "engine": "postgresql", "conn_id": "db", "namespaces": ["bank_a"]},
            {"name": "points", "engine": "dynamodb", "region": "ap-northeast-1", "namespaces": ["bank_b"]},
        ],
        pause={"drain": "1s", "deadline": "15s", "arm": "5s", **pause},
    )
    hub = Hub(topology)
    preflight_done(topology, hub)
    hub.start(pause_task(topology))
    hub.start(dump_task(topology, "accounts"))
    wait_until(lambda: double.paused or "pause" in hub.errors)
    within()
    hub.join()
    assert not double.paused
    return hub


@pytest.mark.fault("A managed store's clock is off by seconds", "its instant is chosen on its own clock, inside the window")
@pytest.mark.parametrize("offset", [-4.7, 0.0, 2.4])
def test_a_clock_that_is_off(service: HttpService, double: Double, tmp_path: Path, offset: float) -> None:
    """Five seconds at least with ``hold: auto``; the instant and the second after it are inside on the true clock."""
    service.off_by(offset)
    hub = window(double, tmp_path)
    assert hub.errors == {}
    evidence = hub.results["pause"]
    proven = Window.from_dict(evidence["window"])
    assert proven.length >= 5 * SECOND
    instant = from_rfc3339(evidence["choice"]["instants"]["points"])
    assert instant.microsecond == 0
    assert proven.start <= instant - offset * SECOND
    assert instant + SECOND - offset * SECOND <= proven.end

    midtime = MidtimeOperator(task_id="midtime", topology=hub.topology, captures=[], window=evidence)
    midtime.captures = [hub.results["dump_accounts"]]
    said = midtime.work(hub.context("midtime"))
    assert "." not in said  # whole seconds where a store has a clock
    assert proven.start <= from_rfc3339(said) <= proven.end


@pytest.mark.fault("A managed store's clock jumps in mid-window", "no restore point, whoever has captured")
def test_a_clock_that_jumps_in_mid_window(service: HttpService, double: Double, tmp_path: Path) -> None:
    hub = window(double, tmp_path, within=lambda: service.off_by(3))
    with pytest.raises(WindowVoidError, match="points"):
        raise hub.errors["pause"]
    assert ArmableStore.copied == []


def test_a_hold_that_is_too_short_is_made_longer(service: HttpService, double: Double, tmp_path: Path) -> None:
    """The window opens at any fraction of a second: a hold of 1 s seldom holds a whole second and the one after it."""
    hub = window(double, tmp_path, hold="1s")
    assert hub.errors == {}
    evidence = hub.results["pause"]
    assert Window.from_dict(evidence["window"]).length > 1.2 * SECOND
    assert evidence["choice"]["instants"].keys() == {"points"}


def test_a_deadline_that_leaves_no_room_for_the_hold(service: HttpService, double: Double, tmp_path: Path) -> None:
    """Known before anything is paused."""
    service.delay = 1.0  # so uncertain that no five seconds suffice
    hub = window(double, tmp_path, deadline="6001ms")
    with pytest.raises(NoInstantError, match=r"need a hold of \d+\.\d s.*nothing was paused"):
        raise hub.errors["pause"]
    assert double.calls("pause") == []
