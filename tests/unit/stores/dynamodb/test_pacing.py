"""What the service puts off is no failure; what it refuses is."""

from __future__ import annotations

import pytest
from botocore.exceptions import EndpointConnectionError

from midtime.errors import NotRestorableError, StoreAccessError, StoreStatementError
from midtime.stores.dynamodb.pacing import is_full, put_off
from tests.unit.stores.dynamodb.memory import refusal


def failing(error: Exception) -> str:
    def call(**_: object) -> None:
        raise error

    return put_off("points", call, TableName="t")


@pytest.mark.parametrize(
    "code",
    [
        "LimitExceededException",
        "ThrottlingException",
        "TableInUseException",
        "BackupInUseException",
        "InternalServerError",
        "ResourceNotFoundException",
    ],
)
def test_put_off(code: str) -> None:
    assert code in failing(refusal(code))


def test_a_service_that_is_away_comes_back() -> None:
    assert "no answer" in failing(EndpointConnectionError(endpoint_url="http://x"))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("AccessDeniedException", StoreAccessError),
        ("ExpiredTokenException", StoreAccessError),
        ("ValidationException", StoreStatementError),
        ("InvalidRestoreTimeException", NotRestorableError),
        ("PointInTimeRecoveryUnavailableException", NotRestorableError),
        ("TableNotFoundException", NotRestorableError),
    ],
)
def test_refused(code: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        failing(refusal(code))


def test_taken() -> None:
    assert put_off("points", lambda **_: None, a=1) == ""


def test_full() -> None:
    assert is_full(failing(refusal("LimitExceededException")))
    assert is_full(failing(refusal("ThrottlingException")))
    assert not is_full(failing(refusal("TableInUseException")))
    assert not is_full("")
