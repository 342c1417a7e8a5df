"""The gate by itself: who gets in, what passes, and that nothing stays. The servers and clients here speak no more than a greeting."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from subprocess import PIPE, Popen
from types import SimpleNamespace

import pytest

from midtime.errors import CopyError, StoreUnreachableError
from midtime.stores.mysql import gate as module
from midtime.stores.mysql.gate import Gate

CLIENT = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as server:
    sys.stdin.read(1)
    print(server.recv(1 << 16).hex(), flush=True)
    server.sendall(b"x" * (5 << 20))
    server.shutdown(socket.SHUT_WR)
    print(sum(len(chunk) for chunk in iter(lambda: server.recv(1 << 16), b"")), flush=True)
"""
WRAPPER = "import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', sys.argv[1], *sys.argv[2:]]).returncode)"
NUMBER = 0x01020304
GREETING = b"\x0a8.0.36\0" + NUMBER.to_bytes(4, "little") + b"salt" * 5
REFUSAL = b"\xff\x10\x04Too many connections"


@contextmanager
def client(port: int, *argv: str) -> Iterator[Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", *(argv or (CLIENT,)), str(port)], stdin=PIPE, stdout=PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def packet(payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + b"\0" + payload


@contextmanager
def server(payload: bytes | None = GREETING, *, hold: bool = True) -> Iterator[tuple[int, list[int]]]:
    """Greets, reads to the end, sends as much; its port, and how much it read. Without a payload it accepts and is silent."""
    read: list[int] = []
    done = threading.Event()

    def serve() -> None:
        with suppress(OSError), listener.accept()[0] as guest:
            if payload is None:
                if hold:
                    done.wait(60)
                return
            for byte in packet(payload):  # one by one: a greeting may come in pieces
                guest.sendall(bytes([byte]))
            size = sum(len(chunk) for chunk in iter(lambda: guest.recv(1 << 16), b""))
            read.append(size)
            guest.sendall(b"y" * size)

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], read
        finally:
            done.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def soon(seconds: float = 30) -> float:
    return time.monotonic() + seconds


def pumps() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "gate"]


@pytest.mark.parametrize("argv", [(), (WRAPPER, CLIENT)], ids=["a client", "a wrapped one"])
def test_everything_passes_and_nothing_stays(argv: tuple[str, ...]) -> None:
    with server() as (port, read), closing(Gate("127.0.0.1", port)) as gate, client(gate.port, *argv) as process:
        assert gate.admit(process)
        assert gate.open(soon()) == NUMBER
        assert len(pumps()) == 2
        said, _ = process.communicate(b"g", timeout=60)
        greeting, size = said.split()
        assert bytes.fromhex(greeting.decode()) == packet(GREETING)[: len(greeting) // 2]
        assert int(size) == 5 << 20
        assert read == [5 << 20]
    assert pumps() == []


def test_strangers_are_turned_away() -> None:
    """They come before our own child and after it; the server hears of none of them."""
    with server() as (port, _), closing(Gate("127.0.0.1", port)) as gate:
        stranger = socket.create_connection(("127.0.0.1", gate.port))
        with stranger, client(gate.port) as process:
            assert gate.admit(process)
            stranger.settimeout(30)
            assert stranger.recv(1) == b""
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", gate.port))
            assert gate.open(soon()) == NUMBER
            assert process.communicate(b"g", timeout=60)[0]


def test_a_client_that_ends_without_connecting() -> None:
    with closing(Gate("127.0.0.1", 1)) as gate, client(gate.port, "pass") as process:
        assert not gate.admit(process)


def test_a_client_that_lives_and_does_not_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ADMISSION_SECONDS", 0.2)
    with (
        closing(Gate("127.0.0.1", 1)) as gate,
        client(gate.port, "import time; time.sleep(60)") as process,
        pytest.raises(CopyError, match="did not connect within"),
    ):
        gate.admit(process)


def test_a_greeting_that_is_an_error_is_the_client_s_to_tell() -> None:
    with server(REFUSAL) as (port, _), closing(Gate("127.0.0.1", port)) as gate, client(gate.port) as process:
        assert gate.admit(process)
        assert gate.open(soon()) is None
        said, _ = process.communicate(b"g", timeout=60)
        assert REFUSAL.startswith(bytes.fromhex(said.split()[0].decode())[4:])


@pytest.mark.parametrize(("hold", "said"), [(True, "timed out"), (False, "before it greeted")], ids=["silent", "closes"])
def test_a_server_that_does_not_greet(hold: bool, said: str) -> None:
    with server(None, hold=hold) as (port, _), closing(Gate("127.0.0.1", port)) as gate, client(gate.port) as process:
        assert gate.admit(process)
        with pytest.raises(StoreUnreachableError, match=said):
            gate.open(soon(1))


def test_a_server_that_is_not_there() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as gone:
        port = gone.getsockname()[1]
    with closing(Gate("127.0.0.1", port)) as gate, client(gate.port) as process:
        assert gate.admit(process)
        with pytest.raises(StoreUnreachableError, match=f"127.0.0.1:{port}: .*refused"):
            gate.open(soon())


def test_time_that_is_over() -> None:
    with server() as (port, _), closing(Gate("127.0.0.1", port)) as gate, client(gate.port) as process:
        assert gate.admit(process)
        with pytest.raises(StoreUnreachableError, match="no answer in time"):
            gate.open(time.monotonic())


def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(StoreUnreachableError, match=r"nowhere\.invalid is not known"):
        Gate("nowhere.invalid", 3306)


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with an address for each family, of which the server listens on one."""
    with server() as (port, _), client_at(monkeypatch, port) as (gate, process):
        assert gate.admit(process)
        assert gate.open(soon()) == NUMBER


@contextmanager
def client_at(monkeypatch: pytest.MonkeyPatch, port: int) -> Iterator[tuple[Gate, Popen[bytes]]]:
    found = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.2", "127.0.0.1")]
    real = socket.getaddrinfo
    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        made = Gate("db.example", port)
    assert socket.getaddrinfo is real
    with closing(made) as gate, client(gate.port) as process:
        yield gate, process


@pytest.mark.parametrize(
    ("taken", "left"),
    [((1, 1, 1), [10, 10, 10]), ((0, 1, 0), [10, 15, 15]), ((0, 0, 0), [10, 15, 30]), ((1, 0, 1), [10, 10, 20])],
    ids=["silent", "second silent", "all refuse", "second refuses"],
)
def test_each_address_gets_its_share_of_the_time(monkeypatch: pytest.MonkeyPatch, taken: tuple[int, ...], left: list[float]) -> None:
    """On a clock of the test's own; an address takes all that it is given, or nothing."""
    given: list[float] = []
    hosts = {f"127.0.0.{number}": share for number, share in enumerate(taken, 2)}

    def connection(address: tuple[str, int], timeout: float) -> socket.socket:
        given.append(timeout)
        clock["now"] += timeout * hosts[address[0]]
        raise TimeoutError("timed out")

    clock = {"now": 100.0}
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 1)) for host in hosts]
    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        patched.setattr(socket, "create_connection", connection)
        patched.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock["now"]))
        with closing(Gate("db.example", 1)) as gate, pytest.raises(StoreUnreachableError, match="timed out"):
            gate.open(130.0)
    assert given == pytest.approx(left)


def test_an_end_that_breaks_ends_the_other() -> None:
    with server() as (port, _), closing(Gate("127.0.0.1", port)) as gate, client(gate.port) as process:
        assert gate.admit(process)
        gate.open(soon())
        process.kill()
        for pump in pumps():
            pump.join(30)
        assert pumps() == []


def test_a_gate_that_was_never_opened() -> None:
    with client_of_closed_gate() as process:
        said, _ = process.communicate(b"g", timeout=60)
        assert said == b"\n", "its connection was closed; it was greeted by nobody"


@contextmanager
def client_of_closed_gate() -> Iterator[Popen[bytes]]:
    gate = Gate("127.0.0.1", 1)
    with client(gate.port) as process:
        assert gate.admit(process)
        gate.close()
        gate.close()
        yield process
