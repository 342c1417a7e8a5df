"""A topology of two databases and some doubles under the real Airflow, and a look into its pause windows."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from midtime.model.topology import Topology
from midtime.pausing import journal_of
from midtime.scalar.double import Double
from tests.integration.fixtures import ROWS, SCHEMA, Installation
from tests.stack.airflow_api import FINAL
from tests.stack.processes import poll

HOLD = 6
"""Seconds: long enough for a person, or a test, to act in mid-window."""
DEADLINE = 12


@dataclass
class Windowed:
    """One topology with its products."""

    installation: Installation
    topology: Topology
    doubles: list[Double]
    databases: list[str]
    runs: list[str] = field(default_factory=list)

    @property
    def dag_id(self) -> str:
        return f"{self.topology.name}__backup"

    def back_up(self) -> str:
        """Start a run."""
        self.runs.append(self.installation.airflow.trigger(self.dag_id))
        return self.runs[-1]

    def in_mid_window(self, timeout: float = 90) -> str:
        """Start a run and wait until its window is open; the run."""
        run = self.back_up()
        poll("an open window", lambda: self.window(run).get("state") == "open" or None, timeout, every=0.1)
        assert all(double.paused for double in self.doubles)
        return run

    def window(self, run: str) -> dict[str, Any]:
        """What the pausing task says to the others."""
        return self.said(run, "pause", "window")

    def said(self, run: str, task: str, key: str = "return_value") -> dict[str, Any]:
        try:
            return dict(self.installation.airflow.xcom(self.dag_id, run, task, key))
        except Exception:
            return {}

    def pid(self, task: str) -> int:
        """The process of a task that runs or ran (``faults.py`` writes it down)."""
        return int((self.installation.folder / "faults" / f"{self.topology.name}.{task}.pid").read_text())

    def watchdog(self, run: str) -> int:
        """The process of the window's watchdog."""
        lines = journal_of(self.window(run)["id"]).read_text().splitlines()
        return int(next(json.loads(line)["pid"] for line in lines if json.loads(line)["did"] == "watches"))

    def began(self) -> float:
        """``time.monotonic()`` of the first Pause of the last window."""
        return min(double.calls("pause")[-1]["at"] for double in self.doubles)

    def opened(self, timeout: float = 30) -> float:
        """Wait until every gate is open in truth; seconds since the first Pause."""
        poll("open gates", lambda: not any(double.paused for double in self.doubles) or None, timeout, every=0.02)
        return time.monotonic() - self.began()

    def ended(self, run: str, timeout: float = 120) -> str:
        """Wait for the end of the run."""
        return self.installation.airflow.wait_run(self.dag_id, run, timeout)

    def over(self, run: str) -> bool:
        return self.installation.airflow.run_state(self.dag_id, run) in FINAL

    def restore_points(self) -> list[str]:
        return [entry.id for entry in self.installation.catalog(self.topology).newest(9)]

    def log(self, run: str, task: str) -> str:
        return self.installation.airflow.task_log(self.dag_id, run, task)


class WindowedTopologies:
    """Makes them, and removes what they leave."""

    def __init__(self, installation: Installation, stack: ExitStack) -> None:
        self.installation, self._stack = installation, stack

    def make(self, *, doubles: int = 2, hold: float = HOLD, deadline: float = DEADLINE, name: str = "", wait: bool = True, **changes: Any) -> Windowed:
        """Two databases, some endpoints; not backed up yet."""
        name = name or f"w-{uuid.uuid4().hex[:8]}"
        server = self.installation.stack.postgres
        databases = [f"{name.replace('-', '_')}_{letter}" for letter in "ab"]
        for database in databases:
            server.create_database(database)
            server.execute(SCHEMA + ROWS, database)
            self.installation.airflow.add_connection(database, server.conn_uri(database))
        running = [self._stack.enter_context(Double()) for _ in range(doubles)]
        endpoints = {"static": [double.address for double in running]}
        keys = {
            "destination": f"file://{self.installation.folder}/restore-points",
            "products": [{"kind": "scalardb-cluster", "endpoints": endpoints}],
            "scalardb": {"coordinators": [{"store": "accounts"}]},
            "stores": [
                {"name": store, "engine": "postgresql", "conn_id": database, "namespaces": ["bank"]}
                for store, database in zip(("accounts", "points"), databases, strict=True)
            ],
            "pause": {"hold": f"{int(hold * 1000)}ms", "drain": "2s", "deadline": f"{int(deadline * 1000)}ms", "arm": "60s"},
            "drill": {"after_backup": False},
            **changes,
        }
        topology = self.installation.write(name, keys)
        made = Windowed(self.installation, topology, running, databases)
        self._stack.callback(self._forget, made)
        if wait:
            self.installation.wait_for(topology)
        return made

    def _forget(self, made: Windowed) -> None:
        for run in made.runs:
            if not made.over(run):
                made.installation.airflow.mark_run(made.dag_id, run, "failed")
        ((made.installation.stack.topologies_dir or made.installation.folder) / f"{made.topology.name}.yaml").unlink(missing_ok=True)
        for database in made.databases:
            made.installation.stack.postgres.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')


@pytest.fixture
def windowed(installation: Installation) -> Iterator[WindowedTopologies]:
    with ExitStack() as stack:
        yield WindowedTopologies(installation, stack)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
