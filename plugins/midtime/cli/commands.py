"""What each command does; how it looks is ``screen``'s affair."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import chain

from midtime.catalog import Catalog, Entry, artifacts
from midtime.catalog.bases import artifacts_of
from midtime.catalog.pool import distrust, users_of
from midtime.cli import screen
from midtime.cli.drills import drills
from midtime.cli.hand_over import hand_over
from midtime.cli.recover import recover
from midtime.cli.topologies import catalog as catalog_of
from midtime.cli.topologies import folder, wanted
from midtime.cli.unpause import unpause
from midtime.errors import ArtifactError, DestinationError, ManifestError, RequestError, RestorePointNotFoundError
from midtime.model.instants import RESTORE_POINT_ID
from midtime.model.restore_point import RestorePoint
from midtime.model.topology import load_named
from midtime.preflight import backup_checks, drill_checks


def check(arguments: argparse.Namespace) -> bool:
    """``midtime check``: the preflight of a backup."""
    topology = load_named(folder(arguments), arguments.topology)
    answers = []
    with screen.checks(topology.name, quiet=arguments.json) as show:
        for answer in chain(backup_checks(topology, catalog_of(topology)), drill_checks(topology)):
            answers.append(answer)
            show(answer)
    good = all(answer.ok for answer in answers)
    if arguments.json:
        screen.as_json({"topology": topology.name, "good": good, "checks": [answer.to_dict() for answer in answers]})
    return good


def list_(arguments: argparse.Namespace) -> bool:
    """``midtime list``: the newest restore points of one topology or of all."""
    good, bad = wanted(arguments)
    found = {topology.name: catalog_of(topology).newest(arguments.limit) for topology in good}
    if arguments.json:
        screen.as_json([{"topology": name, **entry.to_dict()} for name, entries in found.items() for entry in entries])
    else:
        screen.listing(found, folder(arguments))
    return not bad  # a topology in a wrong file would be missing here without a word


def show(arguments: argparse.Namespace) -> bool:
    """``midtime show``: one restore point with its drills."""
    catalog, entry = _find(arguments)
    drills = catalog.drill_reports(entry.id)
    if arguments.json:
        manifest = entry.restore_point.model_dump(mode="json") if entry.restore_point else None
        screen.as_json({**entry.to_dict(), "manifest": manifest, "drills": [drill.model_dump(mode="json") for drill in drills]})
    else:
        screen.restore_point(entry, drills)
    return entry.restore_point is not None


def verify(arguments: argparse.Namespace) -> bool:
    """``midtime verify``: size and SHA-256 of every artifact, those of the bases and pools included. Of what is damaged in a pool it notes that
    no new backup may use it.
    """
    catalog, entry = _find(arguments)
    if entry.restore_point is None:
        return _verified(arguments, entry.id, 0, 0, [entry.reason])
    point: RestorePoint = entry.restore_point
    try:
        parts = artifacts_of(catalog, point)
    except (ArtifactError, ManifestError) as error:
        return _verified(arguments, point.id, 0, 0, [error.message])
    files = [artifact for each, _ in parts for artifact in each]
    size = sum(artifact.size for artifact in files)
    with screen.progress(f"reading {point.id}", size, quiet=arguments.json) as advance:
        wrong = {artifact.path: error for each, folder in parts for artifact, error in artifacts.damaged(each, folder, progress=advance)}
    users = users_of(catalog, point, wrong) if wrong else {}
    with suppress(DestinationError):  # whoever may only read is told the same
        if wrong:
            distrust(catalog, point, wrong)
    said = [f"{error.message} ({users[path]})" if path in users else error.message for path, error in wrong.items()]
    return _verified(arguments, point.id, len(files), size, said)


def _verified(arguments: argparse.Namespace, point: str, files: int, size: int, wrong: list[str]) -> bool:
    if arguments.json:
        screen.as_json({"id": point, "good": not wrong, "artifacts": files, "bytes": size, "errors": wrong})
    else:
        screen.verified(point, files, size, wrong)
    return not wrong


def _find(arguments: argparse.Namespace) -> tuple[Catalog, Entry]:
    if arguments.id == "latest" and not arguments.topology:
        raise RequestError("`latest` needs --topology: each topology has its own", fix="add --topology NAME, or give an id")
    if arguments.id != "latest" and not RESTORE_POINT_ID.match(arguments.id):
        raise RequestError(f"{arguments.id!r} is not a restore point id", fix="`midtime list` shows them, e.g. 20261121T020007Z-3fa9c1")
    for topology in wanted(arguments)[0]:
        catalog = catalog_of(topology)
        point = catalog.resolve("latest").id if arguments.id == "latest" else arguments.id
        if entry := catalog.entry(point):
            return catalog, entry
    raise RestorePointNotFoundError(f"no topology has a restore point {arguments.id}", fix="`midtime list` shows those there are")


COMMANDS: Mapping[str, Callable[[argparse.Namespace], bool]] = {
    "check": check,
    "list": list_,
    "show": show,
    "verify": verify,
    "drills": drills,
    "hand-over": hand_over,
    "recover": recover,
    "unpause": unpause,
}
