"""The RDS server of the tests: moto's, in which things take time, and a restore is of a resource id.

``python -m tests.stack.rds_server PORT``, on 127.0.0.1 only; the tests' side door is that of ``cloud_server``. It holds no data: a test that
wants a restore of some says where it is reached (``endpoints``).
"""

from __future__ import annotations

import re
import sys
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from moto.core.request import Request
from moto.rds.models import rds_backends
from werkzeug.exceptions import HTTPException

from tests.stack.cloud_server import Answer, CloudHandler, CloudServer
from tests.stack.cloud_world import Fault
from tests.stack.rds_handlers import TIMED, Databases
from tests.stack.rds_world import REFUSALS, WORLD

SCOPE = re.compile(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/aws4_request")
CODE = re.compile(rb"<Code>([^<]+)</Code>")
#: what a call is about, by the first of these that it has
NAMED = ("TargetDBInstanceIdentifier", "DBInstanceIdentifier", "DBClusterIdentifier", "ResourceName", "SourceIdentifier")


class Handler(CloudHandler):
    """One connection."""

    world = WORLD

    def operation(self, body: bytes) -> str:
        return str(_asked(body).get("Action", ""))

    def carry_out(self, operation: str, body: bytes, fault: Fault | None) -> Answer:
        scope = SCOPE.search(self.headers.get("Authorization", ""))
        region = scope[1] if scope else "us-east-1"
        request = Request.from_primitives("POST", f"http://rds.{region}.amazonaws.com/", self.headers, body)
        with WORLD.turn:
            WORLD.instant, WORLD.operation = WORLD.now(), operation
            try:
                status, answered, content = Databases.dispatch(request, request.raw_url, request.headers)
            except HTTPException as error:
                status, answered, content = error.code or 500, dict(error.get_headers()), error.get_body()
            except Exception as error:  # noqa: BLE001 - the client gets to know it
                print(f"{operation}: {error!r}", file=sys.stderr, flush=True)
                status, answered, content = 500, {}, _refused("InternalFailure", repr(error))
            content = content.encode() if isinstance(content, str) else content
            code = CODE.search(content) if status >= 400 else None
            self.note(operation, body, status, code[1].decode() if code else "")
        return status, answered, content

    def refusal(self, fault: Fault, operation: str) -> tuple[str, Answer] | None:
        if fault.kind not in REFUSALS:
            return None
        status, code = REFUSALS[fault.kind]
        return code, (status, {"Content-Type": "text/xml"}, _refused(code, f"{code}, as a test wants it"))

    def note(self, operation: str, body: bytes, status: int, code: str) -> None:
        asked = _asked(body)
        on = next((asked[key] for key in NAMED if key in asked), "")
        WORLD.calls.note(operation, WORLD.now(), on, status, code, listed=not operation.startswith("Describe"))

    def wipe(self) -> None:
        backends: Any = rds_backends
        for regions in backends.values():
            regions.reset()
        TIMED.clear()


def _asked(body: bytes) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(body.decode(errors="replace")).items()}


def _refused(code: str, message: str) -> bytes:
    said = f"<Error><Type>Sender</Type><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error><RequestId>0</RequestId>"
    return f'<ErrorResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/">{said}</ErrorResponse>'.encode()


def main() -> None:
    CloudServer(int(sys.argv[1]), Handler).serve_forever()


if __name__ == "__main__":
    main()
