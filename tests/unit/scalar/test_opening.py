"""Opening gates: who may be lifted and who may not, and for how long one is watched."""

from __future__ import annotations

import time
from typing import Any

import pytest

from midtime.scalar.client import AdminClient
from midtime.scalar.double import Double
from midtime.scalar.endpoint import Endpoint
from midtime.scalar.opening import AGAIN_SECONDS, THAW_SECONDS, Gate, open_gates
from tests.unit.processes import until
from tests.unit.scalar.conftest import Connect
from tests.unit.scalar.windows import wire


def opened(*gates: Gate, seconds: float = 20) -> Gate:
    """Open them; the first one."""
    open_gates(gates, until=time.monotonic() + seconds)
    return gates[0]


def rpcs(double: Double) -> list[str]:
    return [call["rpc"] for call in double.calls()]


def test_what_is_open_is_left_alone(double: Double, client: AdminClient) -> None:
    assert opened(Gate(client)).open_at is not None
    assert rpcs(double) == ["check_paused"]


def test_what_is_paused_is_opened_and_looked_at(double: Double, client: AdminClient) -> None:
    double.control(foreign="pause")
    gate = opened(Gate(client))
    assert rpcs(double) == ["check_paused", "unpause", "check_paused"]
    assert gate.unpauses == 1
    assert gate.open_at is not None
    assert gate.open_at >= double.calls()[-1]["answered"]
    assert not double.paused


def test_what_was_just_seen_paused_is_opened_without_a_look(double: Double, client: AdminClient) -> None:
    double.control(foreign="pause")
    opened(Gate(client, look_first=False))
    assert rpcs(double) == ["unpause", "check_paused"]


@pytest.mark.fault("somebody else pauses in the moment after our Unpause", "their pause stays")
def test_paused_again_is_somebody_elses(double: Double, client: AdminClient) -> None:
    double.control(foreign="pause", lie={"check_paused": True})
    gate = opened(Gate(client, look_first=False))
    assert gate.foreign
    assert gate.done
    assert gate.open_at is None
    assert len(double.calls("unpause")) == 1


def test_while_a_pause_of_ours_may_be_late_paused_again_is_ours(double: Double, client: AdminClient) -> None:
    double.control(foreign="pause", lie={"check_paused": True})
    gate = opened(Gate(client, settled_at=time.monotonic() + 0.5))
    assert gate.foreign  # in the end: after a late one could have come
    assert len(double.calls("unpause")) > 2


def test_it_is_watched_until_it_is_settled(double: Double, client: AdminClient) -> None:
    settled = time.monotonic() + 0.6
    gate = opened(Gate(client, settled_at=settled))
    assert gate.open_at is not None
    assert double.calls()[-1]["at"] >= settled
    assert not double.calls("unpause")


def test_a_late_pause_is_lifted(double: Double, client: AdminClient) -> None:
    double.control(pause={"delay": 0.4})
    client.begin_pause(drain=0.1, timeout=5)
    gate = opened(Gate(client, settled_at=time.monotonic() + 0.8))
    assert gate.unpauses == 1
    assert not double.paused


@pytest.mark.fault("an endpoint that stood still answers again, and only then carries out our Pause", "it is lifted")
def test_a_pause_that_thaws_after_it_is_settled(double: Double, client: AdminClient) -> None:
    double.control(check_paused={"fail": "UNAVAILABLE", "times": 1}, pause={"delay": AGAIN_SECONDS + 0.2})
    client.begin_pause(drain=0.1, timeout=5)
    gate = opened(Gate(client, settled_at=time.monotonic()))
    assert THAW_SECONDS > 0.2
    assert gate.open_at is not None
    assert not double.paused
    assert double.calls("pause")[0]["answered"] < gate.open_at


@pytest.mark.parametrize(
    "fault", [{"fail": "UNAVAILABLE", "times": 3}, {"hang": True, "times": 1}, {"fail": "INTERNAL", "act": True, "times": 1}]
)
def test_it_tries_again(double: Double, client: AdminClient, fault: dict[str, Any]) -> None:
    double.control(foreign="pause", unpause=fault)
    gate = opened(Gate(client))
    assert gate.open_at is not None
    assert gate.error is None
    assert gate.lost == fault["times"]
    assert not double.paused


def test_it_does_not_hurry(double: Double, client: AdminClient) -> None:
    double.control(foreign="pause", unpause={"fail": "UNAVAILABLE"})
    opened(Gate(client), seconds=1)
    assert 2 <= len(double.calls("unpause")) <= 1 / AGAIN_SECONDS + 1


def test_who_cannot_be_asked_is_told_all_the_same(double: Double, client: AdminClient) -> None:
    double.control(foreign="pause", check_paused={"fail": "INTERNAL"})
    gate = opened(Gate(client), seconds=1)
    assert gate.open_at is None  # not seen
    assert gate.error is not None
    assert not double.paused


def test_one_that_hangs_keeps_nobody_waiting(double: Double, client: AdminClient, connect: Connect) -> None:
    double.control(foreign="pause")
    with wire(double.address) as frozen:
        hanging = connect(frozen.endpoint())
        hanging.connect(timeout=10)
        frozen.freeze()
        begun = time.monotonic()
        stuck, gate = Gate(hanging), Gate(client)
        opened(stuck, gate, seconds=1.5)
        assert gate.open_at is not None
        assert gate.open_at < begun + 1.5
        assert not stuck.done
        assert stuck.error is not None


def test_one_that_breaks_keeps_nobody_waiting(double: Double, client: AdminClient, connect: Connect) -> None:
    double.control(foreign="pause")
    broken = connect(Endpoint("other", "scalardl-ledger", double.address))
    broken.connect(timeout=10)
    broken.close()
    stuck, gate = Gate(broken), Gate(client)
    opened(stuck, gate, seconds=0.5)
    assert gate.open_at is not None
    assert stuck.error is not None
    assert "cannot be asked" in stuck.error.message


def test_it_can_be_given_up(double: Double, client: AdminClient) -> None:
    gate = Gate(client, settled_at=time.monotonic() + 60)
    begun = time.monotonic()
    open_gates([gate], until=begun + 60, given_up=lambda: bool(double.calls()))
    assert not gate.done
    assert time.monotonic() < begun + 30


def test_an_endpoint_that_comes_up_later_is_opened(connect: Connect) -> None:
    with Double() as later:
        client = connect(later.endpoint())
        client.connect(timeout=10)
        later.kill()
        gate = Gate(client)
        open_gates([gate], until=time.monotonic() + 0.3)
        assert not gate.done
        later.start().control(foreign="pause")
        open_gates([gate], until=time.monotonic() + 20)
        assert gate.open_at is not None
        until(lambda: not later.paused, "it is open")
