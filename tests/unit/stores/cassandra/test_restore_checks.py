"""What is asked of a cluster before it is replaced, and of one lost node."""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from airflow.sdk import ObjectStoragePath

from midtime.errors import RequestError, StoreAccessError, TargetExistsError, ToolError
from midtime.model.topology.cassandra import Directories
from midtime.model.topology.plan import Drill
from midtime.stores.base import Shelf, Target
from midtime.stores.cassandra import restoring
from midtime.stores.cassandra.cluster import Cluster
from midtime.stores.cassandra.listing import ClusterFacts, NodeFacts
from midtime.stores.cassandra.nodes.local import LocalNode
from midtime.stores.cassandra.nodetool_output import Replication
from midtime.stores.cassandra.one_node import repaired, require_copies
from midtime.stores.cassandra.restore_checks import (
    _MAY_CONFIGURE,
    RestoreChecks,
    drill_questions,
    require_apart,
    require_partitioner,
    require_rights,
)
from tests.unit.builders import part
from tests.unit.stores.cassandra.fake_ring import HOSTS, IDS, FakeNode, Ring3, member_of, spec_of
from tests.unit.stores.cassandra.moving_room import DRILL, IN_PLACE, STAGED, WORKING, World
from tests.unit.stores.cassandra.test_checks import topology

THEN = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
"""Addresses that pods had at the backup."""


def checks_of(three: Ring3, labels: tuple[str, ...], *, ids: tuple[str, ...] = IDS) -> RestoreChecks:
    """For nodes that have these names for ever, and the ring's addresses now."""
    for node, label in zip(three.nodes, labels, strict=True):
        node.label = label
    cluster = Cluster("ring", spec_of(), [member_of(node) for node in three.nodes], conn_id=None, jmx_conn_id=None)
    checks = RestoreChecks(cast(Any, None), Target("ring", "", "midtime_tmp_x", "ring", "midtime_before_x"), cast(Any, None), ExitStack())
    nodes = tuple(
        NodeFacts(label=label, host=host, host_id=id_, data_center="dc1", rack="r", tokens=("1",), version="5.0.4", schema_version="s")
        for label, host, id_ in zip(labels, THEN, ids, strict=True)
    )
    facts = ClusterFacts(store="ring", name="c", partitioner="p", tag="t", keyspaces=(), tables={}, nodes=nodes)
    checks.__dict__ |= {"cluster": cluster, "facts": facts}
    return checks


class TestCheck:
    """What ``midtime check`` asks beyond a backup."""

    def test_nodes_that_nobody_can_stop(self) -> None:
        (question, answer), *_ = drill_questions(topology(), "ring")
        assert question == "can be restored in place"
        with pytest.raises(RequestError, match="has no `stop`"):
            answer()

    def test_drills_that_have_nowhere_to_go(self) -> None:
        """Every backup starts one, unless the topology says otherwise."""
        *_, (question, answer) = drill_questions(topology(), "ring")
        assert question == "can be drilled"
        with pytest.raises(RequestError, match=r"names no cluster to drill.*drill\.after_backup"):
            answer()
        without = topology().model_copy(update={"drill": Drill(after_backup=False)})
        assert [question for question, _ in drill_questions(without, "ring")] == ["can be restored in place"]


class TestSameRing:
    def test_pods_with_other_addresses(self) -> None:
        assert checks_of(Ring3(), ("pod-0", "pod-1", "pod-2")).layout() == "the 3 nodes of the backup"

    def test_one_that_was_replaced(self) -> None:
        said = checks_of(Ring3(), ("pod-0", "pod-1", "pod-2"), ids=(*IDS[:2], "former")).layout()
        assert said == f"the 3 nodes of the backup; {HOSTS[2]} was replaced since and becomes who it was"

    def test_a_node_that_would_stay_what_it_is(self) -> None:
        three = Ring3()
        checks = checks_of(three, ("pod-0", "pod-1", "pod-2"))
        cast(FakeNode, checks.cluster.members[2].node).host = "10.0.0.3"
        with pytest.raises(StoreAccessError, match=rf"nodes that the backup does not hold: {HOSTS[2]}"):
            checks.layout()


@pytest.mark.parametrize(
    ("data", "good"), [(["/d1", "/d2/"], True), (["/srv/1", "/srv/2"], True), (["/d1"], False), (["/d1", "/d2", "/d3"], False)]
)
def test_data_directories_are_the_servers(data: list[str], good: bool, tmp_path: Path) -> None:
    """What is staged elsewhere is never looked at."""
    config = tmp_path / "cassandra.yaml"
    config.write_text(yaml.safe_dump({"data_file_directories": ["/d1", "/d2"]}))
    said = Directories.model_validate(
        {"config": str(config), "data": data, "commitlog": "/c", "hints": "/h", "saved_caches": "/s", "cdc_raw": "/r"}
    )
    member = member_of(LocalNode("n1", "10.0.0.1"), directories=said)
    if good:
        require_apart(member)
        return
    with pytest.raises(RequestError, match=r"node n1: directories\.data is .*, and .*cassandra\.yaml has /d1, /d2"):
        require_apart(member)


def test_partitioner() -> None:
    """Every key would be looked for on another node."""
    facts = checks_of(Ring3(), ("a", "b", "c")).facts.model_copy(update={"partitioner": "org.apache.cassandra.dht.Murmur3Partitioner"})
    require_partitioner("Murmur3Partitioner", facts)
    checks = checks_of(Ring3(), ("a", "b", "c"), ids=("x", "y", "z"))
    checks.target = replace(checks.target, aside=None)
    checks.__dict__["facts"] = facts.model_copy(update={"partitioner": "RandomPartitioner", "nodes": checks.facts.nodes})
    with pytest.raises(StoreAccessError, match="Murmur3Partitioner, the backup is of RandomPartitioner"):
        checks.layout()


@pytest.mark.parametrize(("enabled", "said", "good"), [(True, None, False), (True, "/raw", True), (False, None, True)])
def test_captured_changes_have_a_known_place(enabled: bool, said: str | None, good: bool, tmp_path: Path) -> None:
    config = tmp_path / "cassandra.yaml"
    config.write_text(yaml.safe_dump({"data_file_directories": ["/d"], "cdc_enabled": enabled}))
    places = {"config": str(config), "data": ("/d",), "commitlog": "/c", "hints": "/h", "saved_caches": "/s", "cdc_raw": said}
    member = member_of(LocalNode("n1", "10.0.0.1"), directories=Directories.model_validate(places))
    if good:
        require_apart(member)
        return
    with pytest.raises(RequestError, match="node n1 has cdc_enabled, and nothing says where"):
        require_apart(member)


def test_whoever_writes_a_configuration_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder of the file, not of a link to it; and only where it is written."""
    asked: list[tuple[str, ...]] = []
    node = LocalNode("n1", "10.0.0.1")
    monkeypatch.setattr(node, "shell", lambda *words, **_: asked.append(words))
    for configured in (False, True):
        require_rights(member_of(node), "me", configured=configured)
    assert [words[1:] for words in asked if words[0] == _MAY_CONFIGURE] == [(Directories().config,)]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    folder, link = tmp_path / "conf", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder / "cassandra.yaml")
    LocalNode("n1", "h").shell(_MAY_CONFIGURE, str(link))
    nobody = "test() { false; }\n"  # root may write everywhere
    with pytest.raises(ToolError, match=f"midtime cannot write: {folder}"):
        LocalNode("n1", "h").shell(nobody + _MAY_CONFIGURE, str(link))


class TestFate:
    STAYS = Target("ring", "drill", WORKING, "ring_restored")

    def fate(self, world: World, target: Target) -> str:
        checks = RestoreChecks(cast(Any, None), target, cast(Any, None), ExitStack())
        checks.__dict__ |= {"cluster": world.cluster}
        return checks.fate()

    def test_another_cluster_is_asked_again_when_it_is_filled(self, world: World) -> None:
        assert "for you to remove" in self.fate(world, self.STAYS)
        moving = world.stage(self.STAYS)
        moving.claim()
        moving.forward()
        assert "for you to remove" in self.fate(world, self.STAYS)
        with pytest.raises(TargetExistsError, match="is taken by another restore"):
            self.fate(world, replace(self.STAYS, working=WORKING.replace("abcdef", "123456")))
        moving.let_go()
        with pytest.raises(TargetExistsError, match="in its folders already"):
            self.fate(world, self.STAYS)

    def test_a_cluster_that_was_filled_to_stay(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Asked by the plan, and once more by the restore itself: it may have come to stay in between."""
        moving = world.stage(self.STAYS)
        moving.forward()
        moving.keep()
        moving.drop()
        other = replace(DRILL, working=WORKING.replace("abcdef", "123456"), final="")
        with pytest.raises(TargetExistsError, match="brought there to stay"):
            self.fate(world, other)
        monkeypatch.setattr(restoring, "cluster_of", lambda *_: nullcontext(world.cluster))
        monkeypatch.setattr(restoring, "_fill", lambda *_: pytest.fail("it was filled"))
        shelf = Shelf(ObjectStoragePath(f"file://{world.root}/points/one"), "ring")
        point = topology().model_copy(update={"destination": f"file://{world.root}/points"})
        with pytest.raises(TargetExistsError, match="brought there to stay"):
            restoring.restore(point, part("ring"), shelf, other, world.said.append)
        assert world.live() == STAGED
        assert all(map(world.runs, world.cluster.members))

    def test_in_place_nothing_may_be_there(self, world: World) -> None:
        moving = world.stage()
        moving.claim()
        moving.forward()
        with pytest.raises(TargetExistsError, match="in its folders already"):
            self.fate(world, IN_PLACE)


def test_its_own_tables_lie_in_a_folder_that_is_swapped(tmp_path: Path) -> None:
    """Or paxos would keep its state of now, and the node its name."""
    config = tmp_path / "cassandra.yaml"
    config.write_text(yaml.safe_dump({"data_file_directories": ["/d1"], "local_system_data_file_directory": "/own"}))
    said = {"config": str(config), "commitlog": "/c", "hints": "/h", "saved_caches": "/s", "cdc_raw": "/r"}
    require_apart(member_of(LocalNode("n1", "10.0.0.1"), directories=Directories.model_validate({**said, "data": ["/d1", "/own"]})))
    with pytest.raises(RequestError, match=r"has /d1, /own"):
        require_apart(member_of(LocalNode("n1", "10.0.0.1"), directories=Directories.model_validate({**said, "data": ["/d1", "/d2"]})))


def test_a_node_whose_data_nobody_else_has() -> None:
    one, two = (Replication("NetworkTopologyStrategy", (("dc1", count),)) for count in ("1", "2"))
    require_copies({"bank": two, "other": one}, ["bank"])
    with pytest.raises(RequestError, match="keyspace bank has one replica"):
        require_copies({"bank": one}, ["bank"])


def test_what_is_repaired_on_one_node() -> None:
    """Also what is not ours: it has lost its part of it."""
    known = ["system", "system_auth", "system_schema", "bank", "systematic", "others"]
    assert repaired(known, ["coordinator", "bank"]) == ["coordinator", "bank", "others", "systematic"]
