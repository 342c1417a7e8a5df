"""The key of a restored account becomes an Airflow connection, in Airflow's own database, and is seen by nobody on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from midtime.model.topology import written
from midtime.model.topology.targets import Target as TargetWish
from tests.integration.cosmosdb_setting import LIVE, Shop, shop_of
from tests.stack.airflow import REPOSITORY
from tests.stack.cosmosdb import CosmosDB

pytestmark = pytest.mark.integration

TABLES = """
from airflow import settings
from airflow.models import import_all_models
from airflow.models.base import Base
import_all_models()
Base.metadata.create_all(settings.engine)
"""
READ = """
import sys
from airflow.sdk import BaseHook
print(BaseHook.get_connection(sys.argv[1]).to_dict()["login"])
"""
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


class Installation:
    """An Airflow's database and its key, and the command beside it."""

    def __init__(self, folder: Path, shop: Shop) -> None:
        self.shop, self.database = shop, folder / "airflow.db"
        (folder / "topologies").mkdir()
        (folder / "topologies" / "shop.yaml").write_text(written(shop.topology))
        self.environment = {
            **os.environ,
            "AIRFLOW_HOME": str(folder / "home"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.database}",
            "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
            "MIDTIME_TOPOLOGIES": str(folder / "topologies"),
            "PYTHONPATH": f"{REPOSITORY}/plugins",
            "_AIRFLOW_PROCESS_CONTEXT": "server",
        }
        self.run("-c", TABLES)

    def run(self, *words: str, code: int = 0, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, *words], env={**self.environment, **environment}, cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        assert not [key for key in (self.shop.server.key(LIVE), self.key) if key and key in said]
        return said

    @property
    def key(self) -> str:
        return self.shop.server.key("shop-new") if "shop-new" in self.shop.server.accounts() else ""

    def hand_over(self, *words: str, code: int = 0, **environment: str) -> str:
        return self.run("-m", "midtime", "hand-over", "shop", "shop", *words, code=code, **environment)


@pytest.fixture
def shop(cosmosdb_server: CosmosDB, tmp_path: Path) -> Iterator[Shop]:
    with shop_of(cosmosdb_server, tmp_path) as made:
        yield made


NEW = ("shop-new", "--conn-id", "shop_new")


@pytest.mark.long
def test_handed_over(shop: Shop, tmp_path: Path) -> None:
    installation = Installation(tmp_path, shop)
    target = shop.restore(shop.target(to="shop-new"))
    assert "Midtime has placed no account shop-new for shop" in installation.hand_over(*NEW, code=2)
    shop.store.place(shop.backup, target)
    assert "has placed no account shop-live" in installation.hand_over(LIVE, "--conn-id", "shop_new", code=2)
    answer = json.loads(installation.hand_over(*NEW, "--json"))
    assert answer == {"conn_id": "shop_new", "conn_type": "azure_cosmos", "login": shop.server.endpoint("shop-new"), "became": "made"}
    assert installation.run("-c", READ, "shop_new").splitlines()[-1] == shop.server.endpoint("shop-new")
    assert installation.key.encode() not in installation.database.read_bytes()


def test_what_leads_elsewhere(shop: Shop, tmp_path: Path) -> None:
    installation = Installation(tmp_path, shop)
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
    assert installation.run("-c", READ, "shop_new").splitlines()[-1] == shop.server.endpoint(other[0])


@pytest.mark.long
def test_a_database_that_is_not_there_tells_nothing(shop: Shop, tmp_path: Path) -> None:
    installation = Installation(tmp_path, shop)
    shop.store.place(shop.backup, shop.restore(shop.target(to="shop-new")))
    nowhere = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/empty.db"}
    said = installation.hand_over("shop-new", "--conn-id", "shop_new", code=1, **nowhere)
    assert "Airflow's database did not take connection shop_new" in said
