"""Where a cluster is restored to, which node becomes which, and what a cluster of another size is told."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from midtime.errors import RequestError, StoreAccessError
from midtime.model.restore_point import RestorePoint
from midtime.model.topology import Target as TargetWish
from midtime.model.topology import Topology
from midtime.restoring import Plan, RestoreRequest, make_plan
from midtime.stores.base import Target
from midtime.stores.cassandra import loading
from midtime.stores.cassandra.facts import matching_nodes, require_other
from midtime.stores.cassandra.listing import ClusterFacts, NodeFacts, SnapshotFile
from midtime.stores.cassandra.loading import capped, renamed, statements
from midtime.stores.cassandra.restoring import target_of
from midtime.stores.cassandra.ring import Ring, RingNode
from tests.unit.builders import MIDTIME, part
from tests.unit.stores.cassandra.cql_fakes import FakeCluster
from tests.unit.stores.cassandra.fake_ring import Ring3


def topology(**drill: Any) -> Topology:
    body: dict[str, Any] = {
        "name": "bank",
        "destination": "file:///nowhere",
        "products": [{"kind": "scalardb-server", "endpoints": {"static": ["127.0.0.1:1"]}}],
        "scalardb": {"transaction_manager": "single-crud-operation", "metadata_namespace": "bank"},
        "stores": [
            {"name": "ring", "engine": "cassandra", "namespaces": ["bank"], "access": "local", "nodes": ["127.0.0.1"], "conn_id": "cql"},
        ],
    }
    return Topology.model_validate({**body, "drill": {"targets": {"ring": drill}}} if drill else body)


OTHER = topology(nodes=["127.0.0.9"], conn_id="other")
IN_PLACE = {"run": "abcdef", "drill": False, "in_place": True}
BESIDE = {"run": "abcdef", "drill": False, "in_place": False}
DRILL = {"run": "abcdef", "drill": True, "in_place": False}


class TestTarget:
    def test_in_place(self) -> None:
        found = target_of(topology(), "ring", None, **IN_PLACE)
        assert found == Target("ring", "cql", found.working, "ring", "midtime_before_abcdef")
        assert found.working.startswith("midtime_tmp_abcdef_")

    def test_drill(self) -> None:
        found = target_of(OTHER, "ring", OTHER.drill.targets["ring"], **DRILL)
        assert (found.conn_id, found.aside, found.final == found.working) == ("other", None, True)

    def test_the_drill_cluster_to_stay(self) -> None:
        found = target_of(OTHER, "ring", TargetWish(to="other"), **BESIDE)
        assert (found.conn_id, found.aside, found.final) == ("other", None, "ring_restored_abcdef")

    def test_a_person_approves_what_replaces_another_cluster_for_good(self) -> None:
        point = RestorePoint.model_construct(id="20261121T020007Z-acba25", midtime=MIDTIME, stores=(part("ring"),))
        to_other = {"targets": {"ring": "other"}}
        plan = make_plan(OTHER, RestoreRequest.parse(to_other, OTHER), point, kind="restore", run="r")
        assert (Plan.from_dict(plan.to_dict()).asks, plan.replaces) == (True, False)
        assert "What is in the other cluster gives way" in plan.summary()
        with pytest.raises(RequestError, match="never done without approval"):
            make_plan(OTHER, RestoreRequest.parse({**to_other, "approve": False}, OTHER), point, kind="restore", run="r")
        assert not make_plan(OTHER, RestoreRequest.parse({}, OTHER, kind="drill"), point, kind="drill", run="r").asks

    @pytest.mark.parametrize("wish", [None, TargetWish(to="cql"), TargetWish(to="bank_new")])
    def test_nothing_else(self, wish: TargetWish | None) -> None:
        with pytest.raises(RequestError, match=r"in place, or into the cluster of drill\.targets\.ring"):
            target_of(OTHER, "ring", wish, **BESIDE)

    def test_no_other_cluster(self) -> None:
        with pytest.raises(RequestError, match="the topology names no other"):
            target_of(topology(), "ring", None, **BESIDE)


def node(label: str, rack: str, center: str = "dc1") -> NodeFacts:
    return NodeFacts(
        label=label, host=label, host_id=label, data_center=center, rack=rack, tokens=("1",), version="5.0.4", schema_version="s"
    )


def facts(*nodes: NodeFacts) -> ClusterFacts:
    return ClusterFacts(store="ring", name="c", partitioner="p", tag="t", keyspaces=(), tables={}, nodes=nodes)


def ring(*nodes: NodeFacts) -> Ring:
    return Ring("other", "p", "s", tuple(RingNode(**node.model_dump(), generation=1) for node in nodes), {})


class TestPairs:
    def test_racks_stay_together(self) -> None:
        then = facts(node("a", "r1"), node("b", "r1"), node("c", "r2"))
        now = ring(node("x", "one"), node("y", "two"), node("z", "two"))
        pairs = matching_nodes(now, then)
        assert pairs["x"].label == "c"
        assert {pairs["y"].label, pairs["z"].label} == {"a", "b"}

    @pytest.mark.parametrize("now", [ring(node("x", "1"), node("y", "1")), ring(node("x", "1"), node("y", "2", "dc2"))])
    def test_another_layout(self, now: Ring) -> None:
        with pytest.raises(StoreAccessError, match=r"is laid out as .*, and the backup's was dc1: 1\+1"):
            matching_nodes(now, facts(node("a", "r1"), node("b", "r2")))


def test_the_live_cluster_is_not_filled() -> None:
    """Whatever it is called."""
    with pytest.raises(StoreAccessError, match=r"drill\.targets\.ring is the very cluster that was backed up: its host ids are b"):
        require_other(ring(node("x", "1"), node("b", "1")), facts(node("a", "1"), node("b", "1")))
    require_other(ring(node("x", "1")), facts(node("a", "1")))


class TestSchema:
    def test_statements(self) -> None:
        text = "CREATE TABLE a (x int) WITH comment = 'one; ''two''';\n/* none; */\nCREATE TYPE \"b;c\" (y int);\n"
        assert list(statements(text)) == ["CREATE TABLE a (x int) WITH comment = 'one; ''two'''", 'CREATE TYPE "b;c" (y int)']

    @pytest.mark.parametrize(("own", "stores", "login"), [("drill", "live", "drill"), (None, "live", "live"), (None, None, None)])
    def test_made_with_the_login_there_is(
        self, own: str | None, stores: str | None, login: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str | None] = []
        monkeypatch.setattr(loading, "session_to", lambda _, conn_id, **__: (asked.append(conn_id), nullcontext(FakeCluster({})))[1])
        three = Ring3(conn_id=stores)
        three.cluster.conn_id = own
        assert loading.make_schema(three.cluster, "CREATE TABLE a;", ring(node("x", "1"))) == 1
        assert asked == [login]

    def test_replicas_are_no_more_than_nodes(self) -> None:
        one = ring(node("x", "1"))
        said = "CREATE KEYSPACE IF NOT EXISTS \"k\" WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': '3'}"
        assert "'dc1': '1'" in capped(said, one)
        assert "'replication_factor': '1'" in capped(said.replace("dc1", "replication_factor"), one)
        with pytest.raises(RequestError, match="data centre 'dc7'"):
            capped(said.replace("dc1", "dc7"), one)

    def test_sstables_of_several_nodes_in_one_folder(self) -> None:
        def file(name: str) -> SnapshotFile:
            return SnapshotFile(path=f"k/t-01/{name}", size=1, sha256="0" * 64, content="c", inode=1, mtime_ns=1)

        found = renamed([("a", file("nb-1-big-Data.db")), ("a", file("nb-1-big-Index.db")), ("b", file("nb-1-big-Data.db"))])
        assert [each.path for each in found] == ["k/t/nb-1-big-Data.db", "k/t/nb-1-big-Index.db", "k/t/nb-2-big-Data.db"]
