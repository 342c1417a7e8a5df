"""A Cassandra cluster, and a PostgreSQL beside it, under a real ScalarDB Server, in a real Airflow while the bank moves money.

Two topologies: ``ring`` of both databases, ``alone`` of the cluster only. Drills go to a cluster of one node.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from midtime.catalog import Catalog
from midtime.catalog.pool import LISTINGS
from midtime.model.instants import from_rfc3339
from midtime.model.restore_point import RestorePoint, State
from midtime.model.topology import Topology
from midtime.model.window import Window
from tests.integration import faults
from tests.integration.airflow_restores import Switch, approved, marks, money
from tests.integration.cassandra_airflow import mark, mark_tables, remove_kept, require_cleared, standing
from tests.integration.fixtures import Installation
from tests.integration.test_airflow_faults import flip, kill_worker
from tests.integration.windows import ENDED, require_whole_evidence
from tests.stack.bank import Bank
from tests.stack.cassandra import CassandraCluster
from tests.stack.processes import poll
from tests.stack.scalardb import Place
from tests.stack.stack import BESIDE_RING, IN_RING, Stack

pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.airflow, pytest.mark.timeout(900)]


@dataclass
class World:
    """What is backed up, and where its drills go."""

    installation: Installation
    places: dict[str, Place]
    bank: Bank
    switch: Switch
    ring: Topology
    alone: Topology

    @property
    def stack(self) -> Stack:
        return self.installation.stack

    @property
    def cluster(self) -> CassandraCluster:
        return self.stack.cassandra

    @property
    def lone(self) -> Place:
        """The drills' cluster, newly connected: it was restarted meanwhile."""
        self.stack.lone_cassandra.session.close()
        return Place(self.stack.lone_cassandra)

    @property
    def nodes(self) -> set[str]:
        return set(self.cluster.hosts)

    def catalog(self, topology: Topology) -> Catalog:
        return self.installation.catalog(topology)

    def uploads(self, topology: Topology, run_id: str) -> dict[str, dict[str, Any]]:
        """The mapped tasks by the names that people see."""
        tasks = self.installation.airflow.task_instances(f"{topology.name}__backup", run_id)
        return {task["rendered_map_index"]: task for task in tasks if task["task_id"] == f"upload_{IN_RING}"}


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest, installation: Installation) -> Iterator[World]:
    stack = installation.stack
    places, server, bank, lone = stack.ring_places, stack.ring_scalardb, stack.ring_bank, stack.lone_cassandra
    for namespace, place in places.items():
        installation.airflow.add_connection(f"{namespace}_db", place.conn_uri)
    installation.airflow.add_connection("lone", lone.conn_uri())
    with Switch({"stop": server.stop, "start": server.start}) as switch, mark_tables(places):
        endpoints = {"static": [server.address]}
        product = {"kind": "scalardb-server", "endpoints": endpoints, "stop": switch.command("stop"), "start": switch.command("start")}
        keys = {
            "destination": f"file://{installation.folder}/restore-points",
            "products": [product],
            "scalardb": {"coordinators": [{"store": IN_RING}]},
            "pause": {"drain": "5s", "deadline": "15s", "arm": "5m"},
        }
        stores = {namespace: place.store(namespace) for namespace, place in places.items()}
        drill = {"targets": {IN_RING: lone.drill_target(conn_id="lone")}}
        ring = installation.write("ring", {**keys, "stores": list(stores.values()), "drill": drill})
        alone = installation.write("alone", {**keys, "stores": [stores[IN_RING]], "drill": {**drill, "after_backup": False}})
        installation.airflow.wait_dag("ring__backup", timeout=180)
        for topology in (ring, alone):
            installation.wait_for(topology)
        yield World(installation, places, bank, switch, ring, alone)
    if not any(item.get_closest_marker("airflow") and item.path != request.path for item in request.session.items):
        installation.airflow.stop()  # an idle one still takes of the cores that the next tests of a cluster need


@dataclass
class BackedUp:
    """A run of ``ring__backup``; the drill that it started stands at its report."""

    run_id: str
    point: RestorePoint
    began: float
    drill_stands: Path


@pytest.fixture(scope="module")
def backed_up(world: World) -> Iterator[BackedUp]:
    """What is committed after arming and before the pause carries the mark 1, what comes afterwards the mark 2."""
    installation, began = world.installation, time.monotonic()
    drill_stands, armed = (installation.stop_at("ring", place) for place in ("report", "pausing"))
    world.bank.start(threads=2, think=0.1)
    try:
        run_id = installation.airflow.trigger("ring__backup")
        installation.reached(armed, timeout=300)
        mark(world.places, 1)
        armed.unlink()
        installation.airflow.wait_task("ring__backup", run_id, "unpause", lambda state: state in ENDED, timeout=240)
        mark(world.places, 2)
    finally:
        armed.unlink(missing_ok=True)
        world.bank.stop()
    installation.succeeded("ring__backup", run_id, timeout=400)
    point = world.catalog(world.ring).resolve(installation.airflow.xcom("ring__backup", run_id, "publish"))
    yield BackedUp(run_id, point, began, drill_stands)
    drill_stands.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def drilled(world: World, backed_up: BackedUp) -> None:
    """The drill that the asset started is over, and the node that it restored into is free."""
    backed_up.drill_stands.unlink(missing_ok=True)
    run = poll("the drill", lambda: world.installation.airflow.runs("ring__drill") or None, 60)[0]
    world.installation.succeeded("ring__drill", run["dag_run_id"], timeout=300)


def test_a_backup_while_money_moves(world: World, backed_up: BackedUp) -> None:
    """One task for each node, which carries its name; the window proves itself; nothing is left on the nodes."""
    airflow, point = world.installation.airflow, backed_up.point
    assert world.uploads(world.ring, backed_up.run_id).keys() == world.nodes
    window = Window.from_dict(point.evidence["window"])
    said = airflow.xcom("ring__backup", backed_up.run_id, "midtime", "midtime")
    assert point.midtime == from_rfc3339(said) == window.middle
    require_whole_evidence(point.evidence, world.ring, [f"snapshot_{IN_RING}", f"dump_{BESIDE_RING}"])
    assert all(store.fence["before"] < store.fence["after"] for store in point.stores)
    assert world.bank.longest_gap(backed_up.began) < 20
    assert point.whole
    require_cleared(world.installation, world.ring, world.cluster)
    world.installation.midtime("verify", point.id, "--topology", "ring")
    details = point.store(IN_RING).details
    assert (
        sum(airflow.xcom("ring__backup", backed_up.run_id, f"upload_{IN_RING}", map_index=index)["files"] for index in range(3))
        == details["files"]
    )
    assert airflow.xcom("ring__backup", backed_up.run_id, f"collect_{IN_RING}")["sent_bytes"] == details["sent_bytes"] > 0


def test_the_drill_that_the_asset_starts(world: World, backed_up: BackedUp) -> None:
    """Good, and before its targets are removed the sum in them is exact; the mark of before the pause is in it, no later one."""
    airflow = world.installation.airflow
    world.installation.reached(backed_up.drill_stands, timeout=300)
    run_id = airflow.runs("ring__drill")[0]["dag_run_id"]
    working = {target["store"]: target["working"] for target in airflow.xcom("ring__drill", run_id, "plan")["targets"]}
    restored = {IN_RING: world.lone, BESIDE_RING: Place(world.stack.postgres, working[BESIDE_RING])}
    assert money(restored, IN_RING) == world.bank.expected_total == world.bank.total()
    assert marks(restored) == [[1], [1]]
    backed_up.drill_stands.unlink()
    world.installation.succeeded("ring__drill", run_id, timeout=300)
    assert airflow.xcom("ring__drill", run_id, "verify")["good"]
    entry = world.catalog(world.ring).entry(backed_up.point.id)
    assert entry is not None
    assert entry.state is State.DRILLED
    assert not world.lone.execute(f"SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = '{IN_RING}'")


@pytest.mark.fault(
    "One bit of an SSTable in the pool is flipped",
    "`midtime verify` finds it.",
)
@pytest.mark.usefixtures("drilled")
def test_one_bit_of_an_sstable(world: World, backed_up: BackedUp) -> None:
    """After the drill, which reads them all."""
    pool = Path(f"{world.installation.folder}/restore-points/ring/pool/{IN_RING}")
    largest = max((each for each in pool.rglob("*") if each.is_file()), key=lambda each: each.stat().st_size)
    flip(largest)
    with pytest.raises(AssertionError, match=r"SHA-256|sha256"):
        world.installation.midtime("verify", backed_up.point.id, "--topology", "ring")
    flip(largest)
    world.installation.midtime("verify", backed_up.point.id, "--topology", "ring")


# -- what takes long ----------------------------------------------------------------------------------------------------------------------


@dataclass
class Interrupted:
    """A run of ``alone__backup`` one of whose uploads was killed.

    :param total: of the cluster's accounts, between which alone money moved
    :param sent: by the killed one, and by the next try
    """

    run_id: str
    node: str
    total: int
    sent: tuple[list[str], list[str]]
    point: RestorePoint


@pytest.fixture(scope="module")
def interrupted(world: World, backed_up: BackedUp) -> Interrupted:
    """Beside the drill of the other topology."""
    installation, server = world.installation, world.stack.ring_scalardb
    bank = Bank(server.address, world.bank.size, [f"{IN_RING}.acct"])
    total, stands = bank.total(), installation.stop_at("alone", "sending")
    bank.start(threads=1, think=0.05)
    try:
        run_id = installation.airflow.trigger("alone__backup")
        task = installation.reached(stands, timeout=300)
        pids = {path: path.read_text() for path in (installation.folder / "faults").glob(f"alone.upload_{IN_RING}.*.pid")}
        (killed,) = (path for path, pid in pids.items() if pid == str(task))
        kill_worker(task)
    finally:
        stands.unlink(missing_ok=True)
        bank.close()
    installation.succeeded("alone__backup", run_id, timeout=300)
    sent = tuple(faults.sent(installation.folder / "faults", "alone", pid).read_text().split() for pid in (task, int(killed.read_text())))
    point = world.catalog(world.alone).resolve("latest")
    node = killed.name.removeprefix(f"alone.upload_{IN_RING}.").removesuffix(".pid")
    return Interrupted(run_id, node, total, (sent[0], sent[1]), point)


@pytest.mark.long
@pytest.mark.fault(
    "kill -9 of one of three uploads and its worker",
    "Only that one is tried again, and what it had sent is not sent again.",
)
def test_an_upload_is_killed_and_goes_on(world: World, interrupted: Interrupted) -> None:
    """Only that one is tried again, and what it had sent is not sent again."""
    uploads = world.uploads(world.alone, interrupted.run_id)
    assert {node: task["try_number"] for node, task in uploads.items()} == dict.fromkeys(world.nodes, 1) | {interrupted.node: 2}
    before, after = interrupted.sent
    assert len(before) >= faults.SENT
    assert after
    assert not set(before) & set(after)
    done = world.installation.airflow.xcom(
        "alone__backup", interrupted.run_id, f"upload_{IN_RING}", map_index=uploads[interrupted.node]["map_index"]
    )
    assert done["sent_files"] == len(after) < done["files"]
    assert len(interrupted.point.store(IN_RING).details[LISTINGS]) == len(world.nodes)
    require_cleared(world.installation, world.alone, world.cluster)
    world.installation.midtime("verify", interrupted.point.id, "--topology", "alone")


@pytest.mark.long
@pytest.mark.usefixtures("drilled")
def test_the_cluster_alone_drilled(world: World, interrupted: Interrupted) -> None:
    """What was uploaded by a killed task and its next try is whole."""
    stands = world.installation.stop_at("alone", "report")
    try:
        run_id = world.installation.airflow.trigger("alone__drill")
        world.installation.reached(stands, timeout=300)
        assert money({IN_RING: world.lone}, IN_RING) == interrupted.total
    finally:
        stands.unlink()
    world.installation.succeeded("alone__drill", run_id, timeout=300)
    assert world.installation.airflow.xcom("alone__drill", run_id, "verify")["good"]


@pytest.fixture(scope="module")
def torn(world: World, backed_up: BackedUp) -> RestorePoint:
    """A snapshot without a pause, newer than what is whole."""
    backed_up.drill_stands.unlink(missing_ok=True)
    world.bank.start(threads=2, think=0.1)
    try:
        run_id = world.installation.run("ring__snapshot", timeout=300)
    finally:
        world.bank.stop()
    return world.catalog(world.ring).resolve(world.installation.airflow.xcom("ring__snapshot", run_id, "publish"), whole=False)


@pytest.mark.long
def test_a_snapshot_without_a_pause_is_no_whole_restore_point(world: World, backed_up: BackedUp, torn: RestorePoint) -> None:
    airflow = world.installation.airflow
    assert not torn.whole
    assert torn.id > backed_up.point.id
    assert world.catalog(world.ring).resolve("latest").id == backed_up.point.id
    require_cleared(world.installation, world.ring, world.cluster)
    for kind, conf in (("drill", {}), ("restore", {"in_place": True})):
        run_id = airflow.trigger(f"ring__{kind}", {"restore_point": torn.id, **conf})
        assert airflow.wait_run(f"ring__{kind}", run_id) == "failed"
        assert "not whole" in airflow.task_log(f"ring__{kind}", run_id, "plan")


@pytest.mark.long
def test_one_lost_node(world: World, torn: RestorePoint) -> None:
    """From the newest snapshot, whole or not; what it has missed since, the others bring it."""
    installation, lost = world.installation, world.cluster.node(2)
    before = world.bank.total()
    lost.kill()
    lost.wipe()
    run_id = approved(installation, "ring__restore_node", {"node": lost.host})
    assert installation.airflow.xcom("ring__restore_node", run_id, "plan")["restore_point"] == torn.id
    assert world.switch.done[-2:] == ["stop", "start"]
    world.cluster.session.close()
    world.cluster.wait_un()
    assert money(world.places, IN_RING) == world.bank.total() == before
    remove_kept(world.cluster)


@pytest.mark.long
def test_in_place(world: World, backed_up: BackedUp, torn: RestorePoint) -> None:
    """With a person's yes, and the product stopped meanwhile; ``latest`` is the newest one that is whole."""
    assert marks(world.places) == [[1, 2], [1, 2]]
    run_id = approved(world.installation, "ring__restore", {"restore_point": "latest", "in_place": True})
    assert world.installation.airflow.xcom("ring__restore", run_id, "plan")["restore_point"] == backed_up.point.id
    assert world.switch.done[-2:] == ["stop", "start"]
    world.cluster.session.close()
    assert money(world.places, IN_RING) == world.bank.total() == world.bank.expected_total
    assert marks(world.places) == [[1], [1]]
    remove_kept(world.cluster)
    run_id = world.installation.airflow.trigger("ring__restore_node", {"node": world.cluster.node(2).host, "restore_point": torn.id})
    assert world.installation.airflow.wait_run("ring__restore_node", run_id) == "failed"
    assert "has given up" in world.installation.airflow.task_log("ring__restore_node", run_id, "plan")


@pytest.mark.fault(
    "kill -9 of the capturing task after its snapshots",
    "No restore point; `release` clears the snapshots on all nodes.",
)
@pytest.mark.long
def test_killed_after_its_snapshot(world: World, backed_up: BackedUp) -> None:
    """The window is over, the snapshot stands: ``release`` clears it, and its note."""
    installation, points = world.installation, world.catalog(world.ring).newest(9)
    stands = installation.stop_at("ring", f"prove_{IN_RING}")
    try:
        run_id = installation.airflow.trigger("ring__backup")
        task = installation.reached(stands, timeout=300)
        assert len({line.split()[0] for line in standing(world.cluster)}) == 1
        kill_worker(task)
    finally:
        stands.unlink()
    assert installation.airflow.wait_run("ring__backup", run_id, timeout=240) == "failed"
    assert installation.airflow.task_states("ring__backup", run_id)["release"] == "success"
    require_cleared(installation, world.ring, world.cluster)
    assert world.catalog(world.ring).newest(9) == points
    assert world.catalog(world.ring).half_written(thorough=True) == []


@pytest.mark.long
def test_a_snapshot_of_what_is_stopped(world: World) -> None:
    """Refused while the product runs; then a restore point like any other."""
    airflow, server = world.installation.airflow, world.stack.ring_scalardb
    run_id = airflow.trigger("alone__snapshot", {"stopped": True})
    assert airflow.wait_run("alone__snapshot", run_id) == "failed"
    assert f"still answers at {server.address}" in airflow.failure_report("alone__snapshot", run_id)
    server.stop()
    try:
        run_id = world.installation.run("alone__snapshot", {"stopped": True}, timeout=300)
    finally:
        server.start()
    point = world.catalog(world.alone).resolve("latest")
    assert point.id == airflow.xcom("alone__snapshot", run_id, "publish")
    assert point.whole
    require_cleared(world.installation, world.alone, world.cluster)
