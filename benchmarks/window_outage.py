"""The outage of a pause window as clients see it, beside that of the vendor's command line; see docs/benchmarks.md.

Two PostgreSQL databases under one real ScalarDB Server, transfers without end between them, a real Airflow. Outage: the longest time between
two commits. What counts is what it has beyond drain and hold (or drain and captures), which both are known from the window's evidence.
Run as ``python -m benchmarks.window_outage``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from tests.stack.airflow import REPOSITORY
from tests.stack.processes import poll
from tests.stack.stack import TWO_DATABASES, Stack

from benchmarks.support.measuring import median, wait_for_quiet

GOALS = {"hold": 0.15, "captures": 0.4}
"""Seconds beyond drain + hold, and beyond drain + captures, at the 95th percentile."""
HOG = """
import time
from airflow.sdk import DAG, task

with DAG("hog", schedule=None):
    for number in range(24):
        @task(task_id=f"hog_{number}")
        def hog():
            time.sleep(8)
        hog()
"""


class Setting:
    """Everything that is measured on."""

    def __init__(self, folder: Path, stack: Stack) -> None:
        self.folder, self.stack = folder, stack
        self.bank, self.airflow = stack.multi_bank, None  # type: ignore[assignment]
        stack.multi_scalardb  # noqa: B018
        for database in TWO_DATABASES:
            stack.connections[database] = stack.postgres.conn_uri(database)
        self._topology("held", "2s")
        self._topology("short", "0s")
        self.airflow = stack.airflow
        for dag in ("held__backup", "short__backup", "hog"):
            self.airflow.wait_dag(dag, timeout=120)

    def _topology(self, name: str, hold: str) -> None:
        stores = [{"name": name_, "engine": "postgresql", "conn_id": name_, "namespaces": [name_]} for name_ in TWO_DATABASES]
        keys = {
            "name": name,
            "destination": f"file://{self.folder}/points",
            "products": [{"kind": "scalardb-server", "endpoints": {"static": [self.stack.multi_scalardb.address]}}],
            "scalardb": {"coordinators": [{"store": TWO_DATABASES[0]}]},
            "stores": stores,
            "pause": {"hold": hold, "drain": "5s", "deadline": "20s"},
            "drill": {"after_backup": False},
        }
        topologies = self.stack.topologies_dir
        assert topologies is not None
        (topologies / f"{name}.yaml").write_text(yaml.safe_dump(keys))

    def window(self, topology: str) -> dict[str, float]:
        """One backup: the outage, and what of it is drain, hold and captures."""
        began = time.monotonic()
        run = self.airflow.trigger(f"{topology}__backup")
        state = self.airflow.wait_run(f"{topology}__backup", run, timeout=300)
        assert state == "success", self.airflow.failure_report(f"{topology}__backup", run)
        time.sleep(0.5)
        evidence: dict[str, Any] = self.airflow.xcom(f"{topology}__backup", run, "pause")
        pause = evidence["endpoints"][0]["pause"]
        return {
            "outage": self.bank.longest_gap(began),
            "drain": (pause["answered_ms"] - pause["sent_ms"]) / 1000,
            "hold": evidence["limits"]["hold"],
            "captures": sum(said["seconds"] for said in evidence["captures"].values()),
        }

    def peer(self, hold: float) -> dict[str, float]:
        """``scalar-admin -c pause``, a sleep, ``scalar-admin -c unpause``, as the guide has it. Its drain is not known: part of the excess."""
        began = time.monotonic()
        self.stack.multi_scalardb.admin("pause")
        time.sleep(hold)
        self.stack.multi_scalardb.admin("unpause")
        time.sleep(0.5)
        return {"outage": self.bank.longest_gap(began), "drain": 0.0, "hold": hold, "captures": 0.0}

    @contextmanager
    def full_executor(self) -> Iterator[None]:
        """24 tasks of 8 s on 8 slots, again and again."""
        run = self.airflow.trigger("hog")
        poll("a full executor", lambda: [*self.airflow.task_states("hog", run).values()].count("running") >= 8 or None, 60)
        try:
            yield
        finally:
            self.airflow.wait_run("hog", run, timeout=120)


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="midtime-bench-") as home:
        folder = Path(home)
        others = folder / "dags"
        others.mkdir()
        (others / "hog.py").write_text(HOG)
        (folder / "topologies").mkdir()
        with Stack(folder, topologies_dir=folder / "topologies", settings=_bundles(others)) as stack:
            setting = Setting(folder, stack)
            setting.bank.start(threads=4, think=0.02)
            wait_for_quiet(5)
            rounds: dict[str, list[dict[str, float]]] = {
                "scalar-admin 2.2.1, 2 s between": [setting.peer(2.0) for _ in range(options.rounds)],
                "midtime, hold 2 s": [setting.window("held") for _ in range(options.rounds)],
                "midtime, captures only": [setting.window("short") for _ in range(options.rounds)],
                "midtime, captures only, full executor": list(_full(setting, options.full)),
            }
            setting.bank.stop()
            whole = setting.bank.total() == setting.bank.expected_total
    for name, found in rounds.items():
        _show(name, found)
    print(f"money in the bank afterwards: {'exact' if whole else 'WRONG'}")
    if options.json:
        print(json.dumps(rounds))


def _full(setting: Setting, count: int) -> Iterator[dict[str, float]]:
    for _ in range(count):
        with setting.full_executor():
            yield setting.window("short")


def _show(name: str, found: list[dict[str, float]]) -> None:
    part = "captures" if "captures" in name else "hold"
    excess = sorted(each["outage"] - each["drain"] - each[part] for each in found)
    worst: Callable[[list[float]], float] = lambda values: values[min(len(values) - 1, round(0.95 * (len(values) - 1)))]  # noqa: E731
    print(
        f"{name:40} n={len(found):2}  outage median {median([each['outage'] for each in found]):.3f} s; beyond drain + {part}: "
        f"median {median(excess):.3f} s, 95th percentile {worst(excess):.3f} s, most {excess[-1]:.3f} s"
        + ("" if "admin" in name else f" (goal {GOALS[part]} s)")
    )


def _bundles(others: Path) -> dict[tuple[str, str], str]:
    local = "airflow.dag_processing.bundles.local.LocalDagBundle"
    folders = {"dags-folder": REPOSITORY / "dags", "other-dags": others}
    bundles = [{"name": name, "classpath": local, "kwargs": {"path": str(path)}} for name, path in folders.items()]
    return {("dag_processor", "dag_bundle_config_list"): json.dumps(bundles)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--full", type=int, default=4, help="rounds with a full executor")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
