"""The Cassandra cluster of the stack: one ring that survives the loss of a node, whose nodes a command stops and starts."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cassandra import ReadTimeout

from midtime.model.topology.cassandra import Cassandra
from tests.stack.bank import START_BALANCE
from tests.stack.cassandra import CassandraCluster
from tests.stack.processes import Processes, StackError, poll
from tests.stack.stack import BESIDE_RING, IN_RING, Stack

# The other files of Cassandra use all of it every time.
pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.long]

ROWS = 20


@pytest.fixture(scope="module")
def cluster(cassandra_cluster: CassandraCluster) -> Iterator[CassandraCluster]:
    """With a keyspace that has a copy of every row on every node."""
    cassandra_cluster.execute("CREATE KEYSPACE tried WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3}")
    cassandra_cluster.execute("CREATE TABLE tried.rows (id int PRIMARY KEY, what text)")
    for number in range(ROWS):
        cassandra_cluster.execute("INSERT INTO tried.rows (id, what) VALUES (%s, %s)", (number, f"row {number}"), consistency="ALL")
    yield cassandra_cluster
    cassandra_cluster.execute("DROP KEYSPACE tried")


def _rows(cluster: CassandraCluster, consistency: str = "QUORUM") -> int:
    return len(cluster.execute("SELECT id FROM tried.rows", consistency=consistency))


def _rows_if_any(cluster: CassandraCluster) -> int | None:
    """Nothing while a node that is gone is still asked."""
    try:
        return _rows(cluster)
    except ReadTimeout:
        return None


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, cwd="/", timeout=90)


def test_cluster_is_one_ring_with_one_schema(cluster: CassandraCluster) -> None:
    assert all(node.up_and_normal() == set(cluster.hosts) for node in cluster.nodes)
    assert cluster.nodetool(0, "describecluster").count(str(cluster.schema_version(cluster.node(0)))) == 1
    assert cluster.nodetool(1, "version").split() == ["ReleaseVersion:", "5.0.4"]


def test_topology_lists_every_node(cluster: CassandraCluster) -> None:
    store = Cassandra.model_validate(cluster.topology_store("ring", ["tried"]))

    assert [node.host for node in store.nodes] == cluster.hosts
    assert [node.seed for node in store.nodes] == [True, False, False]
    assert all(node.directories and Path(node.directories.commitlog or "").is_dir() for node in store.nodes)


def test_killed_node_is_not_missed(cluster: CassandraCluster) -> None:
    cluster.node(2).kill()

    assert not cluster.node(2).pid
    assert poll("the others notice it", lambda: _rows_if_any(cluster), 60) == ROWS
    with pytest.raises(StackError, match="Connection refused"):
        cluster.nodetool(2, "status")

    cluster.node(2).start()
    cluster.wait_un()


def test_commands_stop_and_start_a_node_that_keeps_its_rows(cluster: CassandraCluster) -> None:
    store = Cassandra.model_validate(cluster.topology_store("ring", ["tried"]))
    stop, start = store.nodes[1].stop, store.nodes[1].start
    assert stop is not None
    assert start is not None
    assert stop.command
    assert start.command
    before = cluster.node(1).pid

    _run([*stop.command])
    assert not cluster.node(1).pid
    _run([*stop.command])
    began = time.monotonic()
    _run([*start.command])
    _run([*start.command])
    assert time.monotonic() - began < 2

    cluster.wait_un()
    assert cluster.node(1).pid not in (0, before)
    assert _rows(cluster, "ALL") == ROWS


def test_bank_goes_between_cassandra_and_postgresql(stack: Stack, cluster: CassandraCluster) -> None:
    bank = stack.ring_bank
    bank.start(8)
    time.sleep(5)
    bank.stop()

    print("the bank:", bank.summary())
    assert bank.commits > 10
    assert bank.total() == bank.expected_total
    sums = [sum(row[0] for row in stack.ring_places[each].execute(f"SELECT balance FROM {each}.acct")) for each in (IN_RING, BESIDE_RING)]
    assert sums[0] != START_BALANCE * bank.size, "money never left Cassandra"
    assert cluster.execute("SELECT count(*) FROM coordinator.state")[0][0] >= bank.commits


def test_nothing_is_left_of_a_cluster_that_is_closed(tmp_path: Path) -> None:
    """Not even of one that has just been told to start."""
    processes = Processes(tmp_path)
    with closing(CassandraCluster(processes, "short", nodes=2)) as cluster:
        cluster.supervise()
        _run(cluster.node(0).command("start"))
        node = cluster.node(0).pid
        assert node in processes.left()

    assert not processes.left()
    poll("init has taken it away", lambda: not Path(f"/proc/{node}").exists() or None, 10)
    processes.stop()
