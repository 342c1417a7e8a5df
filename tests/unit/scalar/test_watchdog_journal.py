"""What the watchdog writes down of each endpoint: others believe it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from midtime.scalar import journals
from midtime.scalar.double import Double
from midtime.scalar.watchdog import Watchdog
from tests.unit.processes import until
from tests.unit.scalar.windows import gone, pid_of


def lifted(dog: Watchdog, double: Double, *, settled: float | None = None) -> list[dict[str, Any]]:
    """What its journal says of an endpoint that it had to lift."""
    dog.about_to_pause({double.address: settled or time.monotonic()}, time.monotonic() + 20)
    double.control(foreign="pause")
    if settled is None:
        dog.answered([double.address])
    pid = pid_of(dog)
    dog.close()
    until(lambda: gone(pid), "the watchdog ends")
    return [said for said in journals.read(dog.journal) if said.get("endpoint") == double.address]


@pytest.mark.fault(
    "The reply to the watchdog's Unpause is lost", "It sees that the endpoint is open and writes that down: nobody lifts the next pause."
)
@pytest.mark.parametrize("fault", [{"fail": "UNAVAILABLE", "act": True, "times": 1}, {"hang": True, "act": True, "times": 1}])
def test_an_unpause_whose_reply_is_lost(double: Double, watchdog: Watchdog, fault: dict[str, Any]) -> None:
    double.control(unpause=fault)
    assert [said["did"] for said in lifted(watchdog, double)] == ["unpaused"]
    assert watchdog.unpaused() == {double.address}


def test_what_it_finds_open(double: Double, watchdog: Watchdog) -> None:
    double.control(lie={"check_paused": False})
    assert [said["did"] for said in lifted(watchdog, double)] == ["found open"]
    assert watchdog.unpaused() == {double.address}


@pytest.mark.fault(
    "Somebody pauses an endpoint right after the watchdog unpaused it", "It is left so; the journal says both, and nobody lifts it later."
)
def test_what_is_paused_again_at_once(double: Double, watchdog: Watchdog) -> None:
    double.control(lie={"check_paused": True})
    assert [said["did"] for said in lifted(watchdog, double)] == ["unpaused", "left paused"]
    assert watchdog.unpaused() == {double.address}
