"""The key of a restored account becomes an Airflow connection, in Airflow's own database, and is seen by nobody on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from midtime.model.topology.targets import Target as TargetWish
from tests.integration.cosmosdb_setting import LIVE, Shop, shop_of
from tests.integration.handed_over import Installation
from tests.stack.cosmosdb import CosmosDB

pytestmark = pytest.mark.integration

BEFORE = """
import sys
from airflow.models.connection import Connection
from airflow.utils.session import create_session
with create_session() as session:
    there = session.query(Connection).filter_by(conn_id=sys.argv[1]).one()
    if sys.argv[2:]:
        there.host, there.extra = "elsewhere", '{"key_path": "/a/secret"}'
    print(there.host, there.extra)
"""


def keys(shop: Shop) -> list[str]:
    return [shop.server.key(name) for name in (LIVE, "shop-new") if name in shop.server.accounts()]


def installation_of(folder: Path, shop: Shop) -> Installation:
    return Installation(folder, shop.topology, lambda: keys(shop))


@pytest.fixture
def shop(cosmosdb_server: CosmosDB, tmp_path: Path) -> Iterator[Shop]:
    with shop_of(cosmosdb_server, tmp_path) as made:
        yield made


NEW = ("shop-new", "--conn-id", "shop_new")


@pytest.mark.long
def test_handed_over(shop: Shop, tmp_path: Path) -> None:
    installation = installation_of(tmp_path, shop)
    target = shop.restore(shop.target(to="shop-new"))
    assert "Midtime has placed no account shop-new for shop" in installation.hand_over(*NEW, code=2)
    shop.store.place(shop.backup, target)
    assert "has placed no account shop-live" in installation.hand_over(LIVE, "--conn-id", "shop_new", code=2)
    answer = json.loads(installation.hand_over(*NEW, "--json"))
    assert answer == {"conn_id": "shop_new", "conn_type": "azure_cosmos", "login": shop.server.endpoint("shop-new"), "became": "made"}
    assert installation.read("shop_new")["login"] == shop.server.endpoint("shop-new")
    assert shop.server.key("shop-new").encode() not in installation.database.read_bytes()


def test_what_leads_elsewhere(shop: Shop, tmp_path: Path) -> None:
    installation = installation_of(tmp_path, shop)
    for run, name in (("abc123", "shop-new"), ("ffffff", "")):
        wish = TargetWish(name=name) if name else None
        shop.store.place(shop.backup, shop.restore(shop.store.target(wish, run=run, drill=False, in_place=False)))
    reads = {"AIRFLOW_CONN_SHOP_NEW": json.dumps({"conn_type": "azure_cosmos", "login": "https://elsewhere/", "password": "x"})}
    assert "the environment or a secrets back end has another one" in installation.hand_over(*NEW, code=2, **reads)
    other = ("restored-ffffff-shop-live", "--conn-id", "shop_new")
    assert "connection shop_new leads to https://shop-new" in installation.hand_over(*other, code=2)
    installation.run("-c", BEFORE, "shop_new", "spoil")
    assert "replaced" in installation.hand_over(*other, "--replace")
    assert installation.run("-c", BEFORE, "shop_new").splitlines()[-1] in ("None None", "None ")
    assert installation.read("shop_new")["login"] == shop.server.endpoint(other[0])


@pytest.mark.long
def test_a_database_that_is_not_there_tells_nothing(shop: Shop, tmp_path: Path) -> None:
    installation = installation_of(tmp_path, shop)
    shop.store.place(shop.backup, shop.restore(shop.target(to="shop-new")))
    nowhere = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/empty.db"}
    said = installation.hand_over("shop-new", "--conn-id", "shop_new", code=1, **nowhere)
    assert "Airflow's database did not take connection shop_new" in said
