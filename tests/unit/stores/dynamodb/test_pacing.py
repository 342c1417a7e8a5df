"""What the service puts off is no failure; what it refuses is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from botocore.exceptions import EndpointConnectionError

from midtime.errors import NotRestorableError, RestoreFailedError, StoreAccessError, StoreStatementError
from midtime.model.instants import utc_now
from midtime.stores.base import Waiting
from midtime.stores.dynamodb import pacing
from midtime.stores.dynamodb.pacing import QUICK, SLOW, is_full, put_off, to_the_end, waiting
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


def test_looked_at_more_seldom_the_longer_it_takes() -> None:
    found = [waiting("points", "x", utc_now() - timedelta(seconds=passed), timedelta(hours=9)).look_again for passed in (0, 300, 9000)]
    assert found[0] == QUICK
    assert QUICK < found[1] < SLOW
    assert found[2] == SLOW


def test_not_for_ever() -> None:
    with pytest.raises(RestoreFailedError, match="x, after 2m"):
        waiting("points", "x", utc_now() - timedelta(minutes=2), timedelta(minutes=1))


def test_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(pacing, "sleep", slept.append)
    looks, said = iter([Waiting("a", timedelta(seconds=5)), Waiting("b", timedelta(seconds=7)), None]), list[str]()
    to_the_end(lambda: next(looks), said.append)
    assert (slept, said) == ([5.0, 7.0], ["a", "b"])
