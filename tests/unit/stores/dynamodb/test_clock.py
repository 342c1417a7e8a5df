"""The clock of the service: the Date of its answers, read through the SDK."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from midtime.errors import StoreAccessError, StoreUnreachableError
from midtime.model.instants import utc_now
from tests.unit.stores.dynamodb.world import World

SECOND = timedelta(seconds=1)


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    offset = 0.0
    refuse = ""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = f'{{"__type": "com.amazonaws.dynamodb#{self.refuse}"}}' if self.refuse else '{"TableNames": []}'
        self.send_response_only(400 if self.refuse else 200)
        self.send_header("Date", format_datetime(utc_now() + self.offset * SECOND, usegmt=True))
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[ThreadingHTTPServer]:
    Service.offset, Service.refuse = 0.0, ""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def at(server: ThreadingHTTPServer) -> World:
    return World(store={"endpoint": f"http://127.0.0.1:{server.server_port}"})


@pytest.mark.parametrize("offset", [0.0, -4.7, 2.4])
def test_off_by_seconds(service: ThreadingHTTPServer, offset: float) -> None:
    Service.offset = offset
    store = at(service).store
    reading = store.read_clock()
    assert reading.low <= offset * SECOND <= reading.high
    assert reading.width < SECOND
    assert (store.fleet, store.resolution) == (True, SECOND)


def test_refused(service: ThreadingHTTPServer) -> None:
    Service.refuse = "ExpiredTokenException"
    with pytest.raises(StoreAccessError, match="store points: credentials have expired"):
        at(service).store.read_clock()


def test_nobody_there(service: ThreadingHTTPServer) -> None:
    world = at(service)
    service.server_close()
    service.shutdown()
    with pytest.raises(StoreUnreachableError, match="store points: no answer"):
        world.store.read_clock()
