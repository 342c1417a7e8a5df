"""One backup by one store in a process of its own, so that its memory and CPU time are its own. Prints one line of JSON."""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import time
from pathlib import Path

from benchmarks.support.measuring import high_water
from midtime.catalog import Catalog, objects
from midtime.model.instants import restore_point_id
from midtime.model.topology import Topology
from midtime.stores import open_store
from midtime.stores.base import Shelf

_LIBRARIES = ("airflow.sdk.bases.hook", "airflow.sdk.io.path")
HOOKS = {"postgresql": "airflow.providers.postgres.hooks.postgres", "mysql": "airflow.providers.mysql.hooks.mysql"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="for the restore point and the staging")
    parser.add_argument("--store", type=json.loads, required=True, help="keys of the topology's store, as JSON")
    parser.add_argument("--topology", type=json.loads, default={}, help="more keys of the topology, as JSON")
    options = parser.parse_args()

    store = {"name": "accounts", "conn_id": "accounts_db", "namespaces": ["bank"], "staging": str(options.folder), **options.store}
    destination = f"file://{options.folder}/restore-points"
    topology = Topology.model_validate({"name": "bank", "destination": destination, "stores": [store], **options.topology})
    accounts = open_store(topology, "accounts")
    catalog = Catalog(topology.destination, topology.name)
    loading = _load(catalog, HOOKS[options.store["engine"]])
    said: list[tuple[float, str]] = []

    started, cpu = time.monotonic(), _cpu()
    with accounts.capture() as capture:
        point = restore_point_id(capture.midtime, "benchmark")
        shelf = Shelf(catalog.folder(point), "accounts")
        backup = accounts.copy(capture, shelf, lambda line: said.append((time.monotonic() - started, line)))
    wall, cpu = time.monotonic() - started, _cpu() - cpu

    rows = {table.name: table.rows for table in backup.tables}
    upload = wall - said[-1][0]  # the last line is said when the dump is complete
    answer = {"wall": wall, "cpu": cpu, "upload": upload, "loading": loading, "bytes": backup.size, "rows": rows}
    print(json.dumps({**answer, "worker_peak": high_water("self")}))


def _load(catalog: Catalog, hook: str) -> float:
    """What Airflow loads once a process, whatever the task is: SDK, hook, and with the first written object all providers and plugins."""
    started = time.monotonic()
    for each in (*_LIBRARIES, hook):
        importlib.import_module(each)
    catalog.root.mkdir(parents=True)
    with objects.open_stream(catalog.root / "probe", "wb") as stream:
        stream.write(b"probe")
    return time.monotonic() - started


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


main()
