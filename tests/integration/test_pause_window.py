"""A pause window over real ScalarDB Servers (old contract): what they show of the faults that the double plays."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from midtime.errors import ForeignPauseError, MidtimeError, OldPauseFailedError, WindowVoidError
from midtime.scalar.client import AdminClient
from midtime.scalar.endpoint import Endpoint
from midtime.scalar.guard import Guard
from tests.stack import cache
from tests.stack.scalardb import ScalarDB
from tests.stack.scalardb_client import Transaction
from tests.stack.stack import Stack
from tests.unit.processes import until
from tests.unit.scalar.windows import SLACK, Task, done, ended, opened, window, wire

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def third(stack: Stack) -> Iterator[ScalarDB]:
    """A server of this module's own, which may be killed."""
    server = stack.another_multi_scalardb("scalardb-window")
    yield server
    server.close()


@pytest.fixture
def servers(stack: Stack, third: ScalarDB) -> Iterator[list[ScalarDB]]:
    """Three servers over the same databases; open again after the test."""
    servers = [stack.multi_scalardb, stack.multi_scalardb_2, third.start()]
    yield servers
    for server in servers:
        admin(server.start(), "unpause")


def endpoint(server: ScalarDB) -> Endpoint:
    return Endpoint("bank", "scalardb-server", server.address)


def admin(server: ScalarDB, verb: str) -> bool | None:
    """Somebody else: ``check_paused``, ``unpause`` or ``pause``."""
    client = AdminClient(endpoint(server))
    try:
        client.connect(timeout=10)
        if verb == "pause":
            client.pause(drain=5, timeout=10)
            return None
        result: bool | None = getattr(client, verb)(timeout=10)
        return result
    finally:
        client.close()


def paused(*servers: ScalarDB) -> list[bool | None]:
    return [admin(server, "check_paused") for server in servers]


@pytest.fixture
def transaction(servers: list[ScalarDB]) -> Iterator[Transaction]:
    """One that is left open on the third server."""
    with grpc.insecure_channel(servers[2].address) as channel:
        yield Transaction(cache.stubs("scalardb_pb2_grpc").DistributedTransactionStub(channel))


def void(guard: Guard, kind: type[MidtimeError], server: ScalarDB) -> None:
    assert type(guard.error) is kind, guard.error
    assert server.address in guard.error.message
    assert guard.error.fix
    assert guard.end is None


def test_nothing_is_committed_in_a_window(servers: list[ScalarDB], stack: Stack) -> None:
    """The bank works before and after it, and not in it."""
    bank = stack.multi_bank.start()
    try:
        time.sleep(0.5)
        with window([endpoint(server) for server in servers], drain=10, hold=1) as guard:
            done(guard)
        time.sleep(0.5)
    finally:
        bank.stop()
    assert guard.error is guard.stuck is None
    assert guard.start is not None
    assert guard.end is not None
    assert guard.end - guard.start >= 1
    assert bank.longest_gap() >= guard.end - guard.start
    assert bank.total() == bank.expected_total
    assert paused(*servers) == [False] * 3


@pytest.mark.usefixtures("transaction")
def test_a_client_that_leaks_a_transaction(servers: list[ScalarDB]) -> None:
    with window([endpoint(server) for server in servers], drain=1) as guard:
        done(guard)
    void(guard, OldPauseFailedError, servers[2])
    assert paused(*servers) == [False] * 3


def test_a_foreign_pause_stays(servers: list[ScalarDB]) -> None:
    admin(servers[1], "pause")
    with window([endpoint(server) for server in servers]) as guard:
        done(guard)
    void(guard, ForeignPauseError, servers[1])
    assert paused(*servers) == [False, True, False]


def test_a_foreign_unpause_by_the_vendors_own_command(servers: list[ScalarDB]) -> None:
    with window([endpoint(server) for server in servers], deadline=60) as guard:
        opened(guard)
        servers[1].admin("unpause")
        ended(guard)
    void(guard, WindowVoidError, servers[1])
    assert paused(*servers) == [False] * 3


def test_a_server_is_killed_and_comes_back(servers: list[ScalarDB]) -> None:
    with window([endpoint(server) for server in servers], deadline=60) as guard:
        opened(guard)
        servers[2].kill()
        until(lambda: paused(*servers[:2]) == [False] * 2, "the others are open")
        servers[2].start()
        ended(guard)
    void(guard, WindowVoidError, servers[2])
    assert guard.stuck is None
    assert paused(*servers) == [False] * 3


@pytest.mark.parametrize("how", ["cut", "freeze"])
def test_the_network_to_one_of_three_is_cut(servers: list[ScalarDB], how: str) -> None:
    with wire(servers[2].address) as proxy, window([endpoint(servers[0]), endpoint(servers[1]), proxy.endpoint()]) as guard:
        opened(guard)
        getattr(proxy, how)()
        until(lambda: paused(*servers) == [False, False, True], "the others are open")
        time.sleep(1)
        healed = time.monotonic()
        proxy.heal()
        ended(guard)
    assert guard.over is not None
    assert guard.over <= healed + 1 + SLACK
    assert isinstance(guard.error, WindowVoidError)
    assert paused(*servers) == [False] * 3


@pytest.mark.usefixtures("transaction")
def test_killed_in_the_drain(servers: list[ScalarDB], tmp_path: Path) -> None:
    """The server carries on with the Pause of a caller that is dead."""
    task = Task(tmp_path / "journal", [server.address for server in servers], drain=3)
    try:
        until(lambda: paused(servers[2]) == [True], "the gate closes")
        task.kill()
        task.watchdog_ended()
        assert paused(*servers) == [False] * 3
    finally:
        task.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_killed_or_stopped_in_the_window(servers: list[ScalarDB], tmp_path: Path, number: signal.Signals) -> None:
    task = Task(tmp_path / "journal", [server.address for server in servers], drain=3, deadline=5)
    try:
        task.said("ready")
        task.said("opened")
        task.signal(number)
        task.watchdog_ended()
        assert paused(*servers) == [False] * 3
        assert len([note for note in task.notes if note["did"] == "unpaused"]) == 3
    finally:
        task.close()
