"""The verdict: torn, unexplained or good, with exact counts and a few named examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from midtime.model.words import counted


class Severity(StrEnum):
    """What one finding means for the whole set."""

    TORN = "torn"
    UNEXPLAINED = "unexplained"
    NOTE = "note"


class Outcome(StrEnum):
    """The three-way verdict."""

    TORN = "torn"
    UNEXPLAINED = "unexplained"
    GOOD = "good"


class Rule(StrEnum):
    """Which rule spoke. The value is what people see in verdicts and may grep for."""

    HALF_COMMITTED = "half-committed"
    TWO_STORES = "unknown-in-two-stores"
    UNKNOWN = "unknown-to-coordinator"
    NO_COORDINATOR = "coordinator-missing"
    CONTRADICTION = "coordinators-contradict"
    STAMP = "stamp-after-start"
    STAMP_AFTER_END = "stamp-after-end"
    FENCE = "fence"
    WRITE_SET = "write-set"
    ODD_STATE = "odd-state"
    LAZY_RECOVERY = "lazy-recovery"
    PURGE_IN_FLIGHT = "in-flight-with-purge"


class Reason(StrEnum):
    """Why a COMMITTED record without a COMMITTED Coordinator row is legitimate (the cases that look like a tear and are none)."""

    IMPORTED = "imported"
    ONE_PHASE = "one-phase-commit"
    PURGED = "row-purged"
    ABORTED_ROW = "row-aborted-later"
    RECREATED = "older-than-coordinator"
    COPIED_IN = "copied-in"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a rule saw; fields that do not apply are empty.

    :param store: a store's name; for a Coordinator row its ``store/namespace``
    :param key: the record's primary key
    """

    rule: Rule
    severity: Severity
    message: str
    store: str = ""
    table: str = ""
    key: str = ""
    tx_id: str = ""

    def __str__(self) -> str:
        place = " ".join(part for part in (self.store, self.table + (f"[{self.key}]" if self.key else "")) if part)
        who = ", ".join(part for part in (place, f"transaction {self.tx_id}" if self.tx_id else "") if part)
        return f"{self.rule}: {self.message}" + (f" ({who})" if who else "")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What reading a whole restored set came to.

    :param outcome: the gravest finding decides
    :param allowed: how many unexplained findings the topology lets through
    :param severities: how many findings of each severity (exact)
    :param counts: how many findings of each rule (exact; records for the stamp rules, transactions for the rest)
    :param findings: examples, a few of each rule, gravest first
    :param explained: COMMITTED records without a COMMITTED row that are legitimate, counted by the reason
    :param in_flight: PREPARED and DELETED records that the Coordinator decides: ``roll_forward``, ``roll_back``
    :param notes: sentences about the set as a whole, above all what is not proven
    :param clock_bound_ms: what the stamp rules allowed the products' clocks
    :param non_transactional: tables that carry no guarantee and were not read, as ``store: namespace.table``
    """

    outcome: Outcome
    allowed: int = 0
    severities: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    explained: Mapping[str, int] = field(default_factory=dict)
    in_flight: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    records_read: int = 0
    tables_read: int = 0
    non_transactional: tuple[str, ...] = ()
    clock_bound_ms: int = 0
    clock_measured: bool = False

    @property
    def passed(self) -> bool:
        """Whether a restore may go on with this set."""
        return self.outcome is Outcome.GOOD or self._let_through

    def summary(self) -> str:
        """One line for people: the outcome, how much was read, what was found most, and the gravest example."""
        read = f"{counted(self.records_read, 'record')} in {counted(self.tables_read, 'table')} read"
        grave = {finding.rule for finding in self.findings if finding.severity is not Severity.NOTE}
        found = ", ".join(f"{rule} {count}" for rule, count in self.counts.items() if rule in grave)
        line = f"{self.outcome}{' (allowed)' if self._let_through else ''}: {read}"
        return f"{line}; {found}; e.g. {self.findings[0]}" if found else line

    @property
    def _let_through(self) -> bool:
        return self.outcome is Outcome.UNEXPLAINED and self.severities.get(Severity.UNEXPLAINED, 0) <= self.allowed

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can carry."""
        plain = asdict(self)
        plain["findings"] = [dict(each) for each in plain["findings"]]
        return {**plain, "notes": list(self.notes), "non_transactional": list(self.non_transactional)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Verdict:
        """The verdict that :meth:`to_dict` wrote."""
        findings = tuple(
            Finding(**{**each, "rule": Rule(each["rule"]), "severity": Severity(each["severity"])}) for each in plain["findings"]
        )
        lists = {name: tuple(plain[name]) for name in ("notes", "non_transactional")}
        return cls(**{**plain, **lists, "findings": findings, "outcome": Outcome(plain["outcome"])})
