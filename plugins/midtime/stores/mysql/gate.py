"""A gate between a dump client and its server: the client is started, connected and logged in before a pause window, and says its first word in it.

Every byte passes as it is, TLS included; only the greeting, which no server encrypts, is looked at: it says which of the server's connections
the client got. Once the server lists that one as logged in, whatever the client says next stays in the gate until it is opened. Where the
server does not tell, the client waits for its greeting until then.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from subprocess import Popen
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]

from midtime.errors import CopyError, StoreUnreachableError
from midtime.stores.mysql.connections import keep_alive

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        self._number: int | None = None

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

    def log_in(self, deadline: float, waits: Callable[[int], bool]) -> None:
        """Let the client log in, and hold what it says then. Not for a server that does not number connections as it lists them.

        :param deadline: of ``time.monotonic()``
        :param waits: whether the server lists the connection of this number as one that waits for a statement
        :raises StoreUnreachableError: the server does not answer in time, or ends the connection; the client may say more of that
        """
        with self._reaching():
            number = self._connect_client(deadline)
            client, server = self._ends
            while number is not None:
                ready, _, _ = select.select([client, server], [], [], _left(deadline))
                if server not in ready and waits(number):  # so this is no part of the login any more: it stays where it is
                    return
                for source, sink in ((server, client), (client, server)):
                    if source in ready:
                        if not (chunk := source.recv(CHUNK)):
                            raise ConnectionError(
                                f"the {'server' if source is server else 'dump client'} ended the connection at its login"
                            )
                        sink.sendall(chunk)

    @property
    def broken(self) -> bool:
        """Whether one of the two is gone while the gate is closed."""
        return any(_ended(end) for end in self._ends)

    def open(self, deadline: float) -> int | None:
        """Let every byte pass from now on; connect to the server first, where nobody has logged in.

        :param deadline: of ``time.monotonic()``
        :return: the number that the server gave the connection; None if it greeted with an error, which the client tells
        :raises StoreUnreachableError: the server does not answer in time
        """
        if len(self._ends) < 2:
            with self._reaching():
                self._connect_client(deadline)
        client, server = self._ends
        self._pumps = [threading.Thread(target=_pump, args=ends, name="gate", daemon=True) for ends in ((server, client), (client, server))]
        for pump in self._pumps:
            pump.start()
        return self._number

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnreachableError(
                f"does not answer: {self.where}: {error}", fix="check that the server is up and reachable from the worker"
            ) from error

    def _connect_client(self, deadline: float) -> int | None:
        """Connect to the server, and hand its greeting to the client."""
        server = self._connect(deadline)
        greeting = _greeting(server, deadline)
        server.settimeout(None)
        with suppress(OSError):  # it is gone: its own last words say why
            self._ends[0].sendall(greeting)
        self._number = _connection_id(greeting)
        return self._number

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


def _ended(end: socket.socket) -> bool:
    try:
        return end.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


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
