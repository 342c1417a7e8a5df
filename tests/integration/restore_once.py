"""One step of a restore of DynamoDB's tables in a process of its own, which a test kills."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from midtime.catalog import Catalog
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.stores import looks, open_store
from midtime.stores.base import Shelf, Target


def main() -> None:
    """Quick looks, as the tests take them."""
    said = json.loads(os.environ["MIDTIME_TEST_ONCE"])
    topology = Topology.model_validate(said["topology"])
    target, backup = Target.from_dict(said["target"]), StoreBackup.model_validate(said["backup"])
    store: Any = open_store(topology, target.store)
    looks.sleep = lambda seconds: time.sleep(min(seconds, 0.2))
    if said["verb"] == "restore":
        shelf = Shelf(Catalog(topology.destination, topology.name).folder(said["point"]), target.store)
        while store.restore(backup, shelf, target, print):
            time.sleep(0.2)
    elif said["verb"] == "discard":
        store.discard(target)
    else:
        getattr(store, said["verb"])(backup, target)


if __name__ == "__main__":
    main()
