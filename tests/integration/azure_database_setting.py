"""A shop on a flexible server of a double of Azure, marked and restored by the store's own code; also by processes that are killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from midtime.stores import looks
from midtime.stores.azure import removing
from tests.integration.marked_shop import SHORTLY, MarkedShop
from tests.stack.azure_database import AzureDatabase

LIVE = "shop-live"
SETTINGS: dict[str, Any] = {
    "backup": {"backupRetentionDays": 14}, "highAvailability": {"mode": "ZoneRedundant", "standbyAvailabilityZone": "2"},
    "maintenanceWindow": {"customWindow": "Enabled", "dayOfWeek": 6, "startHour": 3, "startMinute": 30},
}  # fmt: skip
PARAMETERS = {
    "postgresql": {"azure.extensions": "PGCRYPTO", "max_connections": "500", "shared_preload_libraries": "pg_cron"},
    "mysql": {"time_zone": "Asia/Tokyo", "event_scheduler": "OFF", "innodb_file_per_table": "OFF"},
}


def make_rich(server: AzureDatabase, dialect: str, name: str) -> None:
    """A server with all the settings that there are."""
    server.make_server(dialect, name, **SETTINGS)
    server.set_rule(dialect, name, "office", "10.1.2.3", "10.1.2.9")
    for parameter, value in PARAMETERS[dialect].items():
        server.set_parameter(dialect, name, parameter, value)


def settings_of(server: AzureDatabase, dialect: str, name: str) -> dict[str, Any]:
    """All of them."""
    properties = server.server(dialect, name)["properties"]
    said = {key: properties[key] for key in ("maintenanceWindow", "highAvailability", "network", "storage", "version")}
    retention = properties["backup"]["backupRetentionDays"]
    return {**said, "retention": retention, "rules": server.rules(dialect, name), "parameters": server.parameters(dialect, name)}


class Shop(MarkedShop):
    """A server with all the settings that there are. What is in it is another double's, or nobody's."""

    def __init__(self, server: AzureDatabase, dialect: str, folder: Path, **store: Any) -> None:
        own = {"data_conn_id": None, "fence": False, "restorable_after": "1s", **store}
        super().__init__(server, folder, server.topology_store("shop", dialect, ["shop"], LIVE, **own), clock_bound="0s")
        self.server, self.dialect = server, dialect

    def fill(self) -> None:
        make_rich(self.server, self.dialect, LIVE)

    def write(self, value: int) -> None:
        """Nothing is in it."""

    def settings(self, name: str) -> dict[str, Any]:
        """All that is to be as it was."""
        return settings_of(self.server, self.dialect, name)

    def servers(self) -> list[str]:
        return self.server.servers(self.dialect)


@contextmanager
def login(server: AzureDatabase) -> Iterator[pytest.MonkeyPatch]:
    """The environment of a worker that takes the double for Azure."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        patch.setenv("AIRFLOW_CONN_SHOP_DB", server.conn())
        patch.setattr(looks, "sleep", lambda seconds: time.sleep(min(seconds, SHORTLY)))
        patch.setattr(removing, "LOOK", SHORTLY)
        yield patch


@contextmanager
def shop_of(server: AzureDatabase, dialect: str, folder: Path, store: dict[str, Any] | None = None, **settings: Any) -> Iterator[Shop]:
    """Filled and marked."""
    server.reset()
    shop = Shop(server, dialect, folder, **(store or {}))
    shop.fill()
    server.settings(lag=0.5, **settings)
    with login(server):
        shop.mark()
        server.forget_calls()
        yield shop
