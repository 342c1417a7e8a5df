"""A Cassandra cluster of three nodes with incompressible rows, each on all of them, and the topology that backs it up."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.stack.cassandra import CassandraCluster
from tests.stack.cassandra_node import CQL_PORT, CassandraNode
from tests.stack.cassandra_session import PROTOCOL
from tests.stack.processes import Processes, poll

NAME, STORE, KEYSPACE, TABLE = "bank", "ring", "ledger", "movements"
SMALLEST, LARGEST = 1000, 4000
"""Bytes of one row."""
_TOGETHER = 48
"""Inserts on their way at once."""
_PORTION = 5000
_NOTHING_PENDING = re.compile(r"^pending tasks:?\s+0\s*$", re.MULTILINE)
_SETTLED = 600
"""Seconds that compaction may take."""


class Ring:
    """The cluster and its rows.

    :param folder: of all that is made, the nodes' data too
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes = Processes(folder / "stack")
        self.cluster = CassandraCluster(self._processes)

    def __enter__(self) -> Ring:
        try:
            self.cluster.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything."""
        self.cluster.close()
        self._processes.stop()

    @property
    def nodes(self) -> list[CassandraNode]:
        return self.cluster.nodes

    def topology(self, destination: Path) -> dict[str, Any]:
        """As a topology's file has it."""
        store = self.cluster.topology_store(STORE, [KEYSPACE], fence=False)
        del store["conn_id"]
        return {
            "name": NAME,
            "destination": f"file://{destination}",
            "products": [{"kind": "scalardb-server", "endpoints": {"static": ["127.0.0.1:60051"]}}],
            "scalardb": {"transaction_manager": "single-crud-operation", "metadata_namespace": KEYSPACE},
            "stores": [store],
        }

    def fill(self, rows: int) -> int:
        """Write the rows, let compaction do what it wants, and then nothing any more.

        :return: bytes of the table's files on all nodes
        """
        replicated = "{'class': 'NetworkTopologyStrategy', 'dc1': 3}"
        self.cluster.execute(f"CREATE KEYSPACE {KEYSPACE} WITH replication = {replicated}")
        self.cluster.execute(f"CREATE TABLE {KEYSPACE}.{TABLE} (id int PRIMARY KEY, entry blob) WITH compression = {{'enabled': false}}")
        self.write(range(rows))
        self.on_each("flush", KEYSPACE)
        for number in range(len(self.nodes)):
            poll("compaction settles", partial(self._settled, number), _SETTLED)
        self.on_each("disableautocompaction", KEYSPACE, TABLE)
        return self.size()

    def write(self, numbers: Iterable[int]) -> None:
        """Write these rows, new or again, on all replicas."""
        from cassandra import ConsistencyLevel
        from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
        from cassandra.concurrent import execute_concurrent_with_args
        from cassandra.policies import RoundRobinPolicy

        profile = ExecutionProfile(RoundRobinPolicy(), consistency_level=ConsistencyLevel.ALL, request_timeout=60)
        cluster = Cluster(self.cluster.hosts, port=CQL_PORT, protocol_version=PROTOCOL, execution_profiles={EXEC_PROFILE_DEFAULT: profile})
        try:
            session = cluster.connect(KEYSPACE)
            insert = session.prepare(f"INSERT INTO {TABLE} (id, entry) VALUES (?, ?)")
            for portion in _portions(list(numbers)):
                rows = ((number, os.urandom(SMALLEST + number % (LARGEST - SMALLEST))) for number in portion)
                execute_concurrent_with_args(session, insert, rows, concurrency=_TOGETHER)
        finally:
            cluster.shutdown()

    def change(self, numbers: Iterable[int]) -> None:
        """Write these rows again, and see them in a file of their own; the old ones stay in theirs."""
        self.write(numbers)
        self.on_each("flush", KEYSPACE)

    def on_each(self, *words: str) -> float:
        """The same nodetool for all nodes at once, each a cold JVM, as by hand; seconds until the last one has ended."""
        started = time.monotonic()
        commands = [[str(node.files.nodetool), "-p", str(node.jmx_port), *words] for node in self.nodes]
        tools = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
        if sum(tool.wait() for tool in tools):
            raise RuntimeError(f"nodetool {' '.join(words)} failed")
        return time.monotonic() - started

    def size(self) -> int:
        """Bytes of the table's files on all nodes."""
        found = [path for node in self.nodes for path in Path(node.directories["data"][0]).glob(f"{KEYSPACE}/{TABLE}-*/*.db")]
        return sum(path.stat().st_size for path in found)

    def files(self) -> list[int]:
        """How many of them hold rows, on each node."""
        return [len(list(Path(node.directories["data"][0]).glob(f"{KEYSPACE}/{TABLE}-*/*-Data.db"))) for node in self.nodes]

    def warm(self) -> None:
        """Have all files of the nodes in the page cache, and nothing on its way to the disk."""
        for node in self.nodes:
            for path in Path(node.directories["data"][0]).rglob("*.db"):
                with path.open("rb", buffering=0) as file:
                    while file.read(1 << 20):
                        pass
        os.sync()

    def _settled(self, number: int) -> bool | None:
        return bool(_NOTHING_PENDING.search(self.cluster.nodetool(number, "compactionstats"))) or None


def stored(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _portions(numbers: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(numbers), _PORTION):
        yield numbers[start : start + _PORTION]
