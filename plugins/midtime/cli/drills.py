"""``midtime drills``: what all drills say together, and each of them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from midtime.catalog import drill_reports
from midtime.catalog.drill_reports import Found
from midtime.cli import screen
from midtime.cli.topologies import catalog, folder, wanted
from midtime.model.drills import Direction, Summary, Trend, summarise
from midtime.model.instants import to_rfc3339, utc_now
from midtime.model.words import counted

WIDE = 170
"""From this width on a line has room for all there is to say of a drill."""
_COLOURS = {Direction.RISING: "bold red", Direction.STEADY: "green", Direction.FALLING: "green", Direction.UNKNOWN: "dim"}


def drills(arguments: argparse.Namespace) -> bool:
    """The newest drills of one topology or of all, and the sum of all of them; good if the newest of every topology is."""
    good, bad = wanted(arguments)
    found = {topology.name: drill_reports.every(catalog(topology), since=arguments.since) for topology in good}
    sums = {name: summarise([each.report for each in reports]) for name, reports in found.items()}
    shown = {name: reports[: arguments.limit] for name, reports in found.items()}
    if arguments.json:
        rows = [_row(name, each) for name, reports in shown.items() for each in reports]
        now = utc_now()
        screen.as_json({"drills": rows, "topologies": [{"topology": name, **each.to_dict(now)} for name, each in sums.items()]})
    elif found:
        _show(shown, sums)
    else:
        screen.no_topologies(folder(arguments))
    return bool(sums) and not bad and all(each.newest_good for each in sums.values())


def _row(topology: str, found: Found) -> dict[str, Any]:
    report = found.report
    body: dict[str, Any] = {
        "topology": topology,
        "restore_point": found.restore_point,
        "started_at": to_rfc3339(found.started_at),
        "readable": report is not None,
        "good": bool(report and report.good),
        "verdict": _reason(found),
        "path": found.path,
    }
    if report:
        measured = {key: getattr(report, key) for key in ("rto_seconds", "rpo_seconds", "bytes", "rows", "dag_id", "run_id")}
        body |= {"as_of": to_rfc3339(report.as_of) if report.as_of else None, **measured, "store_seconds": report.store_seconds}
    return body


def _reason(found: Found) -> str:
    if found.report is None:
        return f"unreadable: {found.error}"
    return str(found.report.verdict.get("summary") or ("good" if found.report.good else "not good"))


def _show(shown: Mapping[str, Sequence[Found]], sums: Mapping[str, Summary]) -> None:
    out = screen.console()
    wide = out.width >= WIDE
    for topology, reports in shown.items():
        if not reports:
            continue
        out.print(_wide(topology, reports) if wide else _narrow(reports))
        for each in reports if not wide else ():
            if not (each.report and each.report.good):
                out.print(f"[bold red]✗[/] {_when(each.stands_for)} {each.restore_point}: {escape(_reason(each))}")
        out.print()
    for topology, summary in sums.items():
        for line in _summary(topology, summary, len(shown[topology])):
            out.print(line)


def _wide(topology: str, reports: Sequence[Found]) -> Table:
    columns = ("topology", "drilled", "as of", "restore point", "RTO", "RPO", "size", "rows", "run", "verdict")
    table = Table(*columns, box=None, pad_edge=False)
    for each in reports:
        report = each.report
        as_of = _when(report.as_of) if report and report.as_of else ""
        run = escape(report.run_id) if report else ""
        table.add_row(topology, _when(each.started_at), as_of, each.restore_point, *_numbers(each), run, _verdict(each, _reason(each)))
    return table


def _narrow(reports: Sequence[Found]) -> Table:
    table = Table("stands for", "restore point", "RTO", "RPO", "size", "verdict", box=None, pad_edge=False)
    for each in reports:
        verdict = "unreadable" if each.report is None else "good" if each.report.good else "not good"
        rto, rpo, size, _ = _numbers(each)
        table.add_row(_when(each.stands_for), each.restore_point, _tight(rto), _tight(rpo), size, _verdict(each, verdict))
    return table


def _tight(length: str) -> str:
    return length.replace(" min", "m").replace(" h", "h").replace(" d", "d").replace(" s", "s")


def _numbers(found: Found) -> list[str]:
    report = found.report
    if report is None:
        return ["", "", "", ""]
    return [_length(report.rto_seconds), _length(report.rpo_seconds), decimal(report.bytes), f"{report.rows:,}"]


def _verdict(found: Found, text: str) -> str:
    return f"[{'green' if found.report and found.report.good else 'bold red'}]{escape(text)}[/]"


def _summary(topology: str, summary: Summary, shown: int) -> list[str]:
    if not summary.count:
        return [f"[bold]{topology}[/]: [bold red]no drills[/]; trigger {topology}__drill, or give it a schedule"]
    colour = "green" if summary.newest_good else "bold red"
    head = f"[bold]{topology}[/]: {counted(summary.count, 'drill')}, {summary.good} good ({summary.share:.0%})"
    head += f", {summary.unreadable} unreadable" if summary.unreadable else ""
    head += f", the newest [{colour}]{'good' if summary.newest_good else 'not good'}[/]"
    lines = [head + (f"; the newest {shown} are shown" if shown < summary.count else "")]
    if summary.rto:
        middle, most, longest = map(_length, summary.rto)
        lines += [f"  RTO: median {middle}, 95% within {most}, longest {longest}", f"  RTO trend: {_trend(summary)}"]
    if summary.last_good:
        days = summary.days_since(utc_now()) or 0
        lines.append(f"  last good: {summary.last_good.restore_point}, {_length(days * 86400)} ago")
    return lines


def _trend(summary: Summary) -> str:
    said = _direction(summary.trend)
    return said if summary.trend_per_gb is None else f"{said}; per GB {_direction(summary.trend_per_gb)}"


def _direction(trend: Trend) -> str:
    if trend.direction is Direction.UNKNOWN:
        return "no trend yet"
    return f"[{_COLOURS[trend.direction]}]{trend.direction}[/] ({trend.change:+.0%} over {counted(trend.count, 'good drill')})"


def _when(instant: datetime) -> str:
    return to_rfc3339(instant.replace(second=0, microsecond=0)).replace(":00Z", "Z")


def _length(seconds: float) -> str:
    """With two units at most: 4.2 s, 3 min 20 s, 2 h 5 min, 1 d 4 h."""
    if abs(seconds) < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for size, unit, part, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {smaller}"
    return f"-{_length(-seconds)}"
