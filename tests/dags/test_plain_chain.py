"""The DAG of docs/plain-chain.md: it loads as it stands there, and its unpause runs whatever fails before it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.dags.test_dags import TWO_STORES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "plain-chain.md"


@pytest.fixture
def dag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "duo.yaml").write_text(TWO_STORES)
    monkeypatch.setenv("MIDTIME_TOPOLOGIES", str(tmp_path))
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    from airflow.dag_processing.dagbag import DagBag

    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "my_backup.py").write_text(code)
    bag = DagBag(dag_folder=str(folder), collect_dags=True, bundle_name="dags")
    assert bag.import_errors == {}
    return bag.dags["my_backup"]


def test_the_unpause_comes_last_and_always(dag: Any) -> None:
    unpause = dag.get_task("unpause")
    assert "work" in unpause.upstream_task_ids
    assert unpause.is_teardown
    assert unpause.on_failure_fail_dagrun
    assert not [task for task in dag.tasks if task.is_setup]  # with one, it would not run when that fails
    assert dag.get_task("done").upstream_task_ids == {"work"}
    assert dag.get_task("pause").captures is None
