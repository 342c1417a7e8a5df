"""Whose login leads to a copy from now on: only to one that was made for this store, and placed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from midtime.errors import RequestError, StoreAccessError
from midtime.model.topology.cloud import Rds
from midtime.stores.managed_sql import handing
from midtime.stores.naming import COPY_TAG, PLACED, TOPOLOGY_TAG
from tests.unit.stores.rds.restores import LIVE, Account, copy_of

DATA = {
    "conn_type": "postgres", "host": "live.example", "port": 5444, "login": "app", "password": "hunter2", "schema": "bank",
    "extra": {"sslmode": "require"},
}  # fmt: skip


@pytest.fixture(autouse=True)
def connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_POINTS_DB", json.dumps(DATA))


@pytest.fixture
def placed(account: Account) -> Account:
    target = account.restore(account.target(to="bank-new"))
    with pytest.raises(RequestError, match=r"has placed no .* bank-new"):
        account.store.reached("bank-new")
    account.store.place(account.backup, target)
    return account


def test_the_live_ones_login_at_the_copys_address(placed: Account) -> None:
    found = placed.store.reached("Bank-New")
    assert (found.conn_type, found.login, found.password, found.schema) == ("postgres", "app", "hunter2", "bank")
    assert found.host.startswith("bank-new.")
    assert found.port == 5433, "the service's, not the connection's"
    assert json.loads(found.extra) == DATA["extra"]
    assert found.address == f"{found.host}:5433"
    assert "hunter2" not in repr(found)
    assert "sslmode" not in repr(found), "there may be secrets in extras, too"


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (COPY_TAG, "midtime-tmp-abc123-0000-points"),
        (COPY_TAG, f"{PLACED}midtime-tmp-abc123-0000-other"),
        (COPY_TAG, f"{PLACED}nothing"),
        (COPY_TAG, ""),
        (TOPOLOGY_TAG, "another"),
    ],
)
def test_what_was_not_placed_for_this_store(placed: Account, tag: str, value: str) -> None:
    copy_of(placed, "bank-new").tags[tag] = value
    with pytest.raises(RequestError, match=r"has placed no .* bank-new for it and bank") as caught:
        placed.store.reached("bank-new")
    assert "`place`" in caught.value.fix


@pytest.mark.parametrize("name", [LIVE, "nothing"])
def test_what_is_no_copy(placed: Account, name: str) -> None:
    with pytest.raises(RequestError, match=rf"has placed no .* {name}"):
        placed.store.reached(name)


def test_no_login_to_hand_over(placed: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_POINTS_DB")
    with pytest.raises(StoreAccessError, match="there is no Airflow connection points_db") as caught:
        placed.store.reached("bank-new")
    assert "its login is the copy's, too" in caught.value.fix


@pytest.mark.parametrize(
    ("dialect", "said", "port"),
    [
        ("oracle", {"port": 2485}, 2485),
        ("oracle", {}, None),
        ("oracle", {"port": 1522, "extra": {"protocol": "tcp"}}, 1521),
        ("sqlserver", {"port": 1522}, 1521),
    ],
)
def test_the_port(dialect: str, said: dict[str, Any], port: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an Oracle the service tells the plain one only."""
    monkeypatch.setenv("AIRFLOW_CONN_POINTS_DB", json.dumps({"conn_type": dialect, "host": "live", **said}))
    spec = Rds.model_validate(
        {"name": "points", "engine": "rds", "dialect": dialect, "region": "eu-west-1", "instance": LIVE, "data_conn_id": "points_db"}
    )
    assert handing.reached("points", spec, ("copy.example", 1521)).port == port


def test_a_copy_without_an_address(rds: Account) -> None:
    """It was stopped, or is being made anew, since it was placed."""
    rds.store.place(rds.backup, rds.restore(rds.target(to="bank-new")))
    copy_of(rds, "bank-new").ready_at = 1e9
    with pytest.raises(StoreAccessError, match="has no address yet"):
        rds.store.reached("bank-new")


def test_where_it_is_said_how(placed: Account, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        placed.store.place(placed.backup, placed.target(to="bank-new"))
    assert "`midtime hand-over bank points bank-new --conn-id ...`" in caplog.text
