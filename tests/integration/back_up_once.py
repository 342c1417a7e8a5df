"""One backup in a process of its own, for tests that kill it or put it onto a small disk."""

from __future__ import annotations

import os
import time
from pathlib import Path

from midtime.catalog import Catalog
from midtime.errors import MidtimeError
from midtime.model.instants import restore_point_id
from midtime.stores import open_store, staging
from midtime.stores.base import Shelf
from tests.integration.fixtures import topology_of


def main() -> None:
    """Print how it ended; hang at the first table when told to."""
    folder = Path(os.environ["MIDTIME_TEST_FOLDER"])
    topology = topology_of(folder, store={"compression": os.environ.get("MIDTIME_TEST_COMPRESSION", "auto")})
    store = open_store(topology, "accounts")
    # The disk passes the first look: it fills up later.
    setattr(staging, "check_room", lambda *_: None)  # noqa: B010
    try:
        with store.capture() as capture:
            point = restore_point_id(capture.midtime, "child")
            store.copy(capture, Shelf(Catalog(topology.destination, topology.name).folder(point), "accounts"), say)
    except MidtimeError as error:
        print(type(error).__name__, error)
    print("left in staging:", [each.name for each in Path(os.environ["MIDTIME_STAGING"]).iterdir()])


def say(line: str) -> None:
    """Tell the test how far it got."""
    print(line, flush=True)
    if os.environ.get("MIDTIME_TEST_HANG"):
        time.sleep(600)


main()
