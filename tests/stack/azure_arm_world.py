"""What the double of Azure goes by, its error bodies, and which calls it saw."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.stack.cloud_server import Answer
from tests.stack.cloud_world import ClockSettings, CloudWorld, Duration

ALL = {"actions": ["*"], "notActions": [], "dataActions": [], "notDataActions": []}


@dataclass
class ArmSettings(ClockSettings):
    """What all resource providers have. The defaults are quick."""

    #: after which a client is told to look again, in seconds; with None it is not told, and the SDK looks every 30 s
    retry_after: float | None = 0.05
    #: how long tokens are good
    token_life: float = 3600.0
    #: what the only client there is may do, as ``Microsoft.Authorization/permissions`` lists it
    permissions: list[dict[str, list[str]]] = field(default_factory=lambda: [dict(ALL)])
    #: resource groups of the subscription
    groups: list[str] = field(default_factory=lambda: ["midtime"])
    #: names of resources that somebody else in the world has
    taken: list[str] = field(default_factory=list)
    create: Duration = 0.1
    update: Duration = 0.0
    delete: Duration = 0.1
    restore: Duration = 0.2
    restore_per_item: float = 0.0


class RefusedError(Exception):
    """An answer that is an error.

    :param bare: a resource provider's, without ``error`` around it, as Azure's own records have them
    """

    def __init__(self, status: int, code: str, message: str, *, bare: bool = False, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.bare, self.headers = status, code, message, bare, dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        error = {"code": self.code, "message": self.message}
        return error if self.bare else {"error": error}

    @property
    def answer(self) -> Answer:
        return answer(self.status, self.body, self.headers)


def answer(status: int, content: Any = None, headers: Mapping[str, Any] | None = None) -> Answer:
    """JSON, or nothing."""
    body = b"" if content is None else json.dumps(content).encode()
    known = {"Content-Type": "application/json", "x-ms-request-id": str(uuid.uuid4()), **(headers or {})}
    return status, known, body


def moment(at: float) -> str:
    """As ARM words its times: to the tenth of a microsecond."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S.%f}0Z"


def second(at: float) -> str:
    """As the restorable resources have theirs."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def retry_headers(seconds: float | None) -> dict[str, str]:
    """Whole seconds as HTTP has them, parts of one as Azure's SDKs understand them."""
    if seconds is None:
        return {}
    return {"Retry-After": str(int(seconds))} if seconds == int(seconds) else {"retry-after-ms": str(int(seconds * 1000))}


ArmWorld = CloudWorld[Any]
