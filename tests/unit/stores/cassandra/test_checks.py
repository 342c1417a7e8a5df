"""What a preflight of a cluster asks, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midtime.errors import MidtimeError, StagingSpaceError, StoreAccessError, StoreUnreachableError, ToolError
from midtime.model.topology import Topology
from midtime.model.topology.cassandra import Directories
from midtime.stores.base import Check, ask
from midtime.stores.cassandra import checks
from midtime.stores.cassandra.checks import FLOOR, BackupChecks
from midtime.stores.cassandra.nodes.base import Node
from midtime.stores.cassandra.nodes.local import LocalNode
from midtime.stores.cassandra.proving import SYSTEM
from tests.unit.stores.cassandra.fake_ring import HOSTS, FakeNode, Ring3, member_of

KEYSPACES = ("bank", "coordinator", *SYSTEM)


def topology() -> Topology:
    store: dict[str, Any] = {"name": "ring", "engine": "cassandra", "access": "local", "nodes": list(HOSTS), "namespaces": ["bank"]}
    return Topology.model_validate(
        {
            "name": "books",
            "destination": "file:///backups",
            "products": [{"kind": "scalardb-server", "endpoints": {"static": ["127.0.0.1:60051"]}}],
            "scalardb": {"coordinators": [{"store": "ring", "namespace": "coordinator"}]},
            "stores": [store],
        }
    )


def healthy() -> Ring3:
    three = Ring3()
    for node in three.nodes:
        node.answers |= {
            "tablestats": json.dumps({"bank": {"tables": {"acct": {}}}, "coordinator": {"tables": {"state": {}}}}),
            checks._TOOLS: "",
            checks._READABLE: "",
            "stat": f"{FLOOR} 1\n",
        }
    return three


def answers(three: Ring3) -> list[Check]:
    questions = BackupChecks(topology(), lambda: (three.cluster, three.tool), KEYSPACES, "midtime-books-ring-").questions()
    return list(ask("ring", questions))


def test_healthy_cluster() -> None:
    found = {check.question: check for check in answers(healthy())}
    assert all(check.ok for check in found.values()), found
    assert found["is reachable"].detail == "3 nodes, Cassandra 5.0.4"
    assert found["is whole"].detail.startswith("Mid Time: 3 nodes in dc1 (3 racks), all up and normal, schema ")
    assert found["has every namespace"].detail == "bank, coordinator: 2 tables with the system's; NOT backed up: Mixed_Case"
    assert found["lets us read its data"].detail == "6 data directories on 3 nodes"
    assert found["keeps snapshots"].detail == "for 3d if nobody clears them; none of ours is there; 3 of others stay as they are"


def change(number: int | None, key: str, old: str, new: str) -> Callable[[Ring3], None]:
    return lambda three: three.replace(number, key, old, new)


def answer(number: int, key: str, answer: str | MidtimeError) -> Callable[[Ring3], None]:
    return lambda three: three.nodes[number].answers.update({key: answer})


@pytest.mark.parametrize(
    ("spoil", "question", "kind", "told"),
    [
        (answer(1, "version", StoreUnreachableError("node 127.0.0.2 is gone")), "is reachable", StoreUnreachableError, "127.0.0.2"),
        (change(None, "status", "UN  127.0.0.3", "DN  127.0.0.3"), "is whole", StoreUnreachableError, "127.0.0.3 (dc1, r3) is DN"),
        (change(None, "describecluster", "\tbank ->", "\tbanking ->"), "has every namespace", StoreAccessError, "no keyspace bank"),
        (change(None, "tablestats", '"state"', '"estate"'), "has every namespace", StoreAccessError, "no Coordinator table coordinator.state"),
        (answer(2, checks._TOOLS, ToolError("node 127.0.0.3: sh ended: midtime misses: find")), "has tools on its nodes", ToolError, "misses: find"),
        (answer(0, checks._READABLE, ToolError("node 127.0.0.1: sh ended: midtime cannot read: /x")), "lets us read its data", ToolError, "cannot read: /x"),
        (answer(1, "stat", "1000 512\n"), "has room", StagingSpaceError, "node 127.0.0.2: /data_a has 512,000 bytes free"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(spoil: Callable[[Ring3], None], question: str, kind: type[MidtimeError], told: str) -> None:
    three = healthy()
    spoil(three)
    last = answers(three)[-1]
    assert (last.question, last.ok, type(last.error)) == (question, False, kind)
    assert told in last.detail


def test_own_snapshots_that_are_left_are_told() -> None:
    three = healthy()
    three.replace(0, "listsnapshots", "with space                 ", "midtime-books-ring-123456-7")
    assert "of ours there are midtime-books-ring-123456-7" in answers(three)[-1].detail


def test_cluster_that_cannot_be_opened_is_an_answer() -> None:
    def opened() -> Any:
        raise StoreAccessError("no pod has the labels")

    (check,) = ask("ring", BackupChecks(topology(), opened, KEYSPACES, "midtime-books-ring-").questions())
    assert (check.question, check.detail) == ("is reachable", "no pod has the labels")


@pytest.mark.parametrize(
    ("one", "other", "folders", "good"),
    [
        (LocalNode("a", "127.0.0.1"), LocalNode("b", "127.0.0.2"), ("/x", "/x"), False),
        (LocalNode("a", "127.0.0.1"), LocalNode("b", "127.0.0.2"), ("/x", "/y"), True),
        (FakeNode("10.0.0.1", {}), FakeNode("10.0.0.1", {}), ("/x", "/x"), False),
        (FakeNode("10.0.0.1", {}), FakeNode("10.0.0.2", {}), ("/x", "/x"), True),
    ],
)
def test_each_node_has_folders_of_its_own(one: Node, other: Node, folders: tuple[str, str], good: bool) -> None:
    places = {name: f"/{name}" for name in ("commitlog", "hints", "saved_caches", "cdc_raw")}
    members = [member_of(node, directories=Directories(data=(at,), **places)) for node, at in zip((one, other), folders, strict=True)]
    three = healthy()
    three.cluster.members = tuple(members)
    checks_of = BackupChecks(topology(), lambda: (three.cluster, three.tool), KEYSPACES, "midtime-books-ring-")
    if good:
        checks.require_own_folders(members)
    else:
        with pytest.raises(StoreAccessError, match="on one machine, and both are said to have /x"):
            checks_of._check_folders()


def test_scripts_run_on_a_node(tmp_path: Path) -> None:
    node = LocalNode("n", "n")
    node.shell(checks._TOOLS)
    (tmp_path / "a" / "b").mkdir(parents=True)
    node.shell(checks._READABLE, str(tmp_path / "a"))
    with pytest.raises(ToolError, match="midtime cannot read: /nowhere"):
        node.shell(checks._READABLE, str(tmp_path / "a"), "/nowhere")


def test_missing_tool_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sh", "find", "xargs", "stat", "true"):
        (tmp_path / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="midtime misses: sha256sum"):
        LocalNode("n", "n").shell(checks._TOOLS)
