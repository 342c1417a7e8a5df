"""Long-running operations: accepted at once, looked at through links, over after a while."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.stack.azure_arm_world import ArmWorld, RefusedError, answer, retry_headers
from tests.stack.cloud_server import Answer

PENDING = "Dequeued"
"""What Cosmos DB says of an operation that runs; clients take whatever is not the end for it."""


@dataclass
class Operation:
    """One that ends at an instant of the world's clock, by its work or by a failure."""

    ends_at: float
    work: Callable[[], Any]
    #: what becomes of the resource if it fails
    undo: Callable[[], Any] = lambda: None
    error: dict[str, str] | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = PENDING
    result: Any = None

    def end(self) -> None:
        if self.error:
            self.status = "Failed"
            self.undo()
        else:
            try:
                self.result = self.work()
                self.status = "Succeeded"
            except RefusedError as refused:
                self.status, self.error = "Failed", {"code": refused.code, "message": refused.message}
                self.undo()

    @property
    def body(self) -> dict[str, Any]:
        return {"status": self.status, **({"error": self.error} if self.error and self.status == "Failed" else {})}


class Operations:
    """All of a server."""

    def __init__(self, world: ArmWorld) -> None:
        self._world = world
        self._known: dict[str, Operation] = {}

    def start(self, ends_at: float, work: Callable[[], Any], undo: Callable[[], Any] = lambda: None, failing: bool = False) -> Operation:
        error = {"code": "InternalServerError", "message": "The operation failed, as a test wants it"} if failing else None
        operation = Operation(ends_at, work, undo, error)
        self._known[operation.id] = operation
        return operation

    def sweep(self) -> None:
        """What is due ends now, the first first."""
        due = [each for each in self._known.values() if each.status == PENDING and each.ends_at <= self._world.instant]
        for operation in sorted(due, key=lambda each: each.ends_at):
            operation.end()

    def get(self, operation_id: str) -> Operation:
        if operation_id not in self._known:
            raise RefusedError(404, "NotFound", f"Operation {operation_id} was not found", bare=True)
        return self._known[operation_id]

    def headers(
        self, operation: Operation, base: str, location: str, path: str, version: str, *, only_location: bool = False
    ) -> dict[str, str]:
        """Where to look at it. ``base``: where the request came to; ``location``: the region; ``path``: of the resource."""
        subscription = path.split("/")[2]
        provider = f"/subscriptions/{subscription}/providers/{path.split('/providers/')[1].split('/')[0]}/locations/{quote(location)}"
        status = {"Azure-AsyncOperation": f"{base}{provider}/operationsStatus/{operation.id}?api-version={version}"}
        result = {"Location": f"{base}{path}/operationResults/{operation.id}?api-version={version}"}
        return {**({} if only_location else status), **result, **retry_headers(self._world.settings.retry_after)}

    def look(self, operation_id: str) -> Answer:
        """Through ``Azure-AsyncOperation``: always 200, the status is in the body."""
        operation = self.get(operation_id)
        return answer(200, operation.body, self._again(operation))

    def fetch(self, operation_id: str) -> Answer:
        """Through ``Location``: 202 until it is over, and then what it brought."""
        operation = self.get(operation_id)
        if operation.status == PENDING:
            return answer(202, operation.body, self._again(operation))
        if operation.error:
            raise RefusedError(400, operation.error["code"], operation.error["message"], bare=True)
        return answer(200 if operation.result is not None else 204, operation.result)

    def _again(self, operation: Operation) -> dict[str, str]:
        return retry_headers(self._world.settings.retry_after) if operation.status == PENDING else {}
