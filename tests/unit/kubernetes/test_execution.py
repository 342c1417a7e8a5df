"""What an API server says of a command, and one that says nothing."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest

from midtime.errors import DiscoveryAccessError, DiscoveryError
from midtime.kubernetes import execution
from midtime.kubernetes.execution import exit_code
from tests.unit.processes import until


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        ({"status": "Success"}, 0, ""),
        ({"status": "Failure", "message": "no", "details": {"causes": [{"reason": "ExitCode", "message": "3"}]}}, 3, "no"),
        ({"status": "Failure", "message": "no such container"}, None, "no such container"),
        ({"status": "Failure", "message": "x", "details": None}, None, "x"),
        ({"status": "Failure", "details": {"causes": [{"reason": "Other", "message": "3"}]}}, None, ""),
    ],
)
def test_the_exit_code(status: dict[str, Any], code: int | None, said: str) -> None:
    assert exit_code(json.dumps(status).encode()) == (code, said)


def test_a_status_that_is_none() -> None:
    assert exit_code(b"\xffoops") == (None, "\ufffdoops")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (SimpleNamespace(status_code=403, resp_body=b'{"message": "no pods/exec"}'), DiscoveryAccessError, "no pods/exec"),
        (SimpleNamespace(status_code=401, resp_body=b""), DiscoveryAccessError, "does not know us"),
        (SimpleNamespace(status_code=404, resp_body=b""), DiscoveryError, "has no pod databases/c-0 any more"),
        (SimpleNamespace(status_code=500, resp_body=b"<html>"), DiscoveryError, "500"),
        (OSError("refused"), DiscoveryError, "does not answer: refused"),
        (OSError("CERTIFICATE_VERIFY_FAILED"), DiscoveryAccessError, "a certificate that we do not trust"),
    ],
)
def test_what_a_refusal_means(error: Any, kind: type[Exception], words: str) -> None:
    failure = execution._failure(SimpleNamespace(subject="store ring", conn_id="k", namespace="databases"), "c-0", error)  # type: ignore[arg-type]
    assert type(failure) is kind
    assert failure.message.startswith("store ring: Kubernetes (connection 'k')")
    assert words in failure.message


def test_a_server_that_says_nothing_is_given_up_and_closed_if_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "PATIENCE", 0.1)
    closed: list[str] = []

    def connect() -> Any:
        time.sleep(0.3)
        return SimpleNamespace(shutdown=lambda: closed.append("it"))

    with pytest.raises(TimeoutError, match=r"no answer within 0\.1 s"):
        execution._in_time(connect)
    until(lambda: closed, "what came too late is closed")
