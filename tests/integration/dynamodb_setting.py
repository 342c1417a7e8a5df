"""A shop in a DynamoDB that travels in time, marked and restored by the store's own code; also by processes that are killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from midtime.stores import looks
from midtime.stores.dynamodb import copies
from tests.integration.dynamodb_tables import make, put, rich, settings_of, values
from tests.integration.marked_shop import SHORTLY, MarkedShop
from tests.stack.dynamodb import DynamoDB

ORDERS, STOCK = "shop.orders", "shop.stock"
NAMES = (ORDERS, STOCK, "coordinator.state", "scalardb.metadata")


class Shop(MarkedShop):
    """Two tables of its own, one with all the settings that there are, and ScalarDB's."""

    def __init__(self, server: DynamoDB, folder: Path) -> None:
        super().__init__(server, folder, server.topology_store("shop", ["shop"], conn_id="shop_db", fence=False))
        self.server = server

    def fill(self) -> None:
        rich(self.server, ORDERS)
        self.server.protect(ORDERS)
        for name in NAMES[1:]:
            make(self.server, name)
        self.write(1)

    def write(self, value: int) -> None:
        for name in NAMES[:3]:
            put(self.server, name, "x", value)

    def values(self, prefix: str = "") -> dict[str, int]:
        return {name: values(self.server, prefix + name)["x"] for name in NAMES[:3]}

    def settings(self, name: str = ORDERS) -> dict[str, Any]:
        found = settings_of(self.server, name)
        tags = self.server.tables.list_tags_of_resource(ResourceArn=self.server.tables.describe_table(TableName=name)["Table"]["TableArn"])
        return {**found, "tags": sum(not tag["Key"].startswith("midtime") for tag in tags["Tags"])}

    def backups(self) -> set[str]:
        found = self.server.tables.list_backups(BackupType="USER")["BackupSummaries"]
        return {each["BackupName"] for each in found}


@contextmanager
def shop_of(server: DynamoDB, folder: Path, **settings: Any) -> Iterator[Shop]:
    """Filled and marked, with a connection of its own."""
    server.reset()
    server.settings(stopped_at=None, lag=0.5, **settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_SHOP_DB", server.conn())
        patch.setattr(looks, "sleep", lambda seconds: time.sleep(min(seconds, SHORTLY)))
        patch.setattr(copies, "LOOK", SHORTLY)
        shop = Shop(server, folder)
        shop.fill()
        shop.mark()
        yield shop
