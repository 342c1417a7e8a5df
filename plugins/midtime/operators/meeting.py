"""How the tasks of a window meet while all of them run: through XCom, polled. Nothing but "no capture" is concluded from silence.

The pausing task pushes ``window``, each capturing task ``armed`` and ``captured``; where captures wait for the marks of managed stores, the
pausing task says ``captured`` for those. Windows have ids, and everything that is said names one: what an earlier try said, or one that is
busy with its copy, is passed over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from midtime.errors import ArmingError, WindowVoidError
from midtime.model.words import counted

if TYPE_CHECKING:
    from airflow.sdk import Context

NEAR_SECONDS = 0.03
"""From one look to the next when the window is near or open."""
FAR_SECONDS = 0.5
"""The same while others get ready, which may take minutes."""
ALIVE_SECONDS = 1.0
"""From one look at the others' task states to the next."""
_COMING = frozenset({None, "none", "scheduled", "queued", "running", "up_for_reschedule", "up_for_retry", "restarting", "deferred"})


class Meeting:
    """What both sides share: this task's XComs and the others'."""

    def __init__(self, context: Context) -> None:
        self._ti = context["ti"]
        self._dag_id, self._run_id = context["dag"].dag_id, str(context["run_id"])
        self._looked = 0.0

    def push(self, key: str, value: Mapping[str, Any]) -> None:
        """Say something to the others."""
        self._ti.xcom_push(key=key, value=dict(value))

    def pull(self, task_id: str, key: str) -> dict[str, Any]:
        """What another task said; empty if nothing yet."""
        # Without an index it is a list that is asked for; of a single value that is not there Airflow logs an error, each time.
        return self._ti.xcom_pull(task_ids=task_id, key=key) or {}

    def gone(self, task_ids: Sequence[str]) -> list[str]:
        """Those of these tasks that will say no more; asked once a second, in between nobody is."""
        if not task_ids or time.monotonic() - self._looked < ALIVE_SECONDS:
            return []
        self._looked = time.monotonic()
        states = self.states(task_ids)
        return [task_id for task_id in task_ids if states.get(task_id) not in _COMING]

    def states(self, task_ids: Sequence[str]) -> dict[str, str | None]:
        """The states of tasks of this run."""
        found: dict[str, dict[str, str | None]] = self._ti.get_task_states(
            dag_id=self._dag_id, task_ids=list(task_ids), run_ids=[self._run_id]
        )
        return found.get(self._run_id, {})


def refuse_dags_test() -> None:
    """Refuse at once where tasks cannot meet.

    :raises ArmingError: ``airflow dags test`` runs one task after the other
    """
    from airflow.sdk.execution_time import task_runner

    comms = getattr(task_runner, "SUPERVISOR_COMMS", None)
    if type(comms).__name__ == "InProcessSupervisorComms":
        raise ArmingError(
            "`airflow dags test` runs one task at a time, and a window needs its pause and its captures at the same time; nothing was paused",
            fix="trigger the DAG in a running Airflow (`airflow dags trigger`, or `make up` here)",
        )


class Host(Meeting):
    """The pausing task's side.

    :param window: the window's id
    :param captures: ids of the capturing tasks, in the order in which they capture
    """

    def __init__(self, context: Context, window: str, captures: Sequence[str]) -> None:
        super().__init__(context)
        self.window, self.captures = window, list(captures)
        self._captured: dict[str, dict[str, Any]] = {}
        self.push("window", {"id": window, "state": "arming"})

    def wait_armed(self, seconds: float) -> None:
        """Until every capture is ready.

        :raises ArmingError: not in time, or one has failed; nothing was paused
        """
        deadline = time.monotonic() + seconds
        missing = list(self.captures)
        while missing := [task for task in missing if not self._armed(task)]:
            if gone := self.gone(self.captures):
                raise ArmingError(f"{', '.join(gone)} failed before it was ready; nothing was paused", fix="see its log; start a new run")
            if time.monotonic() > deadline:
                raise ArmingError(
                    f"{', '.join(missing)} not ready after {seconds:g} s; nothing was paused",
                    fix=f"the executor needs {counted(len(self.captures) + 1, 'slot')} at once for a window; free some, or raise pause.arm",
                )
            time.sleep(FAR_SECONDS / 5)

    def _armed(self, task: str) -> bool:
        # For this window, and alive: a task that died since has said so as well.
        return self.pull(task, "armed").get("window") == self.window and self.states([task]).get(task) == "running"

    def announce(self) -> None:
        """The window is near: everybody looks more often from now on."""
        self.push("window", {"id": self.window, "state": "pausing"})
        time.sleep(FAR_SECONDS + NEAR_SECONDS)

    def open(self, until: float) -> None:
        """Captures may begin.

        :param until: seconds from now after which the window is over, whatever happens
        """
        self.push("window", {"id": self.window, "state": "open", "seconds": until})

    def captured(self) -> dict[str, dict[str, Any]]:
        """The reports that have come for this window, by task.

        Each look costs a round trip that is part of the outage, so it ends at the first that has not come: all are needed anyway.
        """
        for task in self.captures[len(self._captured) :]:
            said = self.pull(task, "captured")
            if said.get("window") != self.window:
                break
            self._captured[task] = said
        return dict(self._captured)

    def marked(self) -> None:
        """The instants of the managed stores have passed: captures that name this task among those before them may begin."""
        self.push("captured", {"window": self.window})

    def close(self, midtime: str) -> None:
        """It is over, and good; this is its midtime."""
        self.push("window", {"id": self.window, "state": "closed", "midtime": midtime})

    def void(self, why: str) -> None:
        """It is over, and proves nothing."""
        self.push("window", {"id": self.window, "state": "void", "why": why})


class Guest(Meeting):
    """A capturing task's side.

    :param host: id of the pausing task
    """

    def __init__(self, context: Context, host: str) -> None:
        super().__init__(context)
        self.host = host
        before = self.pull(host, "window")
        self._old = before.get("id") if before.get("state") in ("open", "closed", "void") else None
        self._opened: tuple[str, float] | None = None

    def wait_open(self, seconds: float, check: Callable[[], object] = lambda: None) -> str:
        """Say that we are ready, to each window that asks; until one is open. Returns its id.

        :param check: raises when we are not ready any more; asked until the window is near, when nobody has been paused yet
        :raises WindowVoidError: it does not open, or the pausing task is gone
        """
        told = ""
        for said in self._windows(time.monotonic() + seconds):
            if said["state"] == "arming":
                check()
            if said["state"] in ("arming", "pausing") and said["id"] != told:
                told = said["id"]
                self.push("armed", {"window": told})
            if said["state"] == "open" and said["id"] == told:
                self._opened = said["id"], time.monotonic() + float(said["seconds"])
                return str(said["id"])
            if said["state"] in ("void", "closed"):
                raise WindowVoidError(f"there was no window: {said.get('why', 'it is closed already')}", fix=f"see the log of {self.host}")
        raise WindowVoidError(f"no window opened within {seconds:g} s", fix=f"see the log of {self.host}")

    def wait_for(self, tasks: Iterable[str], window: str) -> None:
        """Until these have captured: the Coordinator's store comes first.

        :raises WindowVoidError: they do not while the window is open
        """
        waiting = list(tasks)
        while waiting := [task for task in waiting if self.pull(task, "captured").get("window") != window]:
            if self._opened and time.monotonic() > self._opened[1]:
                raise WindowVoidError(f"{', '.join(waiting)} did not capture while the window was open", fix="see its log")
            time.sleep(NEAR_SECONDS)

    def captured(self, window: str, **details: Any) -> None:
        """Ours is fixed, in this window."""
        self.push("captured", {"window": window, **details})

    def failed(self, window: str, why: str) -> None:
        """Ours will not come: nobody needs to wait for it."""
        self.push("captured", {"window": window, "error": why})

    def wait_closed(self, window: str) -> str:
        """Until the window is over, and good.

        :return: its midtime, RFC 3339
        :raises WindowVoidError: it proves nothing
        """
        assert self._opened is not None  # noqa: S101 - for the type checker
        for said in self._windows(self._opened[1] + 60):
            if said["id"] == window and said["state"] == "closed":
                return str(said["midtime"])
            if said["state"] == "void" or said["id"] != window:
                raise WindowVoidError(
                    f"the window proves nothing: {said.get('why', 'another one was opened')}", fix=f"see the log of {self.host}"
                )
        raise WindowVoidError("nobody says that the window was closed", fix=f"see the log of {self.host}; start a new run")

    def _windows(self, deadline: float) -> Iterator[dict[str, Any]]:
        """What the host says of a window that is not over since long."""
        pause = FAR_SECONDS
        while time.monotonic() < deadline:
            said = self.pull(self.host, "window")
            if said and said["id"] != self._old:
                pause = FAR_SECONDS if said["state"] == "arming" else NEAR_SECONDS
                yield said
            if gone := self.gone([self.host]):
                last = self.pull(self.host, "window")  # it may have ended well since the look before
                if last and last["id"] != self._old:
                    yield last
                raise WindowVoidError(f"{', '.join(gone)} is over without a window that is good", fix="start a new run from its first task")
            time.sleep(pause)
