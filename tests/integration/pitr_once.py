"""One backup or restore in a process of its own, for tests that kill it: it says where it stands, and stands still there when told to."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from midtime.catalog import artifacts
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.stores.base import Shelf, Target
from midtime.stores.postgresql_pitr.archive import Archive
from midtime.stores.postgresql_pitr.store import PostgresqlPitrStore


def stand_still(owner: Any, name: str, when: int) -> None:
    """From the so many-th call on."""
    real, calls = getattr(owner, name), []

    def instead(*arguments: Any, **keywords: Any) -> Any:
        calls.append(1)
        if len(calls) >= when:
            print("reached", flush=True)
            time.sleep(600)
        return real(*arguments, **keywords)

    setattr(owner, name, instead)


def main() -> None:
    """``backup`` or ``restore``; the rest comes through the environment."""
    topology = Topology.model_validate(json.loads(os.environ["MIDTIME_TEST_TOPOLOGY"]))
    store = PostgresqlPitrStore(topology, "accounts")
    if sys.argv[1] == "backup":
        stand_still(artifacts.ArtifactWriter, "write", 2)
        with store.capture():
            return
    backup = StoreBackup.model_validate_json(Path(os.environ["MIDTIME_TEST_BACKUP"]).read_bytes())
    stand_still(Archive, "fetch", 2)
    store.restore(
        backup, Shelf(store.catalog.folder("x"), "accounts"), Target.from_dict(json.loads(os.environ["MIDTIME_TEST_TARGET"])), print
    )


main()
