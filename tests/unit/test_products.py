"""Products around a restore in place, played by real sockets and commands."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from midtime import products
from midtime.errors import (
    AdminAccessError,
    DiscoveryAccessError,
    DiscoveryError,
    ProductError,
    ProductRunningError,
    RequestError,
    StillPausedError,
)
from midtime.model.topology import Topology
from midtime.products import answering, require_stoppable, start_all, stop_all
from midtime.scalar.client import AdminClient
from midtime.scalar.discovery import srv
from midtime.scalar.double import Double
from tests.unit.builders import topology
from tests.unit.processes import alive, until


class Server:
    """Something that listens until it is told not to."""

    def __init__(self, family: socket.AddressFamily = socket.AF_INET) -> None:
        self.socket = socket.create_server(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), family=family)
        self.port: int = self.socket.getsockname()[1]
        self.endpoint = f"[::1]:{self.port}" if family == socket.AF_INET6 else f"127.0.0.1:{self.port}"

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def silent() -> Iterator[str]:
    """An endpoint at which nobody answers, for sure: its port is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "POLL_SECONDS", 0.01)


def bank(*endpoints: str, stop: Any = None, start: Any = None, **changes: Any) -> Topology:
    product: dict[str, Any] = {"kind": "scalardb-server", "endpoints": {"static": list(endpoints)}}
    if stop or start:
        product |= {"stop": stop, "start": start}
    return topology(products=[product | changes])


class TestStoppable:
    def test_without_products_or_with_plain_ones(self) -> None:
        require_stoppable(topology())
        require_stoppable(bank("127.0.0.1:1"))
        require_stoppable(bank("127.0.0.1:1", stop="true", start="true"))

    @pytest.mark.parametrize("endpoints", [{"srv": "_admin._tcp.scalardb.svc.local"}, {"kubernetes": {"namespace": "n", "release": "r"}}])
    def test_discovered_ones(self, endpoints: dict[str, Any]) -> None:
        require_stoppable(topology(products=[{"kind": "scalardb-cluster", "endpoints": endpoints}]))

    def test_scaled_ones(self) -> None:
        scale = {"kubernetes": {"namespace": "n", "workloads": ["deployment/x"]}}
        require_stoppable(bank("127.0.0.1:1", stop=scale, start=scale))

    @pytest.mark.parametrize("key", ["stop", "start"])
    def test_through_ssh(self, key: str) -> None:
        with pytest.raises(RequestError, match="stopped through SSH"):
            require_stoppable(bank("127.0.0.1:1", **({"stop": "true", "start": "true"} | {key: {"command": "true", "ssh_conn_id": "s"}})))


class TestAnswering:
    def test_tells_who(self, server: Server, silent: str) -> None:
        assert list(answering([silent, server.endpoint])) == [server.endpoint]

    def test_ipv6(self) -> None:
        six = Server(socket.AF_INET6)
        assert list(answering([six.endpoint])) == [six.endpoint]
        six.close()
        assert list(answering([six.endpoint])) == []


class TestStop:
    def test_none(self, silent: str) -> None:
        stop_all(topology())
        stop_all(bank(silent))

    def test_one_that_still_answers_and_has_no_stop(self, server: Server) -> None:
        with pytest.raises(ProductRunningError, match=f"scalardb-server still answers at {server.endpoint}") as caught:
            stop_all(bank(server.endpoint))
        assert "nothing was replaced" in caught.value.fix

    def test_one_whose_stop_does_not_stop_it(self, server: Server) -> None:
        with pytest.raises(ProductRunningError, match="still answers") as caught:
            stop_all(bank(server.endpoint, stop={"command": "true", "timeout": "100ms"}, start="true"))
        assert "its stop does not stop it" in caught.value.fix

    def test_one_that_takes_a_moment(self, server: Server, tmp_path: Path) -> None:
        def later() -> None:
            until(lambda: (tmp_path / "told").exists(), "the stop command ran")
            server.close()

        thread = threading.Thread(target=later)
        thread.start()
        stop_all(bank(server.endpoint, stop=["touch", f"{tmp_path}/told"], start="true"))
        thread.join()
        assert list(answering([server.endpoint])) == []

    def test_any_endpoint_counts(self, server: Server, silent: str) -> None:
        with pytest.raises(ProductRunningError, match=server.endpoint) as caught:
            stop_all(bank(silent, server.endpoint))
        assert silent not in caught.value.message

    def test_a_stop_that_fails(self, silent: str) -> None:
        with pytest.raises(ProductRunningError, match=r"the stop command of product scalardb-server failed: exit code 3\n.*unit not found"):
            stop_all(bank(silent, stop=["sh", "-c", "echo unit not found >&2; exit 3"], start="true"))

    def test_a_stop_that_is_not_there(self, silent: str) -> None:
        with pytest.raises(ProductRunningError, match="no-such-command") as caught:
            stop_all(bank(silent, stop="no-such-command", start="true"))
        assert caught.value.fix == "stop it by hand, then run again"

    def test_a_stop_that_never_ends(self, silent: str, tmp_path: Path) -> None:
        hangs = ["sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 1000"]
        with pytest.raises(ProductRunningError, match="timed out"):
            stop_all(bank(silent, stop={"command": hangs, "timeout": "300ms"}, start="true"))
        assert not alive(int((tmp_path / "pid").read_text()))

    def test_a_command_is_found_in_the_path_and_no_shell_reads_it(self, silent: str, tmp_path: Path) -> None:
        stop_all(bank(silent, stop=["touch", f"{tmp_path}/$HOME; x"], start="true"))
        assert (tmp_path / "$HOME; x").exists()


LISTEN = """
import socket, sys, time
served = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("up", flush=True)
while not __import__("os").path.exists(sys.argv[2]):
    time.sleep(0.01)
"""


class TestStart:
    def test_what_has_no_start_is_not_waited_for(self, silent: str) -> None:
        start_all(bank(silent))

    def test_waits_until_it_answers_and_lets_it_run(self, server: Server, tmp_path: Path) -> None:
        """The product stays in the background and holds the command's output open: the restore must not wait for its end."""
        server.close()
        (tmp_path / "listen.py").write_text(LISTEN)
        start = ["sh", "-c", f"{sys.executable} -I -S {tmp_path}/listen.py {server.port} {tmp_path}/end & echo $! > {tmp_path}/pid"]
        try:
            start_all(bank(server.endpoint, stop="true", start={"command": start, "timeout": "20s"}))
            assert alive(int((tmp_path / "pid").read_text()))
            assert list(answering([server.endpoint])) == [server.endpoint]
        finally:
            (tmp_path / "end").touch()
        until(lambda: not alive(int((tmp_path / "pid").read_text())), "the product ended")

    def test_one_that_does_not_come_up(self, server: Server, silent: str) -> None:
        with pytest.raises(ProductRunningError, match=f"does not answer at {silent}$|does not answer at {silent} "):
            start_all(bank(server.endpoint, silent, stop="true", start={"command": "true", "timeout": "50ms"}))

    def test_a_start_that_fails(self, silent: str) -> None:
        with pytest.raises(ProductRunningError, match="the start command of product ledger failed: exit code 1"):
            start_all(bank(silent, stop="true", start="false", name="ledger"))


class TestDiscovered:
    """Products behind an SRV record; those on Kubernetes are in tests/integration."""

    @pytest.fixture
    def found(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """What the record lists; nothing makes it disappear."""
        listed: list[str] = []

        def targets(subject: str, record: str) -> tuple[str, ...]:
            if not listed:
                raise DiscoveryAccessError(f"the SRV record {record} of product {subject} does not exist")
            return tuple(listed)

        monkeypatch.setattr(srv, "targets", targets)
        return listed

    def by_record(self, stop: Any = None, start: Any = None) -> Topology:
        product = {"kind": "scalardb-cluster", "endpoints": {"srv": "_admin._tcp.bank"}, "stop": stop, "start": start}
        return topology(products=[product])

    def test_one_that_answers(self, found: list[str], server: Server, silent: str) -> None:
        found += [silent, server.endpoint]
        with pytest.raises(ProductRunningError, match=f"scalardb-cluster still answers at {server.endpoint}$|{server.endpoint} "):
            stop_all(self.by_record())

    def test_stopped_once_what_was_found_before_is_silent(self, found: list[str], server: Server, tmp_path: Path) -> None:
        """A record that goes away does not mean that the process has: it may be leaving."""
        found.append(server.endpoint)

        def later() -> None:
            until(lambda: (tmp_path / "told").exists(), "the stop command ran")
            found.clear()
            time.sleep(0.1)
            closed.append(time.monotonic())
            server.close()

        closed: list[float] = []
        thread = threading.Thread(target=later)
        thread.start()
        stop_all(self.by_record(["touch", f"{tmp_path}/told"], "true"))
        assert closed
        thread.join()

    def test_nothing_found_proves_nothing(self, found: list[str], tmp_path: Path) -> None:
        with pytest.raises(
            ProductRunningError, match=r"whether product scalardb-cluster runs cannot be seen: .*does not exist; nothing was replaced"
        ):
            stop_all(self.by_record(["touch", f"{tmp_path}/told"], "true"))
        assert not (tmp_path / "told").exists()

    def test_a_name_server_that_fails_is_no_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: str) -> None:
            raise DiscoveryError("no name server")

        monkeypatch.setattr(srv, "targets", fail)
        with pytest.raises(DiscoveryError, match="no name server"):
            stop_all(self.by_record())

    def test_started_until_it_is_found_and_answers(self, found: list[str], server: Server, tmp_path: Path) -> None:
        def later() -> None:
            until(lambda: (tmp_path / "told").exists(), "the start command ran")
            found.append(server.endpoint)

        thread = threading.Thread(target=later)
        thread.start()
        start_all(self.by_record("true", ["touch", f"{tmp_path}/told"]))
        assert found
        thread.join()
        (tmp_path / "told").unlink()
        start_all(self.by_record("true", ["touch", f"{tmp_path}/told"]))
        assert not (tmp_path / "told").exists(), "it ran already"

    def test_never_found(self, found: list[str]) -> None:
        with pytest.raises(ProductRunningError, match=r"does not answer at its endpoints \(the SRV record"):
            start_all(self.by_record("true", {"command": "true", "timeout": "50ms"}))


class TestStopAgain:
    """Somebody died in the middle of stopping them."""

    def test_what_is_silent_is_left_alone(self, silent: str) -> None:
        stop_all(bank(silent, stop="false", start="true"), {"scalardb-server": (silent,)}, again=True)
        with pytest.raises(ProductRunningError, match="stop command"):
            stop_all(bank(silent, stop="false", start="true"), {"scalardb-server": (silent,)})

    def test_what_runs_is_stopped(self, server: Server) -> None:
        with pytest.raises(ProductRunningError, match="the stop command of product scalardb-server failed"):
            stop_all(bank(server.endpoint, stop="false", start="true"), {"scalardb-server": (server.endpoint,)}, again=True)

    def test_an_srv_record_that_is_gone_with_its_product(self, monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
        """It cannot be looked up any more; where it was is known from before."""

        def gone(subject: str, record: str) -> tuple[str, ...]:
            raise DiscoveryAccessError(f"the SRV record {record} does not exist")

        monkeypatch.setattr(srv, "targets", gone)
        product = {"kind": "scalardb-cluster", "endpoints": {"srv": "_admin._tcp.bank"}, "stop": "false", "start": "true"}
        server.close()
        stop_all(topology(products=[product]), {"scalardb-cluster": (server.endpoint,)}, again=True)
        with pytest.raises(ProductRunningError, match="cannot be seen"):
            products.find_all(topology(products=[product]))

    def test_all_are_found_before_the_first_is_stopped(self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(srv, "targets", lambda *_: (_ for _ in ()).throw(DiscoveryAccessError("no such record")))
        first = {
            "kind": "scalardb-server",
            "endpoints": {"static": [server.endpoint]},
            "stop": ["touch", f"{tmp_path}/told"],
            "start": "true",
        }
        second = {"kind": "scalardb-cluster", "endpoints": {"srv": "_admin._tcp.bank"}, "stop": "true", "start": "true"}
        with pytest.raises(ProductRunningError, match="cannot be seen"):
            stop_all(topology(products=[first, second]))
        assert not (tmp_path / "told").exists()


@pytest.fixture
def double() -> Iterator[Double]:
    with Double() as made:
        yield made


class TestServing:
    """Started is not enough: a product may come up paused, or not speak scalar-admin at all."""

    QUICK: Any = {"pause": {"drain": "1ms", "hold": "0s", "deadline": "300ms"}}
    START: Any = {"command": "true", "timeout": "300ms"}

    def serving(self, *endpoints: str, kind: str = "scalardb-server", **changes: Any) -> list[str]:
        product = {"kind": kind, "endpoints": {"static": list(endpoints)}, "stop": "true", "start": self.START} | changes
        return list(products.require_serving(topology(products=[product], **self.QUICK)))

    def test_one_that_serves(self, double: Double) -> None:
        assert self.serving(double.address) == []
        assert [call["rpc"] for call in double.calls()][-1] == "check_paused"

    def test_one_that_is_paused(self, double: Double) -> None:
        with closing(AdminClient(double.endpoint())) as client:
            client.pause(drain=1, timeout=5)
            try:
                with pytest.raises(StillPausedError, match="was started and is paused") as caught:
                    self.serving(double.address)
                assert "midtime unpause" in caught.value.fix
            finally:
                client.unpause(timeout=5)

    def test_somebody_s_window_is_waited_for(self, double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
        with closing(AdminClient(double.endpoint())) as client:
            client.pause(drain=1, timeout=5)
            monkeypatch.setattr(products.time, "sleep", lambda _: client.unpause(timeout=5))
            assert self.serving(double.address) == []

    def test_one_that_accepts_connections_and_says_nothing(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("midtime.pausing.CONNECT_SECONDS", 0.2)
        with pytest.raises(ProductError, match="product scalardb-server was started"):
            self.serving(server.endpoint)

    def test_one_that_people_start(self, silent: str) -> None:
        (line,) = self.serving(silent, stop=None, start=None)
        assert "Product scalardb-server has no `start` in the topology: start it by hand" in line

    def test_an_application_without_the_service(self, monkeypatch: pytest.MonkeyPatch, silent: str) -> None:
        def refuse(_: Any) -> None:
            raise AdminAccessError("no admin service there")

        monkeypatch.setattr(products, "require_unpaused", refuse)
        (line,) = self.serving(silent, kind="application")
        assert "Application application runs, but cannot be asked whether it is paused: no admin service" in line
        with pytest.raises(AdminAccessError):
            self.serving(silent)
