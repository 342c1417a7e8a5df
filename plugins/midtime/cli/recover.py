"""``midtime recover``: from a destination alone to topology files, and to the connections that they need."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from midtime.catalog import Catalog, Entry, Lease
from midtime.catalog.recovery import catalogs_at, newest_with_topology_file, published
from midtime.cli import recover_screen, screen
from midtime.errors import CatalogError, RequestError, TopologyError
from midtime.model.instants import to_rfc3339, utc_now
from midtime.model.topology import NeededConnection, Topology, load_topologies, load_topology, needed_connections, read_topology, written
from midtime.model.topology.base import ConnId, ObjectUrl

_CONN_ID: TypeAdapter[str] = TypeAdapter(ConnId)


class Outcome(StrEnum):
    """What became of a topology's file."""

    WRITTEN = "written"
    THERE = "there already"
    DIFFERS = "another is there"
    REFUSED = "written, but refused"
    MISSING = "not kept"


@dataclass(slots=True)
class Recovered:
    """One topology found at the destination."""

    catalog: Catalog
    entries: list[Entry]
    count: int
    leases: list[Lease] = field(default_factory=list)
    outcome: Outcome = Outcome.MISSING
    file: Path | None = None
    source: str = ""
    """The restore point whose manifest the file was taken from."""
    remarks: list[str] = field(default_factory=list)
    connections: tuple[NeededConnection, ...] = ()

    @property
    def good(self) -> bool:
        """Whether there is a file now that says what was kept."""
        return self.outcome in (Outcome.WRITTEN, Outcome.THERE)

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "topology": self.catalog.topology,
            "good": self.good,
            "outcome": self.outcome.value,
            "file": str(self.file) if self.file else None,
            "taken_from": self.source or None,
            "remarks": self.remarks,
            "restore_point_count": self.count,
            "restore_points": [entry.to_dict() for entry in self.entries],
            "leases": [{"name": each.name, "holder": each.holder, "expires_at": to_rfc3339(each.expires_at)} for each in self.leases],
            "connections": [
                {"conn_id": each.conn_id, "conn_type": each.conn_type, "used_for": each.used_for, "command": recover_screen.command(each)}
                for each in self.connections
            ],
        }


def recover(arguments: argparse.Namespace) -> bool:
    """Write what can be written, tell the rest; good if every topology has its file."""
    destination = _destination(arguments.destination)
    found = [_recover(catalog, arguments.into, arguments.limit) for catalog in catalogs_at(destination)]
    if arguments.json:
        screen.as_json({"destination": destination, "topologies": [each.to_dict() for each in found]})
    else:
        recover_screen.show(found, arguments.into)
    return all(each.good for each in found)


def _destination(url: str) -> str:
    try:
        return TypeAdapter(ObjectUrl).validate_python(url)
    except ValidationError as error:
        raise RequestError(error.errors()[0]["msg"], fix="give the `destination` of the lost topology files") from None


def _recover(catalog: Catalog, into: Path, limit: int) -> Recovered:
    found = Recovered(catalog, catalog.newest(limit), published(catalog))
    _look_for_leases(found)
    point = newest_with_topology_file(catalog)
    if point is None or point.topology_file is None:
        found.remarks.append("its restore points are of a Midtime that kept no topology file: write it by hand, docs/reference/topology.md")
        return found
    file = into / f"{catalog.topology}.yaml"
    found.source, text = point.id, point.topology_file
    try:
        topology = read_topology(text, file)
    except TopologyError as error:
        found.remarks.append(f"this Midtime does not accept what was kept: {error}")
        _write(found, file, text, None)
        return found
    if topology.name != catalog.topology:
        # Who may write to one topology's folder must not thereby say what another one is.
        found.remarks.append(f"what was kept here is the file of another topology, {topology.name}: it is not written")
        return found
    if topology.destination != catalog.destination:
        found.remarks.append(f"its destination was {topology.destination}; the file says {catalog.destination}, where it was found")
        text = written(topology, destination=catalog.destination)
        topology = read_topology(text, file)
    _look_for_connections(found, topology)
    _write(found, file, text, topology)
    return found


def _look_for_leases(found: Recovered) -> None:
    now, leases = utc_now(), found.catalog.leases
    for name in leases.names():
        try:
            lease = leases.current(name)
        except CatalogError as error:
            found.remarks.append(f"somebody may hold {name!r}: {error}")
            continue
        if lease and lease.live(now):
            found.leases.append(lease)


def _look_for_connections(found: Recovered, topology: Topology) -> None:
    """What the file names as connections, if Airflow could have one of that name: the lines are to be pasted into a shell."""
    connections = needed_connections(topology)
    found.connections = tuple(each for each in connections if _is_conn_id(each.conn_id))
    odd = [each for each in connections if each not in found.connections]
    found.remarks += [f"{each.conn_id!r} ({each.used_for}) cannot be the name of a connection: look at the file" for each in odd]


def _is_conn_id(value: str) -> bool:
    try:
        _CONN_ID.validate_python(value)
    except ValidationError:
        return False
    return True


def _write(found: Recovered, path: Path, text: str, topology: Topology | None) -> None:
    """Write a file that is not there; what is there stays, whatever it says."""
    found.file = path
    if topology and (other := _holding(topology.name, path.parent)):
        found.file = other.source or path
        found.outcome = Outcome.THERE if other.digest == topology.digest else Outcome.DIFFERS
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(f"# Recovered from restore point {found.source}\n{text}")
    except FileExistsError:
        found.outcome = Outcome.DIFFERS
    except OSError as error:
        raise RequestError(f"cannot write {path}: {error.strerror}", fix="name another folder with --into") from error
    else:
        found.outcome = Outcome.WRITTEN if topology else Outcome.REFUSED


def _holding(name: str, folder: Path) -> Topology | None:
    """The topology of that name which the folder's files say already, whatever the file is called."""
    if not folder.is_dir():
        return None
    own = folder / f"{name}.yaml"
    if own.is_file():
        try:
            return load_topology(own)
        except TopologyError:
            return None  # a wrong file of that name: it is not overwritten either
    return next((topology for topology in load_topologies(folder)[0] if topology.name == name), None)
