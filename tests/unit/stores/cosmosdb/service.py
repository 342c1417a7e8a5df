"""What a subscription in memory is of: accounts and their containers, operations that take time, and calls, at any of which it can be left."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.rest import HttpRequest

START = datetime(2026, 11, 21, 2, 0, 0, tzinfo=UTC)
SUBSCRIPTION, GROUP, REGION, LIVE = "2f6a9f37-63f8-4a8e-b1f5-6c3b2c0d7a21", "bank", "Japan East", "bank-prod"
KEY = "c2VjcmV0LWtleQ=="
CALLS = ("database_accounts", "restorable_database_accounts", "restorable_sql_resources", "sql_resources")
CLOSED = {
    "publicNetworkAccess": "Enabled", "ipRules": [{"ipAddressOrRange": "10.1.2.3"}], "isVirtualNetworkFilterEnabled": False, "virtualNetworkRules": [],
    "networkAclBypass": "None", "networkAclBypassResourceIds": [],
}  # fmt: skip
OPEN = {**CLOSED, "ipRules": []}
PROCEDURE = {"mutate.js": "function mutate(a) { return a; }"}


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
class Container:
    rid: str
    resource: dict[str, Any]
    throughput: dict[str, Any] | None = None
    scripts: dict[str, dict[str, Any]] = field(default_factory=lambda: {"procedures": {}, "triggers": {}, "functions": {}})
    indexed: int = 100


@dataclass
class Account:
    name: str
    instance: str
    properties: dict[str, Any]
    tags: dict[str, str]
    made: float
    databases: dict[str, dict[str, Container]] = field(default_factory=dict)
    throughputs: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    state: str = "Succeeded"
    gone_at: float | None = None
    assignments: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Running:
    ends_at: float
    work: Callable[[], Any]
    failed: str = ""
    over: bool = False


class Service:
    """Every call is counted, and its clock stands still between two looks."""

    def __init__(self, seconds: float = 40.0) -> None:
        self.seconds = seconds
        self.now = 0.0
        self.accounts: dict[str, Account] = {}
        self.gone: list[Account] = []
        self.taken: set[str] = set()
        self.operations: dict[str, Running] = {}
        self.counts: Counter[str] = Counter()
        self.log: list[str] = []
        self.leave_at: int | None = None
        self.answer_lost = False
        """Left when a call has taken effect, before whoever made it has noted that."""
        self.before_each: Callable[[str], None] = lambda operation: None
        self.failing: dict[str, str] = {}
        self.lags: dict[str, float] = {}
        """Seconds by which backups lag, by region, where that is not as everywhere."""
        self.allowed: list[dict[str, Any]] | None = [{"actions": ["*"], "notActions": []}]
        self._ids = itertools.count(1)

    # for tests

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.001)

    def moment(self, at: float) -> datetime:
        return START + timedelta(seconds=at)

    def make(self, name: str, databases: Mapping[str, Mapping[str, Container]], **properties: Any) -> Account:
        wanted = {
            "consistencyPolicy": {"defaultConsistencyLevel": "Strong"}, "backupPolicy": {"type": "Continuous"}, **CLOSED,
            "locations": [{"locationName": REGION, "failoverPriority": 0}], "createMode": "Default", **properties,
        }  # fmt: skip
        made = Account(
            name, f"instance-{next(self._ids)}", wanted, {"team": "bank"}, self.now, {of: dict(each) for of, each in databases.items()}
        )
        made.throughputs = dict.fromkeys(databases)
        self.accounts[name] = made
        return made

    def delete(self, name: str) -> None:
        gone = self.accounts.pop(name)
        gone.gone_at = self.now
        self.gone.append(gone)

    @property
    def left(self) -> bool:
        return self.leave_at is not None and self.counts.total() >= self.leave_at

    @property
    def arm(self) -> Any:
        """What ``Azure.arm`` answers with."""

        def group() -> Any:
            memory = self

            class Calls:
                def __getattr__(self, name: str) -> Any:
                    return lambda *said, **asked: memory.call(name, said, asked)

            return Calls()

        return SimpleNamespace(**{name: group() for name in CALLS}, send_request=lambda request: self.call("send_request", (request,), {}))

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

    def _account(self, name: str) -> Account:
        if name not in self.accounts:
            raise refusal(404, f"{name} was not found", "ResourceNotFound")
        return self.accounts[name]

    def _settled(self, name: str) -> Account:
        if (account := self._account(name)).state not in ("Succeeded", "Failed"):
            raise refusal(412, "another operation is in progress", "PreconditionFailed")
        return account
