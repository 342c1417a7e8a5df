"""How every double of a cloud service answers over HTTP: faults first, then the service itself, and a side door for the tests.

Below ``/midtime/``, for GET and for POST of JSON, always answered with what is in force:

- ``settings``: some of the world's settings
- ``faults``: a list of ``Fault`` that takes the place of those that were there
- ``calls``: what was called; POST of anything forgets it
- ``time``: the server's clock
- ``reset``: POST of anything: empty, with the settings as they were at the beginning
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import sys
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.stack.cloud_world import Calls, CloudWorld, Fault

Answer = tuple[int, Mapping[str, Any], bytes]


class CloudHandler(BaseHTTPRequestHandler):
    """One connection. A service says what a call is, carries it out, refuses it, and notes it."""

    protocol_version = "HTTP/1.1"  # connections stay open, as they do with the services
    wbufsize = -1
    disable_nagle_algorithm = True
    world: CloudWorld[Any]
    #: kinds of faults with which a call is carried out
    carried_out = {"slow"}

    def operation(self, body: bytes) -> str:
        """The name of what is called, as the service's reference has it."""
        raise NotImplementedError

    def carry_out(self, operation: str, body: bytes, fault: Fault | None) -> Answer:
        """Do it, and note it."""
        raise NotImplementedError

    def refusal(self, fault: Fault, operation: str) -> tuple[str, Answer] | None:
        """Code and answer, as the service words it, or None if the fault is no refusal."""
        raise NotImplementedError

    def note(self, operation: str, body: bytes, status: int, code: str) -> None:
        """Of a call that was not carried out."""
        raise NotImplementedError

    def wipe(self) -> None:
        """Forget all that there is."""
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        """All methods are answered in one way."""
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/midtime/"):
            return self._send(*self._admin(self.path.removeprefix("/midtime/"), body))
        operation = self.operation(body)
        fault = self.world.next_fault(operation)
        if fault and fault.kind == "slow":
            self._wait(fault)
        elif fault and not fault.after and fault.kind not in self.carried_out:
            return self._fail(fault, operation, body)
        answer = self.carry_out(operation, body, fault)
        if fault and fault.after:
            return self._fail(fault, operation)
        return self._send(*answer)

    def _fail(self, fault: Fault, operation: str, body: bytes | None = None) -> None:
        """Instead of carrying it out, or without a body after it was."""
        if refused := self.refusal(fault, operation):
            code, answer = refused
            if body is not None:
                self.note(operation, body, answer[0], code)
            return self._send(*answer)
        if body is not None:
            self.note(operation, body, 0, fault.kind)
        if fault.kind == "hang":
            self._wait(fault)
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        return None

    def _wait(self, fault: Fault) -> None:
        """Until the time is over, or the fault is taken away."""
        end = time.monotonic() + fault.seconds
        while time.monotonic() < end and any(each is fault for each in self.world.faults):
            time.sleep(0.02)

    def _send(self, status: int, headers: Mapping[str, Any], body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Date", formatdate(self.world.date(), usegmt=True))
        for key, value in headers.items():
            if key.lower() not in ("date", "status", "content-length", "connection"):
                self.send_header(key, str(value))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class names it
        """Nothing: ``calls`` has it."""

    # the side door

    def _admin(self, what: str, body: bytes) -> Answer:
        try:
            if self.command == "POST":
                with self.world.turn:
                    self._change(what, json.loads(body or b"null"))
            known: dict[str, Callable[[], Any]] = {
                "settings": lambda: dataclasses.asdict(self.world.settings),
                "faults": lambda: [dataclasses.asdict(each) for each in self.world.faults],
                "calls": self.world.calls.to_dict,
                "time": self.world.now,
                "reset": lambda: None,
            }
            answer = known[what]()
        except (KeyError, TypeError, ValueError) as error:
            return 400, {"Content-Type": "text/plain"}, repr(error).encode()
        return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()

    def _change(self, what: str, wanted: Any) -> None:
        if what == "settings":
            self.world.settings.change(wanted)
        elif what == "faults":
            self.world.faults = [Fault(**each) for each in wanted]
        elif what == "calls":
            self.world.calls = Calls()
        elif what == "reset":
            self.world.reset()
            self.wipe()


class CloudServer(ThreadingHTTPServer):
    """On 127.0.0.1 only."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int, handler: type[CloudHandler]) -> None:
        super().__init__(("127.0.0.1", port), handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)
