"""Keyspaces on the real three-node cluster, a Coordinator among them, and a topology over them: to be captured."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midtime.catalog import Catalog
from midtime.model.topology import Topology
from midtime.stores.base import Shelf
from midtime.stores.cassandra.store import CassandraStore
from tests.stack.cassandra import CassandraCluster, CassandraNode
from tests.stack.processes import poll

NAME, STORE = "snapped", "ring"
POINT = "20260101T000000Z-000000"
ROWS = 100
KEYSPACES = ("snapped", "snapped_coordinator", "snapped_meta")


@dataclass
class Setting:
    """The cluster, and a store over it."""

    cluster: CassandraCluster
    folder: Path
    point: str = POINT

    def topology(self, **changes: Any) -> Topology:
        spec = self.cluster.topology_store(STORE, ["snapped"], **{"fence": False, **changes})
        del spec["conn_id"]
        return Topology.model_validate(
            {
                "name": NAME,
                "destination": f"file://{self.folder}",
                "products": [{"kind": "scalardb-server", "endpoints": {"static": ["127.0.0.1:60051"]}}],
                "scalardb": {"coordinators": [{"store": STORE, "namespace": "snapped_coordinator"}], "metadata_namespace": "snapped_meta"},
                "stores": [spec],
            }
        )

    def store(self, **changes: Any) -> CassandraStore:
        return CassandraStore(self.topology(**changes), STORE)

    @property
    def shelf(self) -> Shelf:
        catalog = Catalog(f"file://{self.folder}", NAME)
        catalog.begin(self.point)
        return Shelf(catalog.folder(self.point), STORE)

    def tags(self) -> list[set[str]]:
        """Those of Midtime that each node has, by its folders: a node that is stopped has them, too."""
        return [{path.name for path in _snapshots(node) if path.name.startswith("midtime-")} for node in self.cluster.nodes]

    def wait_nodetools_gone(self) -> None:
        poll("no nodetool waits", lambda: not any(_waiting(node) for node in self.cluster.nodes) or None, 15)


def make(cluster: CassandraCluster) -> None:
    """A table with an index, an empty one, and a Coordinator."""
    for keyspace in KEYSPACES:
        cluster.execute(f"CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'NetworkTopologyStrategy', 'dc1': 3}}")
    cluster.execute("CREATE TABLE snapped.acct (id int PRIMARY KEY, balance int)")
    cluster.execute("CREATE INDEX balances ON snapped.acct (balance)")
    cluster.execute("CREATE TABLE snapped.empty (id int PRIMARY KEY)")
    cluster.execute("CREATE TABLE snapped_coordinator.state (tx_id text PRIMARY KEY, tx_state int)")
    cluster.execute("CREATE TABLE snapped_meta.metadata (full_table_name text PRIMARY KEY)")
    for number in range(ROWS):
        cluster.execute("INSERT INTO snapped.acct (id, balance) VALUES (%s, %s)", (number, number))


def _snapshots(node: CassandraNode) -> Iterator[Path]:
    for data in node.directories["data"]:
        yield from Path(data).glob("*/*/snapshots/*")


def _waiting(node: CassandraNode) -> list[int]:
    """Processes that hold the FIFO of a login to that node."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            told = str(node.jmx_port).encode() in (process / "cmdline").read_bytes().split(b"\0")
            if told and any("midtime_tmp_login" in os.readlink(link) for link in (process / "fd").iterdir()):
                found.append(int(process.name))
    return found


def waiting_at(node: CassandraNode) -> int:
    """The JVM of the nodetool that waits to be let go at a node."""
    for pid in _waiting(node):
        if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].endswith(b"java"):
            return pid
    raise AssertionError(f"no nodetool waits at {node.host}")


@contextmanager
def frozen(node: CassandraNode) -> Iterator[None]:
    """A server that does nothing for a while."""
    pid = node.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
