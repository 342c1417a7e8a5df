"""An Airflow connection to PostgreSQL, and the same login at another server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import psycopg
import pytest

from midtime.errors import StoreUnreachableError
from midtime.stores.managed_sql.postgresql import PostgresqlData
from midtime.stores.postgresql.connections import connect
from tests.unit.builders import topology

LIVE = {"conn_type": "postgres", "host": "live.example.com", "port": 5433, "login": "a", "password": "b"}
COPY = ("copy.example.com", None)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    """What psycopg was asked for; nothing answers."""
    found: list[Mapping[str, Any]] = []

    def refuse(**said: Any) -> None:
        found.append(said)
        raise psycopg.OperationalError("nobody is there")

    monkeypatch.setattr(psycopg.Connection, "connect", refuse)
    return found


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"hostaddr": "10.0.0.1"},
        {"host": "live.example.com", "port": "5433"},
        {"service": "live"},  # the file behind it may say where, too
    ],
)
def test_nothing_leads_back_to_the_live_server(
    asked: list[Mapping[str, Any]], monkeypatch: pytest.MonkeyPatch, extra: dict[str, str]
) -> None:
    """A copy that is not read at all would be called good by what the live one says."""
    monkeypatch.setenv("AIRFLOW_CONN_DATA", json.dumps({**LIVE, "extra": {**extra, "sslmode": "verify-full"}}))
    monkeypatch.setenv("PGHOSTADDR", "10.0.0.1")
    with pytest.raises(StoreUnreachableError), connect("data", host=COPY):
        raise AssertionError
    (said,) = asked
    assert (said["host"], said["hostaddr"], said["port"], said["sslmode"]) == ("copy.example.com", "", 5433, "verify-full")


@pytest.mark.parametrize(
    ("extra", "host"),
    [({}, "live.example.com"), ({"host": "other.example.com"}, "other.example.com"), ({"hostaddr": "10.0.0.9"}, "10.0.0.9")],
)
def test_where_a_data_connection_leads(monkeypatch: pytest.MonkeyPatch, extra: dict[str, str], host: str) -> None:
    """As libpq understands it: it is compared with the server that is marked."""
    monkeypatch.setenv("AIRFLOW_CONN_DATA", json.dumps({**LIVE, "extra": extra}))
    assert PostgresqlData(topology(), "accounts", "data", None).host == host
