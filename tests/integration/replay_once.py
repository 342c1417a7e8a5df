"""One restore to a position in a process of its own, for a test that kills it in the middle of the replay."""

from __future__ import annotations

import json
import os
import time

from midtime.catalog import Catalog
from midtime.model.topology import Topology
from midtime.stores import open_store
from midtime.stores.base import Shelf, Target
from midtime.stores.mysql_pitr import replaying


def main() -> None:
    """Hang when something was replayed and committed, and more is to come."""
    said = json.loads(os.environ["MIDTIME_TEST_RESTORE"])
    topology = Topology.model_validate(said["topology"])
    catalog = Catalog(topology.destination, topology.name)
    real = replaying.Replay.commit

    def commit(self: replaying.Replay) -> None:
        real(self)
        print("half-way", flush=True)
        time.sleep(600)

    setattr(replaying, "COMMIT", 1)  # noqa: B010
    setattr(replaying.Replay, "commit", commit)  # noqa: B010
    shelf = Shelf(catalog.folder(said["point"]), "accounts")
    open_store(topology, "accounts").restore(catalog.load(said["point"]).stores[0], shelf, Target.from_dict(said["target"]), print)


main()
