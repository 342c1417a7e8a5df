"""An operation of ARM's, begun by one process and looked at by another, and the answers that it may have."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ServiceRequestError
from azure.core.pipeline.transport import HttpTransport
from azure.core.rest import HttpRequest
from azure.mgmt.cosmosdb import CosmosDBManagementClient

from midtime.errors import StoreAccessError, StoreError, StoreStatementError
from midtime.stores.azure.clients import Clients
from midtime.stores.azure.notes import Operation
from midtime.stores.azure.operations import Look, begin, look
from tests.unit.stores.azure.service import Response, refusal

PATH = "/subscriptions/s/operationsStatus/1?api-version=2"


class Arm:
    """Answers as it is told, and remembers what it was asked."""

    def __init__(self, answer: Response) -> None:
        self.answer, self.asked = answer, list[HttpRequest]()
        self.store, self.arm = "points", self

    def send_request(self, request: HttpRequest) -> Any:
        self.asked.append(request)
        return self.answer


def looked(*answer: Any) -> Look:
    return look(Arm(Response(*answer)), Operation(what="x", path=PATH))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ((200, {"status": "Succeeded"}), Look()),
        ((200, {"status": "Dequeued"}), Look(running=True)),
        ((200, {"status": "Failed", "error": {"code": "C", "message": "no\nroom"}}), Look(failed="C: no room")),
        ((200, {"status": "Canceled"}), Look(failed="Canceled: no reason given")),
        ((202, {}), Look(running=True)),
        ((200, {"id": "the resource itself"}), Look()),
        ((204,), Look()),
        ((404,), Look()),
    ],
)
def test_answers(answer: Any, found: Look) -> None:
    assert looked(*answer) == found


def test_the_result_of_one_that_failed() -> None:
    assert "no room" in looked(400, "no room").failed


@pytest.mark.parametrize(
    ("status", "kind"), [(401, StoreAccessError), (403, StoreAccessError), (429, StoreStatementError), (503, StoreError)]
)
def test_an_answer_that_says_nothing_of_the_operation(status: int, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        looked(status, "no")


def test_one_that_has_no_link_is_over() -> None:
    arm = Arm(Response(500))
    assert look(arm, Operation(what="x")) == Look()  # type: ignore[arg-type]
    assert arm.asked == []


def begun(headers: dict[str, str]) -> Operation | None:
    def call(*said: Any, polling: bool, raw_response_hook: Any, retry_total: int) -> None:
        assert (said, polling, retry_total) == (("a",), False, 0), "the SDK's second one would be refused for the first"
        raw_response_hook(SimpleNamespace(http_response=SimpleNamespace(headers=headers)))

    return begin(SimpleNamespace(store="points"), "x", call, "a")[0]  # type: ignore[arg-type]


def test_its_status_is_preferred_and_its_host_forgotten() -> None:
    links = {"Location": "https://management.azure.com/result", "Azure-AsyncOperation": f"https://evil.example{PATH}"}
    assert begun(links) == Operation(what="x", path=PATH)
    assert begun({}) == Operation(what="x")


@pytest.mark.parametrize("error", [refusal(429), refusal(409), refusal(412), refusal(500), ServiceRequestError("away")])
def test_for_later(error: Exception) -> None:
    def call(**_: Any) -> None:
        raise error

    operation, why = begin(SimpleNamespace(store="points"), "x", call)  # type: ignore[arg-type]
    assert operation is None
    assert why.startswith("store points: ")


def test_for_never() -> None:
    def call(**_: Any) -> None:
        raise refusal(400, "no such thing")

    with pytest.raises(StoreStatementError, match="no such thing"):
        begin(SimpleNamespace(store="points"), "x", call)  # type: ignore[arg-type]


class Overheard(HttpTransport[Any, Any]):
    """Hears where a request would have gone."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    def open(self) -> None: ...
    def close(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...

    def send(self, request: Any, **_: Any) -> Any:
        self.urls.append(request.url)
        raise InterruptedError


@pytest.mark.parametrize("path", ["https://evil.example/x", "//evil.example/x", "/subscriptions/s?a=b"])
def test_a_note_sends_no_token_elsewhere(path: str) -> None:
    class Login:
        def get_token(self, *_: str, **__: Any) -> AccessToken:
            return AccessToken("secret", 2**40)

    heard = Overheard()
    arm = CosmosDBManagementClient(cast(Any, Login()), "s", transport=heard)
    with pytest.raises(InterruptedError):
        look(cast(Clients, SimpleNamespace(store="points", arm=arm)), Operation(what="x", path=path))
    assert all(url.startswith("https://management.azure.com/") for url in heard.urls)
