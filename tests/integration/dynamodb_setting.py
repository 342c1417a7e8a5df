"""A shop in a DynamoDB that travels in time, marked and restored by the store's own code; also by processes that are killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from midtime.catalog import Catalog
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores import looks, open_store
from midtime.stores.base import Shelf, Target
from midtime.stores.dynamodb import copies
from tests.integration.dynamodb_tables import make, put, rich, settings_of, values
from tests.integration.restore_once import killed
from tests.stack.dynamodb import DynamoDB
from tests.stack.processes import poll

ORDERS, STOCK = "shop.orders", "shop.stock"
NAMES = (ORDERS, STOCK, "coordinator.state", "scalardb.metadata")
POINT, RUN = "20261121T020007Z-3fa9c1", "abc123"
SHORTLY = 0.2


class Shop:
    """Two tables of its own, one with all the settings that there are, and ScalarDB's."""

    def __init__(self, server: DynamoDB, folder: Path) -> None:
        self.server, self.folder = server, folder
        store = server.topology_store("shop", ["shop"], conn_id="shop_db", fence=False)
        products = [{"kind": "scalardb-server", "endpoints": {"static": ["127.0.0.1:1"]}}]
        body = {"name": "shop", "destination": f"file://{folder}/points", "stores": [store], "products": products}
        self.topology = Topology.model_validate({**body, "scalardb": {"coordinators": [{"store": "shop"}]}})
        self.catalog = Catalog(self.topology.destination, "shop")
        self.shelf = Shelf(self.catalog.folder(POINT), "shop")
        self.backup: StoreBackup

    @property
    def store(self) -> Any:
        """As another process would open it."""
        return open_store(self.topology, "shop")

    def fill(self) -> None:
        rich(self.server, ORDERS)
        self.server.protect(ORDERS)
        for name in NAMES[1:]:
            make(self.server, name)
        self.write(1)

    def write(self, value: int) -> None:
        for name in NAMES[:3]:
            put(self.server, name, "x", value)

    def mark(self) -> None:
        """At a second in which nothing is written; what comes later has value 2."""
        second = int(self.server.now()) + 2
        poll("the second to be over", lambda: self.server.now() > second + 1.1 or None, 30)
        self.write(2)
        self.server.wait_restorable(second + 1)
        self.backup = self.store.mark(datetime.fromtimestamp(second, UTC), self.shelf, lambda _: None)

    def target(self, *, drill: bool = False, in_place: bool = False, to: str | None = None) -> Target:
        target: Target = self.store.target(TargetWish(to=to) if to else None, run=RUN, drill=drill, in_place=in_place)
        return target

    def restore(self, target: Target) -> Target:
        store = self.store
        while store.restore(self.backup, self.shelf, target, print):
            time.sleep(SHORTLY)
        return target

    def values(self, prefix: str = "") -> dict[str, int]:
        return {name: values(self.server, prefix + name)["x"] for name in NAMES[:3]}

    def settings(self, name: str = ORDERS) -> dict[str, Any]:
        found = settings_of(self.server, name)
        tags = self.server.tables.list_tags_of_resource(ResourceArn=self.server.tables.describe_table(TableName=name)["Table"]["TableArn"])
        return {**found, "tags": sum(not tag["Key"].startswith("midtime") for tag in tags["Tags"])}

    def backups(self) -> set[str]:
        found = self.server.tables.list_backups(BackupType="USER")["BackupSummaries"]
        return {each["BackupName"] for each in found}

    # by a process that dies

    def killed(self, verb: str, target: Target, after: int) -> bool:
        """Whether it came so far."""
        return killed(self.server, self.topology, self.backup, POINT, verb, target, after)


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
