"""How ``midtime recover`` answers."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from midtime.cli import screen
from midtime.model.instants import to_rfc3339
from midtime.model.topology import NeededConnection
from midtime.model.words import counted

if TYPE_CHECKING:
    from midtime.cli.recover import Recovered

_PLACES = {
    "postgres": "--conn-host HOST --conn-port 5432 --conn-schema DATABASE --conn-login LOGIN",
    "mysql": "--conn-host HOST --conn-port 3306 --conn-schema DATABASE --conn-login LOGIN",
    "cassandra": "--conn-host HOST --conn-port 9042 --conn-login LOGIN",
    "aws": "--conn-login ACCESS_KEY_ID",
    "ssh": "--conn-host HOST --conn-login LOGIN",
}
_EXTRAS = {"aws": '{"region_name": "REGION"}', "kubernetes": '{"kube_config_path": "/path/to/kubeconfig"}', "sqlite": ""}


def show(found: Sequence[Recovered], into: Path) -> None:
    """Restore points, files, who still holds what, and what is to be done next."""
    out = screen.console()
    screen.listing({each.catalog.topology: each.entries for each in found}, into)
    for each in found:
        out.print()
        more = f", the newest {len(each.entries)} are shown" if len(each.entries) < each.count else ""
        out.print(f"[bold]{each.catalog.topology}[/]: {counted(each.count, 'restore point')}{more}")
        out.print(f"  {'[green]✓[/]' if each.good else '[bold red]✗[/]'} {escape(_file(each))}")
        for remark in each.remarks:
            out.print(f"  [yellow]![/] {escape(remark)}")
        for lease in each.leases:
            out.print(f"  [yellow]![/] {escape(lease.holder)} holds {lease.name!r} until {to_rfc3339(lease.expires_at)} at least")
    # A connection that serves several topologies is added once.
    needed = {needed: each.catalog.topology for each in reversed(found) for needed in reversed(each.connections)}
    lines = {each.conn_id: f"{command(each)}  # {' '.join(f'{topology}: {each.used_for}'.split())}" for each, topology in needed.items()}
    if lines:
        print("\n# What is in capitals only you know. Each password first: read -rs PASSWORD")
        for line in reversed(lines.values()):
            print(line)
        print(
            f"\n# Then: export MIDTIME_TOPOLOGIES={shlex.quote(str(into.resolve()))}; midtime check TOPOLOGY; docs/runbooks/lost-airflow.md"
        )


def _file(each: Recovered) -> str:
    words = {
        "written": f"{each.file} written, from {each.source}: read it before you use it",
        "there already": f"{each.file} is there already and says the same",
        "another is there": f"{each.file} is there and says something else: it was not touched; name another folder with --into to compare",
        "written, but refused": f"{each.file} written, from {each.source}, and is to be corrected",
        "not kept": "no topology file",
    }
    return words[each.outcome]


def command(needed: NeededConnection) -> str:
    """The line that adds a connection, with capitals where only a person knows what belongs there; no secret stands in it."""
    parts = [f"airflow connections add {shlex.quote(needed.conn_id)} --conn-type {shlex.quote(needed.conn_type)}"]
    parts += [_PLACES.get(needed.conn_type, "" if needed.conn_type in _EXTRAS else "--conn-host HOST --conn-login LOGIN")]
    parts += [] if needed.conn_type in ("kubernetes", "sqlite") else ['--conn-password "$PASSWORD"']
    parts += [f"--conn-extra {shlex.quote(_EXTRAS[needed.conn_type])}"] if _EXTRAS.get(needed.conn_type) else []
    parts += ["--conn-host /path/to/file.db"] if needed.conn_type == "sqlite" else []
    return " ".join(part for part in parts if part)
