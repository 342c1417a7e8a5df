"""Throughput and memory of a backup of PostgreSQL against a bare ``pg_dump -Fc`` of the same database; see docs/benchmarks.md.

Run as ``python -m benchmarks.dump_throughput``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.stack.postgres import Postgres
from tests.stack.processes import Processes

from benchmarks.support import bank_database, measuring
from benchmarks.support.measuring import Cost, median

ROOT = Path(__file__).parents[1]
COMPRESSION = "gzip"
"""What ``pg_dump -Fc`` takes by itself, at its default level; ours is told to do the same."""
GOALS = {1: 0.95, 2: 1.4}
"""Jobs: the peer's time over ours."""
MEMORY_SHARE, MEMORY_BYTES = 1.10, 20_000_000
"""Ten times the rows may cost the worker one of them more."""
JOBS_OF_MEMORY = 2
DISTURBED = 0.10
"""Of a pair in which others used more of the machine, the times say little; such pairs only count when there is no other."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one way to dump the database."""

    round: int
    way: str
    wall: float
    client_cpu: float
    server_cpu: float
    others: float
    """Share of the machine that was used by whoever else was on it."""
    bytes: int
    worker_peak: int = 0
    tools_peak: int = 0
    upload: float = 0.0
    """Seconds of ``wall`` after the dump was complete."""
    loading: float = 0.0
    """Seconds in which Airflow loaded itself; not in ``wall``."""


class Bench:
    """A server with the database in it, and a folder for what is dumped."""

    def __init__(self, server: Postgres, folder: Path, *, patience: float) -> None:
        self.server, self.folder, self.patience = server, folder, patience
        self.postmaster = int((server.data_dir / "postmaster.pid").read_text().split("\n", 1)[0])

    def peer(self, number: int, database: str) -> Measured:
        """Bare ``pg_dump -Fc``."""
        file = self.folder / "out" / "peer.dump"
        argv: list[str | Path] = [self.server.bin_dir / "pg_dump", "-Fc", "-f", file, self.server.dsn(database)]
        return self._measure(number, "pg_dump -Fc", lambda: measuring.run(argv, {}, cwd=ROOT))

    def ours(self, number: int, database: str, jobs: int, way: str | None = None) -> Measured:
        """Capture and copy of the store."""
        store = {"engine": "postgresql", "jobs": jobs, "compression": COMPRESSION}
        argv = measuring.copy_once(self.folder / "out", store)
        env = {
            "PATH": f"{self.server.bin_dir}{os.pathsep}{os.environ['PATH']}",
            "AIRFLOW_HOME": str(self.folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW_CONN_ACCOUNTS_DB": self.server.conn_uri(database),
        }
        return self._measure(number, way or f"midtime, jobs: {jobs}", lambda: measuring.run(argv, env, cwd=ROOT))

    def _measure(self, number: int, way: str, work: Callable[[], Cost]) -> Measured:
        measuring.wait_for_quiet(self.patience)
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        (self.folder / "out").mkdir()
        server, machine, started = measuring.server_cpu(self.postmaster), measuring.machine_cpu(), time.monotonic()
        cost = work()
        elapsed, machine = time.monotonic() - started, measuring.machine_cpu() - machine
        time.sleep(0.3)  # until the server has buried its sessions
        server = measuring.server_cpu(self.postmaster) - server
        others = max(0.0, (machine - server - cost.cpu) / elapsed / (os.cpu_count() or 1))
        said: dict[str, Any] = json.loads(cost.output.splitlines()[-1]) if cost.output else {}  # Airflow logs there, too
        return Measured(
            round=number,
            way=way,
            wall=said.get("wall", cost.wall),  # without the start of Python and Airflow
            client_cpu=said.get("cpu", cost.cpu),
            server_cpu=server,
            others=others,
            bytes=said.get("bytes") or (self.folder / "out" / "peer.dump").stat().st_size,
            worker_peak=said.get("worker_peak", 0),
            tools_peak=cost.tools_peak,
            upload=said.get("upload", 0.0),
            loading=said.get("loading", 0.0),
        )


@contextmanager
def bench(options: argparse.Namespace) -> Iterator[Bench]:
    """Server, databases and folders; all gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="midtime-bench-", dir=options.folder))
    processes = Processes(folder)
    server = Postgres(processes, settings=bank_database.SETTINGS)
    try:
        server.start()
        for name, rows in (("bank", options.rows), ("bank_tenth", options.rows // 10)):
            started = time.monotonic()
            size = bank_database.create(server, name, rows=rows, tables=options.tables)
            print(f"database {name}: {rows:,} rows, {size / 1e6:,.0f} MB, made in {time.monotonic() - started:.0f} s", flush=True)
        yield Bench(server, folder, patience=options.quiet)
    finally:
        server.close()
        processes.stop()
        shutil.rmtree(folder, ignore_errors=True)


def one_round(on: Bench, number: int) -> list[Measured]:
    """Every way once; every second round backwards, so that none always comes after the same one."""
    ways: list[Callable[[], Measured]] = [
        lambda: on.peer(number, "bank"),
        *(lambda jobs=jobs: on.ours(number, "bank", jobs) for jobs in GOALS),
        lambda: on.ours(number, "bank_tenth", JOBS_OF_MEMORY, "midtime, a tenth"),
    ]
    measured = []
    for way in ways if number % 2 else reversed(ways):
        measured.append(way())
        print(_line(measured[-1]), flush=True)
    return measured


_HEAD = f"{'round':>5}  {'what':18} {'wall s':>7} {'client CPU s':>13} {'server CPU s':>13} {'others':>7} {'MB':>6} {'worker MB':>10} {'tools MB':>9}"


def _line(run: Measured) -> str:
    return (
        f"{run.round:5}  {run.way:18} {run.wall:7.2f} {run.client_cpu:13.2f} {run.server_cpu:13.2f} {run.others:7.0%} {run.bytes / 1e6:6.0f}"
        f" {run.worker_peak / 1e6:10.1f} {run.tools_peak / 1e6:9.1f}"
    )


def summary(runs: list[Measured], rounds: int) -> list[dict[str, Any]]:
    """Each goal with what was measured: medians of the ratios within a round."""
    by = {(run.round, run.way): run for run in runs}
    results = []
    for jobs, goal in GOALS.items():
        pairs = [(by[n, "pg_dump -Fc"], by[n, f"midtime, jobs: {jobs}"]) for n in range(1, rounds + 1)]
        pairs, undisturbed = _best(pairs)
        value = median([peer.wall / ours.wall for peer, ours in pairs])
        cpu = median([(ours.client_cpu + ours.server_cpu) / (peer.client_cpu + peer.server_cpu) for peer, ours in pairs])
        results.append({
            "what": f"throughput with jobs: {jobs}, peer = 1", "value": round(value, 3), "goal": f">= {goal}", "pass": value >= goal,
            "cpu_of_peer": round(cpu, 3), "pairs": len(pairs), "undisturbed": undisturbed,
        })  # fmt: skip
    return [*results, *_memory(by, rounds)]


def _best(pairs: list[tuple[Measured, Measured]]) -> tuple[list[tuple[Measured, Measured]], bool]:
    good = [pair for pair in pairs if max(run.others for run in pair) <= DISTURBED]
    return good or pairs, bool(good)


def _memory(by: dict[tuple[int, str], Measured], rounds: int) -> Iterator[dict[str, Any]]:
    def peak(way: str) -> float:
        return median([by[n, way].worker_peak + by[n, way].tools_peak for n in range(1, rounds + 1)])

    tenth, whole = peak("midtime, a tenth"), peak(f"midtime, jobs: {JOBS_OF_MEMORY}")
    good = whole <= tenth * MEMORY_SHARE or whole - tenth <= MEMORY_BYTES
    what = f"peak memory of worker and tools, all rows against a tenth ({tenth / 1e6:.0f} MB)"
    yield {"what": what, "value": f"{(whole - tenth) / 1e6:+.1f} MB", "goal": "< 10 % or 20 MB", "pass": good}


def _remark(result: dict[str, Any]) -> str:
    if "pairs" not in result:
        return ""
    pairs = f"{result['pairs']} {'undisturbed' if result['undisturbed'] else 'DISTURBED'} pairs"
    return f" ({pairs}; CPU time of client and server {result['cpu_of_peer']} of the peer's)"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000, help="in all tables together (default: %(default)s)")
    parser.add_argument("--tables", type=int, default=4, help="tables of accounts, beside the Coordinator's (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where server, dumps and staging go; default: the system's folder for temporary files")
    parser.add_argument("--quiet", type=float, default=0.0, metavar="S", help="before each run wait up to so long for a quiet machine")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a goal is missed")
    options = parser.parse_args()

    with bench(options) as on:
        print(f"{COMPRESSION} at its default level on both sides, the same pg_dump; {os.cpu_count()} cores\n\n{_HEAD}")
        runs = [run for number in range(1, options.rounds + 1) for run in one_round(on, number)]
    results = summary(runs, options.rounds)
    print()
    for each in results:
        print(f"{'PASS' if each['pass'] else 'FAIL'}  {each['what']}: {each['value']}, goal {each['goal']}{_remark(each)}")
    if options.json:
        machine = {"cores": os.cpu_count(), "platform": platform.platform()}
        body = {
            "machine": machine,
            "rows": options.rows,
            "tables": options.tables,
            "runs": [asdict(run) for run in runs],
            "results": results,
        }
        options.json.write_text(json.dumps(body, indent=2) + "\n")
    return 1 if options.check and not all(each["pass"] for each in results) else 0


if __name__ == "__main__":
    sys.exit(main())
