"""One step of a cluster's restore in a process of its own, killed before one of its commands on the nodes."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

from midtime.catalog import Catalog
from midtime.model.topology import Topology
from midtime.stores import open_store
from midtime.stores.base import Shelf, Target
from midtime.stores.cassandra.nodes.local import LocalNode


def main() -> None:
    """Die as a machine dies: the commands that run on nodes then are not told."""
    said = json.loads(os.environ["MIDTIME_TEST_PLACE"])
    topology = Topology.model_validate(said["topology"])
    catalog = Catalog(topology.destination, topology.name)
    store, backup, target = open_store(topology, "ring"), catalog.load(said["point"]).stores[0], Target.from_dict(said["target"])
    count, lock, real = itertools.count(1), threading.Lock(), LocalNode.start

    def start(self: LocalNode, command: Sequence[str]) -> Any:
        with lock:
            if said["word"] in " ".join(command) and next(count) == said["dies_at"]:
                os.kill(os.getpid(), signal.SIGKILL)
        return real(self, command)

    setattr(LocalNode, "start", start)  # noqa: B010
    if said["verb"] == "restore":
        store.restore(backup, Shelf(catalog.folder(said["point"]), "ring"), target, print)
    else:
        getattr(store, said["verb"])(backup, target)
    sys.exit(0)


main()
