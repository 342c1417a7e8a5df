"""Whose login leads to a restored server from now on: only to one that was made for this store, and placed."""

from __future__ import annotations

import json

import pytest

from midtime.errors import RequestError, StoreAccessError
from midtime.stores.naming import COPY_TAG, PLACED, TOPOLOGY_TAG
from tests.unit.stores.azure_database.memory import LIVE
from tests.unit.stores.azure_database.restores import Subscription


@pytest.fixture
def placed(subscription: Subscription, monkeypatch: pytest.MonkeyPatch) -> Subscription:
    kind = "postgres" if subscription.dialect == "postgresql" else "mysql"
    said = {"conn_type": kind, "host": f"{LIVE}.example", "port": 5444, "login": "app", "password": "hunter2", "schema": "claims"}
    monkeypatch.setenv("AIRFLOW_CONN_FILES_DB", json.dumps(said))
    target = subscription.restore(subscription.target(to="claims-new"))
    with pytest.raises(RequestError, match="has placed no server claims-new in resource group claims"):
        subscription.store.reached("claims-new")
    subscription.store.place(subscription.backup, target)
    return subscription


def test_the_live_ones_login_at_the_copys_address(placed: Subscription) -> None:
    found = placed.store.reached("claims-new")
    assert (found.host, found.port, found.login, found.password, found.schema) == ("claims-new.example", 5444, "app", "hunter2", "claims")
    assert found.extra == ""


@pytest.mark.parametrize("leads", [{"hostaddr": "10.0.0.4"}, {"host": f"{LIVE}.example"}, {"unix_socket": "/run/live"}, {}])
def test_no_extra_leads_back_to_the_live_one(placed: Subscription, monkeypatch: pytest.MonkeyPatch, leads: dict[str, str]) -> None:
    """It would win over the copy's address: products that were moved there would write what was left behind."""
    said = {"conn_type": "postgres", "host": f"{LIVE}.example", "extra": {"sslmode": "require", **leads}}
    monkeypatch.setenv("AIRFLOW_CONN_FILES_DB", json.dumps(said))
    found = placed.store.reached("claims-new")
    assert found.host == "claims-new.example"
    assert json.loads(found.extra) == {"sslmode": "require"}


def test_a_port_among_the_extras(placed: Subscription, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"conn_type": "postgres", "host": f"{LIVE}.example", "port": 5444, "extra": {"port": 6432}}
    monkeypatch.setenv("AIRFLOW_CONN_FILES_DB", json.dumps(said))
    found = placed.store.reached("claims-new")
    assert (found.port, found.extra) == (6432, "{}")


@pytest.mark.parametrize(
    ("tag", "value"), [(COPY_TAG, f"{PLACED}midtime-tmp-abc123-0000-other"), (COPY_TAG, "midtime"), (TOPOLOGY_TAG, "another")]
)
def test_what_was_not_placed_for_this_store(placed: Subscription, tag: str, value: str) -> None:
    placed.memory.servers["claims-new"].tags[tag] = value
    with pytest.raises(RequestError, match="has placed no server claims-new"):
        placed.store.reached("claims-new")


@pytest.mark.parametrize("name", [LIVE, "nothing"])
def test_what_is_no_copy(placed: Subscription, name: str) -> None:
    with pytest.raises(RequestError, match=f"has placed no server {name}"):
        placed.store.reached(name)


def test_no_connection_to_the_data(placed: Subscription) -> None:
    store = placed.store
    store.azure.spec = store.spec.model_copy(update={"data_conn_id": None})
    with pytest.raises(StoreAccessError, match="there is no Airflow connection to its data"):
        store.reached("claims-new")
