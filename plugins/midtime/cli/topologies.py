"""Which topologies a command is about."""

from __future__ import annotations

import argparse
from pathlib import Path

from midtime.catalog import Catalog
from midtime.cli import screen
from midtime.errors import TopologyError
from midtime.model.topology import Topology, load_named, load_topologies
from midtime.model.topology.load import topologies_folder
from midtime.settings import DEFAULT_TOPOLOGIES


def wanted(arguments: argparse.Namespace) -> tuple[list[Topology], list[TopologyError]]:
    """The good ones, and what is wrong with the others, which is told."""
    if arguments.topology:
        return [load_named(folder(arguments), arguments.topology)], []
    good, bad = load_topologies(folder(arguments))
    if not good and bad:
        raise TopologyError("\n".join(map(str, bad)))
    for error in bad:
        screen.warn(str(error))
    return good, bad


def folder(arguments: argparse.Namespace) -> Path:
    """Where the topology files are."""
    return arguments.topologies or topologies_folder(DEFAULT_TOPOLOGIES)


def catalog(topology: Topology) -> Catalog:
    """Its restore points."""
    return Catalog(topology.destination, topology.name)
