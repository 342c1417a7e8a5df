"""The outage of a pause window as clients see it, beside that of today's practice; see docs/benchmarks.md.

A PostgreSQL and a MariaDB under one real ScalarDB Server, transfers without end between them, a real Airflow: with ten rows, and with a
gigabyte in each. Outage: the time between two commits around the pause. What counts is what it has beyond drain and hold (or drain and
captures), which are known from the window's evidence, and the captures themselves. Run as ``python -m benchmarks.window_outage``.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from benchmarks.support.measuring import machine_cpu, median, wait_for_quiet
from benchmarks.support.two_databases import Seen, TwoDatabases

HELD, CAPTURED, CAPTURES = 0.15, 0.4, 0.3
"""Goals in seconds: beyond drain + hold, beyond drain + captures (both at the 95th percentile), the captures' own part."""
Rounds = dict[str, list[Seen]]


def main() -> None:
    options = _options()
    wait_for_quiet(options.quiet)
    print(f"{'seconds':38}  n   outage: median, p95  beyond: median, p95  (goal)    captures: median, p95  (goal {CAPTURES})", flush=True)
    busy = [_busy_with_others()]
    with tempfile.TemporaryDirectory(prefix="midtime-bench-") as home:
        with TwoDatabases(Path(home)) as setting:
            setting.bank.start(threads=4, think=0.02)
            rounds = _small(setting, options)
            setting.grow(options.gigabytes)
            sizes = setting.sizes()
            rounds |= _large(setting, options)
            setting.bank.stop()
            whole = setting.bank.total() == setting.bank.expected_total
        busy.append(_busy_with_others())
    print(f"large: {sizes}; money in the bank afterwards: {'exact' if whole else 'WRONG'}")
    print(f"others used {busy[0]:.0%} of {os.cpu_count()} cores before and {busy[1]:.0%} after; load {os.getloadavg()}")
    if options.json:
        print(json.dumps({name: [{**asdict(seen), "beyond": seen.beyond} for seen in found] for name, found in rounds.items()}))


def _small(setting: TwoDatabases, options: argparse.Namespace) -> Rounds:
    few = max(1, options.rounds // 3)
    return _measure(
        [
            ("scalar-admin, 2 s between", few, lambda: setting.command_line(2.0)),
            ("Midtime, hold 2 s", few, lambda: setting.window("held")),
            ("10 rows: scalar-admin and both dumps", few, setting.practice),
            ("10 rows: Midtime", options.rounds, lambda: setting.window("short")),
            ("10 rows: Midtime, full executor", options.full, lambda: _in_full(setting)),
        ]
    )


def _large(setting: TwoDatabases, options: argparse.Namespace) -> Rounds:
    size = f"{options.gigabytes:g} GB"
    return _measure(
        [
            (f"{size}: scalar-admin and both dumps", max(1, options.rounds // 3), setting.practice),
            (f"{size}: Midtime", options.rounds, lambda: setting.window("short")),
            (f"{size}: Midtime, full executor", options.full, lambda: _in_full(setting)),
        ]
    )


def _measure(wanted: list[tuple[str, int, Callable[[], Seen]]]) -> Rounds:
    """One line for each as soon as it is known: all of them take a quarter of an hour."""
    rounds: Rounds = {}
    for name, count, one in wanted:
        rounds[name] = [one() for _ in range(count)]
        _show(name, rounds[name])
    return rounds


def _in_full(setting: TwoDatabases) -> Seen:
    with setting.full_executor():
        return setting.window("short")


def _show(name: str, found: list[Seen]) -> None:
    outage, beyond, captures = (_spread(values) for values in _parts(found))
    line = f"{name:38} {len(found):2}   {outage}       {beyond}"
    if "Midtime" in name:
        line += f"  ({HELD if 'hold' in name else CAPTURED:.2f})      {captures}"
    print(line, flush=True)


def _parts(found: list[Seen]) -> tuple[list[float], list[float], list[float]]:
    return [seen.outage for seen in found], [seen.beyond for seen in found], [seen.captures for seen in found]


def _spread(values: list[float]) -> str:
    ordered = sorted(values)
    return f"{median(ordered):6.3f} {ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]:6.3f}"


def _busy_with_others(seconds: float = 3.0) -> float:
    before = machine_cpu()
    time.sleep(seconds)
    return (machine_cpu() - before) / seconds / (os.cpu_count() or 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="of each size; a third as many of the peers, which take long")
    parser.add_argument("--full", type=int, default=3, help="rounds of each size with a full executor")
    parser.add_argument("--gigabytes", type=float, default=1.0, help="of each of the two large databases")
    parser.add_argument("--quiet", type=float, default=30.0, help="seconds to wait at the beginning for others to be quiet")
    parser.add_argument("--json", action="store_true", help="print every round too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
