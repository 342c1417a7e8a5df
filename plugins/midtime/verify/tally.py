"""The running count while a set is read: exact numbers, and no more than a few examples of each rule in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from midtime.verify.facts import TopologyFacts
from midtime.verify.verdict import Finding, Outcome, Rule, Severity, Verdict

MAX_EXAMPLES = 10  # of one rule; a torn set of a million records must still fit in a log and in XCom
_GRAVITY = {Severity.TORN: 0, Severity.UNEXPLAINED: 1, Severity.NOTE: 2}


class Tally:
    """Collects findings and numbers; :meth:`verdict` closes it.

    :param examples: how many findings of each rule and severity are kept
    """

    def __init__(self, examples: int = MAX_EXAMPLES) -> None:
        self._examples = examples
        self._kept: dict[tuple[Severity, Rule], list[Finding]] = {}
        self._counts: Counter[tuple[Severity, Rule]] = Counter()
        self.explained: Counter[str] = Counter()
        self.in_flight: Counter[str] = Counter(roll_forward=0, roll_back=0)
        self.notes: list[str] = []
        self.records_read = 0
        self.tables_read = 0
        self.non_transactional: list[str] = []

    def add(self, findings: Iterable[Finding]) -> None:
        """Count these findings, and keep them while there is room."""
        for finding in findings:
            kind = (finding.severity, finding.rule)
            self._counts[kind] += 1
            kept = self._kept.setdefault(kind, [])
            if len(kept) < self._examples:
                kept.append(finding)

    def verdict(self, facts: TopologyFacts) -> Verdict:
        """The verdict on all that was added."""
        severities, counts = self._totals()
        return Verdict(
            outcome=self._outcome(severities),
            allowed=facts.allow_unexplained,
            severities=severities,
            counts=counts,
            findings=tuple(finding for kind in self._gravest_first() for finding in self._kept[kind]),
            explained=dict(self.explained),
            in_flight=dict(self.in_flight),
            notes=tuple(self.notes),
            records_read=self.records_read,
            tables_read=self.tables_read,
            non_transactional=tuple(self.non_transactional),
            clock_bound_ms=facts.clock_bound_ms,
            clock_measured=facts.clock_measured,
        )

    def _totals(self) -> tuple[dict[str, int], dict[str, int]]:
        severities = {severity.value: 0 for severity in Severity}
        counts: dict[str, int] = {}
        for severity, rule in self._gravest_first():
            count = self._counts[severity, rule]
            severities[severity.value] += count
            counts[rule.value] = counts.get(rule.value, 0) + count
        return severities, counts

    def _gravest_first(self) -> list[tuple[Severity, Rule]]:
        return sorted(self._kept, key=lambda kind: _GRAVITY[kind[0]])

    @staticmethod
    def _outcome(severities: dict[str, int]) -> Outcome:
        if severities[Severity.TORN]:
            return Outcome.TORN
        return Outcome.UNEXPLAINED if severities[Severity.UNEXPLAINED] else Outcome.GOOD
