"""A cluster of three nodes with data of known content, its backup, and restores of it: what the tests of a cluster's restore have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from midtime.catalog import Catalog
from midtime.model.instants import utc_now
from midtime.model.restore_point import Origin, RestorePoint, StoreBackup
from midtime.model.topology import Target as TargetWish
from midtime.model.topology import Topology
from midtime.stores import open_store
from midtime.stores.base import Shelf, Target, ask
from tests.stack.cassandra import CassandraCluster

STORE, KEYSPACE = "ring", "ledger"
ROWS = 300


@dataclass
class Setting:
    """One topology of one store.

    :param other: where drills go
    """

    cluster: CassandraCluster
    other: CassandraCluster | None
    folder: Path
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.body = {
            "name": "bank",
            "destination": f"file://{self.folder}/restore-points",
            "products": [{"kind": "scalardb-server", "endpoints": {"static": ["127.0.0.1:1"]}}],
            "scalardb": {"transaction_manager": "jdbc"},
            "stores": [self.cluster.topology_store(STORE, [KEYSPACE])],
        }
        if self.other:
            self.body["drill"] = {"targets": {STORE: self.other.drill_target(conn_id=f"{STORE}_drill")}}
        self.topology = Topology.model_validate(self.body)
        self.store = open_store(self.topology, STORE)
        self.catalog = Catalog(self.topology.destination, self.topology.name)

    def fill(self) -> None:
        """Rows that are flushed, rows that are not, an index, and a light-weight transaction."""
        say = self.cluster.execute
        say(f"DROP KEYSPACE IF EXISTS {KEYSPACE}")
        say(f"CREATE KEYSPACE {KEYSPACE} WITH replication = {{'class': 'NetworkTopologyStrategy', 'dc1': 3}}")
        say(f"CREATE TABLE {KEYSPACE}.rows (id int PRIMARY KEY, what text, kind int)")
        say(f"CREATE INDEX kinds ON {KEYSPACE}.rows (kind)")
        for number in range(ROWS):
            self.put(number, "captured")
            if number == ROWS // 2:
                for index in range(len(self.cluster.nodes)):
                    self.cluster.nodetool(index, "flush", KEYSPACE)
        say(f"INSERT INTO {KEYSPACE}.rows (id, what, kind) VALUES (-1, 'once', 7) IF NOT EXISTS")

    def put(self, number: int, what: str) -> None:
        self.cluster.execute(
            f"INSERT INTO {KEYSPACE}.rows (id, what, kind) VALUES (%s, %s, %s)", (number, what, number % 3), consistency="ALL"
        )

    def backup(self) -> RestorePoint:
        """Captured, copied and published."""
        started = utc_now()
        point = f"{started:%Y%m%dT%H%M%SZ}-abcdef"
        shelf = Shelf(self.catalog.folder(point), STORE)
        with self.store.capture() as capture:
            backup: StoreBackup = self.store.copy(capture, shelf, self.said.append)
        manifest = RestorePoint(
            id=point,
            topology="bank",
            topology_digest=self.topology.digest,
            midtime=started,
            started_at=started,
            finished_at=utc_now(),
            stores=(backup,),
            evidence={"id": "w"},
            origin=Origin(midtime_version="0", dag_id="d", run_id="r", host="h"),
        )
        self.catalog.publish(manifest)
        return manifest

    def target(self, run: str, **how: bool) -> Target:
        chosen = {"drill": False, "in_place": False, **how}
        wish = self.topology.drill.targets.get(STORE) if not chosen["in_place"] else None
        return self.store.target(wish and TargetWish.model_validate(wish), run=run, **chosen)

    def require(self, point: RestorePoint, target: Target) -> dict[str, str]:
        """What the preflight says; fails where it refuses."""
        found = list(ask(STORE, self.store.restore_questions(target, point.stores[0])))
        assert all(check.ok for check in found), found[-1].detail
        return {check.question: check.detail for check in found}

    def restore(self, point: RestorePoint, target: Target) -> None:
        self.store.restore(point.stores[0], Shelf(self.catalog.folder(point.id), STORE), target, self.said.append)

    def rows(self, cluster: CassandraCluster | None = None) -> dict[int, str]:
        """At ALL: every replica has them."""
        where = cluster or self.cluster
        where.session.close()
        return dict(where.execute(f"SELECT id, what FROM {KEYSPACE}.rows", consistency="ALL"))

    def leftovers(self) -> list[str]:
        """Whatever of ours is in the nodes' folders."""
        nodes = [*self.cluster.nodes, *(self.other.nodes if self.other else ())]
        return sorted(str(path) for node in nodes for path in node.folder.glob("*/midtime_*")) + sorted(
            str(path) for node in nodes for path in node.folder.glob("**/cassandra.yaml.*")
        )


CAPTURED = {-1: "once"} | dict.fromkeys(range(ROWS), "captured")


@contextmanager
def connected(setting: Setting, patch: Any) -> Iterator[Setting]:
    patch.setenv("AIRFLOW_CONN_RING_CQL", setting.cluster.conn_uri)
    if setting.other:
        patch.setenv("AIRFLOW_CONN_RING_DRILL", setting.other.conn_uri)
    yield setting
