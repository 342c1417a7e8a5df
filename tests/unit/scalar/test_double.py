"""The double is as reliable in going wrong as in playing the contract; ``test_contract.py`` has the contract."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from midtime.errors import AdminUnreachableError, DrainTimeoutError, MidtimeError, PauseUnknownError, RequestError
from midtime.scalar.client import AdminClient
from midtime.scalar.double import Double
from tests.unit.scalar.conftest import Connect


def test_a_delayed_pause_happens_although_its_caller_has_gone(double: Double, client: AdminClient) -> None:
    double.control(pause={"delay": 0.3})
    with pytest.raises(PauseUnknownError, match=double.address):
        client.pause(drain=1, timeout=0.1)
    assert not client.check_paused(timeout=5)
    time.sleep(0.4)
    assert client.check_paused(timeout=5)
    (call,) = double.calls("pause")
    assert call["abandoned"]
    assert call["status"] == "OK"
    assert call["answered"] - call["at"] >= 0.3


def test_a_late_reply_acts_first(double: Double, client: AdminClient) -> None:
    double.control(pause={"reply_delay": 0.3})
    with pytest.raises(PauseUnknownError):
        client.pause(drain=1, timeout=0.15)
    assert client.check_paused(timeout=5)


@pytest.mark.parametrize(("fault", "acted"), [({"hang": True}, False), ({"hang": True, "act": True}, True)])
def test_it_hangs_before_or_after_acting(double: Double, client: AdminClient, fault: dict[str, bool], acted: bool) -> None:
    double.control(pause=fault)
    reply = client.begin_pause(drain=1, timeout=0.2)
    assert client.check_paused(timeout=5) is False or acted  # it answers others meanwhile
    with pytest.raises(PauseUnknownError):
        reply.result()
    assert double.paused is acted
    double.control(pause=None)
    client.pause(drain=1, timeout=5)


def test_it_fails_so_many_times_and_then_no_more(double: Double, client: AdminClient) -> None:
    client.pause(drain=1, timeout=5)
    double.control(unpause={"fail": "UNAVAILABLE", "times": 3})
    for _ in range(3):
        with pytest.raises(AdminUnreachableError, match="UNAVAILABLE"):
            client.unpause(timeout=5)
    assert double.paused
    client.unpause(timeout=5)
    assert not double.paused
    assert [call["status"] for call in double.calls("unpause")] == ["UNAVAILABLE"] * 3 + ["OK"]


def test_a_lost_reply_has_acted(double: Double, client: AdminClient) -> None:
    client.pause(drain=1, timeout=5)
    double.control(unpause={"fail": "INTERNAL", "act": True})
    with pytest.raises(AdminUnreachableError, match="INTERNAL"):
        client.unpause(timeout=5)
    assert not double.paused


def test_it_lies(double: Double, client: AdminClient) -> None:
    double.control(lie={"pause": True})
    client.pause(drain=1, timeout=5)
    assert not client.check_paused(timeout=5)
    double.control(lie={"check_paused": True, "pause": None})
    assert client.check_paused(timeout=5)
    assert not double.paused
    client.pause(drain=1, timeout=5)
    double.control(lie={"check_paused": False})
    assert not client.check_paused(timeout=5)
    assert double.paused


def test_somebody_else_pauses_and_unpauses(double: Double, client: AdminClient) -> None:
    double.control(foreign="pause")
    assert client.check_paused(timeout=5)
    double.control(foreign="unpause")
    assert not client.check_paused(timeout=5)
    assert double.calls("pause") == []


def test_it_refuses_everything(double: Double, client: AdminClient) -> None:
    double.control(refuse=True)
    with pytest.raises(PauseUnknownError):
        client.pause(drain=1, timeout=5)
    with pytest.raises(AdminUnreachableError):
        client.check_paused(timeout=5)


def test_requests_end_after_their_time(double: Double, client: AdminClient) -> None:
    double.control(outstanding=2, **{"for": 0.3})
    begun = time.monotonic()
    client.pause(drain=5, timeout=10)
    assert time.monotonic() - begun >= 0.25
    client.unpause(timeout=5)
    double.control(outstanding=1)
    with pytest.raises(DrainTimeoutError):
        client.pause(drain=0.1, timeout=5)


def test_it_dies_with_the_call_that_was_named(connect: Connect) -> None:
    with Double() as mortal:
        client = connect(mortal.endpoint())
        mortal.control(die_on={"check_paused": 3})
        assert [client.check_paused(timeout=5), client.check_paused(timeout=5)] == [False, False]
        with pytest.raises(AdminUnreachableError):
            client.check_paused(timeout=5)
        with pytest.raises(AdminUnreachableError, match="does not"):
            mortal.control(state=True)


def test_each_of_its_ports_has_a_gate_and_a_script_of_its_own(connect: Connect) -> None:
    with Double(count=3) as three:
        clients = [connect(three.endpoint(number)) for number in range(3)]
        three.control(endpoint=2, lie={"check_paused": True})
        clients[1].pause(drain=1, timeout=5)
        assert [client.check_paused(timeout=5) for client in clients] == [False, True, True]
        assert three.control(state=True)["paused"] == [False, True, False]
        assert [call["endpoint"] for call in three.calls()] == [1, 0, 1, 2]
        assert len(set(three.addresses)) == 3


@pytest.mark.parametrize(
    "words",
    [{"pauze": {}}, {"pause": {"dealy": 1}}, {"lie": {"unpause": True}}, {"die_on": {"stats": 1}}, {"foreign": "stop"}, {"endpoint": 7}],
)
def test_a_slip_in_a_test_is_refused(double: Double, words: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        double.control(**words)
    assert double.control(state=True)["paused"] == [False]


def test_a_stopped_process_is_silent_until_it_is_resumed(double: Double, client: AdminClient) -> None:
    double.stop_process()
    try:
        with pytest.raises(AdminUnreachableError, match="DEADLINE_EXCEEDED"):
            client.check_paused(timeout=0.2)
    finally:
        double.resume()
    assert not client.check_paused(timeout=5)


def test_two_doubles_never_share_a_port() -> None:
    with Double() as first, pytest.raises(MidtimeError):
        Double(port=first.ports[0]).start()


def test_it_ends_with_whoever_started_it(tmp_path: Path) -> None:
    code = "import os; from midtime.scalar.double import Double; print(Double().start().pid, flush=True); os.kill(os.getpid(), 9)"
    owner = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert owner.returncode == -signal.SIGKILL
    pid = int(owner.stdout)
    deadline = time.monotonic() + 10
    while _runs(pid):
        assert time.monotonic() < deadline, "it outlived its owner"
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
