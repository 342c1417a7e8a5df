"""What a person does with the demo's Airflow: start a DAG and look on, use the command line."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.stack.airflow import LocalAirflow
from tests.stack.demo import DemoError
from tests.stack.processes import StackError, poll
from tests.stack.screen import Screen


@dataclass
class Run:
    """A DAG run that ended well, and between which instants of ``time.monotonic()`` it was."""

    dag_id: str
    run_id: str
    began: float
    ended: float


class Operator:
    """Somebody at the keyboard, who tells on the screen what goes on."""

    def __init__(self, airflow: LocalAirflow, screen: Screen) -> None:
        self.airflow, self.screen = airflow, screen

    def run(self, dag_id: str, conf: dict[str, Any] | None = None) -> Run:
        """Trigger a DAG and follow it."""
        return self.follow(dag_id, self.airflow.trigger(dag_id, conf))

    def result(self, run: Run, task: str) -> Any:
        """What a task of the run returned."""
        return self.airflow.xcom(run.dag_id, run.run_id, task)

    def follow(self, dag_id: str, run_id: str, timeout: float = 300) -> Run:
        """Until the run is over, with a line for each task that ends; a failed run is an error with the logs of its tasks."""
        began, said = time.monotonic(), set[str]()

        def over() -> str | None:
            state = self.airflow.run_state(dag_id, run_id)
            self._tell(self.airflow.task_instances(dag_id, run_id), dag_id, said)
            return state if state in ("success", "failed") else None

        try:
            state = poll(f"run {run_id} of {dag_id}", over, timeout, every=0.25)
        except StackError as error:
            raise DemoError(f"{error}\n{self.airflow.failure_report(dag_id, run_id)}") from None
        if state == "failed":
            raise DemoError(self.airflow.failure_report(dag_id, run_id))
        return Run(dag_id, run_id, began, time.monotonic())

    def _tell(self, tasks: list[dict[str, Any]], dag_id: str, said: set[str]) -> None:
        for task in sorted(tasks, key=lambda task: task["end_date"] or "9"):
            if task["end_date"] and task["state"] in ("success", "skipped", "failed") and task["task_id"] not in said:
                said.add(task["task_id"])
                self.screen.line(f"{task['task_id']}: {task['state']}, {task['duration'] or 0:.1f} s", indent=4)
        running = [task["task_id"] for task in tasks if task["state"] == "running"]
        self.screen.now(f"{dag_id}, task {', '.join(running)}" if running else dag_id)

    def midtime(self, *arguments: str) -> str:
        """The command line."""
        command = [str(Path(sys.executable).parent / "midtime"), *arguments]
        done = subprocess.run(command, env=self.airflow.environment(), capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise DemoError(f"midtime {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout
