"""Snapshots of a real three-node cluster: taken, proven, copied and cleared; and everything that can go wrong on the way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from midtime.errors import StoreError, StoreUnreachableError, WindowVoidError
from midtime.stores.base import ask
from midtime.stores.cassandra.listing import ClusterFacts, NodeListing
from midtime.stores.naming import snapshot_tag
from tests.integration import cassandra_arming, cassandra_captures
from tests.integration.cassandra_captures import NAME, STORE, Setting, frozen
from tests.stack.cassandra import CassandraCluster
from tests.stack.processes import poll

pytestmark = [pytest.mark.integration, pytest.mark.alone]


@pytest.fixture(scope="module")
def made(cassandra_cluster: CassandraCluster) -> Iterator[CassandraCluster]:
    cassandra_captures.make(cassandra_cluster)
    yield cassandra_cluster
    for keyspace in cassandra_captures.KEYSPACES:
        cassandra_cluster.execute(f"DROP KEYSPACE {keyspace}")


@pytest.fixture
def setting(made: CassandraCluster, tmp_path: Path) -> Iterator[Setting]:
    """No test leaves a snapshot of ours, or a nodetool that waits."""
    setting = Setting(made, tmp_path)
    yield setting
    setting.wait_nodetools_gone()
    assert setting.tags() == [set()] * 3


def test_preflight_says_what_is_there(setting: Setting) -> None:
    answers = {check.question: check for check in ask(STORE, setting.store().questions())}
    assert all(check.ok for check in answers.values()), answers
    assert "3 nodes, Cassandra 5.0.4" in answers["is reachable"].detail
    assert "all up and normal" in answers["is whole"].detail
    assert "snapped" in answers["has every namespace"].detail


def test_snapshot_is_proven_copied_and_cleared(setting: Setting) -> None:
    store, lines = setting.store(), list[str]()
    setting.cluster.nodetool(1, "snapshot", "-t", "of somebody else", "snapped")
    try:
        with store.capture() as capture:
            backup = store.copy(capture, setting.shelf, lines.append)
        assert "of somebody else" in setting.cluster.nodetool(1, "listsnapshots")
        store.forget(capture.tag)  # again
        with store.capture() as later:
            assert later.tag != capture.tag
            for keyspace in cassandra_captures.KEYSPACES:
                setting.cluster.nodetool(0, "compact", keyspace)  # its SSTables are in the snapshot alone now
            second = store.copy(later, Setting(setting.cluster, setting.folder, "20260102T000000Z-000000").shelf, lines.append)
        assert second.details["sent_bytes"] < backup.details["sent_bytes"] / 2
    finally:
        setting.cluster.nodetool(1, "clearsnapshot", "-t", "of somebody else")
    folder = setting.shelf.folder / STORE
    facts = ClusterFacts.unseal((folder / "cluster.json").read_bytes(), where="cluster.json")
    assert [node.host for node in facts.nodes] == setting.cluster.hosts
    assert {"snapped.acct", "snapped.empty", "snapped_coordinator.state", "system.paxos", "system_auth.roles"} <= facts.tables.keys()
    ids = {
        name: str(id_).replace("-", "")
        for name, id_ in setting.cluster.execute("SELECT table_name, id FROM system_schema.tables WHERE keyspace_name = 'snapped'")
    }
    assert facts.tables["snapped.acct"] == ids["acct"]
    schema = (folder / "schema.cql").read_text()
    assert "CREATE KEYSPACE IF NOT EXISTS \"snapped\" WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': '3'};" in schema
    assert "CREATE TABLE IF NOT EXISTS snapped.acct" in schema
    assert "CREATE INDEX IF NOT EXISTS balances" in schema
    assert backup.details["nodes"] == len(backup.details["listings"]) == 3
    for path in backup.details["listings"]:
        listing = NodeListing.unseal((setting.shelf.folder / path).read_bytes(), where=path)
        assert any("/.balances/" in file.path for file in listing.files)
        assert listing.tag == capture.tag


@pytest.mark.fault(
    "kill -9 of the capturing task between arming and the window",
    "The nodetools that wait on the nodes end without a snapshot.",
)
def test_killed_worker_leaves_neither_snapshot_nor_nodetool(setting: Setting, tmp_path: Path) -> None:
    """SIGKILL between arming and the window."""
    said = tmp_path / "topology.json"
    said.write_text(setting.topology().model_dump_json(exclude_unset=True))
    command = [sys.executable, cassandra_arming.__file__, str(said), STORE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": "plugins:."}) as worker:
        assert worker.stdout
        assert worker.stdout.readline() == b"armed\n"
        worker.send_signal(signal.SIGKILL)


@pytest.mark.fault(
    "The snapshot fails on one node, because its name is taken",
    "The capture fails, the window is void; what the other nodes took is cleared.",
)
@pytest.mark.long
def test_tag_that_is_taken_meanwhile_fails_the_capture(setting: Setting) -> None:
    tag = snapshot_tag(NAME, STORE, "run")
    with pytest.raises(StoreError, match=f"{setting.cluster.hosts[1]}.*already exists"), setting.store().arm(tag) as armed:
        setting.cluster.nodetool(1, "snapshot", "-t", tag, "snapped_meta")
        armed.fix()


@pytest.mark.fault(
    "A table is dropped and made again in mid-window",
    "Found after the unpause, before anything is uploaded: no restore point.",
)
@pytest.mark.long
def test_table_made_again_in_mid_window_voids(setting: Setting) -> None:
    store = setting.store()
    with pytest.raises(WindowVoidError, match="schema"), store.arm() as armed:
        capture = armed.fix()
        setting.cluster.execute("DROP TABLE snapped.empty")
        setting.cluster.execute("CREATE TABLE snapped.empty (id int PRIMARY KEY)")
        store.prove(capture, setting.shelf)
    for node in setting.cluster.nodes:
        node.nodetool("clearsnapshot", "--all")  # Cassandra's own, of the table that was dropped


@pytest.mark.fault(
    "A node hangs (SIGSTOP) when its snapshot is due",
    "The capture fails at `capture_limit`; nothing is left on the node once it goes on.",
)
@pytest.mark.long
def test_node_that_does_nothing_costs_no_more_than_the_limit(setting: Setting) -> None:
    """And once it goes on, nothing is left there either."""
    store, node, took = setting.store(capture_limit="3s"), setting.cluster.node(2), list[float]()
    said = f"{node.host} has not taken its snapshot within 3s"
    with pytest.raises(StoreUnreachableError, match=said), store.arm() as armed, frozen(node):
        started = time.monotonic()
        try:
            armed.fix()
        finally:
            took.append(time.monotonic() - started)
    assert took[0] < 5
    setting.cluster.wait_un()


@pytest.mark.fault(
    "kill -9 of a node before the window",
    "Noticed while the capture is armed, before anything is paused; the preflight names the node, too.",
)
@pytest.mark.long  # a node's end and start
def test_dead_node_is_named_before_anything_is_paused(setting: Setting) -> None:
    node, store = setting.cluster.node(2), setting.store()
    try:
        with pytest.raises(StoreUnreachableError, match=f"{node.host}.*nothing listens"), store.arm() as armed:
            before = armed.ring
            armed.check()
            node.kill()
            poll("the dead node is noticed", lambda: armed.check(), 5)
        last = list(ask(STORE, store.questions()))[-1]
        assert (last.ok, node.host in last.detail) == (False, True), last
    finally:
        node.start()
        setting.cluster.wait_un()
    with store.arm() as armed:
        assert before.difference(armed.ring) == f"node {node.host} was restarted"


@pytest.mark.fault(
    "kill -9 of a node while it takes its snapshot",
    "The capture fails and names the node.",
)
@pytest.mark.long
def test_node_that_dies_while_it_takes_its_snapshot_fails_the_capture(setting: Setting) -> None:
    node = setting.cluster.node(2)
    try:
        with pytest.raises(StoreError, match=node.host), setting.store().arm() as armed, frozen(node):
            threading.Timer(0.5, node.kill).start()
            armed.fix()
    finally:
        node.start()
        setting.cluster.wait_un()


@pytest.mark.fault(
    "A node cannot make the links of its snapshot, as on a full disk",
    "The capture fails and names the node.",
)
@pytest.mark.long
def test_data_folder_that_cannot_be_written_fails_the_capture(setting: Setting) -> None:
    """As on a full disk, the links of one table cannot be made: a file stands where their folder would be."""
    node = setting.cluster.node(0)
    (table,) = Path(node.directories["data"][0]).glob("snapped_meta/metadata-*")
    shutil.rmtree(table / "snapshots", ignore_errors=True)
    (table / "snapshots").touch()
    try:
        with pytest.raises(StoreError, match=node.host), setting.store().arm() as armed:
            armed.fix()
    finally:
        (table / "snapshots").unlink()


@pytest.mark.fault(
    "kill -9 of a nodetool that waits for the window",
    "Noticed while the window is waited for, before anything is paused.",
)
@pytest.mark.long
def test_nodetool_that_dies_while_it_waits_is_noticed(setting: Setting) -> None:
    with pytest.raises(StoreError, match=setting.cluster.hosts[0]), setting.store().arm() as armed:
        armed.check()
        os.kill(cassandra_captures.waiting_at(setting.cluster.node(0)), signal.SIGKILL)
        time.sleep(1)
        armed.check()
