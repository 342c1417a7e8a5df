"""Rounds of a proof: the same captures of the same bank, once in a window and once without one, beside an independent sum."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from midtime.verify.verdict import Outcome, Rule
from tests.integration.sets import Sets, Taken

PATIENCE = 5
"""How many times as many rounds may pass before a first one without a window is torn."""
WITHOUT_CLOCKS = 3_600_000
"""Milliseconds: a clock bound that lets every stamp pass."""
MISSING_ROWS = {Rule.UNKNOWN, Rule.TWO_STORES, Rule.HALF_COMMITTED}
"""What tells when the Coordinator was captured first, whatever the clocks say: it lacks rows."""


@dataclass
class Rounds:
    """What was done and seen.

    :param order: of the captures
    :param expected: the sum over all accounts
    """

    sets: Sets
    order: Sequence[str]
    expected: int
    windows: list[float] = field(default_factory=list)
    """Seconds."""
    spoilt: list[str] = field(default_factory=list)
    """What was wrong with a set of a window."""
    wrong: int = 0
    """How many sums without a window."""
    missed: list[str] = field(default_factory=list)
    """Wrong sums that no verdict called torn."""
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    """The verdicts without a window."""
    without_clocks: int = 0
    """How many were torn even if no stamp is believed."""
    rules: Counter[str] = field(default_factory=Counter)

    def run(self, rounds: int, controls: int | None = None) -> None:
        """So many with a window; and so many without one, or as many, and more until there was a tear."""
        controls = rounds if controls is None else controls
        while len(self.windows) < rounds or self._wants_control(controls):
            if len(self.windows) < rounds:
                self._in_window()
            if self._wants_control(controls):
                self._without()

    def _wants_control(self, controls: int) -> bool:
        return self.controls < (controls if self.wrong else PATIENCE * controls)

    @property
    def controls(self) -> int:
        return sum(self.outcomes.values())

    def require(self) -> None:
        """With the window everything was good and exact; without it sums were wrong, and every such set was called torn."""
        assert not self.spoilt, self
        assert not self.missed, self
        if not self.controls:
            return
        assert self.wrong, f"no sum was wrong without a window, so the window proves nothing: {self}"
        expected = MISSING_ROWS if self.order[0] in self.sets.coordinators else {Rule.STAMP}
        assert expected & self.rules.keys(), self

    def __str__(self) -> str:
        whole, milliseconds = len(self.windows) - len(self.spoilt), [1000 * seconds for seconds in self.windows]
        return (
            f"{' then '.join(self.order)}: with a window {len(self.windows)} rounds, {whole} good with an exact sum (window median "
            f"{median(milliseconds):.0f} ms, longest {max(milliseconds):.0f} ms); without {self.controls} rounds, sum wrong {self.wrong}, "
            f"torn {self.outcomes[Outcome.TORN]} ({self.without_clocks} whatever the clocks say), wrong but not torn {len(self.missed)}; "
            f"rules {dict(self.rules)}{''.join(f'; {said}' for said in self.spoilt + self.missed)}"
        )

    def _in_window(self) -> None:
        taken = self.sets.take(self.order)
        with self.sets.restored(taken) as restored:
            found, money = restored.verify(), restored.money()
        self.windows.append(taken.window.length.total_seconds())
        if not found.good or found.verdict is None or found.verdict.outcome is not Outcome.GOOD or money != self.expected:
            self.spoilt.append(f"{found.summary()}; the sum is off by {money - self.expected}")
        self._forget(taken)

    def _without(self) -> None:
        taken = self.sets.take(self.order, paused=False)
        with self.sets.restored(taken) as restored:
            verdict, money = restored.verdict(), restored.money()
            self.without_clocks += restored.verdict(clock_bound_ms=WITHOUT_CLOCKS).outcome is Outcome.TORN
        self.outcomes[verdict.outcome] += 1
        self.rules.update(rule for rule in verdict.counts if rule != Rule.LAZY_RECOVERY)
        if money != self.expected:
            self.wrong += 1
            if verdict.outcome is not Outcome.TORN:
                self.missed.append(f"the sum is off by {money - self.expected}, but {verdict.summary()}")
        self._forget(taken)

    def _forget(self, taken: Taken) -> None:
        shutil.rmtree(self.sets.folder(taken))
