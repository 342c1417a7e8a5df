"""Who gets no connection: the rest is proven on the double, with a real database of Airflow's."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Any

import pytest

from midtime.cli.hand_over import _require_read
from midtime.errors import RequestError
from midtime.stores.base import Reached
from tests.unit.cli.conftest import Files, Midtime


@pytest.fixture(autouse=True)
def bank(files: Files) -> None:
    files.add("bank")


def test_a_store_that_is_restored_where_its_connections_lead(midtime: Midtime) -> None:
    with pytest.raises(RequestError, match="store 'accounts' of bank is restored where its connections lead already"):
        midtime("hand-over", "bank", "accounts", "copy", "--conn-id", "new")


def test_what_is_no_connection(midtime: Midtime) -> None:
    with pytest.raises(RequestError, match="is not allowed"):
        midtime("hand-over", "bank", "accounts", "copy", "--conn-id", "no such; thing")


@pytest.mark.parametrize(("login", "password", "same"), [("a", "new", True), ("b", "new", False), ("a", "the one before", False)])
def test_what_is_read_first_is_what_was_written(login: str, password: str, same: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old key in a secrets back end leads to the same address, and opens nothing."""
    monkeypatch.setenv("AIRFLOW_CONN_COPY", json.dumps({"conn_type": "azure_cosmos", "login": login, "password": password}))
    with nullcontext() if same else pytest.raises(RequestError, match="has another one of that id"):
        _require_read("copy", Reached("azure_cosmos", "a", "new"))


SERVER: dict[str, Any] = {
    "conn_type": "postgres",
    "login": "a",
    "password": "b",
    "host": "new",
    "port": 5433,
    "schema": "s",
    "extra": '{"x": 1}',
}


@pytest.mark.parametrize(
    "other", [{}, {"host": "old"}, {"port": 5432}, {"schema": "t"}, {"conn_type": "mysql"}, {"extra": '{"x": 2}'}, {"password": "c"}]
)
def test_of_a_server_everything_counts(other: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """One that leads to the live server has the same login and password."""
    monkeypatch.setenv("AIRFLOW_CONN_COPY", json.dumps({**SERVER, **other}))
    with pytest.raises(RequestError, match="has another one of that id") if other else nullcontext():
        _require_read("copy", Reached(**SERVER))
