"""``midtime unpause``: everything is opened by hand, in an emergency."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict

from rich.markup import escape
from rich.table import Table

from midtime.cli import screen
from midtime.cli.topologies import folder
from midtime.emergency import GivenBack, Paused, Unpaused, give_back_by_hand, salvage, unpause_by_hand
from midtime.errors import TopologyError
from midtime.model.topology import load_named

_COLOURS = {"unpaused": "green", "was open": "dim", "failed": "bold red"}


def unpause(arguments: argparse.Namespace) -> bool:
    """Unpause, say so, and only then look for leases: the object store may hang."""
    topology, wrong = _topology(arguments)
    if wrong:
        print(f"midtime: the topology file is wrong; only its products are used: {wrong.message}", file=sys.stderr)
    opened = unpause_by_hand(topology)
    good = all(each.open for each in opened)
    if not arguments.json:
        _show(opened)
    leases = list(give_back_by_hand(topology, opened))
    if arguments.json:
        endpoints = [asdict(each) for each in opened]
        screen.as_json({"topology": topology.name, "good": good, "endpoints": endpoints, "leases": [asdict(each) for each in leases]})
    else:
        _show_leases(leases, lifted=any(each.became == "unpaused" for each in opened))
    return good


def _topology(arguments: argparse.Namespace) -> tuple[Paused, TopologyError | None]:
    """In an emergency a wrong file is good enough if it says which products there are."""
    try:
        return load_named(folder(arguments), arguments.topology), None
    except TopologyError as error:
        if found := salvage(folder(arguments), arguments.topology):
            return found, error
        raise


def _show(opened: Sequence[Unpaused]) -> None:
    table = Table("endpoint", "became", "", box=None, pad_edge=False)
    for each in opened:
        table.add_row(escape(each.subject), f"[{_COLOURS[each.became]}]{each.became}[/]", escape(each.detail))
    screen.console().print(table)


def _show_leases(leases: Sequence[GivenBack], *, lifted: bool) -> None:
    out = screen.console()
    for each in leases:
        mark = "[green]✓[/]" if each.good else "[bold red]✗[/]"
        out.print(f"{mark} {escape(each.subject)} {escape(each.detail)}")
    if not leases:
        whose = "what was paused, somebody else had paused" if lifted else "nothing was paused"
        out.print(f"no window of Midtime has a lease on any of them: {whose}")
