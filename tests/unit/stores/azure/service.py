"""ARM in memory: operations that take time, and calls, at any of which a process can be left."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.rest import HttpRequest

START = datetime(2026, 11, 21, 2, 0, 0, tzinfo=UTC)


class LeftError(BaseException):
    """The process is gone."""


class Response:
    """As little of an HTTP answer as errors need."""

    def __init__(self, status_code: int, body: Any = None, headers: Mapping[str, str] | None = None) -> None:
        self.status_code, self.reason, self.body, self.headers = status_code, "", body, dict(headers or {})
        self.content = b"{}" if body is not None else b""

    def json(self) -> Any:
        return self.body

    def raise_for_status(self) -> None:
        if self.status_code >= 400:
            raise refusal(self.status_code, str(self.body))


def refusal(status: int, message: str = "no", code: str = "") -> HttpResponseError:
    error = ResourceNotFoundError(message) if status == 404 else HttpResponseError(message)
    error.status_code = status
    if code:
        error.error = SimpleNamespace(code=code, message=message)  # type: ignore[assignment]
    return error


@dataclass
class Running:
    ends_at: float
    work: Callable[[], Any]
    failed: str = ""
    over: bool = False


class ArmInMemory:
    """Every call is counted, and its clock stands still between two looks.

    :param calls: names of the SDK's groups of calls
    :param grouped: calls are known by their group's name, too
    """

    def __init__(self, calls: Iterable[str], *, grouped: bool = False) -> None:
        self._calls, self._grouped = tuple(calls), grouped
        self.now = 0.0
        self.operations: dict[str, Running] = {}
        self.counts: Counter[str] = Counter()
        self.log: list[str] = []
        self.leave_at: int | None = None
        self.answer_lost = False
        """Left when a call has taken effect, before whoever made it has noted that."""
        self.before_each: Callable[[str], None] = lambda operation: None
        self.failing: dict[str, str] = {}
        self.allowed: list[dict[str, Any]] | None = [{"actions": ["*"], "notActions": []}]
        self._ids = itertools.count(1)

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.001)

    def moment(self, at: float) -> datetime:
        return START + timedelta(seconds=at)

    @contextmanager
    def refusing(self, status: int, message: str = "no", code: str = "", *, of: str = "") -> Iterator[None]:
        """The service refuses one kind of call, or all of them."""

        def refuse(operation: str) -> None:
            if of in ("", operation):
                raise refusal(status, message, code)

        self.before_each = refuse
        yield
        self.before_each = lambda operation: None

    @contextmanager
    def leaving(self, number: int) -> Iterator[Callable[[], bool]]:
        """The process is gone at a call, counted from now; answers afterwards whether it came so far."""
        came: list[bool] = []
        self.leave_at = self.counts.total() + number
        try:
            yield lambda: bool(came)
        except LeftError:
            came.append(True)
        finally:
            self.leave_at = None

    @property
    def left(self) -> bool:
        return self.leave_at is not None and self.counts.total() >= self.leave_at

    @property
    def arm(self) -> Any:
        """What ``Clients.arm`` answers with."""

        def group(of: str) -> Any:
            memory = self

            class Calls:
                def __getattr__(self, name: str) -> Any:
                    return lambda *said, **asked: memory.call(f"{of}_{name}" if memory._grouped else name, said, asked)

            return Calls()

        return SimpleNamespace(
            **{name: group(name) for name in self._calls}, send_request=lambda request: self.call("send_request", (request,), {})
        )

    def call(self, operation: str, said: tuple[Any, ...], asked: Mapping[str, Any]) -> Any:
        if self.left:
            raise LeftError(operation)
        self.counts[operation] += 1
        self._sweep()
        self.log.append(f"{operation} {said[1] if len(said) > 1 else ''}")
        self.before_each(operation)
        answer = getattr(self, operation)(*said, **asked)
        if self.answer_lost and self.left:
            raise LeftError(operation)
        return answer

    # operations

    def _sweep(self) -> None:
        for running in self.operations.values():
            if not running.over and running.ends_at <= self.now:
                running.over = True
                running.work()

    def _begin(
        self, operation: str, seconds: float, work: Callable[[], Any], asked: Mapping[str, Any], undo: Callable[[], Any] = lambda: None
    ) -> None:
        number, failed = f"op-{next(self._ids)}", self.failing.pop(operation, "")
        self.operations[number] = Running(self.now + seconds, undo if failed else work, failed)
        link = {"Azure-AsyncOperation": f"https://management.azure.com/operationsStatus/{number}?api-version=1"}
        asked["raw_response_hook"](SimpleNamespace(http_response=Response(200, headers=link)))

    def send_request(self, request: HttpRequest) -> Any:
        if "permissions" in request.url:
            return Response(200, {"value": self.allowed}) if self.allowed is not None else Response(403, "no")
        number = urlsplit(request.url).path.rpartition("/")[2]
        if not (running := self.operations.get(number)):
            return Response(404)
        if not running.over:
            return Response(200, {"status": "Dequeued"})
        failed = {"status": "Failed", "error": {"code": "InternalServerError", "message": running.failed}}
        return Response(200, failed if running.failed else {"status": "Succeeded"})
