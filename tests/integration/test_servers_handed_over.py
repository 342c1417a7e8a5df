"""A restored server becomes an Airflow connection: the live one's login, database and TLS at the copy's address, and no secret is seen on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from midtime.errors import RequestError
from tests.integration import azure_database_setting, rds_setting
from tests.integration.handed_over import Installation, digest
from tests.integration.rds_setting import LIVE
from tests.stack.azure_database import AzureDatabase
from tests.stack.rds import RDS

pytestmark = pytest.mark.integration

SECRET = "of-the-database"
DATA = {
    "conn_type": "postgres",
    "host": "live.example",
    "port": 5433,
    "login": "app",
    "password": SECRET,
    "schema": "bank",
    "extra": {"sslmode": "require"},
}
NEW = ("shop-new", "--conn-id", "shop_new")


def placed(shop: Any) -> None:
    """The copy called ``shop-new``."""
    target = shop.restore(shop.target(to="shop-new"))
    with pytest.raises(RequestError, match=r"has placed no .* shop-new"):
        shop.store.reached("shop-new")
    shop.store.place(shop.backup, target)


@pytest.mark.long  # into an Airflow database of its own; a flexible server's is looked at every day
def test_an_instance(rds_server: RDS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over HTTP, by the command, into Airflow's database."""
    with rds_setting.shop_of(rds_server, tmp_path, "rds", endpoints={"shop-new": ["new.example", 5499]}) as shop:
        monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", json.dumps(DATA))
        installation = Installation(tmp_path, shop.topology, lambda: [SECRET, RDS.SECRET])
        placed(shop)
        with pytest.raises(RequestError, match=f"has placed no instance {LIVE}"):
            shop.store.reached(LIVE)
        answer = json.loads(installation.hand_over(*NEW, "--json"))
        assert answer == {
            "conn_id": "shop_new", "conn_type": "postgres", "login": "app", "host": "new.example", "port": 5499, "became": "made",
        }  # fmt: skip
        read = installation.read("shop_new")
        assert json.loads(read.pop("extra")) == DATA["extra"]
        assert read == {
            "conn_type": "postgres", "login": "app", "host": "new.example", "port": 5499, "schema": "bank", "password": digest(SECRET),
        }  # fmt: skip
        assert SECRET.encode() not in installation.database.read_bytes()


@pytest.mark.long
def test_the_connection_that_products_have(rds_server: RDS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaced on demand only, though the login is the same; and `data_conn_id` itself not where the environment hides it."""
    with rds_setting.shop_of(rds_server, tmp_path, "rds", endpoints={"shop-new": ["new.example", 5499]}) as shop:
        monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", json.dumps(DATA))
        installation = Installation(tmp_path, shop.topology, lambda: [SECRET, RDS.SECRET])
        placed(shop)
        installation.hand_over(*NEW)
        said = installation.hand_over("shop-new", "--conn-id", "shop_db", code=2)
        assert "the environment or a secrets back end has another one" in said
        shop.server.settings(endpoints={"shop-new": ["moved.example", 5499]})
        assert "connection shop_new leads to new.example (postgres)" in installation.hand_over(*NEW, code=2)
        assert "replaced: postgres, moved.example:5499" in installation.hand_over(*NEW, "--replace")
        assert installation.read("shop_new")["host"] == "moved.example"


@pytest.mark.parametrize("dialect", ["postgresql", pytest.param("mysql", marks=pytest.mark.long)])
def test_a_flexible_server(azure_database_server: AzureDatabase, tmp_path: Path, dialect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Azure says no port: the live one's."""
    with azure_database_setting.shop_of(azure_database_server, dialect, tmp_path, addresses={"shop-new": "new.example"}) as shop:
        placed(shop)
        kind = "postgres" if dialect == "postgresql" else "mysql"
        monkeypatch.setenv("AIRFLOW_CONN_SHOP_DATA", json.dumps({**DATA, "conn_type": kind}))
        body = shop.topology.model_dump(mode="json", exclude_unset=True)
        body["stores"][0]["data_conn_id"] = "shop_data"
        shop.topology = type(shop.topology).model_validate(body)
        found = shop.store.reached("shop-new")
        assert (found.conn_type, found.host, found.port, found.login, found.schema) == (kind, "new.example", 5433, "app", "bank")
        assert found.password == SECRET
        assert SECRET not in repr(found)
        with pytest.raises(RequestError, match=f"has placed no server {azure_database_setting.LIVE}"):
            shop.store.reached(azure_database_setting.LIVE)
