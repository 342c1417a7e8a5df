"""What one node's snapshot consists of: its files, each with the name under which the pool keeps its content."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from midtime.model.restore_point import Artifact, Record, Sealed, relative_path

FACTS, SCHEMA, LISTING = "cluster.json", "schema.cql", "files.json"
"""Artifacts of a restore point, below the store's folder: the cluster, its schema, and below a node's label what its snapshot consists of."""
MUTABLE = ("-Statistics.db", "-Summary.db")
"""Components that Cassandra rewrites in place: their content is never taken from memory."""


class SnapshotFile(Record):
    """One file of a snapshot."""

    path: Annotated[str, AfterValidator(relative_path)]
    """Where it belongs, below a data directory: ``keyspace/table-id/[.index/]name``."""
    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    content: str
    """Name of its content in the pool."""
    inode: int
    mtime_ns: int
    """With path, size and inode: that the same node still has the very same file, so that it need not be read again."""

    @property
    def pooled(self) -> Artifact:
        """Its content, relative to the pool's folder."""
        return Artifact(path=self.content, size=self.size, sha256=self.sha256)

    @property
    def identity(self) -> tuple[str, int, int, int]:
        """What stays the same while nobody writes the file anew."""
        return self.path, self.size, self.inode, self.mtime_ns

    @property
    def mutable(self) -> bool:
        """Whether Cassandra may rewrite it in place."""
        return self.path.endswith(MUTABLE)


class NodeListing(Sealed):
    """All files of one node's snapshot; an artifact of the restore point, ``<store>/<label>/files.json``."""

    store: str
    label: str
    host_id: str
    tag: str
    """The snapshot's name on the node."""
    files: tuple[SnapshotFile, ...]


class NodeFacts(Record):
    """One node as the ring showed it at the snapshot."""

    label: str
    host: str
    host_id: str
    data_center: str
    rack: str
    tokens: tuple[str, ...]
    version: str
    """Cassandra's."""
    schema_version: str


class ClusterFacts(Sealed):
    """The cluster at the snapshot; an artifact of the restore point, ``<store>/cluster.json``."""

    store: str
    name: str
    """The cluster's own name."""
    partitioner: str
    tag: str
    keyspaces: tuple[str, ...]
    """Those that were snapshotted, ScalarDB's and the system's."""
    tables: dict[str, str]
    """``keyspace.table`` -> its id (UUID without dashes), of all of them."""
    nodes: tuple[NodeFacts, ...]
