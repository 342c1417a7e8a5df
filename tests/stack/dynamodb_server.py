"""The DynamoDB server of the tests: moto's, that can travel in time, with Application Auto Scaling, STS and CloudWatch beside it.

``python -m tests.stack.dynamodb_server PORT``, on 127.0.0.1 only. What tests change and ask for is below ``/midtime/``:

- ``settings``: GET, or POST of some of ``Settings``, as all that follow answered with what is in force
- ``faults``: GET, or POST of a list of ``Fault`` that takes the place of those that were there
- ``calls``: GET of what was called, POST of anything to forget it
- ``time``: GET of the server's clock
- ``reset``: POST of anything: no table, no backup, and the settings as they were at the beginning

Requests are carried out one after the other, each at one instant of that clock: conditions and transactions are exact, and so is history.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import socket
import sys
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from moto.applicationautoscaling.models import applicationautoscaling_backends
from moto.cloudwatch.models import cloudwatch_backends
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.request import Request
from moto.dynamodb.models import dynamodb_backends
from moto.sts.responses import TokenResponse
from werkzeug.exceptions import HTTPException

from tests.stack.dynamodb_handlers import Scaling, Tables
from tests.stack.dynamodb_world import REFUSALS, WORLD, Calls, Fault, Settings

#: by the name under which requests are signed
SERVICES: dict[str, Any] = {"dynamodb": Tables, "application-autoscaling": Scaling, "monitoring": CloudWatchResponse, "sts": TokenResponse}
SCOPE = re.compile(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/aws4_request")
Answer = tuple[int, Mapping[str, Any], bytes]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"  # connections stay open, as they do with DynamoDB
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _answer(self, body: bytes) -> None:
        if self.path.startswith("/midtime/"):
            return self._send(*_admin(self.command, self.path.removeprefix("/midtime/"), body))
        operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        fault = WORLD.next_fault(operation)
        if fault and fault.kind == "slow":
            _wait(fault)
        elif fault and not fault.after:
            return self._fail(fault, operation, body)
        answer = _carry_out(self.headers, operation, body)
        if fault and fault.after:
            return self._fail(fault, operation)
        return self._send(*answer)

    def _fail(self, fault: Fault, operation: str, body: bytes | None = None) -> None:
        """Instead of carrying it out, or without a body after it was."""
        if fault.kind in REFUSALS:
            status, code = REFUSALS[fault.kind]
            content = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": f"{code}, as a test wants it"})
            if body is not None:
                _note(operation, body, status, code)
            return self._send(status, {"Content-Type": "application/x-amz-json-1.0"}, content.encode())
        if body is not None:
            _note(operation, body, 0, fault.kind)
        if fault.kind == "hang":
            _wait(fault)
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        return None

    def _send(self, status: int, headers: Mapping[str, Any], body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Date", formatdate(WORLD.date(), usegmt=True))
        for key, value in headers.items():
            if key.lower() not in ("date", "status", "content-length", "connection"):
                self.send_header(key, str(value))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class names it
        """Nothing: `calls` has it."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _wait(fault: Fault) -> None:
    """Until the time is over, or the fault is taken away."""
    end = time.monotonic() + fault.seconds
    while time.monotonic() < end and any(each is fault for each in WORLD.faults):
        time.sleep(0.02)


def _carry_out(headers: Any, operation: str, body: bytes) -> Answer:
    scope = SCOPE.search(headers.get("Authorization", ""))
    region, service = scope.groups() if scope else ("us-east-1", "dynamodb")
    request = Request.from_primitives("POST", f"http://{service}.{region}.amazonaws.com/", headers, body)
    with WORLD.turn:
        WORLD.instant, WORLD.operation = WORLD.now(), operation
        for regions in dynamodb_backends.values():
            for backend in regions.values():
                backend.sweep()  # type: ignore[attr-defined]
        try:
            status, answered, content = SERVICES[service].dispatch(request, request.raw_url, request.headers)
        except HTTPException as error:
            status, answered, content = error.code or 500, dict(error.get_headers()), error.get_body()
        except Exception as error:  # noqa: BLE001 - the client gets to know it
            print(f"{operation}: {error!r}", file=sys.stderr, flush=True)
            status, answered, content = 500, {}, json.dumps({"__type": "InternalServerError", "message": repr(error)})
        content = content.encode() if isinstance(content, str) else content
        _note(operation, body, status, _code(content) if status >= 400 else "")
    return status, answered, content


def _code(content: bytes) -> str:
    try:
        return str(json.loads(content).get("__type", "")).rpartition("#")[2]
    except ValueError:
        return ""


def _note(operation: str, body: bytes, status: int, code: str) -> None:
    asked: Any = {}
    with contextlib.suppress(ValueError):
        asked = json.loads(body or b"{}")
    WORLD.calls.note(operation, WORLD.now(), asked, status, code)


def _admin(method: str, what: str, body: bytes) -> Answer:
    try:
        if method == "POST":
            _change(what, json.loads(body or b"null"))
        known: dict[str, Callable[[], Any]] = {
            "settings": lambda: dataclasses.asdict(WORLD.settings),
            "faults": lambda: [dataclasses.asdict(each) for each in WORLD.faults],
            "calls": WORLD.calls.to_dict,
            "time": WORLD.now,
            "reset": lambda: None,
        }
        answer = known[what]()
    except (KeyError, TypeError, ValueError) as error:
        return 400, {"Content-Type": "text/plain"}, repr(error).encode()
    return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()


def _change(what: str, wanted: Any) -> None:
    with WORLD.turn:
        if what == "settings":
            WORLD.settings.change(wanted)
        elif what == "faults":
            WORLD.faults = [Fault(**each) for each in wanted]
        elif what == "calls":
            WORLD.calls = Calls()
        elif what == "reset":
            WORLD.settings, WORLD.faults, WORLD.calls = Settings(), [], Calls()
            kinds: list[Any] = [dynamodb_backends, applicationautoscaling_backends, cloudwatch_backends]
            for regions in (regions for kind in kinds for regions in kind.values()):
                regions.reset()


def main() -> None:
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()


if __name__ == "__main__":
    main()
