"""A managed service's clock: a real HTTP server whose Date is off, jumps, stands still or is missing."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from midtime.model.instants import utc_now

SECOND = timedelta(seconds=1)


class HttpService:
    """Answers with a Date of its own, on one connection as a service's client would."""

    def __init__(self) -> None:
        self.date: Callable[[], str | None] = lambda: format_datetime(utc_now(), usegmt=True)
        self.delay, self.answers = 0.0, 0
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                time.sleep(service.delay)
                service.answers += 1
                self.send_response_only(200)
                if date := service.date():
                    self.send_header("Date", date)
                self.send_header("Content-Length", "0")
                self.end_headers()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=5)

    def off_by(self, *offsets: float) -> None:
        """These seconds, in turn, as several front ends would; the last one stays."""
        left = list(offsets)
        self.date = lambda: format_datetime(utc_now() + (left.pop(0) if len(left) > 1 else left[0]) * SECOND, usegmt=True)

    def fetch(self) -> str | None:
        self.connection.request("GET", "/")
        answer = self.connection.getresponse()
        answer.read()
        return answer.getheader("Date")


@contextmanager
def http_service() -> Iterator[HttpService]:
    """One that runs."""
    made = HttpService()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        made.connection.close()
        made.server.shutdown()
        thread.join()
        made.server.server_close()
