"""From files to topologies. A bad file hides no other, and says file, line, key and what is allowed."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pydantic import ValidationError

from midtime.errors import TopologyError
from midtime.model.topology.document import Document, Problem, ProblemsError, parse, read_text
from midtime.model.topology.explain import explain
from midtime.model.topology.model import Topology
from midtime.model.topology.secret_values import find_secrets

ENVIRONMENT = "MIDTIME_TOPOLOGIES"
_FIX = "See docs/reference/topology.md."


def topologies_folder(default: Path) -> Path:
    """Return the folder that ``MIDTIME_TOPOLOGIES`` names, or the given one."""
    named = os.environ.get(ENVIRONMENT, "").strip()
    return Path(named) if named else default


def load_topology(path: Path) -> Topology:
    """Load one file.

    :raises TopologyError: with every problem of the file, each on a line of its own
    """
    return read_topology(read_text(path), path)


def read_topology(text: str, path: Path) -> Topology:
    """The same for the content of a file that need not be there yet."""
    try:
        return _build(parse(text), path)
    except ProblemsError as error:
        raise TopologyError("\n".join(f"{path}:{problem}" for problem in error.problems), fix=_FIX) from error


def _build(document: Document, path: Path) -> Topology:
    secrets = [document.problem(key, message) for key, message in find_secrets(document.data)]
    try:
        topology = Topology.model_validate(document.data, context={"source": path})
    except ValidationError as error:
        raise ProblemsError(*_merged(secrets, explain(document, error))) from error
    if secrets:
        raise ProblemsError(*secrets)
    return topology


def _merged(secrets: list[Problem], others: list[Problem]) -> list[Problem]:
    """Tell a secret once: a `password:` is an unknown key as well, but that would be the wrong advice."""
    hidden = {(problem.line, problem.key) for problem in secrets}
    return sorted(secrets + [problem for problem in others if (problem.line, problem.key) not in hidden], key=lambda problem: problem.line)


def load_topologies(folder: Path) -> tuple[list[Topology], list[TopologyError]]:
    """Load every ``*.yaml`` of a folder (not of its subfolders), sorted by the topologies' names, with the errors of all bad files."""
    try:
        paths, errors = _topology_files(folder)
    except TopologyError as error:
        return [], [error]
    return _load_all(paths, errors)


def load_named(folder: Path, name: str) -> Topology:
    """Load the one topology of a name, without parsing the others: a task starts faster in a folder of hundreds.

    :raises TopologyError: if there is none, or if it is wrong
    """
    paths, _ = _topology_files(folder)
    mentions = re.compile(rf"""^["']?name["']?\s*:\s*["']?{re.escape(name)}["']?\s*(#|$)""", re.MULTILINE)
    likely = [path for path in paths if _mentions(path, mentions)]
    for candidates in (likely, paths):  # all of them only for a file in an unusual layout
        topologies, errors = _load_all(candidates, [])
        for topology in topologies:
            if topology.name == name:
                return topology
        if errors and candidates is likely:
            raise errors[0]
    known = ", ".join(topology.name for topology in _load_all(paths, [])[0]) or "none"
    raise TopologyError(f'{folder}: no file holds a topology called "{name}"', fix=f"There is: {known}.")


def _mentions(path: Path, pattern: re.Pattern[str]) -> bool:
    try:
        return pattern.search(read_text(path)) is not None
    except TopologyError:
        return False


def _topology_files(folder: Path) -> tuple[list[Path], list[TopologyError]]:
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        fix = f"Set {ENVIRONMENT} to the folder of the topology files."
        raise TopologyError(f"{folder}: the folder of topologies cannot be read: {error.strerror or error}", fix=fix) from error
    misnamed = [entry for entry in entries if entry.suffix != ".yaml" and entry.suffix.lower() in (".yml", ".yaml")]
    # Silence would mean a database that nobody backs up.
    errors = [TopologyError(f"{entry}: is not read, only *.yaml files are", fix=f"Rename it to {entry.stem}.yaml.") for entry in misnamed]
    return [entry for entry in entries if entry.suffix == ".yaml"], errors


def _load_all(paths: list[Path], errors: list[TopologyError]) -> tuple[list[Topology], list[TopologyError]]:
    loaded: dict[str, Topology] = {}
    # A file called after its topology keeps the name: a copy of it, wherever it sorts, must not take over its DAGs.
    for path in sorted(paths):
        try:
            topology = load_topology(path)
        except TopologyError as error:
            errors.append(error)
            continue
        other = loaded.get(topology.name)
        keeps = topology if other is None or path.stem == topology.name else other
        loaded[topology.name] = keeps
        if other is not None:
            loser = other if keeps is topology else topology
            errors.append(_same_name(loser, keeps))
    return [loaded[name] for name in sorted(loaded)], errors


def _same_name(loser: Topology, keeper: Topology) -> TopologyError:
    return TopologyError(
        f'{loser.source}: name: "{loser.name}" is already the name of {keeper.source}; this file is not used',
        fix="Give every topology a name of its own.",
    )
