"""What happened, in one look: the facts of the restore point, and what the window was worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from tests.stack.bank import Bank
from tests.stack.demo.control import Round
from tests.stack.demo.operator import Run


@dataclass(frozen=True)
class Sums:
    """All balances added up by ScalarDB itself."""

    restored: int
    live: int
    expected: int


@dataclass(frozen=True)
class Told:
    """Everything that there is to tell."""

    backup: Run
    shown: Mapping[str, Any]
    """What ``midtime show --json`` says of the restore point."""
    verified: Mapping[str, Any]
    """What the restore's verification said."""
    sums: Sums
    bank: Bank
    rounds: Sequence[Round]

    @property
    def gap(self) -> float:
        """Seconds: the longest between two commits during the backup."""
        return self.bank.longest_gap(self.backup.began, self.backup.ended)

    @property
    def usual_gap(self) -> float:
        """The same in the time before it, as long."""
        return self.bank.longest_gap(2 * self.backup.began - self.backup.ended, self.backup.began)


def tell(console: Console, told: Told) -> None:
    console.print("\n[bold underline]What happened[/]\n")
    table = Table.grid(padding=(0, 2, 0, 0))
    for label, text in _facts(told).items():
        table.add_row(f"[bold]{label}[/]", text)
    console.print(table)
    console.print("\n[bold underline]What the window is worth[/]\n")
    console.print(_comparison(told))


def _facts(told: Told) -> dict[str, str]:
    shown, sums = told.shown, told.sums
    stores, drill, window = shown["manifest"]["stores"], shown["drills"][-1], shown["manifest"]["evidence"]
    polls = sum(len(endpoint["polls"]) for endpoint in window["endpoints"])
    files, tables = (sum(len(store[key]) for store in stores) for key in ("artifacts", "tables"))
    rows = sum(store["rows"] for store in shown["stores"])
    gap, usual = 1000 * told.gap, 1000 * told.usual_gap
    return {
        "Restore point": f"[bold]{shown['manifest']['id']}[/], state {shown['state']}",
        "Midtime": f"{shown['midtime']}: the middle of the pause, at which no transaction was half done in either database",
        "Pause": f"{1000 * window['seconds_paused']:.0f} ms; {len(window['endpoints'])} endpoints, {polls} polls as evidence in the manifest",
        "Outage": f"longest gap between two of the bank's commits {gap:.0f} ms during the backup, {usual:.0f} ms before it",
        "Size": f"{decimal(shown['bytes'])} in {files} files, each with its SHA-256 in the manifest",
        "Rows": f"{rows:,} in {tables} tables of {len(stores)} databases: accounts, Coordinator, ScalarDB's metadata",
        "RTO": f"{drill['rto_seconds']:.1f} s from the order to restore to a verified set of databases, as drilled",
        "RPO": f"{drill['rpo_seconds']:.1f} s: age of the restore point when the drill began, what a loss just then would have cost",
        "Drill": escape(drill["verdict"]["summary"]),
        "Restore": escape(told.verified["summary"]),
        "The bank's sum": f"[bold]{sums.restored:,}[/] restored, {sums.live:,} live, {sums.expected:,} expected: exact",
    }


def _comparison(told: Told) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="bold")
    for heading in ("captures", "longest gap of commits", "sum of the restored", "verdict"):
        table.add_column(heading)
    outcome = "good" if told.verified["good"] else "not good"
    records = told.verified["records"]["outcome"]
    table.add_row(
        "with the window", f"{1000 * told.gap:.0f} ms", f"{told.sums.restored:,}: exact", f"[green]{outcome}[/], records {records}"
    )
    for row in _without(told):
        table.add_row(*row)
    return table


def _without(told: Told) -> Iterator[tuple[str, ...]]:
    for found in told.rounds:
        colour = "red" if found.torn else "green"
        yield f"without, {found.order}", f"{1000 * found.gap:.0f} ms", found.sum, f"[{colour}]{found.verdict}[/]"
