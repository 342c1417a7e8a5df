"""Captures, throughput and stored bytes of a backup of Cassandra, against nodetool by hand and Medusa; see docs/benchmarks.md.

Run as ``python -m benchmarks.cassandra_backup``. A real cluster of three nodes, each row on all of them, without load.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.support.measuring import machine_cpu, median, wait_for_quiet
from benchmarks.support.ring import KEYSPACE, Ring, stored

CAPTURE, THROUGHPUT, AGAIN = 1.3, 1.5, 0.02
"""Goals: the captures' time over that of nodetool by hand; throughput of the upload over Medusa's; share of the bytes that a second backup stores."""
CHANGED = 100
"""Of so many rows one is written again before a second backup."""
Run = dict[str, Any]


class Bench:
    """The cluster, and both tools."""

    def __init__(self, ring: Ring, options: argparse.Namespace) -> None:
        from benchmarks.support.medusa import Medusa
        from benchmarks.support.ring_backup import Midtime  # loads Airflow, which must know its home by then

        self.ring, self.options = ring, options
        self.midtime = Midtime(ring, ring.folder / "midtime")
        self.tools: dict[str, Any] = {"Midtime": self.midtime, "Medusa": Medusa(ring, ring.folder / "medusa")}

    def captures(self, number: int) -> Run:
        """Both ways once; nothing is left of either."""
        found: Run = {}
        for way in _in_turn([self._by_hand, self._armed], number):
            wait_for_quiet(self.options.quiet)
            found |= way(number)
        print(
            f"{number:5}  by hand {found['hand']:.3f} s  armed {found['armed']:.3f} s  (arming before it {found['arming']:.1f} s)",
            flush=True,
        )
        return found

    def _by_hand(self, number: int) -> Run:
        seconds = self.ring.on_each("snapshot", "-t", f"hand{number}", *self.midtime.store.keyspaces)
        self.ring.on_each("clearsnapshot", "-t", f"hand{number}")
        return {"hand": seconds}

    def _armed(self, _: int) -> Run:
        armed, arming = self.midtime.capture()
        return {"armed": armed, "arming": arming}

    def backups(self, number: int) -> Run:
        """A first backup of either tool, one row in a hundred written again, and a second backup of either."""
        for tool in self.tools.values():
            shutil.rmtree(tool.base, ignore_errors=True)
        found: Run = {"first": self._each(number, "first")}
        self.ring.change(range(number % CHANGED, self.options.rows, CHANGED))
        found["second"] = self._each(number, "second")
        return found

    def _each(self, number: int, name: str) -> Run:
        return {tool: self._one(tool, f"{name}{number}") for tool in _in_turn(list(self.tools), number)}

    def _one(self, name: str, run: str) -> Run:
        self.ring.warm()
        wait_for_quiet(self.options.quiet)
        tool, machine = self.tools[name], machine_cpu()
        before = stored(tool.base)
        found: Run = tool.backup(run)
        found["machine_cpu"] = machine_cpu() - machine
        started = time.monotonic()
        os.sync()
        found |= {"sync": time.monotonic() - started, "stored": stored(tool.base), "added": stored(tool.base) - before}
        print(_line(name, run, found), flush=True)
        return found


def _line(name: str, run: str, found: Run) -> str:
    steps = "  ".join(f"{step} {found[step]:5.2f}" for step in ("start", "snapshot", "transfer", "clear", "work", "whole", "sync"))
    return f"{run:8} {name:8} {steps} s  CPU {found['machine_cpu']:5.1f} s  stored {found['added'] / 1e6:8.2f} MB"


def _in_turn(ways: list[Any], number: int) -> list[Any]:
    return ways if number % 2 else ways[::-1]


def report(captures: list[Run], backups: list[Run]) -> list[Run]:
    """Each goal, with what was measured: medians of the ratios within a round."""

    def of(value: Callable[[Run], float]) -> float:
        return median([value(each) for each in backups])

    def ratio(step: str) -> float:
        return of(lambda each: each["first"]["Medusa"][step] / each["first"]["Midtime"][step])

    def again(tool: str) -> float:
        return of(lambda each: each["second"][tool]["added"] / each["first"][tool]["stored"])

    def less(which: str) -> float:
        return of(lambda each: each[which]["Midtime"]["stored"] / each[which]["Medusa"]["stored"])

    capture = median([each["armed"] / each["hand"] for each in captures])
    sent = of(lambda each: each["second"]["Midtime"]["sent_bytes"] / each["second"]["Midtime"]["bytes"])
    return [
        _result("captures, nodetool by hand = 1", capture, CAPTURE, at_most=True),
        _result("throughput of the upload, Medusa = 1", ratio("transfer"), THROUGHPUT),
        _result("throughput of the whole backup, Medusa = 1", ratio("work"), None),
        _result("the same with the start of the programs, Medusa = 1", ratio("whole"), None),
        _result("stored after the first backup, Medusa = 1", less("first"), 1.0, at_most=True),
        _result("stored after the second backup, Medusa = 1", less("second"), 1.0, at_most=True),
        _result("sent again after 1 % of change", sent, AGAIN, at_most=True),
        _result("stored again after 1 % of change", again("Midtime"), AGAIN, at_most=True),
        _result("stored again after 1 % of change, by Medusa", again("Medusa"), None),
    ]


def _result(what: str, value: float, goal: float | None, *, at_most: bool = False) -> Run:
    good = goal is None or (value <= goal if at_most else value >= goal)
    return {"what": what, "value": round(value, 4), "goal": goal and f"{'<=' if at_most else '>='} {goal}", "pass": good}


def _busy_with_others(seconds: float = 3.0) -> float:
    before = machine_cpu()
    time.sleep(seconds)
    return (machine_cpu() - before) / seconds / (os.cpu_count() or 1)


def measure(options: argparse.Namespace, folder: Path) -> Run:
    """All rounds."""
    wait_for_quiet(options.quiet)
    busy = [_busy_with_others()]
    with Ring(folder) as ring:
        started = time.monotonic()
        size = ring.fill(options.rows)
        made = f"made in {time.monotonic() - started:.0f} s; files with rows on each node: {ring.files()}"
        print(f"{options.rows:,} rows in {KEYSPACE}, {size / 1e6:,.0f} MB on three nodes, {made}; {os.cpu_count()} cores\n", flush=True)
        on = Bench(ring, options)
        captures = [on.captures(number) for number in range(1, options.rounds + 1)]
        backups = [on.backups(number) for number in range(1, options.rounds + 1)]
    busy.append(_busy_with_others())
    print(f"\nothers used {busy[0]:.0%} of the machine before and {busy[1]:.0%} after")
    return {"rows": options.rows, "size": size, "busy": busy, "captures": captures, "backups": backups}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=80_000, help="of 1 to 4 kB, each on all three nodes (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where nodes and backups go; default: the system's folder for temporary files")
    parser.add_argument("--quiet", type=float, default=0.0, metavar="S", help="before each run wait up to so long for a quiet machine")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a goal is missed")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="midtime-bench-", dir=options.folder))
    os.environ |= {"AIRFLOW_HOME": str(folder / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    try:
        found = measure(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    results = report(found["captures"], found["backups"])
    for each in results:
        verdict = "PASS" if each["pass"] else "FAIL"
        print(
            f"{verdict if each['goal'] else '    '}  {each['what']}: {each['value']}" + (f", goal {each['goal']}" if each["goal"] else "")
        )
    if options.json:
        options.json.write_text(json.dumps({**found, "results": results}, indent=2) + "\n")
    return 1 if options.check and not all(each["pass"] for each in results) else 0


if __name__ == "__main__":
    sys.exit(main())
