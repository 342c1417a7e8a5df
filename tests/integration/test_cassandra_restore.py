"""A real cluster of three nodes restored: in place, after the loss of two nodes, into another one, of another size, one node alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from midtime.errors import ArtifactError
from midtime.model.restore_point import RestorePoint
from midtime.stores.base import WILL_BE, Shelf, Target, ask
from midtime.stores.cassandra.one_node import OneNode
from tests.integration.cassandra_setting import CAPTURED, KEYSPACE, STORE, Setting, connected
from tests.stack.cassandra import CassandraCluster
from tests.stack.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def beside(stack: Stack) -> Iterator[CassandraCluster]:
    """A single node."""
    with closing(CassandraCluster(stack.processes, "cassandra-single", nodes=1)) as cluster:
        yield cluster.start()


@pytest.fixture(scope="module")
def taken(
    cassandra_cluster: CassandraCluster, beside: CassandraCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Setting, RestorePoint]]:
    """A backup, after which everything was changed."""
    with (
        pytest.MonkeyPatch.context() as patch,
        connected(Setting(cassandra_cluster, beside, tmp_path_factory.mktemp("ring")), patch) as setting,
    ):
        setting.fill()
        yield setting, setting.backup()


@pytest.fixture
def setting(taken: tuple[Setting, RestorePoint]) -> Setting:
    setting, _ = taken
    for number in range(20):
        setting.put(number, "later")
    setting.put(999, "later")
    return setting


@pytest.fixture
def point(taken: tuple[Setting, RestorePoint]) -> RestorePoint:
    return taken[1]


@pytest.mark.long  # what is killed in its middle (below) goes the same ways
def test_in_place_and_back(setting: Setting, point: RestorePoint) -> None:
    before = setting.rows()
    target = setting.target("000001", in_place=True)
    answers = setting.require(point, target)
    assert "the whole cluster, replacing what is there, which is kept as midtime_before_000001" in answers[WILL_BE]
    setting.restore(point, target)
    assert setting.rows() == before, "nothing live was touched"
    setting.store.place(point.stores[0], target)
    assert setting.rows() == CAPTURED
    assert len(setting.cluster.execute(f"SELECT id FROM {KEYSPACE}.rows WHERE kind = 7")) == 1
    setting.store.place(point.stores[0], target)
    setting.store.put_back(point.stores[0], target)
    assert setting.rows() == before
    setting.store.discard(target)
    assert setting.leftovers() == []


@pytest.mark.fault(
    "Two of three nodes lose all their data, and the restore is killed while it moves files",
    "The next try goes on; the whole cluster is restored in place, everything is there.",
)
def test_two_of_three_nodes_lost(setting: Setting, point: RestorePoint) -> None:
    lost = setting.cluster.nodes[1:]
    for node in lost:
        node.kill()
        node.wipe()
    target = setting.target("000002", in_place=True)
    assert "down: " in setting.require(point, target)["can be restored to"]
    setting.restore(point, target)
    assert died(setting, point, target, "place", "midtime_moved", 5)
    setting.store.place(point.stores[0], target)
    setting.store.discard(target)
    setting.cluster.wait_un()
    assert setting.rows() == CAPTURED


@pytest.mark.fault(
    "One of three nodes loses all its data",
    "It gets its own snapshot and a repair; what was written since is on it, too.",
)
@pytest.mark.long  # test_two_of_three_nodes_lost goes through the same stops, moves and starts, and more
def test_one_node_lost(setting: Setting, point: RestorePoint) -> None:
    wanted = setting.rows()
    lost = setting.cluster.node(2)
    lost.kill()
    lost.wipe()
    one = OneNode(setting.topology, STORE, lost.host)
    target = one.target("000003")
    found = list(ask(STORE, one.questions(target, point.stores[0])))
    assert all(check.ok for check in found), found[-1].detail
    one.restore(point.stores[0], Shelf(setting.catalog.folder(point.id), STORE), target, setting.said.append)
    one.place(target, setting.said.append)
    one.discard(target)
    assert setting.rows() == wanted
    local = CassandraClusterView(setting.cluster).rows_of(2)
    assert local == wanted, "the node has by itself what it had missed"


class CassandraClusterView:
    """What one node has when the others are gone."""

    def __init__(self, cluster: CassandraCluster) -> None:
        self.cluster = cluster

    def rows_of(self, index: int) -> dict[int, str]:
        self.cluster.session.close()
        for node in self.cluster.nodes:
            if node is not self.cluster.node(index):
                node.stop()
        try:
            return dict(self.cluster.execute(f"SELECT id, what FROM {KEYSPACE}.rows", consistency="ONE"))
        finally:
            self.cluster.session.close()
            self.cluster.start()


@pytest.mark.long  # each round of the bank is drilled so
def test_drill_into_another_size(setting: Setting, point: RestorePoint, beside: CassandraCluster) -> None:
    beside.execute("CREATE KEYSPACE mine WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
    target = setting.target("000004", drill=True)
    assert "loaded by sstableloader" in setting.require(point, target)["is the backup's"]
    setting.restore(point, target)
    assert setting.rows(beside) == CAPTURED
    setting.store.discard(target)
    beside.session.close()
    assert beside.execute("SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = 'mine'")
    assert not beside.execute("SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = %s", (KEYSPACE,))
    assert [path for path in setting.leftovers() if "midtime_before_00000" not in path] == []


@pytest.mark.fault(
    "One file of the pool is flipped, truncated or missing",
    "The restore refuses before a node is stopped.",
)
@pytest.mark.parametrize("how", ["flipped", "truncated", "missing"])
def test_damaged_content_is_refused_before_anything_is_stopped(setting: Setting, point: RestorePoint, how: str) -> None:
    pool = Path(setting.folder / "restore-points/bank/pool" / STORE)
    path = max((each for each in pool.rglob("*") if each.is_file()), key=lambda each: each.stat().st_size)
    whole, pids = path.read_bytes(), [node.pid for node in setting.cluster.nodes]
    path.unlink()
    if how != "missing":
        path.write_bytes({"flipped": whole[:-1] + bytes([whole[-1] ^ 1]), "truncated": whole[:-1]}[how])
    target = setting.target("000005", in_place=True)
    try:
        with pytest.raises(ArtifactError):
            setting.restore(point, target)
        assert [node.pid for node in setting.cluster.nodes] == pids
    finally:
        path.write_bytes(whole)
        setting.store.discard(target)


def died(setting: Setting, point: RestorePoint, target: Target, verb: str, word: str, dies_at: int) -> bool:
    """Run one step in a process of its own, which is killed before the so many-th of its commands on nodes in which a word stands."""
    said = {"topology": setting.body, "point": point.id, "target": target.to_dict(), "verb": verb, "word": word, "dies_at": dies_at}
    environment = {**os.environ, "MIDTIME_TEST_PLACE": json.dumps(said)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.place_once"], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr[-3000:]
    return done.returncode != 0


STEPS = [
    ("restore", "tar --extract", 2, "put_back"),
    *(
        pytest.param(*step, marks=pytest.mark.long)
        for step in [
            ("place", "midtime_moved", 5, "place"),
            ("restore", "tar --extract", 2, "place"),
            ("place", "midtime_moved", 5, "put_back"),
            ("place", " stop ", 2, "place"),
            ("place", " stop ", 3, "put_back"),
            ("place", " start ", 1, "put_back"),
            ("place", " start ", 2, "place"),
            ("place", "nodetool", 1, "put_back"),
            ("place", "nodetool", 2, "place"),
        ]
    ),
]


@pytest.mark.fault(
    "kill -9 of a restore at each of its steps: staging, stop, move, start",
    "The next try goes on, or all of it goes back. (`make test` has the staging, and the move above; all ten: `make test-long`.)",
)
@pytest.mark.parametrize(("verb", "word", "dies_at", "then"), STEPS)
def test_killed_and_resumed(setting: Setting, point: RestorePoint, verb: str, word: str, dies_at: int, then: str) -> None:
    before = setting.rows()
    target = setting.target(f"{zlib.crc32(f'{verb}{word}{dies_at}{then}'.encode()) & 0xFFFFFF:06x}", in_place=True)
    if verb != "restore":
        setting.restore(point, target)
    assert died(setting, point, target, verb, word, dies_at)
    if verb == "restore":
        setting.restore(point, target)
    getattr(setting.store, then)(point.stores[0], target)
    setting.store.discard(target)
    assert setting.rows() == (CAPTURED if then == "place" else before)


@pytest.mark.long
def test_drill_into_the_same_size(
    setting: Setting, point: RestorePoint, drill_cassandra: CassandraCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connected(Setting(setting.cluster, drill_cassandra, setting.folder), monkeypatch) as drilled:
        before = drill_cassandra.nodetool(0, "info", "-T")
        target = drilled.target("000006", drill=True)
        assert "laid out alike" in drilled.require(point, target)["is the backup's"]
        drilled.restore(point, target)
        assert drilled.rows(drill_cassandra) == CAPTURED
        assert tokens(drill_cassandra.nodetool(0, "info", "-T")) == tokens(setting.cluster.nodetool(0, "info", "-T"))
        drilled.store.discard(target)
        assert tokens(drill_cassandra.nodetool(0, "info", "-T")) == tokens(before)


def tokens(said: str) -> set[str]:
    return {line for line in said.splitlines() if line.startswith("Token")}
