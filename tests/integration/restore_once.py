"""One step of a restore by a managed service, in a process of its own, which a test kills while the double lets a call of it hang."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

from midtime.catalog import Catalog
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.stores import looks, open_store
from midtime.stores.base import Shelf, Target
from tests.stack.airflow import REPOSITORY
from tests.stack.cloud import CloudDouble
from tests.stack.processes import poll


def killed(
    double: CloudDouble, topology: Topology, backup: StoreBackup, point: str, verb: str, target: Target, after: int, call: str = "control"
) -> bool:
    """Let another process do something, and kill it in a call that hangs. Whether it came so far, and died of nothing else.

    :param call: by its name, or the family of them
    """
    double.faults({"kind": "hang", "operations": [call], "skip": after, "times": 1})
    said = {
        "topology": topology.model_dump(mode="json", exclude_defaults=True), "verb": verb, "target": target.to_dict(),
        "backup": backup.model_dump(mode="json"), "point": point,
    }  # fmt: skip
    environment = {**os.environ, "MIDTIME_TEST_ONCE": json.dumps(said), "PYTHONPATH": os.pathsep.join(_paths())}
    process = subprocess.Popen([sys.executable, "-m", "tests.integration.restore_once"], env=environment, cwd=REPOSITORY)
    try:
        poll("an end", lambda: process.poll() is not None or double.hits() or None, 120, every=0.05)
        came = bool(double.hits())
    finally:
        process.send_signal(signal.SIGKILL)
        code = process.wait()
        double.faults()
    return came and code == -signal.SIGKILL


def _paths() -> list[str]:
    """This working copy first, then whatever this process has."""
    return [f"{REPOSITORY}/plugins", str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]


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
