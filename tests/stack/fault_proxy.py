"""An HTTP proxy in front of an object store, which lets tests have every accident of a network and of a busy service.

It runs in threads of the test, on a port of its own, and is told what shall happen to which request; all others pass.
"""

from __future__ import annotations

import http.client
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from urllib.parse import parse_qs, urlsplit

AGES = 3600.0


@dataclass
class Request:
    """One request, read to the end of its head."""

    method: str
    target: str
    headers: dict[str, str]
    """Names in small letters."""

    @property
    def operation(self) -> str:
        """The same words for S3 and for Azure."""
        query = parse_qs(urlsplit(self.target).query, keep_blank_values=True)
        comp = query.get("comp", [""])[0]
        if comp in ("block", "blocklist"):
            return {"block": "part", "blocklist": "complete"}[comp]
        if comp == "list" or "list-type" in query:
            return "list"
        if "uploadId" in query:
            return {"PUT": "part", "POST": "complete", "DELETE": "abort"}[self.method]
        return next((word for word in ("uploads", "delete") if word in query), self.method.lower())

    def __str__(self) -> str:
        return f"{self.operation} {urlsplit(self.target).path}"


class Fault:
    """What happens to a request instead."""

    def answer(self, exchange: Exchange) -> None:
        raise NotImplementedError


@dataclass
class Answer(Fault):
    """The store answers so, and does nothing."""

    reply: bytes

    def answer(self, exchange: Exchange) -> None:
        exchange.read_body()
        head, _, body = self.reply.partition(b"\r\n\r\n")
        exchange.client.sendall(head + b"\r\n\r\n" + (b"" if exchange.request.method == "HEAD" else body))


@dataclass
class BreakRequest(Fault):
    """The connection is reset after so many bytes of the request's body."""

    after: int = 0

    def answer(self, exchange: Exchange) -> None:
        exchange.reader.read(min(self.after, exchange.length))
        exchange.reset()


@dataclass
class BreakReply(Fault):
    """The store does it; the connection is reset after so many bytes of its reply."""

    after: int = 0

    def answer(self, exchange: Exchange) -> None:
        exchange.client.sendall(exchange.forward()[: self.after])
        exchange.reset()


@dataclass
class Stall(Fault):
    """The store does it, and then not another byte comes after so many bytes of its reply."""

    after: int = 0

    def answer(self, exchange: Exchange) -> None:
        exchange.client.sendall(exchange.forward()[: self.after])
        exchange.proxy.closing.wait(AGES)


@dataclass
class Plan:
    """A fault for some requests."""

    fault: Fault
    concerns: Callable[[Request], bool]
    skip: int
    times: float
    met: int = 0
    """How many requests it has hit."""


@dataclass
class Exchange:
    """One request on its way."""

    proxy: FaultProxy
    client: socket.socket
    reader: BufferedIOBase
    request: Request

    @property
    def length(self) -> int:
        return int(self.request.headers.get("content-length", 0))

    def read_body(self) -> bytes:
        body: bytes = self.reader.read(self.length)
        return body

    def forward(self) -> bytes:
        """Have the real store do it."""
        body = self.read_body()
        connection = http.client.HTTPConnection(self.proxy.upstream, timeout=60)
        try:
            connection.putrequest(self.request.method, self.request.target, skip_host=True, skip_accept_encoding=True)
            for name, value in self.request.headers.items():
                if name not in ("expect", "connection"):
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            reply = connection.getresponse()
            content = reply.read()
        finally:
            connection.close()
        kept = [
            (name, value)
            for name, value in reply.getheaders()
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "keep-alive")
        ]
        length = reply.getheader("Content-Length", "0") if self.request.method == "HEAD" else str(len(content))
        lines = [
            f"HTTP/1.1 {reply.status} {reply.reason}",
            *(f"{name}: {value}" for name, value in kept),
            f"Content-Length: {length}",
            "Connection: close",
        ]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content

    def reset(self) -> None:
        """As a failing router does: no FIN, a RST."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()


class FaultProxy:
    """A proxy for one test.

    :param url: the real store
    """

    def __init__(self, url: str) -> None:
        self.upstream = urlsplit(url).netloc
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self._plans: list[Plan] = []
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="fault proxy", daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def plan(self, fault: Fault, *operations: str, skip: int = 0, times: float = 1) -> Plan:
        """Let something happen to the next requests.

        :param operations: to which (:attr:`Request.operation`); none: to all
        :param skip: how many of them pass before
        :param times: to how many
        """
        planned = Plan(fault, lambda request: not operations or request.operation in operations, skip, times)
        self._plans.append(planned)
        return planned

    def forget(self) -> None:
        """No more faults, nothing seen."""
        with self._lock:
            self._plans.clear()
            self.requests.clear()

    def seen(self, *operations: str) -> list[Request]:
        return [request for request in self.requests if request.operation in operations]

    def fault_for(self, request: Request) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            for plan in self._plans:
                if not plan.concerns(request):
                    continue
                if plan.skip:
                    plan.skip -= 1
                elif plan.met < plan.times:
                    plan.met += 1
                    return plan.fault
        return None

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def fault_proxy(url: str) -> Iterator[FaultProxy]:
    proxy = FaultProxy(url)
    try:
        yield proxy
    finally:
        proxy.close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 64
    proxy: FaultProxy


class _Handler(socketserver.StreamRequestHandler):
    """One request a connection."""

    server: _Server

    def handle(self) -> None:
        line = self.rfile.readline(65537).decode("latin-1").split()
        if len(line) != 3:
            return
        message = http.client.parse_headers(self.rfile)
        request = Request(line[0], line[1], {name.lower(): value for name, value in message.items()})
        assert "chunked" not in request.headers.get("transfer-encoding", ""), "neither SDK sends chunks to plain HTTP"
        if request.headers.get("expect") == "100-continue":
            self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange = Exchange(self.server.proxy, self.connection, self.rfile, request)
        try:
            fault = self.server.proxy.fault_for(request)
            if fault:
                fault.answer(exchange)
            else:
                self.connection.sendall(exchange.forward())
        except (ConnectionError, OSError):
            return  # the client gave up

    def finish(self) -> None:
        try:
            super().finish()
        except OSError:
            return
