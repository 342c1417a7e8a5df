"""The clients of a store's connection: its settings hold, but for those that would ask for a change twice."""

from __future__ import annotations

import json
from typing import Any, cast

import boto3
import pytest

from midtime.errors import StoreAccessError
from midtime.model.topology.cloud import Rds
from midtime.stores.rds.clients import RdsClients
from tests.unit.stores.rds.restores import topology


def clients(monkeypatch: pytest.MonkeyPatch, conn_type: str = "aws", **extra: Any) -> RdsClients:
    monkeypatch.setenv("AIRFLOW_CONN_AWS", json.dumps({"conn_type": conn_type, "login": "a", "password": "b", "extra": extra}))
    return RdsClients("points", cast(Rds, topology("rds").store("points")))


def test_what_changes_something_is_never_sent_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one may have arrived."""
    own = {"retries": {"mode": "standard", "total_max_attempts": 7}, "read_timeout": 77}
    aws = clients(monkeypatch, config_kwargs=own)
    control, paced = aws.control.meta.config, aws.paced.meta.config
    assert (control.retries["total_max_attempts"], control.read_timeout) == (7, 77)
    assert (paced.retries["total_max_attempts"], paced.read_timeout) == (1, 20)


def test_the_login_of_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreAccessError, match="connection aws is of type postgres, not aws"):
        _ = clients(monkeypatch, "postgres").control


def test_an_authority_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It signs the certificate of an endpoint behind a proxy."""
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(boto3.session.Session, "client", lambda *_, **more: asked.append(more))
    _ = clients(monkeypatch, verify="/etc/ca.pem").control
    assert asked[0]["verify"] == "/etc/ca.pem"
