"""Clients: through the connection, with its own settings where it has some, and never with somebody else's login."""

from __future__ import annotations

import json
import traceback

import pytest
from botocore.exceptions import ClientError

from midtime.errors import StoreAccessError, StoreError, StoreStatementError, StoreUnreachableError
from midtime.stores.dynamodb.refusals import aws_errors
from tests.unit.stores.dynamodb.world import World


def connection(monkeypatch: pytest.MonkeyPatch, name: str, **extra: object) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps({"conn_type": "aws", "login": "a", "password": "b", "extra": extra}))


def test_two_planes(monkeypatch: pytest.MonkeyPatch) -> None:
    connection(monkeypatch, "AWS", endpoint_url="http://control:1")
    connection(monkeypatch, "ITEMS", endpoint_url="http://items:1")
    aws = World(store={"data_conn_id": "items"}).aws
    assert {client.meta.endpoint_url for client in (aws.control, aws.clock, aws.scaling, aws.alarms)} == {"http://control:1"}
    assert {client.meta.endpoint_url for client in (aws.data, aws.hurried)} == {"http://items:1"}
    assert {client.meta.region_name for client in (aws.control, aws.data, aws.scaling)} == {"ap-northeast-1"}


def test_an_endpoint_of_the_topology_is_dynamodbs_alone() -> None:
    aws = World(store={"endpoint": "http://private:1"}).aws
    assert aws.control.meta.endpoint_url == aws.hurried.meta.endpoint_url == "http://private:1"
    assert "amazonaws.com" in aws.scaling.meta.endpoint_url


def test_pace_and_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    connection(monkeypatch, "AWS", config_kwargs={"read_timeout": 77, "proxies": {"https": "http://proxy:1"}})
    aws = World().aws
    patient, hurried = aws.control.meta.config, aws.hurried.meta.config
    assert (patient.retries["mode"], patient.read_timeout) == ("adaptive", 77)  # the connection has the last word
    assert hurried.read_timeout == 1  # but not inside a window
    assert hurried.proxies == patient.proxies == {"https": "http://proxy:1"}


def test_a_missing_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the worker's own")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the worker's own")
    with pytest.raises(StoreAccessError, match="gone"):
        _ = World(store={"data_conn_id": "gone"}).aws.data


def test_the_workers_own_role() -> None:
    assert World(store={"conn_id": "aws_default"}).aws.control


def test_what_the_service_quotes_of_a_signed_request_is_kept_back() -> None:
    """Also from the traceback: the canonical string that it expected has the session's token."""
    said = "The signature does not match.\n\nThe Canonical String should have been\n'POST\nx-amz-security-token:very-secret\n'"
    with pytest.raises(StoreAccessError, match="signature does not match") as caught, aws_errors("points"):
        raise ClientError({"Error": {"Code": "InvalidSignatureException", "Message": said}}, "DescribeTable")
    assert "very-secret" not in "".join(traceback.format_exception(caught.value))
    assert isinstance(caught.value.__cause__, ClientError)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("AccessDeniedException", 400, StoreAccessError),
        ("ExpiredToken", 403, StoreAccessError),
        ("ResourceNotFoundException", 400, StoreAccessError),
        ("ProvisionedThroughputExceededException", 400, StoreStatementError),
        ("LimitExceededException", 400, StoreStatementError),
        ("ServiceUnavailable", 503, StoreUnreachableError),
        ("Whatever", 502, StoreUnreachableError),
        ("ValidationException", 400, StoreStatementError),
    ],
)
def test_refusals(code: str, status: int, kind: type[StoreError]) -> None:
    said = {"Error": {"Code": code, "Message": "why"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(StoreError, match=r"store points.*why") as caught, aws_errors("points"):
        raise ClientError(said, "DescribeTable")
    assert type(caught.value) is kind
    assert caught.value.fix
