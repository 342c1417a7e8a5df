"""The DAGs of topologies with managed stores: marks instead of captures, behind the midtime and before the manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from midtime.dag_parts import LOOKS
from tests.dags.test_dags import CHAIN_OF_A_DUMP, FILES, dags_of, edges, heavy_modules

CLOUD = """
name: cloud
destination: file:///tmp/restore-points
products: [{kind: scalardb-server, endpoints: {static: ["127.0.0.1:60051"]}}]
scalardb: {coordinators: [{store: points}]}
stores:
  - {name: points, engine: dynamodb, region: ap-northeast-1, namespaces: [bank_a]}
  - name: orders
    engine: cosmosdb
    data_conn_id: orders_data
    subscription_id: 00000000-0000-0000-0000-000000000000
    resource_group: bank
    account: bank-prod
    namespaces: [bank_b]
"""
BOTH = """
name: both
destination: file:///tmp/restore-points
products: [{kind: scalardb-server, endpoints: {static: ["127.0.0.1:60052"]}}]
scalardb: {coordinators: [{store: accounts}, {store: points, namespace: other}]}
stores:
  - {name: accounts, engine: postgresql, conn_id: accounts_db, namespaces: [bank_a]}
  - {name: points, engine: dynamodb, region: ap-northeast-1, namespaces: [bank_b]}
  - {name: loans, engine: postgresql, conn_id: loans_db, namespaces: [bank_c]}
"""
DUMPED = """
name: dumped
destination: file:///tmp/restore-points
stores:
  - {name: accounts, engine: aurora, method: dump, dialect: mysql, region: eu-west-1, cluster: c, data_conn_id: accounts_db, namespaces: [bank]}
"""
ALONE = """
name: alone
destination: file:///tmp/restore-points
stores:
  - {name: accounts, engine: aurora, dialect: mysql, region: eu-west-1, cluster: c, data_conn_id: accounts_db, namespaces: [bank]}
"""
DUMPED_TWICE = """
name: dumped-twice
destination: file:///tmp/restore-points
products: [{kind: scalardb-server, endpoints: {static: ["127.0.0.1:60053"]}}]
scalardb: {coordinators: [{store: accounts}]}
stores:
  - {name: accounts, engine: rds, method: dump, dialect: postgresql, region: eu-west-1, instance: i, data_conn_id: accounts_db, namespaces: [bank]}
  - {name: points, engine: rds, method: dump, dialect: mysql, region: eu-west-1, instance: j, data_conn_id: points_db, namespaces: [points]}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("topologies")
    (made / "cloud.yaml").write_text(CLOUD)
    (made / "both.yaml").write_text(BOTH)
    (made / "dumped.yaml").write_text(DUMPED)
    (made / "alone.yaml").write_text(ALONE)
    (made / "dumped-twice.yaml").write_text(DUMPED_TWICE)
    return made


@pytest.fixture(scope="module")
def dags(folder: Path) -> dict[str, Any]:
    return dags_of(folder)


def test_the_chain_where_all_are_managed(dags: dict[str, Any]) -> None:
    dag = dags["cloud__backup"]
    assert edges(dag) == {
        "preflight": ["pause"],
        "pause": ["mark_orders", "mark_points", "midtime", "publish", "release", "unpause"],
        "unpause": [],
        "midtime": ["mark_orders", "mark_points", "publish"],
        "mark_points": ["publish", "release"],
        "mark_orders": ["publish", "release"],
        "publish": ["done", "release", "restorable"],
        "restorable": ["done"],
        "release": [],
        "done": [],
    }
    assert dag.task_dict["pause"].captures == []
    assert dag.task_dict["publish"].outlets == []  # drills wait until it is restorable
    assert [asset.name for asset in dag.task_dict["restorable"].outlets] == ["cloud__restore_points"]


def test_the_chain_of_a_mixture(dags: dict[str, Any]) -> None:
    dag = dags["both__backup"]
    found = edges(dag)
    assert found["dump_accounts"] == ["midtime", "publish", "release"]
    assert found["midtime"] == ["mark_points", "publish"]
    assert found["mark_points"] == ["publish", "release"]
    assert dag.task_dict["pause"].captures == ["dump_accounts", "dump_loans"]


def test_a_managed_database_alone_is_marked_without_a_pause(dags: dict[str, Any]) -> None:
    dag = dags["alone__backup"]
    assert edges(dag) == {
        "preflight": ["mark_accounts"],
        "mark_accounts": ["midtime", "publish"],
        "midtime": ["publish"],
        "publish": ["done", "release", "restorable"],
        "restorable": ["done"],
        "release": [],
        "done": [],
    }
    assert dag.task_dict["publish"].outlets == []


def test_a_managed_database_that_is_dumped_needs_no_pause_and_no_mark(dags: dict[str, Any]) -> None:
    assert edges(dags["dumped__backup"]) == CHAIN_OF_A_DUMP
    assert [asset.name for asset in dags["dumped__backup"].task_dict["publish"].outlets] == ["dumped__restore_points"]  # at once restorable
    assert {"dumped__restore", "dumped__drill"} <= dags.keys()


def test_two_of_them_are_captured_in_one_window(dags: dict[str, Any]) -> None:
    tasks = dags["dumped-twice__backup"].task_dict
    assert tasks["pause"].captures == ["dump_accounts", "dump_points"]
    assert not [name for name in tasks if name.startswith("mark_")]


def test_no_capture_is_before_a_coordinators_mark(dags: dict[str, Any]) -> None:
    tasks = dags["both__backup"].task_dict
    assert tasks["dump_accounts"].after == []
    assert tasks["dump_loans"].after == ["dump_accounts", "pause"]


def test_a_mark_is_tried_again_and_a_window_is_not(dags: dict[str, Any]) -> None:
    tasks = dags["cloud__backup"].task_dict
    assert (tasks["pause"].retries, tasks["mark_points"].retries) == (0, 2)
    assert tasks["mark_points"].execution_timeout is not None
    assert tasks["mark_points"].template_fields == ("midtime", "window")


def test_what_a_failure_leaves_is_cleared_last(dags: dict[str, Any]) -> None:
    release = dags["cloud__backup"].task_dict["release"]
    assert release.is_teardown
    assert release.on_failure_fail_dagrun
    assert {"pause", "mark_points", "mark_orders"} <= release.upstream_task_ids
    assert dags["cloud__backup"].task_dict["unpause"].upstream_task_ids == {"pause"}


def test_marks_need_no_slot_in_the_window(folder: Path) -> None:
    from midtime.model.topology import load_named
    from midtime.windows import slots_needed

    assert slots_needed(load_named(folder, "cloud")) == 1
    assert slots_needed(load_named(folder, "both")) == 3


def test_each_can_be_sent_to_the_scheduler(dags: dict[str, Any]) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    for dag in dags.values():
        json.dumps(DagSerialization.to_dict(dag))


def test_parsing_loads_no_sdk(folder: Path, tmp_path: Path) -> None:
    assert heavy_modules(folder, tmp_path) == {str(file): [] for file in FILES}


def test_the_trigger_form_says_what_each_store_may_be_told(dags: dict[str, Any]) -> None:
    """And, before anybody asks for it, what a restore in place costs."""
    form = dags["both__restore"].params
    said = form.get_param("targets").schema["description_md"]
    assert "* **points**: what the new tables' names begin with" in said
    assert "* **accounts**: a connection, or the new database's name" in said
    assert "points loses every earlier restore point" in form.get_param("in_place").description
    assert "* **orders**: the new account's name" in dags["cloud__restore"].params.get_param("targets").schema["description_md"]
    assert "accounts loses" not in form.get_param("in_place").description


@pytest.mark.parametrize(("topology", "store"), [("cloud", "orders"), ("alone", "accounts")])
def test_the_trigger_form_says_that_nothing_is_restored_in_place(dags: dict[str, Any], topology: str, store: str) -> None:
    said = dags[f"{topology}__restore"].params.get_param("in_place").description
    assert said.startswith(f"Refused for this topology: {store} can only be restored beside")


@pytest.mark.parametrize(
    ("topology", "said"),
    [("alone", "the new cluster's name"), ("dumped", "a connection, or what the new databases' names begin with")],
)
def test_the_trigger_form_of_a_managed_database(dags: dict[str, Any], topology: str, said: str) -> None:
    for kind in ("restore", "drill"):
        form = dags[f"{topology}__{kind}"].params.get_param("targets").schema["description_md"]
        assert form.endswith(f"* **accounts**: {said}")
    assert dags["dumped__restore"].params.get_param("in_place").description.startswith("Replace the live databases.")


def test_looks_are_tried_again_more_often_than_work(dags: dict[str, Any]) -> None:
    """Airflow takes a try where its scheduler stalls for longer than a deferral; a restore of hours has hundreds of them."""
    for dag in ("both__restore", "both__drill"):
        assert {task: dags[dag].get_task(f"restore_{task}").retries for task in ("points", "accounts")} == {"points": LOOKS, "accounts": 2}
    assert dags["both__backup"].get_task("restorable").retries == LOOKS
