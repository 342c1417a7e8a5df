"""A shop in a managed service that travels in time: filled, marked and restored by the store's own code; also by processes that are killed."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from midtime.catalog import Catalog
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores import open_store
from midtime.stores.base import Shelf, Target
from tests.integration.restore_once import killed
from tests.stack.cloud import CloudDouble
from tests.stack.processes import poll

POINT, RUN = "20261121T020007Z-3fa9c1", "abc123"
SHORTLY = 0.2


class MarkedShop:
    """A store called ``shop``, which also has the Coordinator.

    :param spec: the store, as a topology has it
    :param scalardb: what else the topology says of ScalarDB
    """

    def __init__(self, server: CloudDouble, folder: Path, spec: dict[str, Any], **scalardb: Any) -> None:
        self.folder, self._double = folder, server
        products = [{"kind": "scalardb-server", "endpoints": {"static": ["127.0.0.1:1"]}}]
        body = {"name": "shop", "destination": f"file://{folder}/points", "stores": [spec], "products": products}
        self.topology = Topology.model_validate({**body, "scalardb": {"coordinators": [{"store": "shop"}], **scalardb}})
        self.catalog = Catalog(self.topology.destination, "shop")
        self.shelf = Shelf(self.catalog.folder(POINT), "shop")
        self.backup: StoreBackup

    @property
    def store(self) -> Any:
        """As another process would open it."""
        return open_store(self.topology, "shop")

    def write(self, value: int) -> None:
        """Into every table."""
        raise NotImplementedError

    def mark(self) -> None:
        """At a second in which nothing is written; what comes later has value 2."""
        second = int(self._double.now()) + 1
        poll("the second to be over", lambda: self._double.now() > second + 1.1 or None, 30)
        self.write(2)
        self._double.wait_restorable(second + 1)
        self.backup = self.store.mark(datetime.fromtimestamp(second, UTC), self.shelf, lambda _: None)

    def target(self, *, drill: bool = False, in_place: bool = False, to: str | None = None) -> Target:
        target: Target = self.store.target(TargetWish(to=to) if to else None, run=RUN, drill=drill, in_place=in_place)
        return target

    def restore(self, target: Target, say: Any = print) -> Target:
        store = self.store
        while waiting := store.restore(self.backup, self.shelf, target, say):
            say(waiting.detail)
            time.sleep(SHORTLY)
        return target

    def killed(self, verb: str, target: Target, after: int, call: str = "control") -> bool:
        """Whether a process that is killed came so far."""
        return killed(self._double, self.topology, self.backup, POINT, verb, target, after, call)
