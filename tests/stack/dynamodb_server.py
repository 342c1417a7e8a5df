"""The DynamoDB server of the tests: moto's, that can travel in time, with Application Auto Scaling, STS and CloudWatch beside it.

``python -m tests.stack.dynamodb_server PORT``, on 127.0.0.1 only; the tests' side door is that of ``cloud_server``.

Requests are carried out one after the other, each at one instant of the world's clock: conditions and transactions are exact, and so is history.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from typing import Any

from moto.applicationautoscaling.models import applicationautoscaling_backends
from moto.cloudwatch.models import cloudwatch_backends
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.request import Request
from moto.dynamodb.models import dynamodb_backends
from moto.sts.responses import TokenResponse
from werkzeug.exceptions import HTTPException

from tests.stack.cloud_server import Answer, CloudHandler, CloudServer
from tests.stack.cloud_world import Fault
from tests.stack.dynamodb_handlers import Scaling, Tables
from tests.stack.dynamodb_world import REFUSALS, WORLD

#: by the name under which requests are signed
SERVICES: dict[str, Any] = {"dynamodb": Tables, "application-autoscaling": Scaling, "monitoring": CloudWatchResponse, "sts": TokenResponse}
SCOPE = re.compile(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/aws4_request")

#: what a call is about, by the first of these that it has
NAMED = ("TargetTableName", "TableName", "ResourceArn", "ResourceId", "BackupArn")


class Handler(CloudHandler):
    """One connection."""

    world = WORLD

    def operation(self, body: bytes) -> str:
        return str(self.headers.get("X-Amz-Target", "")).rpartition(".")[2]

    def carry_out(self, operation: str, body: bytes, fault: Fault | None) -> Answer:
        scope = SCOPE.search(self.headers.get("Authorization", ""))
        region, service = scope.groups() if scope else ("us-east-1", "dynamodb")
        request = Request.from_primitives("POST", f"http://{service}.{region}.amazonaws.com/", self.headers, body)
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
            self.note(operation, body, status, _code(content) if status >= 400 else "")
        return status, answered, content

    def refusal(self, fault: Fault, operation: str) -> tuple[str, Answer] | None:
        if fault.kind not in REFUSALS:
            return None
        status, code = REFUSALS[fault.kind]
        content = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": f"{code}, as a test wants it"})
        return code, (status, {"Content-Type": "application/x-amz-json-1.0"}, content.encode())

    def note(self, operation: str, body: bytes, status: int, code: str) -> None:
        asked: Any = {}
        with contextlib.suppress(ValueError):
            asked = json.loads(body or b"{}")
        on = next((asked[key] for key in NAMED if key in asked), "")
        WORLD.calls.note(operation, WORLD.now(), on, status, code, listed=WORLD.family(operation) == "control")

    def wipe(self) -> None:
        kinds: list[Any] = [dynamodb_backends, applicationautoscaling_backends, cloudwatch_backends]
        for regions in (regions for kind in kinds for regions in kind.values()):
            regions.reset()


def _code(content: bytes) -> str:
    try:
        return str(json.loads(content).get("__type", "")).rpartition("#")[2]
    except ValueError:
        return ""


def main() -> None:
    CloudServer(int(sys.argv[1]), Handler).serve_forever()


if __name__ == "__main__":
    main()
