"""What a restore reads of a backup: the cluster as it was, its nodes' listings, its schema; and which node now takes the place of which then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from midtime.catalog import Catalog
from midtime.catalog.artifacts import read
from midtime.errors import ArtifactError, StoreAccessError
from midtime.model.restore_point import LISTINGS, StoreBackup
from midtime.model.topology import Topology
from midtime.stores.cassandra.cluster import Cluster
from midtime.stores.cassandra.listing import FACTS, SCHEMA, ClusterFacts, NodeFacts, NodeListing
from midtime.stores.cassandra.ring import Ring

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

Pairs = dict[str, NodeFacts]
"""By the label of a node now: the node whose data it gets."""


class BackupFacts:
    """Files of one store's backup, each compared with the manifest.

    :param folder: the restore point's
    """

    def __init__(self, backup: StoreBackup, folder: ObjectStoragePath) -> None:
        self.backup, self.folder = backup, folder

    @classmethod
    def found(cls, topology: Topology, backup: StoreBackup) -> BackupFacts:
        """For who has the store's part of the manifest alone.

        :raises ArtifactError: no restore point has it any more
        """
        catalog = Catalog(topology.destination, topology.name)
        for entry in catalog.entries():
            if entry.restore_point and any(part.artifacts == backup.artifacts for part in entry.restore_point.stores):
                return cls(backup, catalog.folder(entry.restore_point.id))
        raise ArtifactError(f"no restore point holds this backup of store {backup.store!r} any more", fix="use another restore point")

    def cluster(self) -> ClusterFacts:
        """The cluster at the snapshot."""
        return ClusterFacts.unseal(self._read(f"{self.backup.store}/{FACTS}"), where=f"{self.folder}/{self.backup.store}/{FACTS}")

    def listing(self, label: str) -> NodeListing:
        """One node's files."""
        for path in self.backup.details[LISTINGS]:
            if path.split("/")[-2] == label:
                return NodeListing.unseal(self._read(path), where=f"{self.folder}/{path}")
        raise ArtifactError(f"the backup has no files of node {label}", fix="use another restore point")

    def schema(self) -> str:
        """CQL."""
        return self._read(f"{self.backup.store}/{SCHEMA}").decode()

    def _read(self, path: str) -> bytes:
        for artifact in self.backup.artifacts:
            if artifact.path == path:
                return read(artifact, self.folder)
        raise ArtifactError(f"the backup of store {self.backup.store!r} has no {path}", fix="use another restore point")


def same_nodes(cluster: Cluster, facts: ClusterFacts) -> Pairs:
    """In place: each node gets what was its own.

    :raises StoreAccessError: the topology's nodes are not those of the backup
    """
    then, now = {node.label: node for node in facts.nodes}, {member.label for member in cluster.members}
    if then.keys() != now:
        told = [f"{', '.join(sorted(then.keys() - now))} is gone"] if then.keys() - now else []
        told += [f"{', '.join(sorted(now - then.keys()))} is new"] if now - then.keys() else []
        raise StoreAccessError(
            f"the nodes of store {facts.store!r} are not those of the backup: {'; '.join(told)}",
            fix="bring the nodes back under their addresses, or restore to another cluster (drill.targets)",
        )
    return then


def require_other(ring: Ring, facts: ClusterFacts) -> None:
    """The cluster that shall be filled is not the one that was backed up, under whatever addresses.

    :raises StoreAccessError: it is
    """
    if same := {node.host_id for node in facts.nodes} & {node.host_id for node in ring.nodes}:
        raise StoreAccessError(
            f"drill.targets.{facts.store} is the very cluster that was backed up: its host ids are {', '.join(sorted(same))}",
            fix="name another cluster: what is in it is replaced",
        )


def matching_nodes(ring: Ring, facts: ClusterFacts) -> Pairs:
    """Another cluster of the same size: nodes that were in one rack get to be in one rack.

    :raises StoreAccessError: data centres or racks are laid out in another way
    """
    pairs: Pairs = {}
    then, now = _racks(facts.nodes), _racks(ring.facts)
    if {center: list(map(len, racks)) for center, racks in then.items()} != {
        center: list(map(len, racks)) for center, racks in now.items()
    }:
        raise StoreAccessError(
            f"cluster {ring.name} is laid out as {_layout(now)}, and the backup's was {_layout(then)}",
            fix="give the drill's nodes the same data centres, and racks of the same sizes",
        )
    for center, racks in then.items():
        for before, after in zip(racks, now[center], strict=True):
            pairs |= {node.label: source for source, node in zip(before, after, strict=True)}
    return pairs


def _racks(nodes: Sequence[NodeFacts]) -> Mapping[str, list[list[NodeFacts]]]:
    found: dict[str, dict[str, list[NodeFacts]]] = {}
    for node in sorted(nodes, key=lambda each: each.label):
        found.setdefault(node.data_center, {}).setdefault(node.rack, []).append(node)
    return {center: [racks[name] for name in sorted(racks, key=lambda each: (len(racks[each]), each))] for center, racks in found.items()}


def _layout(racks: Mapping[str, list[list[NodeFacts]]]) -> str:
    return ", ".join(f"{center}: {'+'.join(str(len(rack)) for rack in found)}" for center, found in sorted(racks.items()))
