"""The client against a real ScalarDB Server 3.13.6, and the double of the old contract beside it: both must behave alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import grpc
import pytest

from midtime.errors import OldPauseFailedError, PauseUnknownError
from midtime.scalar.client import AdminClient
from midtime.scalar.double import Double
from midtime.scalar.endpoint import Endpoint
from tests.stack import cache
from tests.stack.processes import poll
from tests.stack.scalardb import ScalarDB
from tests.stack.scalardb_client import Transaction

pytestmark = pytest.mark.integration

MESSAGE = "failed to finish processing outstanding requests within the time limit."


class Party:
    """A server with the old contract that can be made busy."""

    def __init__(self, endpoint: Endpoint, hold: Callable[[], Callable[[], object]]) -> None:
        self.client = AdminClient(endpoint)
        self._hold = hold
        self._held: list[Callable[[], object]] = []

    def busy(self) -> None:
        """Leave one transaction open until :meth:`idle`."""
        self._held.append(self._hold())

    def idle(self) -> None:
        while self._held:
            self._held.pop()()

    def close(self) -> None:
        self.idle()
        self.client.unpause(timeout=10)
        self.client.close()


@pytest.fixture(params=["real", "double"])
def party(request: pytest.FixtureRequest) -> Iterator[Party]:
    if request.param == "real":
        yield from _real(request.getfixturevalue("scalardb"))
        return
    with Double(contract="old", message=MESSAGE) as double:

        def hold() -> Callable[[], object]:
            double.control(outstanding=1)
            return lambda: double.control(outstanding=0)

        yield from _closed(Party(double.endpoint(), hold))


def _real(server: ScalarDB) -> Iterator[Party]:
    with grpc.insecure_channel(server.address) as channel:
        stub = cache.stubs("scalardb_pb2_grpc").DistributedTransactionStub(channel)
        yield from _closed(Party(Endpoint("bank", "scalardb-server", server.address), lambda: Transaction(stub).rollback))


def _closed(party: Party) -> Iterator[Party]:
    party.client.connect(timeout=10)
    try:
        yield party
    finally:
        party.close()


def test_pausing_twice_is_pausing(party: Party) -> None:
    party.client.pause(drain=5, timeout=10)
    party.client.pause(drain=5, timeout=10)
    assert party.client.check_paused(timeout=5)
    party.client.unpause(timeout=5)
    assert not party.client.check_paused(timeout=5)
    party.client.unpause(timeout=5)
    assert not party.client.check_paused(timeout=5)


def test_a_pause_waits_for_an_open_transaction(party: Party) -> None:
    party.busy()
    reply = party.client.begin_pause(drain=10, timeout=15)
    poll("a closed gate", lambda: party.client.check_paused(timeout=5) or None, timeout=5)
    assert not reply.done()
    party.idle()
    reply.result()
    assert party.client.check_paused(timeout=5)


def test_a_client_that_leaks_a_transaction_fails_the_pause_and_the_gate_reopens(party: Party) -> None:
    party.busy()
    begun = time.monotonic()
    with pytest.raises(OldPauseFailedError, match=MESSAGE):
        party.client.pause(drain=0.5, timeout=10)
    assert time.monotonic() - begun >= 0.5
    assert not party.client.check_paused(timeout=5)


def test_a_failed_pause_ends_an_earlier_one(party: Party) -> None:
    party.busy()
    earlier = party.client.begin_pause(drain=2, timeout=10)
    with pytest.raises(OldPauseFailedError):
        party.client.pause(drain=0.5, timeout=10)
    assert not party.client.check_paused(timeout=5)
    with pytest.raises(OldPauseFailedError):
        earlier.result()


def test_unpaused_in_the_drain_it_is_seen_only_at_the_limit(party: Party) -> None:
    party.busy()
    reply = party.client.begin_pause(drain=1, timeout=10)
    poll("a closed gate", lambda: party.client.check_paused(timeout=5) or None, timeout=5)
    party.client.unpause(timeout=5)
    with pytest.raises(OldPauseFailedError):
        reply.result()
    assert reply.answered is not None
    assert reply.answered - reply.sent >= 0.9


def test_unpaused_in_the_drain_a_pause_may_be_ok_with_an_open_gate(party: Party) -> None:
    party.busy()
    reply = party.client.begin_pause(drain=10, timeout=15)
    poll("a closed gate", lambda: party.client.check_paused(timeout=5) or None, timeout=5)
    party.client.unpause(timeout=5)
    party.idle()
    reply.result()
    assert not party.client.check_paused(timeout=5)


def test_a_pause_whose_caller_gave_up_still_pauses(party: Party) -> None:
    party.busy()
    with pytest.raises(PauseUnknownError):
        party.client.pause(drain=10, timeout=0.5)
    party.idle()
    time.sleep(0.3)
    assert party.client.check_paused(timeout=5)
