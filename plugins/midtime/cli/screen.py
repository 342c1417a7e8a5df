"""How answers look at a terminal; JSON for programs goes to standard output, everything else that is not an answer to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Column, Table

from midtime.catalog import Entry
from midtime.catalog.restore_points import NOT_WHOLE
from midtime.model.instants import to_rfc3339
from midtime.model.restore_point import DrillReport, RestorePoint, State
from midtime.stores.base import Check

_COLOURS = {State.RESTORABLE: "green", State.DRILLED: "bold green", State.INVALID: "bold red", State.EXPIRED: "dim", State.MARKED: "yellow"}


def console() -> Console:
    """Standard output. A pipe has no width: lines are for grep there, not to be cut at 80 columns."""
    return Console(width=None if sys.stdout.isatty() else 10_000, highlight=False, soft_wrap=not sys.stdout.isatty())


def as_json(body: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(body, indent=2, ensure_ascii=False))


def warn(message: str) -> None:
    """A line beside the answer."""
    print(f"midtime: {message}", file=sys.stderr)


@contextmanager
def checks(topology: str, *, quiet: bool) -> Iterator[Callable[[Check], None]]:
    """Show each answer of a preflight as soon as it is there."""
    out = Console(quiet=quiet, highlight=False, soft_wrap=True)
    out.print(f"[bold]{escape(topology)}[/]")

    def show(check: Check) -> None:
        mark = "[green]✓[/]" if check.ok else "[bold red]✗[/]"
        out.print(f"  {mark} {escape(check.subject)} {escape(check.question)}: {escape(check.detail)}")

    yield show


def listing(found: Mapping[str, Sequence[Entry]], folder: Path) -> None:
    """A table of restore points, and the topologies that have none."""
    point = Column("restore point", min_width=23, no_wrap=True)  # what one copies from here must be whole
    table = Table("topology", point, "midtime", "state", "size", "rows", "why", box=None, pad_edge=False)
    for topology, entries in found.items():
        for entry in entries:
            table.add_row(topology, entry.id, *_columns(entry), escape(entry.reason))
    if table.row_count:
        console().print(table)
    if not found:
        no_topologies(folder)
    elif without := [name for name, entries in found.items() if not entries]:
        print(f"no restore points yet of {', '.join(without)}: run the DAG <topology>__backup")


def no_topologies(folder: Path) -> None:
    """There is nothing to answer about."""
    print(f"{folder} holds no topology files: write one, or name another folder in MIDTIME_TOPOLOGIES or --topologies")


def _columns(entry: Entry) -> list[str]:
    state = f"[{_COLOURS[entry.state]}]{entry.state}[/]"
    point = entry.restore_point
    if point is None:
        return ["", state, "", ""]
    return [to_rfc3339(point.midtime), state, decimal(point.size), f"{sum(store.rows for store in point.stores):,}"]


def restore_point(entry: Entry, drills: Sequence[DrillReport]) -> None:
    """Everything about one restore point."""
    out = console()
    out.print(f"[bold]{entry.id}[/]  [{_COLOURS[entry.state]}]{entry.state}[/] {escape(entry.reason)}")
    if entry.restore_point:
        _manifest(out, entry.restore_point)
        if entry.restore_point.restorable_until and entry.state not in (State.INVALID, State.EXPIRED):
            out.print(
                f"[yellow]can be restored until {to_rfc3339(entry.restore_point.restorable_until)}: then a service drops its history[/]"
            )
    for drill in drills:
        verdict = "[green]good[/]" if drill.good else "[bold red]not good[/]"
        as_of = f" as of {to_rfc3339(drill.as_of)}" if drill.as_of else ""
        out.print(f"drilled {to_rfc3339(drill.started_at)}{as_of}: {verdict}, RTO {drill.rto_seconds:.1f} s, RPO {drill.rpo_seconds:.0f} s")
        out.print(f"  {escape(str(drill.verdict.get('summary', '')))}")


def _manifest(out: Console, point: RestorePoint) -> None:
    out.print(
        f"topology {point.topology}, midtime {to_rfc3339(point.midtime)}, made by {escape(point.origin.dag_id)} {escape(point.origin.run_id)}"
    )
    for line in _evidence(point.evidence):
        out.print(f"evidence: {escape(line)}")
    for line in _remarks(point):
        out.print(f"[yellow]{escape(line)}[/]")
    table = Table("store", "engine", "method", "server", "size", "files", "tables", "rows", "seconds", box=None, pad_edge=False)
    for s in point.stores:
        numbers = [decimal(s.size), str(s.files), str(len(s.tables)), f"{s.rows:,}", f"{s.seconds:.1f}"]
        table.add_row(s.store, s.engine, s.method, escape(s.server), *numbers)
    out.print(table)


def _remarks(point: RestorePoint) -> Iterator[str]:
    """What one should know of it, or of a store, before relying on it."""
    if not point.whole:
        yield NOT_WHOLE
        return
    for store in point.stores:
        if not store.quiesced:
            yield f"{store.store} was not quiesced: what writes to it went on during the window (the Auditor, outside strict mode)"
        if store.fence and not store.fence["before"]:
            yield f"{store.store} has no fence row, so a restore that lands too early would not be noticed: {store.fence['why']}"


def _evidence(evidence: Mapping[str, Any]) -> Iterator[str]:
    """Why the instant may be believed, in a line; of a window also what became of each endpoint."""
    yield str(evidence.get("kind", ""))
    if "window" in evidence:
        yield f"window {evidence['window']['start']} to {evidence['window']['end']}{_length(evidence)}"
        for each in evidence["endpoints"]:
            pause, polls = each["pause"], each["polls"]
            trouble = f"; {each['error']}" if each.get("error") else ""
            drained = f"drained in {pause['answered_ms'] - pause['sent_ms']:.0f} ms"
            seen = (
                each["polls_in_all"] - each["polls_not_paused"] if "polls_in_all" in each else sum(poll["paused"] is True for poll in polls)
            )
            yield f"{each['address']} ({each['product']}) {drained}, seen paused {seen} times{trouble}"
        for task, said in evidence.get("captures", {}).items():
            yield f"{said['store']} captured by {task} at {said['begun']} in {1000 * said['seconds']:.0f} ms"


def _length(evidence: Mapping[str, Any]) -> str:
    """How long all was paused; between two numbers where the watchdog had to end it."""
    if seconds := evidence.get("seconds_paused"):
        return f", paused for {seconds:.3f} s"
    if "seconds_paused_between" not in evidence:
        return ""
    least, most = evidence["seconds_paused_between"]
    return (
        f", paused for {least:.3f} s or more" + (f", at most {most:.3f} s" if most else "") + f", unpaused by {evidence['unpaused']['by']}"
    )


@contextmanager
def progress(label: str, total: int, *, quiet: bool) -> Iterator[Callable[[int], object]]:
    """A bar on standard error, only at a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), disable=quiet or not sys.stderr.isatty(), transient=True)
    with bar:
        task = bar.add_task(label, total=total)
        yield lambda count: bar.update(task, advance=count)


def verified(point: str, files: int, size: int, wrong: Sequence[str]) -> None:
    """The outcome of reading every artifact again."""
    out = console()
    for message in wrong:
        out.print(f"[bold red]✗[/] {escape(message)}")
    if not wrong:
        out.print(f"[green]✓[/] {point}: {files} artifacts, {decimal(size)}, all as their manifest says")
