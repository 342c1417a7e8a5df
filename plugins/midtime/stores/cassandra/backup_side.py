"""The backup half of the Cassandra store: preflight, capture, proof, upload node by node, collection."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

from midtime.catalog import Catalog, objects
from midtime.catalog.artifacts import new_artifact
from midtime.catalog.pool import Pool
from midtime.errors import ArtifactError, MidtimeError
from midtime.model.restore_point import LISTINGS, Artifact, Sealed, StoreBackup
from midtime.model.topology import Topology
from midtime.model.topology.cassandra import Cassandra
from midtime.stores.base import Question, Say, Shelf
from midtime.stores.cassandra import proving, uploading
from midtime.stores.cassandra.capture import ArmedSnapshots, Snapshot, armed_snapshots
from midtime.stores.cassandra.checks import BackupChecks
from midtime.stores.cassandra.cluster import Cluster, live_cluster
from midtime.stores.cassandra.listing import FACTS, LISTING, SCHEMA, ClusterFacts, NodeListing
from midtime.stores.cassandra.nodetool import Tool, tools_of
from midtime.stores.copied import SnapshotStore
from midtime.stores.fences import Fence
from midtime.stores.naming import require_snapshot_tag, snapshot_tag

Facts = TypeVar("Facts", bound=Sealed)


class CassandraBackup(SnapshotStore):
    """A cluster, snapshotted on all nodes of all data centres at once."""

    def __init__(self, topology: Topology, name: str) -> None:
        super().__init__(topology, name)
        self.spec = cast(Cassandra, topology.store(name))

    @property
    def keyspaces(self) -> tuple[str, ...]:
        """All that are snapshotted: ScalarDB's, and the system's that a restore needs."""
        return (*self.topology.all_namespaces(self.name), *proving.SYSTEM)

    def questions(self) -> Iterator[Question]:
        """Every node of the ring and all that a snapshot needs of it."""
        with ExitStack() as resources:

            def opened() -> tuple[Cluster, Tool]:
                cluster = resources.enter_context(live_cluster(self.topology, self.name))
                return cluster, self.tool(cluster)

            tags = f"midtime-{self.topology.name}-{self.name}-"
            yield from BackupChecks(self.topology, opened, self.keyspaces, tags).questions()

    @contextmanager
    def arm(self, tag: str = "") -> Iterator[ArmedSnapshots]:
        """A nodetool on every node, started and waiting; when the block fails, no snapshot of that tag is left."""
        tag = tag or snapshot_tag(self.topology.name, self.name, "")
        require_snapshot_tag(tag, topology=self.topology.name, store=self.name)
        patience = self.topology.pause.arm + self.topology.pause.deadline + timedelta(minutes=1)
        with (
            live_cluster(self.topology, self.name) as cluster,
            armed_snapshots(cluster, self.tool(cluster), tag, self.keyspaces, patience) as armed,
        ):
            yield armed

    @contextmanager
    def capture(self) -> Iterator[Snapshot]:
        """The same, at once."""
        with self.arm() as armed:
            yield armed.fix()

    @contextmanager
    def fence(self) -> Iterator[Fence]:
        """A session of CQL."""
        from midtime.stores.cassandra import fences, restored  # the driver takes long to load, and only this needs it
        from midtime.stores.cassandra.cql import session_to

        with live_cluster(self.topology, self.name) as cluster, session_to(restored.addresses(cluster), cluster.conn_id) as session:
            yield fences.fence_of(session, self.topology.all_namespaces(self.name))

    def prove(self, capture: Snapshot, shelf: Shelf) -> None:
        """Ask every node for every table, and whether the ring and the schema are still those that were armed; put down what was found."""
        with live_cluster(self.topology, self.name) as cluster:
            proof = proving.prove(cluster, self.tool(cluster), capture)
        _write(shelf, SCHEMA, proof.schema.encode())
        _write(shelf, FACTS, proof.facts.seal())

    def labels(self, shelf: Shelf) -> list[str]:
        """The nodes, as ``cluster.json`` has them."""
        return [node.label for node in self._facts(shelf).nodes]

    def upload(self, label: str, shelf: Shelf, say: Say) -> dict[str, Any]:
        """Bring one node's files into the pool, and write its listing."""
        facts = self._facts(shelf)
        host_id = next(node.host_id for node in facts.nodes if node.label == label)
        catalog = Catalog(self.topology.destination, self.topology.name)
        with live_cluster(self.topology, self.name) as cluster:
            member = cluster.member(label)
            source = uploading.Source(member.node, host_id, facts.tag, member.layout.data)
            known = uploading.remembered(catalog, self.name, label, host_id)
            pool, spec = Pool(catalog, self.name), self.spec
            tables = [f"{name.replace('.', '/', 1)}-{id_}" for name, id_ in facts.tables.items()]
            done = uploading.upload_node(source, pool, known, uploads=spec.uploads, throttle=spec.throttle, say=say, tables=tables)
        _list(shelf, f"{label}/{LISTING}", done.listing)
        total = sum(file.size for file in done.listing.files)
        return {"files": len(done.listing.files), "bytes": total, "sent_files": done.sent_files, "sent_bytes": done.sent_bytes}

    def collect(self, shelf: Shelf, midtime: datetime, seconds: float) -> StoreBackup:
        """The store's part, from ``cluster.json`` and the listings alone.

        :raises ArtifactError: a node's listing is missing, or is that of another snapshot
        """
        said, cluster = _artifact(shelf, FACTS)
        facts = _unsealed(ClusterFacts, shelf, FACTS, said)
        listings = [self._listing(shelf, facts, node.label) for node in facts.nodes]
        files = [file for listing, _ in listings for file in listing.files]
        artifacts = [cluster, _artifact(shelf, SCHEMA)[1], *(artifact for _, artifact in listings)]
        return StoreBackup(
            store=self.name,
            engine=self.spec.engine,
            method=self.spec.method,
            midtime=midtime,
            server=facts.nodes[0].version,
            client=facts.nodes[0].version,
            seconds=round(seconds, 3),
            artifacts=tuple(artifacts),
            tables=(),
            details={
                "tag": facts.tag,
                "cluster": facts.name,
                "nodes": len(facts.nodes),
                "files": len(files),
                "bytes": sum(file.size for file in files),
                "tables": facts.tables,
                LISTINGS: [artifact.path for _, artifact in listings],
            },
        )

    def forget(self, tag: str) -> None:
        """Clear that snapshot on all nodes that are up.

        :raises MidtimeError: some are not
        """
        require_snapshot_tag(tag, topology=self.topology.name, store=self.name)
        left: list[MidtimeError] = []
        with live_cluster(self.topology, self.name, left) as cluster:
            tool = self.tool(cluster)
            try:
                cluster.each(lambda member: tool(member).clear(tag))
            except MidtimeError as error:
                left.append(error)
        if left:
            raise type(left[0])("\n".join(error.message for error in left), fix=left[0].fix)

    def copy(self, capture: Snapshot, shelf: Shelf, say: Say) -> StoreBackup:
        """All of it in one process."""
        started = time.monotonic()
        self.prove(capture, shelf)
        sent = sum(self.upload(label, shelf, say)["sent_bytes"] for label in self.labels(shelf))
        backup = self.collect(shelf, capture.midtime, round(time.monotonic() - started + capture.seconds, 3))
        try:
            self.forget(capture.tag)
        except MidtimeError as error:
            say(f"snapshot {capture.tag} could not be cleared on all nodes: {error}")
        return backup.model_copy(update={"details": {**backup.details, "sent_bytes": sent}})

    def tool(self, cluster: Cluster) -> Tool:
        """Nodetool of each node."""
        return tools_of(cluster)

    def _facts(self, shelf: Shelf) -> ClusterFacts:
        return _unsealed(ClusterFacts, shelf, FACTS, _read(shelf, FACTS))

    def _listing(self, shelf: Shelf, facts: ClusterFacts, label: str) -> tuple[NodeListing, Artifact]:
        name = f"{label}/{LISTING}"
        said, artifact = _artifact(shelf, name)
        listing = _unsealed(NodeListing, shelf, name, said)
        if (listing.tag, listing.label) != (facts.tag, label):
            raise ArtifactError(f"{shelf.prefix}/{name} lists snapshot {listing.tag}, not {facts.tag}", fix="start a new backup")
        return listing, artifact


def _write(shelf: Shelf, name: str, content: bytes) -> None:
    with new_artifact(shelf.folder, f"{shelf.prefix}/{name}") as writer:
        writer.write(content)


def _list(shelf: Shelf, name: str, listing: NodeListing) -> None:
    """Of two tries that live at once the first one's listing stays: when the other one wakes up, a manifest may name it already."""
    path, content = shelf.folder / shelf.prefix / name, listing.seal()
    try:
        objects.create(path, content)
    except FileExistsError:
        if NodeListing.unseal(objects.read(path), where=str(path)).tag != listing.tag:
            objects.replace(path, content)


def _read(shelf: Shelf, name: str) -> bytes:
    path = shelf.folder / shelf.prefix / name
    try:
        return objects.read(path)
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} is missing", fix="let the task before it run again") from error


def _artifact(shelf: Shelf, name: str) -> tuple[bytes, Artifact]:
    """What lies there, and what a manifest says of it."""
    content = _read(shelf, name)
    return content, Artifact(path=f"{shelf.prefix}/{name}", size=len(content), sha256=hashlib.sha256(content).hexdigest())


def _unsealed(kind: type[Facts], shelf: Shelf, name: str, content: bytes) -> Facts:
    return kind.unseal(content, where=str(shelf.folder / shelf.prefix / name))
