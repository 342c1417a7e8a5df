"""Every DAG of every example topology: it loads, it is documented, its chain is the one that the docs promise, and its failures show."""

from __future__ import annotations

import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = sorted(path for path in (REPOSITORY / "dags").glob("*.py"))
TOPOLOGY = """
name: bank
destination: file:///tmp/restore-points
schedule: "0 2 * * *"
timezone: Asia/Tokyo
drill: {schedule: "0 5 * * 0"}
notifications: {on_failure: [{notifier: airflow.providers.smtp.notifications.smtp.SmtpNotifier, args: {to: ops@example.com, from_email: m@example.com}}]}
stores:
  - {name: accounts, engine: postgresql, conn_id: accounts_db, namespaces: [bank]}
"""
TWO_STORES = """
name: duo
destination: file:///tmp/restore-points
products: [{kind: scalardb-server, endpoints: {static: ["127.0.0.1:60051"]}}]
scalardb: {coordinators: [{store: points}]}
stores:
  - {name: accounts, engine: postgresql, conn_id: accounts_db, namespaces: [bank_a]}
  - {name: points, engine: postgresql, conn_id: points_db, namespaces: [bank_b]}
"""

POINT_IN_TIME = """
name: trio
destination: file:///tmp/restore-points
products: [{kind: scalardb-server, endpoints: {static: ["127.0.0.1:60052"]}}]
scalardb: {coordinators: [{store: points}]}
stores:
  - {name: accounts, engine: postgresql, conn_id: accounts_db, namespaces: [bank_a], method: pitr, wal: {archive: "file:///wal"}}
  - {name: points, engine: mysql, conn_id: points_db, namespaces: [bank_b]}
"""


def dags_of(folder: Path) -> dict[str, Any]:
    """All DAGs of these topologies by id, made as Airflow's dag-processor makes them."""
    from airflow.dag_processing.dagbag import DagBag

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIDTIME_TOPOLOGIES", str(folder))
        bag = DagBag(dag_folder=str(REPOSITORY / "dags"), collect_dags=True, bundle_name="dags")
    assert bag.import_errors == {}
    return dict(bag.dags)


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("topologies")
    (folder / "bank.yaml").write_text(TOPOLOGY)
    (folder / "duo.yaml").write_text(TWO_STORES)
    (folder / "trio.yaml").write_text(POINT_IN_TIME)
    return dags_of(folder)


def edges(dag: Any) -> dict[str, list[str]]:
    return {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks}


def test_the_dags_of_one_topology(dags: dict[str, Any]) -> None:
    of_topologies = [f"{name}__{kind}" for name in ("bank", "duo", "trio") for kind in ("backup", "drill", "restore")]
    assert sorted(dags) == sorted([*of_topologies, "midtime__retention", "midtime__sweep"])


CHAIN_OF_A_DUMP = {
    "preflight": ["dump_accounts"],
    "dump_accounts": ["midtime", "publish"],
    "midtime": ["publish"],
    "publish": ["done", "release"],
    "release": [],
    "done": [],
}
"""The chain of one database that is dumped."""


def test_the_chain_of_a_backup(dags: dict[str, Any]) -> None:
    assert edges(dags["bank__backup"]) == CHAIN_OF_A_DUMP


def test_the_chain_of_a_backup_in_a_window(dags: dict[str, Any]) -> None:
    """Pause and captures side by side; the teardown hangs on the pause alone, so that it waits for no copy."""
    dag = dags["duo__backup"]
    after_a_capture = ["midtime", "publish", "release"]
    assert edges(dag) == {
        "preflight": ["dump_accounts", "dump_points", "pause"],
        "pause": ["midtime", "publish", "release", "unpause"],
        "dump_accounts": after_a_capture,
        "dump_points": after_a_capture,
        "unpause": [],
        "midtime": ["publish"],
        "publish": ["done", "release"],
        "release": [],
        "done": [],
    }
    assert dag.task_dict["unpause"].upstream_task_ids == {"pause"}
    assert dag.task_dict["unpause"].is_teardown
    assert dag.task_dict["unpause"].on_failure_fail_dagrun
    assert dag.dagrun_timeout is None  # it would skip the teardown


def test_a_restore_point_that_is_not_restorable_at_once(dags: dict[str, Any]) -> None:
    """Drills start when it is, and a wait that fails fails the run; the lease does not wait."""
    dag = dags["trio__backup"]
    found = edges(dag)
    assert found["publish"] == ["done", "release", "restorable"]
    assert found["restorable"] == ["done"]
    assert [asset.name for asset in dag.task_dict["restorable"].outlets] == ["trio__restore_points"]
    assert dag.task_dict["publish"].outlets == []
    assert dag.task_dict["dump_accounts"].after == ["dump_points"]


def test_a_window_is_not_tried_again(dags: dict[str, Any]) -> None:
    tasks = dags["duo__backup"].task_dict
    assert [tasks[name].retries for name in ("pause", "dump_accounts", "dump_points")] == [0, 0, 0]
    assert tasks["unpause"].retries > 0


def test_the_coordinators_store_is_captured_first(dags: dict[str, Any]) -> None:
    tasks = dags["duo__backup"].task_dict
    assert (tasks["dump_points"].after, tasks["dump_accounts"].after) == ([], ["dump_points"])


def test_a_slow_sweep_keeps_no_other_from_unpausing(dags: dict[str, Any]) -> None:
    sweep = dags["midtime__sweep"]
    assert edges(sweep) == {"unpause": ["sweep"], "sweep": []}
    assert sweep.max_active_runs > 1
    assert sweep.task_dict["sweep"].max_active_tis_per_dag == 1
    assert sweep.task_dict["sweep"].trigger_rule == "all_done"


def test_the_chain_of_a_restore(dags: dict[str, Any]) -> None:
    assert edges(dags["bank__restore"]) == {
        "plan": ["approve", "place", "restore_accounts", "verify"],
        "approve": ["restore_accounts"],
        "restore_accounts": ["verify"],
        "verify": ["place"],
        "place": ["done", "release"],
        "release": [],
        "done": [],
    }


def test_the_chain_of_a_drill(dags: dict[str, Any]) -> None:
    assert edges(dags["bank__drill"]) == {
        "plan": ["report", "restore_accounts", "verify"],
        "restore_accounts": ["verify"],
        "verify": ["report"],
        "report": ["discard", "done"],
        "discard": [],
        "done": [],
    }


def test_a_failure_makes_the_run_fail(dags: dict[str, Any]) -> None:
    """A teardown that may fail its run hides the tasks before it, unless something else stands beside it (facts of Airflow 3.3.2)."""
    for dag in dags.values():
        teardowns = [task for task in dag.tasks if task.is_teardown]
        assert all(task.on_failure_fail_dagrun for task in teardowns)
        for teardown in teardowns:
            for upstream in teardown.upstream_task_ids:
                after = [dag.get_task(each) for each in dag.get_task(upstream).get_flat_relative_ids(upstream=False)]
                assert [task for task in after if not task.is_teardown and not task.downstream_task_ids], (dag.dag_id, upstream)


def test_every_dag_is_documented_tagged_owned_and_told_of(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        assert dag.doc_md
        assert "midtime" in dag.tags
        assert dag.catchup is False
        assert dag.dagrun_timeout is None
        assert {task.owner for task in dag.tasks} == {"midtime"}
        if dag.dag_id.startswith("bank"):
            assert [type(each).__name__ for each in dag.on_failure_callback] == ["SmtpNotifier"]
            assert "| accounts | postgresql | dump | bank |" in dag.doc_md


def test_schedules(dags: dict[str, Any]) -> None:
    backup, drill = dags["bank__backup"].timetable, dags["bank__drill"].timetable
    assert (backup.expression, backup.timezone) == ("0 2 * * *", "Asia/Tokyo")
    assert dags["bank__restore"].schedule is None
    assert (drill.timetable.expression, drill.timetable.timezone) == ("0 5 * * 0", "Asia/Tokyo")
    assert [asset.name for asset in drill.asset_condition.objects] == ["bank__restore_points"]
    assert dags["bank__backup"].max_active_runs == 1
    assert dags["bank__restore"].max_active_runs == 1


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [
        ("restore_point", "latest", True),
        ("restore_point", "20261121T020007Z-3fa9c1", True),
        ("restore_point", "yesterday", False),
        ("targets", {"accounts": "copy"}, True),
        ("targets", {"loans": "copy"}, False),
        ("targets", {"accounts": 3}, False),
        ("targets", "copy", False),
        ("in_place", "yes", False),
        ("approve", None, False),
    ],
)
def test_the_trigger_form_refuses_what_makes_no_sense(dags: dict[str, Any], name: str, value: Any, good: bool) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    param = dags["bank__restore"].params.get_param(name)
    if good:
        param.resolve(value)
    else:
        with pytest.raises(ParamValidationError):
            param.resolve(value)


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [
        ("dry_run", True, True),
        ("dry_run", "yes", False),
        ("dry_run", None, False),
        ("topology", None, True),
        ("topology", "bank", True),
        ("topology", "loans", False),
        ("topology", 3, False),
    ],
)
def test_the_trigger_form_of_retention(dags: dict[str, Any], name: str, value: Any, good: bool) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    param = deepcopy(dags["midtime__retention"].params.get_param(name))
    if good:
        assert param.resolve(value) == value
    else:
        with pytest.raises(ParamValidationError):
            param.resolve(value)


def test_retention_by_the_clock_removes(dags: dict[str, Any]) -> None:
    dag = dags["midtime__retention"]
    assert (dag.timetable.expression, dag.max_active_runs) == ("0 0 * * *", 1)
    assert {name: dag.params[name] for name in dag.params} == {"dry_run": False, "topology": None}
    assert [topology.name for topology in dag.get_task("retention").topologies] == ["bank", "duo", "trio"]


PARSE = """
import json, os, runpy, socket, sys
def refuse(*_, **__): raise AssertionError("network at parse time")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
heavy = ("boto3", "botocore", "azure", "cassandra", "kubernetes", "grpc", "paramiko", "psycopg", "s3fs", "adlfs", "croniter_", "rich.progress")
import airflow.sdk
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, CronTriggerTimetable, Param
airflows = set(sys.modules)
for file in sys.argv[1:]:  # each in a process of its own, which need not load Airflow again
    child = os.fork()
    if not child:
        runpy.run_path(file)
        loaded = [name for name in set(sys.modules) - airflows if name.partition(".")[0] in heavy]
        print(json.dumps([file, loaded]))
        break
    assert os.waitpid(child, 0)[1] == 0, file
"""


def heavy_modules(topologies: Path, home: Path) -> dict[str, list[str]]:
    """What each DAG file loads that it should leave to its tasks.

    :raises AssertionError: a file cannot be read without a network, or is wrong
    """
    environment = {"MIDTIME_TOPOLOGIES": str(topologies), "AIRFLOW_HOME": str(home), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", PARSE, *map(str, FILES)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))


def test_parsing_uses_no_network_and_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "bank.yaml").write_text(TOPOLOGY)
    assert heavy_modules(tmp_path, tmp_path) == {str(file): [] for file in FILES}


def test_a_task_builds_only_its_own_dag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from midtime import dag_parts

    for name in ("bank", "loans"):
        (tmp_path / f"{name}.yaml").write_text(TOPOLOGY.replace("name: bank", f"name: {name}"))
    monkeypatch.setenv("MIDTIME_TOPOLOGIES", str(tmp_path))

    class Parsing:
        dag_id = "loans__backup"

    monkeypatch.setattr(dag_parts, "get_parsing_context", lambda: Parsing)
    assert [topology.name for topology in dag_parts.topologies("backup", shape="single_rdb")] == ["loans"]
    assert list(dag_parts.topologies("restore")) == []
    assert list(dag_parts.topologies("backup", shape="multi_storage")) == []


def test_a_bad_file_hides_no_good_topology(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from midtime import dag_parts

    (tmp_path / "bank.yaml").write_text(TOPOLOGY)
    (tmp_path / "bad.yaml").write_text("name: [")
    monkeypatch.setenv("MIDTIME_TOPOLOGIES", str(tmp_path))
    assert [topology.name for topology in dag_parts.topologies("restore")] == ["bank"]
    assert ["bad.yaml" in str(error) for error in dag_parts.topology_errors()] == [True]


def test_airflow_does_not_pass_over_any_file() -> None:
    """Its dag-processor skips a file in which the words airflow and dag do not both occur."""
    for file in FILES:
        text = file.read_text().lower()
        assert "airflow" in text, file.name
        assert "dag" in text, file.name


def test_the_plugin_loader_leaves_the_package_alone() -> None:
    """It would import every file of it under its bare name (facts/style.md 0.1)."""
    assert (REPOSITORY / "plugins" / ".airflowignore").read_text().split() == ["midtime/"]
