"""What a topology says of a cluster, and what its nodes are asked."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from midtime.errors import RequestError, StoreAccessError, StoreUnreachableError, ToolError
from midtime.model.topology.cassandra import Directories
from midtime.stores.cassandra.cluster import Layout, Member, drill_cluster, live_cluster
from midtime.stores.cassandra.nodes.local import LocalNode
from tests.unit.stores.cassandra.fake_ring import HOSTS, Ring3, member_of
from tests.unit.stores.cassandra.test_checks import topology

YAML = {
    "data_file_directories": ["/d1", "/d2"],
    "local_system_data_file_directory": "/own",
    "commitlog_directory": "/c",
    "hints_directory": "/h",
    "saved_caches_directory": "/s",
}


def node_with(config: Path, **said: object) -> Member:
    return member_of(LocalNode("n1", "10.0.0.1"), directories=Directories.model_validate({"config": str(config), **said}))


def test_layout_is_read_from_the_nodes_own_configuration(tmp_path: Path) -> None:
    config = tmp_path / "cassandra.yaml"
    config.write_text(yaml.safe_dump(YAML))
    assert node_with(config).layout == Layout(("/d1", "/d2", "/own"), "/c", "/h", "/s", None, str(config))
    assert node_with(config, data=["/mine"], hints="/mine/h").layout == Layout(("/mine",), "/c", "/mine/h", "/s", None, str(config))


def test_layout_that_nobody_says_is_told(tmp_path: Path) -> None:
    config = tmp_path / "cassandra.yaml"
    config.write_text(yaml.safe_dump({key: value for key, value in YAML.items() if key != "hints_directory"}))
    with pytest.raises(StoreAccessError, match="does not say hints_directory"):
        node_with(config).layout  # noqa: B018 - it is read
    config.write_text("a: [")
    with pytest.raises(StoreAccessError, match="is no YAML"):
        node_with(config).layout  # noqa: B018
    with pytest.raises(ToolError, match="No such file"):
        node_with(tmp_path / "none.yaml").layout  # noqa: B018


def test_where_a_node_has_its_own_tables_is_never_guessed(tmp_path: Path) -> None:
    """SSTables in a folder of the other kind are not found, and nobody misses them."""
    config = tmp_path / "cassandra.yaml"
    said = {"commitlog": "/c", "hints": "/h", "saved_caches": "/s", "cdc_raw": "/r"}
    assert node_with(config, data=["/d1"], **said).local_system_folder == ""
    with pytest.raises(ToolError, match="No such file"):
        node_with(config, data=["/d1", "/own"], **said).local_system_folder  # noqa: B018 - it is read
    config.write_text(yaml.safe_dump(YAML))
    assert node_with(config, data=["/d1", "/own"], **said).local_system_folder == "/own"


def test_each_names_all_that_failed_and_keeps_the_kind() -> None:
    cluster = Ring3().cluster

    def work(member: Member) -> str:
        if member.label == HOSTS[0]:
            return "done"
        raise StoreUnreachableError("it is silent", fix="start it")

    with pytest.raises(StoreUnreachableError) as caught:
        cluster.each(work)
    assert caught.value.message == f"2 of 3 nodes failed:\nnode {HOSTS[1]}: it is silent\nnode {HOSTS[2]}: it is silent"
    assert caught.value.fix == "start it"
    assert cluster.each(lambda member: member.host) == {host: host for host in HOSTS}


def test_each_hides_no_error_of_ours() -> None:
    with pytest.raises(ZeroDivisionError):
        Ring3().cluster.each(lambda _: 1 // 0)


def test_clusters_of_a_topology() -> None:
    with live_cluster(topology(), "ring") as cluster:
        assert [(member.label, member.host, member.jmx_port) for member in cluster.members] == [(host, host, 7199) for host in HOSTS]
        assert cluster.member(HOSTS[1]).host == HOSTS[1]
        with pytest.raises(StoreAccessError, match="has no node 'gone' any more"):
            cluster.member("gone")
    with pytest.raises(RequestError, match="names no cluster to drill store 'ring' on"):
        drill_cluster(topology(), "ring")


def test_drill_cluster_takes_from_the_store_what_its_target_leaves_out() -> None:
    said = topology().model_dump(mode="json", exclude_unset=True)
    said["stores"][0] |= {"nodetool": "/opt/nodetool", "conn_id": "live"}
    said["drill"] = {"targets": {"ring": {"conn_id": "other", "nodes": [{"host": "10.9.0.1", "seed": True, "jmx_port": 7200}]}}}
    with drill_cluster(type(topology()).model_validate(said), "ring") as cluster:
        (member,) = cluster.members
    assert (member.host, member.seed, member.jmx_port, member.nodetool) == ("10.9.0.1", True, 7200, ("/opt/nodetool",))
    assert (cluster.conn_id, cluster.name) == ("other", "ring")


@pytest.mark.parametrize("node", [HOSTS[1], {"host": HOSTS[1], "seed": True}])
def test_the_live_cluster_is_no_drill_cluster(node: object) -> None:
    said = topology().model_dump(mode="json", exclude_unset=True)
    said["drill"] = {"targets": {"ring": {"conn_id": "other", "nodes": ["10.9.0.1", node]}}}
    with pytest.raises(RequestError, match=rf"is the live cluster: {HOSTS[1]}"):
        drill_cluster(type(topology()).model_validate(said), "ring")


@pytest.mark.parametrize("again", [True, False])
def test_the_live_clusters_pods_are_no_drill_cluster(again: bool) -> None:
    """Where a target says nothing of its access, the store's counts, and finds the live pods."""
    said = topology().model_dump(mode="json", exclude_unset=True)
    del said["stores"][0]["nodes"]
    said["stores"][0]["access"] = access = {"kubernetes": {"namespace": "live", "selector": "app=cassandra"}}
    said["drill"] = {"targets": {"ring": {"conn_id": "other", **({"access": access} if again else {"nodes": ["10.9.0.1"]})}}}
    with pytest.raises(RequestError, match="is the live cluster: the pods of its selector"):
        drill_cluster(type(topology()).model_validate(said), "ring")
