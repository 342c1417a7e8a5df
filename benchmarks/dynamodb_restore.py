"""How much longer many DynamoDB tables take to restore than they must; see docs/benchmarks.md.

The service is the dictionary of the unit tests, whose clock goes on only where Midtime waits: hours pass in seconds, and the machine counts for
nothing. Run as ``python -m benchmarks.dynamodb_restore``.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.unit.stores.dynamodb.memory import Memory
from tests.unit.stores.dynamodb.restores import NAMES, Account, shortest

SLOTS, GOAL = 50, 1.2
"""Restores that an account may have in flight; times the shortest possible."""
MINUTE, HOUR = 60.0, 3600.0
Draw = Callable[[random.Random], float]
MIXTURES: dict[str, tuple[Draw, float]] = {
    "10 min to 2 h, all alike": (lambda drawn: drawn.uniform(10 * MINUTE, 2 * HOUR), 0.0),
    "five kinds, 10 min to 2 h": (lambda drawn: drawn.choice([10, 15, 30, 60, 120]) * MINUTE, 0.0),
    "most of 20 min, some of 5 h": (lambda drawn: min(5 * HOUR, drawn.lognormvariate(0, 1) * 20 * MINUTE), 0.0),
    "10 to 20 min, and one of 4 h": (lambda drawn: drawn.uniform(10 * MINUTE, 20 * MINUTE), 4 * HOUR),
}
"""By what is said of them: how long a table takes, and how long the longest at least."""


@dataclass(frozen=True, slots=True)
class Result:
    """One mixture of tables, in simulated seconds."""

    bound: float
    """No schedule is shorter."""
    longest_first: float
    """What a schedule takes that knows all durations and loses no second."""
    copies: float
    """What Midtime's copies took, from the first look to the last."""
    most: int
    """Restores that were in flight at once."""

    @property
    def ratio(self) -> float:
        """Times the shortest possible."""
        return self.copies / self.bound


def longest_first(durations: Sequence[float], slots: int) -> float:
    """When the last one is done, if each begins as soon as there is room."""
    free = [0.0] * min(slots, len(durations))
    for duration in sorted(durations, reverse=True):
        heapq.heapreplace(free, free[0] + duration)
    return max(free)


def measure(durations: Sequence[float], sizes: Sequence[float]) -> Result:
    """Mark and restore so many tables.

    :param durations: seconds that the service takes for each
    :param sizes: bytes, by which Midtime chooses the order
    """
    names = [*NAMES[1:], *(f"bank.t{number}" for number in range(len(durations) - len(NAMES) + 1))]
    takes = dict(zip(names, durations, strict=True))
    memory = Memory(SLOTS, seconds=lambda name: takes[name.split("_points_", 1)[1]])
    with tempfile.TemporaryDirectory(prefix="midtime-bench-") as folder, pytest.MonkeyPatch.context() as patch:
        account = Account(Path(folder), patch, memory)
        for name, size in zip(names, sizes, strict=True):
            memory.make(name, f"live {name}", size=int(size))
        account.mark()
        began = memory.now
        account.restore(account.target(drill=True))
    return Result(shortest(durations, SLOTS), longest_first(durations, SLOTS), memory.now - began, memory.most)


def drawn(mixture: str, tables: int, seed: int, *, known: bool) -> tuple[list[float], list[float]]:
    """Durations and sizes.

    :param known: a table's size says within a third how long it takes; else it says nothing
    """
    by, (draw, least) = random.Random(f"{mixture} {seed}"), MIXTURES[mixture]
    durations = [max(least, draw(by)), *(draw(by) for _ in range(tables - 1))]
    by.shuffle(durations)
    sizes = [duration * by.uniform(0.75, 1.33) * 1000 for duration in durations]
    if not known:
        by.shuffle(sizes)
    return durations, sizes


def run(mixtures: Sequence[str], options: argparse.Namespace, *, known: bool) -> list[dict[str, Any]]:
    """Each mixture in so many rounds."""
    found = []
    print(f"the size says {'roughly' if known else 'nothing of'} how long a table takes:")
    for mixture in mixtures:
        results = [measure(*drawn(mixture, options.tables, seed, known=known)) for seed in range(options.rounds)]
        worst = max(results, key=lambda each: each.ratio)
        hours = " ".join(f"{what} {value / HOUR:.2f} h" for what, value in (("shortest", worst.bound), ("midtime", worst.copies)))
        said = f"at most {max(each.most for each in results)} at once; longest first without a second lost {worst.longest_first / worst.bound:.3f}"
        print(f"  {mixture:<30} {worst.ratio:.3f}  ({hours}; {said})", flush=True)
        found.append({"mixture": mixture, "sizes_known": known, "ratios": [each.ratio for each in results], "most": worst.most})
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    parser.add_argument("--check", action="store_true", help="exit with 1 when the goal is missed")
    options = parser.parse_args()

    print(f"{options.tables} tables, {SLOTS} at once; times the shortest possible, the worst of {options.rounds}\n")
    good, others = run(list(MIXTURES), options, known=True), run(list(MIXTURES)[:2], options, known=False)
    worst = max(ratio for each in good for ratio in each["ratios"])
    passed = worst <= GOAL and all(each["most"] <= SLOTS for each in good + others)
    print(f"\n{'PASS' if passed else 'FAIL'}  {worst:.3f} times the shortest possible, goal <= {GOAL}")
    if options.json:
        options.json.write_text(json.dumps({"runs": good + others, "worst": worst, "pass": passed}, indent=2) + "\n")
    return 1 if options.check and not passed else 0


if __name__ == "__main__":
    sys.exit(main())
