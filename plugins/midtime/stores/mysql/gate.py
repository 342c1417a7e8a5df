"""A gate between a dump client and its server: the client is started and connected before a pause window, and reaches the server in it.

The client waits for the server's greeting as long as it takes. From the opening on every byte passes as it is, TLS included; only the
greeting, which no server encrypts, is looked at: it says which of the server's connections the client got.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from subprocess import Popen
from typing import Any

import psutil  # type: ignore[import-untyped]

from midtime.errors import CopyError, StoreUnreachableError
from midtime.stores.mysql.connections import keep_alive

HOST = "127.0.0.1"
ADMISSION_SECONDS = 60
"""For a client to start and to connect; many may start at once."""
CHUNK = 1 << 20
_LOOK = 0.05
"""Seconds between two looks at whether the client still lives while it connects."""
_OLDEST_PROTOCOL = 10


class Gate:
    """One way to one server, for one process and one connection of its.

    :param host: the server's name or address
    :param port: the server's port
    :raises StoreUnreachableError: the name is not known
    """

    def __init__(self, host: str, port: int) -> None:
        self.where = f"{host}:{port}"
        try:  # now: a name server's answer is not to be waited for in a window
            self._addresses = [(str(each[4][0]), port) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except OSError as error:
            raise StoreUnreachableError(f"{host} is not known: {error}", fix="correct the host of the Airflow connection") from error
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._ends: list[socket.socket] = []
        self._pumps: list[threading.Thread] = []

    def admit(self, process: Popen[bytes]) -> bool:
        """Wait for the connection of our own child; whoever else connects is shown the door. Nobody can connect afterwards.

        :return: whether it came; the process may have ended instead
        :raises CopyError: it lives, and does not connect
        """
        deadline = time.monotonic() + ADMISSION_SECONDS
        self._listener.settimeout(_LOOK)
        while process.poll() is None:
            with suppress(TimeoutError):
                guest, peer = self._listener.accept()
                if _connected(process.pid, peer, guest.getsockname()):
                    self._listener.close()
                    self._ends.append(_prepared(guest))
                    return True
                guest.close()
            if time.monotonic() > deadline:
                raise CopyError(
                    f"the dump client did not connect within {ADMISSION_SECONDS} s", fix="see the load of the worker, then run again"
                )
        return False

    def open(self, deadline: float) -> int | None:
        """Connect to the server, hand its greeting to the client, and let every byte pass from now on.

        :param deadline: of ``time.monotonic()``
        :return: the number that the server gave the connection; None if it greeted with an error, which the client tells
        :raises StoreUnreachableError: the server does not answer in time
        """
        try:
            server = self._connect(deadline)
            greeting = _greeting(server, deadline)
            server.settimeout(None)
        except OSError as error:
            raise StoreUnreachableError(
                f"does not answer: {self.where}: {error}", fix="check that the server is up and reachable from the worker"
            ) from error
        (client,) = self._ends[:1]
        with suppress(OSError):  # it is gone: its own last words say why
            client.sendall(greeting)
        self._pumps = [threading.Thread(target=_pump, args=ends, name="gate", daemon=True) for ends in ((server, client), (client, server))]
        for pump in self._pumps:
            pump.start()
        return _connection_id(greeting)

    def close(self) -> None:
        """End it all: no socket and no thread stays. Idempotent."""
        self._listener.close()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for pump in self._pumps:
            pump.join()
        for end in self._ends:
            end.close()

    def _connect(self, deadline: float) -> socket.socket:
        for left, address in zip(range(len(self._addresses), 0, -1), self._addresses, strict=True):
            try:  # an address that is silent leaves the others their share of the time
                server = socket.create_connection(address, timeout=_left(deadline) / left)
            except OSError:
                if left == 1:
                    raise
            else:
                self._ends.append(_prepared(server))
                return server
        raise OSError("no address")


def _connected(pid: int, peer: Any, ours: Any) -> bool:
    """Whether the other end of an accepted connection is in that process, or in a child of it: a client may be wrapped in a script."""
    with suppress(psutil.Error):
        parent = psutil.Process(pid)
        return any(_has(process, peer, ours) for process in (parent, *parent.children(recursive=True)))
    return False


def _has(process: psutil.Process, peer: Any, ours: Any) -> bool:
    with suppress(psutil.Error):  # it ended meanwhile
        return any((found.laddr, found.raddr) == (peer, ours) for found in process.net_connections("tcp4"))
    return False


def _prepared(end: socket.socket) -> socket.socket:
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # whoever passes messages on must not wait for more to come
    keep_alive(end)
    end.setblocking(True)
    return end


def _left(deadline: float) -> float:
    if (left := deadline - time.monotonic()) > 0:
        return left
    raise TimeoutError("no answer in time")


def _greeting(server: socket.socket, deadline: float) -> bytes:
    """The first packet, with its header of four bytes: length, little endian, and number."""
    header = _exactly(server, 4, deadline)
    return header + _exactly(server, int.from_bytes(header[:3], "little"), deadline)


def _exactly(server: socket.socket, size: int, deadline: float) -> bytes:
    found = bytearray()
    while len(found) < size:
        server.settimeout(_left(deadline))
        if not (chunk := server.recv(size - len(found))):
            raise ConnectionError("the server closed the connection before it greeted")
        found += chunk
    return bytes(found)


def _connection_id(greeting: bytes) -> int | None:
    """Protocol 10: its number, the server's version up to a zero byte, then 32 bits of the connection's number."""
    protocol, rest = greeting[4:5], greeting[5:]
    if protocol != bytes([_OLDEST_PROTOCOL]):
        return None
    _, _, numbered = rest.partition(b"\0")
    return int.from_bytes(numbered[:4], "little")


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass on what comes until no more does; if one end breaks, both end."""
    buffer = memoryview(bytearray(CHUNK))
    try:
        while count := source.recv_into(buffer):
            sink.sendall(buffer[:count])
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
