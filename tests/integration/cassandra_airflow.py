"""A cluster under a real Airflow: what its tests do to the databases and nodes, and what they find there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from midtime.catalog.snapshot_notes import SnapshotNotes
from midtime.model.topology import Topology
from tests.integration.fixtures import Installation
from tests.stack.cassandra import CassandraCluster
from tests.stack.scalardb import Place


def mark(places: Mapping[str, Place], number: int) -> None:
    """Write beside ScalarDB; SQL and CQL say it alike."""
    for namespace, place in places.items():
        place.execute(f"INSERT INTO {namespace}.mark (id) VALUES ({number})")


@contextmanager
def mark_tables(places: Mapping[str, Place]) -> Iterator[None]:
    for namespace, place in places.items():
        place.execute(f"CREATE TABLE {namespace}.mark (id int PRIMARY KEY)")
    try:
        yield
    finally:
        for namespace, place in places.items():
            place.execute(f"DROP TABLE {namespace}.mark")


def standing(cluster: CassandraCluster) -> list[str]:
    """The lines in which the nodes tell of snapshots of ours."""
    said = (cluster.nodetool(index, "listsnapshots") for index in range(len(cluster.nodes)))
    return [line for lines in said for line in lines.splitlines() if line.startswith("midtime-")]


def require_cleared(installation: Installation, topology: Topology, cluster: CassandraCluster) -> None:
    """No snapshot is left on a node, and no note of one."""
    assert standing(cluster) == []
    assert SnapshotNotes(installation.catalog(topology)).all() == []


def kept_aside(cluster: CassandraCluster) -> list[Path]:
    """What restores in place have put aside on the nodes."""
    return sorted(path for node in cluster.nodes for path in node.folder.glob("*/midtime_before_*"))


def remove_kept(cluster: CassandraCluster) -> None:
    """The other tests of this cluster find it as it was."""
    for path in kept_aside(cluster):
        shutil.rmtree(path)
