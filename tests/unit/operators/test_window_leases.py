"""Nothing is paused under leases that are not ours, be it an armed window or a plain chain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from midtime.catalog.pause_leases import PauseLeases
from midtime.errors import ArmingError
from midtime.pausing import Pausing
from midtime.scalar.double import Double
from tests.unit.operators.tasks import Hub, pause_task, preflight_done
from tests.unit.pause_examples import open_leases, paused_topology


@pytest.fixture
def double() -> Iterator[Double]:
    with Double(count=2) as made:
        yield made


@pytest.fixture
def hub(double: Double, tmp_path: Path) -> Hub:
    limits = {"drain": "1s", "deadline": "4s", "arm": "5s"}
    topology = paused_topology(f"file://{tmp_path}/points", *double.addresses, pause=limits)
    made = Hub(topology)
    preflight_done(topology, made)
    return made


@pytest.mark.parametrize("plain", [False, True], ids=["armed", "plain"])
@pytest.mark.fault(
    "The pausing task stands still after it took its leases, and the sweeper gives them back", "Nothing is paused; the run fails."
)
def test_lost_right_before_the_pause(hub: Hub, double: Double, monkeypatch: pytest.MonkeyPatch, plain: bool) -> None:
    real = Pausing.take_leases

    def stand_still(self: Pausing) -> None:
        real(self)
        self.leases.release(double.addresses[:1], holder=self.holder, window=self.id)

    monkeypatch.setattr(Pausing, "take_leases", stand_still)
    for store in hub.topology.stores if not plain else ():
        hub.play_armed(f"dump_{store.name}")
    hub.start(pause_task(hub.topology, **({"captures": None} if plain else {})))
    hub.join()
    assert isinstance(hub.errors["pause"], ArmingError)
    assert f"{double.addresses[0]} is not leased by this window any more" in str(hub.errors["pause"])
    assert double.calls("pause") == []
    assert open_leases(PauseLeases(hub.topology.destination)) == {}
