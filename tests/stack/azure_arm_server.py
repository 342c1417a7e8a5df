"""The HTTPS server that is Azure: sign-in and Resource Manager; a resource provider brings its own operations, and its data plane's.

One port takes plain requests (a proxy's ``CONNECT``, the tests' side door, a managed identity's tokens) and TLS ones (ARM under its address).
Requests are carried out one after the other, each at one instant of the world's clock.
"""

from __future__ import annotations

import contextlib
import fnmatch
import socket
import ssl
import sys
from typing import Any, Protocol

from tests.stack.azure_arm import Azure
from tests.stack.azure_arm_login import Login, expired
from tests.stack.azure_arm_operations import Operations
from tests.stack.azure_arm_permissions import require_action
from tests.stack.azure_arm_routes import Request, Route, Routes
from tests.stack.azure_arm_world import ArmWorld, RefusedError, answer, retry_headers
from tests.stack.cloud_server import Answer, CloudHandler, CloudServer
from tests.stack.cloud_world import Fault

LOGIN = "login.microsoftonline.com"
#: not listed one by one: clients wait with them
LOOKS = {"Operations_Get", "OperationResults_Get", "OpenIdConfiguration", "InstanceDiscovery", "Token"}
#: by the kind of a fault: status, code and message of ARM's answer
REFUSALS = {
    "throttling": (429, "TooManyRequests", "The request is being throttled as the limit has been reached for this operation."),
    "error": (500, "InternalServerError", "An internal error occurred, as a test wants it."),
    "unavailable": (503, "ServiceUnavailable", "The service is temporarily unavailable, as a test wants it."),
    "timeout": (504, "GatewayTimeout", "The gateway did not receive a response within the specified time period."),
    "denied": (403, "AuthorizationFailed", "The client does not have authorization to perform the action over the scope."),
    "conflict": (409, "Conflict", "Another operation is in progress, as a test wants it."),
    "quota": (400, "QuotaExceeded", "Operation could not be completed as it results in exceeding approved quota, as a test wants it."),
    "exclusive": (412, "PreconditionFailed", "There is already an operation in progress which requires exclusive lock on this service."),
}


class Provider(Protocol):
    """What a resource provider adds."""

    #: of ARM, below a subscription
    routes: Routes
    #: the hosts of its data plane
    hosts: str
    data_operations: set[str]

    def data_route(self, request: Request) -> tuple[str, str]:
        """The name of what is called on the data plane, and on what."""

    def data(self, request: Request, operation: str) -> Answer: ...

    def data_refusal(self, kind: str) -> RefusedError | None:
        """As its data plane words a fault."""

    def wipe(self) -> None: ...


class ArmService:
    """All of one server: the sign-in, the operations that run, the provider, and the calls."""

    def __init__(self, world: ArmWorld) -> None:
        self.world, self.operations = world, Operations(world)
        self.login = Login(world, Azure.TENANT, Azure.CLIENT, Azure.SECRET, principal="6b1f3c0e-3f1d-4e0f-9a41-0a9a5f8b7c11")
        self.provider: Provider
        self.failing = False
        self.looks = Routes()
        below = "/subscriptions/{subscription}/providers/{provider}/locations/{location}/operationsStatus/{operation}"
        self.looks.add("GET", below, "Operations_Get", lambda _, operation, **__: self.operations.look(operation))

    def find(self, request: Request) -> tuple[Route, dict[str, str]] | None:
        name = request.host.partition(":")[0]
        if name == LOGIN or request.path == "/msi/token":
            return self.login.routes.find(request)
        return self.looks.find(request) or self.provider.routes.find(request) or self._result(request)

    def _result(self, request: Request) -> tuple[Route, dict[str, str]] | None:
        if request.method == "GET" and "/operationResults/" in request.path:
            identifier = request.path.rpartition("/")[2]
            one = Routes()
            one.add("GET", request.path, "OperationResults_Get", lambda _: self.operations.fetch(identifier))
            return one.find(request)
        return None

    def is_data(self, request: Request) -> bool:
        return fnmatch.fnmatch(request.host.partition(":")[0], self.provider.hosts)

    def carry_out(self, request: Request) -> Answer:
        if self.is_data(request):
            return self.provider.data(request, self.world.operation)
        found = self.find(request)
        if not found:
            known = f"{request.method} {request.path} is nothing that the double of Azure knows"
            raise RefusedError(501, "NotImplemented", known)
        route, parts = found
        if route.operation not in LOOKS or route.operation.startswith("Operation"):
            self._require(request, route)
        return route.call(request, **parts)

    def _require(self, request: Request, route: Route) -> None:
        principal = self.login.require(request)
        if "api-version" not in request.query:
            raise RefusedError(
                400, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests."
            )
        parts = request.path.split("/")
        if len(parts) > 2 and parts[1].lower() == "subscriptions" and parts[2] != Azure.SUBSCRIPTION:
            raise RefusedError(404, "SubscriptionNotFound", f"The subscription '{parts[2]}' could not be found.")
        if len(parts) > 4 and parts[3].lower() == "resourcegroups" and parts[4] not in self.world.settings.groups:
            raise RefusedError(404, "ResourceGroupNotFound", f"Resource group '{parts[4]}' could not be found.")
        if route.action:
            require_action(self.world.settings.permissions, route.action, request.path, principal)


class ArmHandler(CloudHandler):
    """One connection, plain or not."""

    service: ArmService
    tls: ssl.SSLContext
    carried_out = {"slow", "failed"}

    def _answer(self) -> None:
        """urllib3 lets a proxy wait for the body until the headers are acknowledged, which takes 40 ms if nobody hurries."""
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        if self.command == "CONNECT":
            self._connect()
        else:
            super()._answer()

    def _connect(self) -> None:
        """As a proxy does, to ourselves: the names of Azure, and no others."""
        name = self.path.partition(":")[0]
        known = name in (LOGIN, "management.azure.com") or fnmatch.fnmatch(name, self.service.provider.hosts)
        self.close_connection = True
        self.send_response_only(200 if known else 502)
        self.end_headers()
        self.wfile.flush()
        if not known:
            print(f"nothing to connect to: {self.path}", file=sys.stderr, flush=True)
            return
        with contextlib.suppress(ssl.SSLError, OSError), self.tls.wrap_socket(self.connection, server_side=True) as inner:
            type(self)(inner, self.client_address, self.server)

    def _request(self, body: bytes) -> Request:
        return Request(self.command, self.headers.get("Host", ""), self.path, self.headers, body)

    def operation(self, body: bytes) -> str:
        request = self._request(body)
        if self.service.is_data(request):
            return self.service.provider.data_route(request)[0]
        found = self.service.find(request)
        return found[0].operation if found else f"{request.method} {request.path}"

    def carry_out(self, operation: str, body: bytes, fault: Fault | None) -> Answer:
        request, service = self._request(body), self.service
        with self.world.turn:
            self.world.instant, self.world.operation = self.world.now(), operation
            service.failing = bool(fault and fault.kind == "failed")
            service.operations.sweep()
            code = ""
            try:
                answered = service.carry_out(request)
            except RefusedError as refused:
                answered, code = refused.answer, refused.code
            except Exception as error:  # noqa: BLE001 - the client gets to know it
                print(f"{operation}: {error!r}", file=sys.stderr, flush=True)
                answered, code = answer(500, {"error": {"code": "InternalServerError", "message": repr(error)}}), "InternalServerError"
            self.note(operation, body, answered[0], code)
        return answered

    def refusal(self, fault: Fault, operation: str) -> tuple[str, Answer] | None:
        if self.service.is_data(self._request(b"")):
            refused = self.service.provider.data_refusal(fault.kind)
        elif fault.kind == "expired":
            refused = expired()
        elif fault.kind in REFUSALS:
            status, code, message = REFUSALS[fault.kind]
            refused = RefusedError(status, code, message, headers=retry_headers(self.world.settings.retry_after) if status == 429 else {})
        else:
            refused = None
        return (refused.code, refused.answer) if refused else None

    def note(self, operation: str, body: bytes, status: int, code: str) -> None:
        request = self._request(body)
        data, named = self.service.is_data(request), request.path.partition("/providers/")[2].partition("/")[2]
        on = self.service.provider.data_route(request)[1] if data else named
        listed = operation not in LOOKS | self.service.provider.data_operations
        self.world.calls.note(operation, self.world.now(), on, status, code, listed=listed)

    def wipe(self) -> None:
        self.service.provider.wipe()


class ArmServer(CloudServer):
    """The first byte of a connection tells whether it is TLS."""

    def __init__(self, port: int, handler: type[ArmHandler]) -> None:
        super().__init__(port, handler)
        self._tls = handler.tls

    def finish_request(self, request: Any, client_address: Any) -> None:
        if request.recv(1, socket.MSG_PEEK) == b"\x16":
            with contextlib.suppress(ssl.SSLError), self._tls.wrap_socket(request, server_side=True) as inner:
                super().finish_request(inner, client_address)
        else:
            super().finish_request(request, client_address)


def serve(service: ArmService, port: int, certificate: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    handler = type("Handler", (ArmHandler,), {"service": service, "tls": context, "world": service.world})
    ArmServer(port, handler).serve_forever()
