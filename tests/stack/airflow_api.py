"""What a person does in Airflow's UI, through its REST API."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx

from tests.stack.processes import StackError, poll

FINAL = {"success", "failed"}
#: of a log entry: its text, what is no use to a reader, and the run and task that the reader asked for
SHOWN_ELSEWHERE = {"event", "timestamp", "level", "logger", "filename", "lineno", "loc"} | {
    "dag_id", "run_id", "task_id", "map_index", "try_number", "ti_id",
}  # fmt: skip


class AirflowApi:
    """A client with a user's token, which is fetched when it is first needed and again when it has expired."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._user, self._password = user, password
        self._client = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def close(self) -> None:
        self._client.close()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Any request with the token; the answer is not checked."""
        if "Authorization" not in self._client.headers:
            self._login()
        response = self._client.request(method, path, **options)
        if response.status_code == 401:
            self._login()
            response = self._client.request(method, path, **options)
        return response

    def call(self, method: str, path: str, **options: Any) -> Any:
        """A request below ``/api/v2`` that must succeed; its JSON."""
        response = self.request(method, f"/api/v2{path}", **options)
        if response.is_error:
            raise StackError(f"{method} {path}: {response.status_code} {response.text}")
        return response.json() if response.content else None

    def healthy(self) -> bool:
        """All four components, and the metadata database."""
        health = self._client.get("/api/v2/monitor/health").json()
        return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "triggerer", "dag_processor"))

    def wait_dag(self, dag_id: str, timeout: float = 60) -> dict[str, Any]:
        """Until the DAG is there; fails with the import errors there are."""

        def found() -> dict[str, Any] | None:
            response = self.request("GET", f"/api/v2/dags/{dag_id}")
            return response.json() if response.is_success else None

        try:
            return poll(f"DAG {dag_id}", found, timeout, every=0.3)
        except StackError as error:
            raise StackError(f"{error}\nimport errors: {json.dumps(self.import_errors(), indent=1)}") from None

    def import_errors(self) -> dict[str, str]:
        """The stack trace of every DAG file that could not be read."""
        errors = self.call("GET", "/importErrors")["import_errors"]
        return {error["filename"]: error["stack_trace"] for error in errors}

    def add_connection(self, conn_id: str, uri: str) -> None:
        """Add or replace a connection, given as for ``AIRFLOW_CONN_…``, as URI or JSON; only through the command line may it be a URI."""
        if uri.startswith("{"):
            body = json.loads(uri)
            body["extra"] = json.dumps(body.get("extra", {}))
        else:
            body = _connection_of(uri)
        self.request("DELETE", f"/api/v2/connections/{conn_id}")
        self.call("POST", "/connections", json={"connection_id": conn_id, **body})

    def dags(self) -> list[str]:
        return [dag["dag_id"] for dag in self.call("GET", "/dags", params={"limit": 100})["dags"]]

    def set_paused(self, dag_id: str, paused: bool) -> None:
        self.call("PATCH", f"/dags/{dag_id}", json={"is_paused": paused})

    def unpause(self, dag_id: str) -> None:
        """Switch the DAG on."""
        self.set_paused(dag_id, False)

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run; answers its run id."""
        run_id: str = self.call("POST", f"/dags/{dag_id}/dagRuns", json={"conf": dict(conf or {}), "logical_date": None})["dag_run_id"]
        return run_id

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """The runs, newest first."""
        found: list[dict[str, Any]] = self.call("GET", f"/dags/{dag_id}/dagRuns", params={"order_by": "-run_after", "limit": 100})[
            "dag_runs"
        ]
        return found

    def run_state(self, dag_id: str, run_id: str) -> str:
        return str(self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def wait_run(self, dag_id: str, run_id: str, timeout: float = 120) -> str:
        """Until the run is over; its state."""

        def over() -> str | None:
            state = self.run_state(dag_id, run_id)
            return state if state in FINAL else None

        try:
            return poll(f"run {run_id} of {dag_id}", over, timeout, every=0.2)
        except StackError as error:
            raise StackError(f"{error}; tasks: {self.task_states(dag_id, run_id)}") from None

    def mark_run(self, dag_id: str, run_id: str, state: str) -> None:
        """As a person does in the UI: ``success``, ``failed`` or ``queued``."""
        self.call("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", json={"state": state})

    def mark_task(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """As a person does in the UI: ``success``, ``failed`` or ``skipped``."""
        self.call("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}", json={"new_state": state})

    def clear_task(self, dag_id: str, run_id: str, *task_ids: str, only_failed: bool = False, downstream: bool = False) -> None:
        """As a person does in the UI: the tasks run again."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": list(task_ids),
            "only_failed": only_failed,
            "include_downstream": downstream,
            "reset_dag_runs": True,
        }
        self.call("POST", f"/dags/{dag_id}/clearTaskInstances", json=body)

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return found

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """State by task id; of a mapped task ``id[index]``."""
        return {_name(task): task["state"] for task in self.task_instances(dag_id, run_id)}

    def wait_task(self, dag_id: str, run_id: str, task_id: str, states: Callable[[str | None], bool], timeout: float = 60) -> str | None:
        """Until the task's state is one that ``states`` accepts."""
        return poll(
            f"task {task_id} of {dag_id}",
            lambda: state if states(state := self.task_states(dag_id, run_id).get(task_id)) else None,
            timeout,
        )

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """The value as Python, not as its JSON text."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.call("GET", path, params={"deserialize": False, "stringify": False, "map_index": map_index})["value"]

    def task_log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """The lines of one try."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        content = self.call("GET", path, params={"map_index": map_index, "full_content": True}, headers={"Accept": "application/json"})[
            "content"
        ]
        return "\n".join(_line(entry) for entry in content)

    def failure_report(self, dag_id: str, run_id: str) -> str:
        """The tasks' states and the logs of the failed ones: the message of an assertion."""
        parts = [f"{dag_id} {run_id}: {self.task_states(dag_id, run_id)}"]
        for task in self.task_instances(dag_id, run_id):
            if task["state"] == "failed":
                parts.append(
                    f"--- {_name(task)}\n{self.task_log(dag_id, run_id, task['task_id'], task['try_number'], task['map_index'])[-6000:]}"
                )
        return "\n".join(parts)

    def hitl_pending(self, dag_id: str, run_id: str) -> list[str]:
        """The tasks that wait for a person."""
        details = self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/hitlDetails")["hitl_details"]
        return [detail["task_instance"]["task_id"] for detail in details if not detail["response_received"]]

    def hitl_question(self, dag_id: str, run_id: str) -> str:
        """What the first of them shows to that person."""
        details = self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/hitlDetails")["hitl_details"]
        return f"{details[0]['subject']}\n{details[0]['body']}"

    def hitl_respond(self, dag_id: str, run_id: str, task_id: str, options: list[str], params: Mapping[str, Any] | None = None) -> None:
        """Answer; see facts/airflow.md 9: not in the first second after the task has parked."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"
        self.call("PATCH", path, json={"chosen_options": options, "params_input": dict(params or {})})

    def _login(self) -> None:
        self._client.headers.pop("Authorization", None)
        answer = self._client.post("/auth/token", json={"username": self._user, "password": self._password})
        answer.raise_for_status()
        self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def _name(task: Mapping[str, Any]) -> str:
    return task["task_id"] if task["map_index"] < 0 else f"{task['task_id']}[{task['map_index']}]"


def _line(entry: Any) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    details = {key: value for key, value in entry.items() if key not in SHOWN_ELSEWHERE}
    return f"{entry.get('event', '')}" + (f" {json.dumps(details, default=str)}" if details else "")


def _connection_of(uri: str) -> dict[str, Any]:
    parts = urlsplit(uri)
    return {
        "conn_type": parts.scheme,
        "host": parts.hostname,
        "port": parts.port,
        "schema": parts.path.lstrip("/"),
        "login": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "extra": json.dumps(dict(parse_qsl(parts.query))),
    }
