"""How long the newest restore points of a large catalog on a disk take to list; see docs/benchmarks.md.

Run as ``python -m benchmarks.listing``. The catalog is made once and kept in the cache folder (``MIDTIME_CACHE``).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from tests.stack import cache

from benchmarks.support.measuring import median
from midtime.catalog import Catalog
from midtime.model.instants import restore_point_id
from midtime.model.restore_point import Artifact, DrillReport, Origin, RestorePoint, StoreBackup, TableContent

ROOT = Path(__file__).parents[1]
GOAL = 1.0
"""Seconds, for the newest 100 of 100,000."""
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
HALF_WRITTEN, DRILLED = 50, 10
"""One folder in so many has no manifest; one has a drill's report."""


def restore_point(number: int) -> RestorePoint:
    """A backup of one store with two tables, every ten minutes."""
    instant = FIRST + timedelta(minutes=10 * number)
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    store = StoreBackup(
        store="accounts", engine="postgresql", method="dump", midtime=instant, server="18.6", client="18.6", seconds=12.5,
        artifacts=tuple(Artifact(path=f"accounts/{name}", size=71_000_000 + number, sha256=digest) for name in _FILES),
        tables=tuple(TableContent(name=name, rows=1_125_000, buckets=_BUCKETS, method="benchmark") for name in _TABLES),
        details={"compression": "gzip", "shapes": dict.fromkeys(_TABLES, digest[:16])},
    )  # fmt: skip
    return RestorePoint(
        id=restore_point_id(instant, str(number)), topology="bank", topology_digest=digest, midtime=instant,
        started_at=instant - timedelta(seconds=1), finished_at=instant + timedelta(seconds=20), stores=(store,),
        origin=Origin(midtime_version="0", dag_id="bank__backup", run_id=str(number), host="worker"),
    )  # fmt: skip


_TABLES = ("bank.accounts", "coordinator.state")
_FILES = ("toc.dat", "4001.dat.gz", "4002.dat.gz")
_BUCKETS = tuple(f"70312:{n}234567890123456789" for n in range(16))


def drill(of: RestorePoint) -> DrillReport:
    """One that went well."""
    started = of.midtime + timedelta(hours=1)
    return DrillReport(
        restore_point=of.id, topology="bank", started_at=started, finished_at=started + timedelta(seconds=40), rto_seconds=40,
        rpo_seconds=3600, store_seconds={"accounts": 30}, bytes=of.size, rows=5_000_000, verdict={}, good=True, dag_id="bank__drill", run_id="1",
    )  # fmt: skip


def fill(count: int, folder: Path) -> None:
    """Write the catalog, without the waits for the disk that a real one makes."""
    for number in range(count):
        point = restore_point(number)
        own = folder / "bank" / point.id
        own.mkdir(parents=True)
        if number % HALF_WRITTEN == HALF_WRITTEN - 1:
            continue
        (own / "manifest.json").write_bytes(point.seal())
        if number % DRILLED == 0:
            (own / "drills").mkdir()
            (own / "drills" / "1.json").write_text(drill(point).model_dump_json())


def catalog_folder(count: int) -> Path:
    """From the cache; made anew when a manifest would no longer look the same."""
    form = hashlib.sha256(restore_point(0).seal()).hexdigest()[:8]
    return cache.entry(f"benchmark-catalog-{count}-{form}", partial(fill, count))


def list_once(folder: str, newest: int) -> None:
    """In a process of its own: nothing is known of the catalog yet."""
    catalog = Catalog(f"file://{folder}", "bank")
    assert catalog.root  # imports Airflow
    started = time.monotonic()
    entries = catalog.newest(newest)
    print(
        json.dumps({"seconds": time.monotonic() - started, "entries": len(entries), "drilled": sum(e.state == "DRILLED" for e in entries)})
    )


def measure(folder: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The catalog alone and, for information, the whole command."""
    with tempfile.TemporaryDirectory(prefix="midtime-bench-") as home:
        store = {"name": "accounts", "engine": "postgresql", "conn_id": "accounts_db", "namespaces": ["bank"]}
        Path(home, "bank.yaml").write_text(json.dumps({"name": "bank", "destination": f"file://{folder}", "stores": [store]}))
        env = {**os.environ, "AIRFLOW_HOME": home, "MIDTIME_TOPOLOGIES": home}
        own = [sys.executable, "-m", "benchmarks.listing", "--once", str(folder), "--newest", str(options.newest)]
        command = [sys.executable, "-m", "midtime", "list", "bank", "--limit", str(options.newest), "--json"]
        for _ in range(options.rounds):
            answer = json.loads(subprocess.run(own, env=env, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
            started = time.monotonic()
            listed = json.loads(subprocess.run(command, env=env, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
            command_seconds = time.monotonic() - started
            assert len(listed) == answer["entries"] == min(options.newest, options.count - options.count // HALF_WRITTEN)
            yield {**answer, "command_seconds": command_seconds}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="restore points in the catalog (default: %(default)s)")
    parser.add_argument("--newest", type=int, default=100, help="how many of them to list (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    parser.add_argument("--check", action="store_true", help="exit with 1 when the goal is missed")
    parser.add_argument("--once", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        list_once(options.once, options.newest)
        return 0

    started = time.monotonic()
    folder = catalog_folder(options.count)
    print(f"{options.count:,} restore points in {folder} (made or found in {time.monotonic() - started:.0f} s)\n", flush=True)
    runs = list(measure(folder, options))
    for number, each in enumerate(runs, 1):
        print(f"{number:5}  newest {each['entries']} in {each['seconds']:.3f} s; `midtime list` as a whole {each['command_seconds']:.2f} s")
    value = median([each["seconds"] for each in runs])
    print(f"\n{'PASS' if value <= GOAL else 'FAIL'}  newest {options.newest} of {options.count:,}: {value:.3f} s, goal <= {GOAL} s")
    if options.json:
        options.json.write_text(
            json.dumps({"count": options.count, "newest": options.newest, "runs": runs, "pass": value <= GOAL}, indent=2) + "\n"
        )
    return 1 if options.check and value > GOAL else 0


if __name__ == "__main__":
    sys.exit(main())
