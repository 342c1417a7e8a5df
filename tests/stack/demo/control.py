"""The negative control: the very captures of a backup, 20 ms from the end of one to the next, of the same bank, and nobody is paused.

Restored, counted by SQL that knows nothing of verification, and judged by verification, which knows nothing of the count.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from tests.stack.airflow import REPOSITORY
from tests.stack.bank import Bank
from tests.stack.demo import DemoError
from tests.stack.stack import Stack

if TYPE_CHECKING:
    from midtime.model.window import Window
    from tests.integration.sets import Sets, Taken

MOST_ROUNDS = 5
"""Of each order: the first one whose sum is wrong ends it, which most often is the first."""
CUSTOMERS = 8


@dataclass(frozen=True)
class Round:
    """What one set that was captured without a window turned out to be.

    :raises DemoError: verification did not see what the sum shows
    """

    coordinator_first: bool
    gap: float
    """Seconds: the longest between two commits of the bank, of those gaps in which something was captured."""
    lasted: float
    """Seconds that the captures took together."""
    expected: int
    money: int
    torn: bool
    rules: tuple[str, ...]
    """Those by which it is torn."""
    summary: str

    def __post_init__(self) -> None:
        if self.off_by and not self.torn:
            raise DemoError(f"a set whose sum is off by {self.off_by} was not called torn: {self.summary}")

    @property
    def off_by(self) -> int:
        return self.money - self.expected

    @property
    def order(self) -> str:
        return f"Coordinator's store {'first' if self.coordinator_first else 'last'}"

    @property
    def sum(self) -> str:
        return f"{self.money:,}: off by {self.off_by:+}" if self.off_by else f"{self.money:,}: exact, by luck"

    @property
    def verdict(self) -> str:
        return f"torn: {', '.join(self.rules)}" if self.torn else "good, by luck"

    @property
    def line(self) -> str:
        return f"{self.order}, captured within {1000 * self.lasted:.0f} ms: sum {self.sum}; {self.summary}"


class Control:
    """Rounds of both orders of captures.

    :param folder: for what is captured
    :param home: an ``AIRFLOW_HOME``: the stores' code runs in this process, and their hooks are Airflow's
    """

    def __init__(self, stack: Stack, folder: Path, home: Path) -> None:
        folder.mkdir()
        os.environ |= {"AIRFLOW_HOME": str(home), "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}  # of this process alone
        self.stack, self.folder = stack, folder

    @contextlib.contextmanager
    def sets(self) -> Iterator[Sets]:
        """Ready to take sets of a bank that is busier than before: eight more customers, in a process of their own."""
        from tests.integration.sets import sets_of  # only now: it brings Airflow, which looks for its home once

        with sets_of(self.folder, self.stack.mixed_places, [self.stack.mixed_scalardb_2]) as sets, self._rush(sets):
            yield sets

    def rounds(self, sets: Sets, bank: Bank, *, coordinator_first: bool) -> Iterator[Round]:
        """Until the sum of one is wrong."""
        order = [*sets.places] if coordinator_first else [*reversed(sets.places)]
        for _ in range(MOST_ROUNDS):
            yield (found := self._round(sets, bank, order, coordinator_first=coordinator_first))
            if found.off_by:
                return

    def _round(self, sets: Sets, bank: Bank, order: Sequence[str], *, coordinator_first: bool) -> Round:
        taken = sets.take(order, paused=False)
        gap = gap_during(taken.window, bank.commit_times)
        return self._judged(sets, taken, gap, bank.expected_total, coordinator_first=coordinator_first)

    def _judged(self, sets: Sets, taken: Taken, gap: float, expected: int, *, coordinator_first: bool) -> Round:
        from midtime.verify.verdict import Outcome, Severity

        with sets.restored(taken) as restored:
            verdict, money = restored.verdict(), restored.money()
        grave = {str(finding.rule) for finding in verdict.findings if finding.severity is Severity.TORN}
        return Round(
            coordinator_first=coordinator_first,
            gap=gap,
            lasted=taken.window.length.total_seconds(),
            expected=expected,
            money=money,
            torn=verdict.outcome is Outcome.TORN,
            rules=tuple(sorted(grave)),
            summary=verdict.summary(),
        )

    @contextlib.contextmanager
    def _rush(self, sets: Sets) -> Iterator[None]:
        address, tables = self.stack.mixed_scalardb_2, self.stack.mixed_bank.tables
        command = [sys.executable, "-m", "tests.stack.bank", f"--port={address.port}", f"--threads={CUSTOMERS}", "--think=0.02"]
        command += [f"--accounts={self.stack.mixed_bank.size}", *(f"--table={table}" for table in tables)]
        process = self.stack.processes.start("customers", command, cwd=REPOSITORY, grace=30)
        try:
            before = sets.commits()
            process.wait_ready(lambda: sets.commits() > before + 200, timeout=60)
            yield
        finally:
            process.stop()


def gap_during(window: Window, commits: Sequence[float]) -> float:
    """Seconds: the longest time between two commits, any part of which is in the window.

    :param commits: instants of ``time.monotonic()``
    """
    ahead = time.monotonic() - time.time()
    start, end = (instant.timestamp() + ahead for instant in (window.start, window.end))
    return max((later - earlier for earlier, later in pairwise(sorted(commits)) if later > start and earlier < end), default=0.0)
