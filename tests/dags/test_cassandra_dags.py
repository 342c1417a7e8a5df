"""The DAGs of topologies with a Cassandra cluster: in a window beside databases and alone, and without a pause."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.dags.test_dags import FILES, dags_of, edges, heavy_modules

RING = """
name: ring
destination: file:///tmp/restore-points
products: [{kind: scalardb-server, endpoints: {static: ["127.0.0.1:60051"]}}]
stores:
  - {name: rows, engine: cassandra, access: local, nodes: [10.0.0.1, 10.0.0.2, 10.0.0.3], conn_id: ring, namespaces: [bank]}
"""
MIXTURE = """
name: mixture
destination: file:///tmp/restore-points
products: [{kind: scalardb-server, endpoints: {static: ["127.0.0.1:60052"]}}]
scalardb: {coordinators: [{store: rows}]}
stores:
  - {name: accounts, engine: postgresql, conn_id: accounts_db, namespaces: [bank_a]}
  - {name: rows, engine: cassandra, access: local, nodes: [10.0.0.1, 10.0.0.2, 10.0.0.3], conn_id: ring, namespaces: [bank_b]}
"""
WINDOW = {
    "preflight": ["pause", "snapshot_rows"],
    "pause": ["midtime", "publish", "release", "unpause"],
    "unpause": [],
    "snapshot_rows": ["collect_rows", "midtime", "nodes_rows", "publish", "release", "upload_rows"],
    "nodes_rows": ["release", "upload_rows"],
    "upload_rows": ["collect_rows", "release"],
    "collect_rows": ["publish", "release"],
    "midtime": ["publish"],
    "publish": ["done", "release"],
    "release": [],
    "done": [],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("topologies")
    (made / "ring.yaml").write_text(RING)
    (made / "mixture.yaml").write_text(MIXTURE)
    return made


@pytest.fixture(scope="module")
def dags(folder: Path) -> dict[str, Any]:
    return dags_of(folder)


def test_the_dags_of_each(dags: dict[str, Any]) -> None:
    kinds = ("backup", "drill", "restore", "restore_node", "snapshot")
    of_topologies = [f"{name}__{kind}" for name in ("mixture", "ring") for kind in kinds]
    assert sorted(dags) == sorted([*of_topologies, "midtime__retention", "midtime__sweep"])


def test_the_chain_of_a_clusters_backup(dags: dict[str, Any]) -> None:
    """The window's tasks side by side; the uploads after it; and the teardown waits for all that writes."""
    assert edges(dags["ring__backup"]) == WINDOW


def test_the_chain_of_a_mixture(dags: dict[str, Any]) -> None:
    dag = dags["mixture__backup"]
    dump = {"preflight": ["dump_accounts", "pause", "snapshot_rows"], "dump_accounts": ["midtime", "publish", "release"]}
    assert edges(dag) == {**WINDOW, **dump}
    assert (dag.task_dict["snapshot_rows"].after, dag.task_dict["dump_accounts"].after) == ([], ["snapshot_rows"])
    assert dag.task_dict["pause"].captures == ["snapshot_rows", "dump_accounts"]


def test_the_chain_without_a_pause(dags: dict[str, Any]) -> None:
    for name in ("mixture", "ring"):
        dag = dags[f"{name}__snapshot"]
        without = {task: after for task, after in WINDOW.items() if task not in ("pause", "unpause", "midtime")}
        capture = [task for task in WINDOW["snapshot_rows"] if task != "midtime"]
        assert edges(dag) == {**without, "preflight": ["publish", "snapshot_rows"], "snapshot_rows": capture}
        assert dag.schedule is None
        assert not [asset for task in dag.tasks for asset in task.outlets]  # it may be not whole, and no drill could restore that


@pytest.mark.parametrize("name", ["ring__backup", "mixture__backup", "ring__snapshot", "mixture__snapshot"])
def test_what_a_failure_leaves_is_cleared_last(dags: dict[str, Any], name: str) -> None:
    """`release` runs whatever failed, waits for all that writes or reads a snapshot, and hides no failure."""
    release = dags[name].task_dict["release"]
    assert release.is_teardown
    assert release.on_failure_fail_dagrun
    assert release.trigger_rule == "all_done_setup_success"
    assert {"snapshot_rows", "nodes_rows", "upload_rows", "collect_rows"} <= release.upstream_task_ids
    assert {task.trigger_rule for task in dags[name].tasks if not task.is_teardown} == {"all_success"}
    assert dags[name].task_dict["done"].upstream_task_ids == {"publish"}
    assert not [task for task in dags[name].tasks if task.is_setup]


@pytest.mark.parametrize("name", ["ring__backup", "mixture__backup", "ring__snapshot"])
def test_uploads_are_mapped_over_the_nodes_and_tried_again(dags: dict[str, Any], name: str) -> None:
    upload = dags[name].task_dict["upload_rows"]
    assert upload.is_mapped
    assert upload.retries == 3
    assert upload.partial_kwargs["map_index_template"] == "{{ task.node }}"
    made = upload.unmap({"node": "10.0.0.2"})
    assert (made.node, made.store, made.execution_timeout) == ("10.0.0.2", "rows", None)


def test_only_what_is_in_the_window_needs_its_slots(folder: Path) -> None:
    from midtime.model.topology import load_named
    from midtime.windows import slots_needed

    assert slots_needed(load_named(folder, "mixture")) == 3
    assert slots_needed(load_named(folder, "ring")) == 2


def test_a_snapshot_is_not_tried_again_in_a_window(dags: dict[str, Any]) -> None:
    assert dags["ring__backup"].task_dict["snapshot_rows"].retries == 0


def test_the_form_of_a_snapshot(dags: dict[str, Any]) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    param = deepcopy(dags["ring__snapshot"].params.get_param("stopped"))
    assert param.resolve() is False
    with pytest.raises(ParamValidationError):
        param.resolve("yes")
    assert dict(dags["mixture__snapshot"].params) == {}  # it would not be the whole set


def test_the_form_of_a_lost_node_proposes_the_nodes(dags: dict[str, Any]) -> None:
    assert dags["ring__restore_node"].params.get_param("node").schema["examples"] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


def test_each_can_be_sent_to_the_scheduler(dags: dict[str, Any]) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    for dag in dags.values():
        json.dumps(DagSerialization.to_dict(dag))


def test_parsing_loads_no_driver(folder: Path, tmp_path: Path) -> None:
    assert heavy_modules(folder, tmp_path) == {str(file): [] for file in FILES}


def test_a_task_builds_only_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from midtime import dag_parts

    monkeypatch.setenv("MIDTIME_TOPOLOGIES", str(folder))

    class Parsing:
        dag_id = "ring__snapshot"

    monkeypatch.setattr(dag_parts, "get_parsing_context", lambda: Parsing)
    assert [topology.name for topology in dag_parts.topologies("snapshot", snapshots=True)] == ["ring"]
    assert list(dag_parts.topologies("backup", shape="cassandra_cluster")) == []
