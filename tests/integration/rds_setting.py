"""An instance or a cluster in an RDS in which things take time, marked and restored by the store's own code; also by processes that are killed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from midtime.stores import looks
from tests.integration.marked_shop import SHORTLY, MarkedShop
from tests.stack.rds import RDS

LIVE = "shop-prod"
KINDS = ("rds", "aurora")


class RdsShop(MarkedShop):
    """No data are in it: what these tests are about is the service."""

    def __init__(self, server: RDS, folder: Path, kind: str) -> None:
        named = {"instance": LIVE} if kind == "rds" else {"cluster": LIVE}
        spec = {
            "name": "shop", "engine": kind, "dialect": "postgresql", "conn_id": "shop_aws", "data_conn_id": "shop_db", "region": RDS.REGION,
            "namespaces": ["shop"], **named,
        }  # fmt: skip
        super().__init__(server, folder, spec)
        self.server, self.kind = server, kind

    def fill(self) -> None:
        tags, role = [{"Key": "team", "Value": "shop"}], "arn:aws:iam::123456789012:role/monitoring"
        watched = {"MonitoringInterval": 60, "MonitoringRoleArn": role}
        if self.kind == "rds":
            self.server.make_instance(LIVE, MultiAZ=True, DeletionProtection=True, BackupRetentionPeriod=7, Tags=tags, **watched)
        else:
            self.server.make_cluster(LIVE, f"{LIVE}-a", f"{LIVE}-b", DeletionProtection=True, BackupRetentionPeriod=7, Tags=tags)

    def write(self, value: int) -> None:
        """Nothing."""

    def copy(self, name: str) -> dict[str, Any]:
        return self.server.instance(name) if self.kind == "rds" else self.server.cluster(name)

    def made(self) -> set[str]:
        return {name for name in self.server.names() if not name.startswith(LIVE)}

    def restores(self) -> list[dict[str, Any]]:
        """That the service has taken."""
        return [each for each in self.server.restores() if each["status"] == 200]


@contextmanager
def shop_of(server: RDS, folder: Path, kind: str, **settings: Any) -> Iterator[RdsShop]:
    """Filled and marked, with connections of its own."""
    server.reset()
    server.settings(lag=0.2, **settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_SHOP_AWS", server.conn())
        patch.setenv("AIRFLOW_CONN_SHOP_DB", json.dumps({"conn_type": "postgres", "host": "127.0.0.1", "login": "a", "password": "b"}))
        patch.setattr(looks, "sleep", lambda seconds: time.sleep(min(seconds, SHORTLY)))
        shop = RdsShop(server, folder, kind)
        shop.fill()
        shop.mark()
        server.forget_calls()
        yield shop
