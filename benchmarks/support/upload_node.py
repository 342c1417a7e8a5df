"""One upload task: loads what a worker has loaded, says so, waits for a line, uploads one node's snapshot, and prints one line of JSON."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path

from benchmarks.support.measuring import high_water
from midtime.catalog import Catalog, objects
from midtime.model.topology import Topology
from midtime.stores.base import Shelf
from midtime.stores.cassandra.store import CassandraStore


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--topology", type=json.loads, required=True, help="all of it, as JSON")
    parser.add_argument("--store", required=True)
    parser.add_argument("--node", required=True, help="its label")
    parser.add_argument("--probe", type=Path, required=True, help="folder in which an object may be written")
    options = parser.parse_args()
    topology = Topology.model_validate(options.topology)
    catalog = Catalog(topology.destination, topology.name)
    load(options.probe)
    print("ready", flush=True)
    point = sys.stdin.readline().strip()

    started, cpu = time.monotonic(), time.process_time()
    said: list[str] = []
    done = CassandraStore(topology, options.store).upload(options.node, Shelf(catalog.folder(point), options.store), said.append)
    seconds = {"seconds": time.monotonic() - started, "cpu": time.process_time() - cpu, "peak": high_water("self")}
    print(json.dumps({**done, **seconds}))


def load(folder: Path) -> None:
    """What Airflow loads once a process: the SDK, and with the first written object all providers and plugins."""
    importlib.import_module("airflow.sdk.bases.hook")
    probe = objects.open_destination(f"file://{folder}")
    probe.mkdir(parents=True, exist_ok=True)
    with objects.open_stream(probe / "probe", "wb") as stream:
        stream.write(b"probe")


if __name__ == "__main__":
    main()
