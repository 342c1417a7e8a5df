"""Topologies of some databases and some doubles under the real Airflow, and a look into their pause windows.

A test that asks for ``case`` gets a topology of its own; those of one file are made together, for Airflow needs ten seconds to find new
ones, however many they are.
"""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from midtime.catalog.pause_leases import PauseLeases
from midtime.catalog.turns import Turns
from midtime.model.instants import from_rfc3339
from midtime.model.topology import Topology
from midtime.pausing import journal_of
from midtime.scalar.double import Double
from tests.integration.fixtures import ROWS, SCHEMA, Installation
from tests.stack import launch
from tests.stack.airflow_api import FINAL
from tests.stack.processes import StackError, poll

HOLD = 6
"""Seconds: long enough for a person, or a test, to act in mid-window."""
DEADLINE = 12
ENDED = FINAL | {"skipped", "upstream_failed", "removed"}
STORES = ("accounts", "points", "audit")


def pytest_configure(config: pytest.Config) -> None:
    """The marker of this plugin."""
    config.addinivalue_line("markers", "window(**changes): in what the topology of the test's `case` differs (WindowedTopologies.make)")
    config.addinivalue_line("markers", "hog(tasks, seconds): what fills the executor")


@dataclass
class Windowed:
    """One topology with its products."""

    installation: Installation
    topology: Topology
    doubles: list[Double]
    databases: list[str]
    deadline: float = DEADLINE
    runs: list[str] = field(default_factory=list)
    opened_windows: dict[str, str] = field(default_factory=dict)
    """The id of a run's window, for when Airflow cannot be asked."""

    @property
    def dag_id(self) -> str:
        return f"{self.topology.name}__backup"

    @property
    def file(self) -> Path:
        """The topology file."""
        return self.installation.topology_file(self.topology.name)

    # -- runs -------------------------------------------------------------------------------------------------------------------------

    def back_up(self) -> str:
        """Start a run."""
        self.runs.append(self.installation.airflow.trigger(self.dag_id))
        return self.runs[-1]

    def in_mid_window(self, timeout: float = 150) -> str:
        """Start a run and wait until its window is open; the run."""
        run = self.back_up()
        self.wait_open(run, timeout)
        return run

    def wait_open(self, run: str, timeout: float = 150) -> None:
        """Until the window of this run is open."""

        def is_open() -> bool | None:
            if self.over(run):
                raise AssertionError(f"it ended without a window: {self.report(run)}")
            return self.window(run).get("state") == "open" or None

        poll("an open window", is_open, timeout, every=0.1)
        self.opened_windows[run] = self.window(run)["id"]
        assert all(double.paused for double in self.doubles)

    def wait_captured(self, run: str, timeout: float = 30) -> None:
        """Until all captures of an open window have reported."""
        tasks = [f"dump_{store.name}" for store in self.topology.stores]
        poll("the captures", lambda: all(self.said(run, task, "captured") for task in tasks) or None, timeout)

    def over(self, run: str) -> bool:
        return self.installation.airflow.run_state(self.dag_id, run) in FINAL

    def ended(self, run: str, timeout: float = 240) -> str:
        """Wait for the end of the run."""
        return self.installation.airflow.wait_run(self.dag_id, run, timeout)

    def wait_task_ends(self, run: str, *tasks: str, timeout: float = 60) -> None:
        """Until these tasks are over, whatever became of them and of the run."""

        def over() -> bool | None:
            states = self.installation.airflow.task_states(self.dag_id, run)
            return all(states[task] in ENDED for task in tasks) or None

        poll(f"the end of {', '.join(tasks)}", over, timeout)

    def report(self, run: str) -> str:
        """States of all tasks, logs of those that failed."""
        return self.installation.airflow.failure_report(self.dag_id, run)

    def log(self, run: str, task: str) -> str:
        return self.installation.airflow.task_log(self.dag_id, run, task)

    def window(self, run: str) -> dict[str, Any]:
        """What the pausing task says to the others."""
        return self.said(run, "pause", "window")

    def said(self, run: str, task: str, key: str = "return_value") -> dict[str, Any]:
        try:
            return dict(self.installation.airflow.xcom(self.dag_id, run, task, key))
        except StackError:  # not yet
            return {}

    # -- processes --------------------------------------------------------------------------------------------------------------------

    def pid(self, task: str) -> int:
        """The process of a task that runs or ran (``faults.py`` writes it down)."""
        return int((self.installation.folder / "faults" / f"{self.topology.name}.{task}.pid").read_text())

    def journal(self, run: str) -> list[dict[str, Any]]:
        """What the watchdog of the run's window did."""
        return [json.loads(line) for line in journal_of(self.opened_windows[run]).read_text().splitlines()]

    def watchdog(self, run: str) -> int:
        """The process of the window's watchdog."""
        return int(next(said["pid"] for said in self.journal(run) if said["did"] == "watches"))

    def lifted_by_watchdog(self, run: str, patience: float = 3) -> bool:
        """Whether it was the watchdog that unpaused every endpoint. It writes that down after it has done it: a moment is given to it."""
        until, wanted = time.monotonic() + patience, {each.address for each in self.doubles}
        while {said["endpoint"] for said in self.journal(run) if said["did"] == "unpaused"} != wanted:
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True

    # -- pauses, as the doubles saw them ----------------------------------------------------------------------------------------------

    def began(self) -> float:
        """``time.monotonic()`` of the first Pause of the last window."""
        return min(double.calls("pause")[-1]["at"] for double in self.doubles)

    def was_paused(self) -> bool:
        """Whether any Pause was ever sent."""
        return any(double.calls("pause") for double in self.doubles)

    def opened(self, timeout: float = 60) -> float:
        """Wait until every gate is open in truth; ``time.monotonic()`` of the Unpause that opened the last one."""
        poll("open gates", lambda: not any(double.paused for double in self.doubles) or None, timeout, every=0.02)
        return max(self._unpaused(double) for double in self.doubles)

    def _unpaused(self, double: Double) -> float:
        """Nobody acts twice: of several Unpause after a Pause the first opened the gate."""
        pauses = [call["at"] for call in double.calls("pause")]
        return float(min(call["answered"] for call in double.calls("unpause") if call["status"] == "OK" and call["at"] > pauses[-1]))

    def paused_for(self, timeout: float = 60) -> float:
        """Wait until every gate is open; seconds since the first Pause."""
        return self.opened(timeout) - self.began()

    def require_open_in_time(self, timeout: float = 60) -> None:
        """DESIGN.md 4, requirement 2: by the deadline and one second."""
        assert self.paused_for(timeout) <= self.deadline + 1

    # -- restore points ---------------------------------------------------------------------------------------------------------------

    def restore_points(self) -> list[str]:
        return [entry.id for entry in self.installation.catalog(self.topology).newest(9)]

    def require_no_trace(self, run: str, *says: str, state: str = "failed") -> None:
        """The run ends so, says this, and leaves nothing: no pause, no lease, no turn, no restore point, whole or half-written."""
        assert self.ended(run) == state, self.report(run)
        report = self.report(run)
        for text in says:
            assert text in report
        assert not any(double.paused for double in self.doubles)
        assert self.restore_points() == []
        assert self.installation.catalog(self.topology).half_written(thorough=True) == []
        assert self.leases() == []

    def leases(self) -> list[str]:
        """What is still held in the topology's name."""
        addresses = {double.address for double in self.doubles}
        paused = [address for address, _ in PauseLeases(self.topology.destination).look() if address in addresses]
        turns = Turns(self.topology.destination).leases
        return paused + [name for name in turns.names() if name.endswith(self.topology.name) and _held(turns.current(name))]

    def require_good(self, run: str) -> str:
        """The run ends well, with a restore point whose every artifact is whole and whose window proves itself; its id."""
        assert self.ended(run) == "success", self.report(run)
        point = self.installation.airflow.xcom(self.dag_id, run, "publish")
        assert point in self.restore_points()
        self.installation.midtime("verify", point, "--topology", self.topology.name)
        evidence = self.installation.catalog(self.topology).resolve(point).evidence
        assert all(seen["polls"][0]["paused"] is False for seen in evidence["endpoints"])
        assert all(said["paused"] for seen in evidence["endpoints"] for said in seen["polls"][1:])
        return str(point)

    def next_one_is_good(self) -> None:
        """Lease and turn were given back, the products take part again: just run it again."""
        self.require_good(self.back_up())


def require_whole_evidence(evidence: Mapping[str, Any], topology: Topology, captures: Sequence[str]) -> None:
    """Every poll of every endpoint, before, in and after; who unpaused, and how long it took.

    :param captures: tasks, that of the Coordinator's store first: each begins after the window was open, the second after the first had reported
    """
    assert evidence["kind"] == "pause window"
    assert [endpoint["address"] for endpoint in evidence["endpoints"]] == sorted(topology.products[0].endpoints.static or ())
    length = (from_rfc3339(evidence["window"]["end"]) - from_rfc3339(evidence["window"]["start"])).total_seconds()
    for endpoint in evidence["endpoints"]:
        assert endpoint["pause"]["answered_ms"] > endpoint["pause"]["sent_ms"] >= 0
        assert [poll["paused"] for poll in endpoint["polls"]] == [False] + [True] * (len(endpoint["polls"]) - 1)
        assert len(endpoint["polls"]) >= 3
        assert endpoint["unpause"]["calls"] == 1
        assert endpoint["unpause"]["open_ms"] / 1000 >= length
    assert evidence["unpaused"]["by"] == "the pausing task"
    assert 0 < length < evidence["seconds_paused"] < evidence["limits"]["deadline"]
    assert evidence["captures"].keys() == set(captures)
    begun = [from_rfc3339(evidence["window"]["start"]), *(from_rfc3339(evidence["captures"][task]["begun"]) for task in captures)]
    assert begun == sorted(set(begun))


def _held(lease: Any) -> bool:
    return lease is not None and not lease.released


class WindowedTopologies:
    """Makes them, and removes what they leave."""

    def __init__(self, installation: Installation, stack: ExitStack) -> None:
        self.installation, self._stack = installation, stack

    def make(
        self, *, doubles: int = 2, stores: int = 2, hold: float = HOLD, deadline: float = DEADLINE, pause: Mapping[str, Any] | None = None,
        shared: Double | None = None, name: str = "", wait: bool = True, **changes: Any,
    ) -> Windowed:  # fmt: skip
        """Some databases, some endpoints; not backed up yet.

        :param shared: an endpoint of another topology that this one pauses as well
        """
        name = name or f"w-{uuid.uuid4().hex[:8]}"
        databases = [self._database(f"{name.replace('-', '_')}_{store}") for store in STORES[:stores]]
        running = [self._stack.enter_context(Double()) for _ in range(doubles)]
        addresses = [double.address for double in [*running, *([shared] if shared else [])]]
        limits = {"hold": f"{int(hold * 1000)}ms", "drain": "2s", "deadline": f"{int(deadline * 1000)}ms", "arm": "90s"}
        keys = {
            "destination": f"file://{self.installation.folder}/restore-points",
            "products": [{"kind": "scalardb-cluster", "endpoints": {"static": addresses}}],
            "scalardb": {"coordinators": [{"store": "accounts"}]},
            "stores": [
                {"name": store, "engine": "postgresql", "conn_id": database, "namespaces": ["bank"]}
                for store, database in zip(STORES, databases, strict=False)
            ],
            "pause": {**limits, **(pause or {})},
            "drill": {"after_backup": False},
            **changes,
        }
        made = Windowed(self.installation, self.installation.write(name, keys), running, databases, deadline)
        self._stack.callback(self._forget, made)
        if wait:
            self.installation.wait_for(made.topology)
        return made

    def _database(self, name: str) -> str:
        server = self.installation.stack.postgres
        server.create_database(name)
        server.execute(SCHEMA + ROWS, name)
        self.installation.airflow.add_connection(name, server.conn_uri(name))
        return name

    def _forget(self, made: Windowed) -> None:
        end_runs(made)
        made.file.unlink(missing_ok=True)
        for database in made.databases:
            made.installation.stack.postgres.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')


def end_runs(made: Windowed) -> None:
    """Nothing of a failed test goes on beside the next one."""
    for run in made.runs:
        if not made.over(run):
            made.installation.airflow.mark_run(made.dag_id, run, "failed")


@pytest.fixture
def windowed(installation: Installation) -> Iterator[WindowedTopologies]:
    with ExitStack() as stack:
        yield WindowedTopologies(installation, stack)


@pytest.fixture(scope="module")
def cases(request: pytest.FixtureRequest, installation: Installation) -> Iterator[dict[str, Windowed]]:
    """A topology for each chosen test of the file that asks for one, by the test's name."""
    with ExitStack() as stack:
        maker, made = WindowedTopologies(installation, stack), {}
        for item in request.session.items:
            if item.path == request.path and "case" in getattr(item, "fixturenames", ()):
                marker = item.get_closest_marker("window")
                made[item.name] = maker.make(wait=False, **(marker.kwargs if marker else {}))
        for each in made.values():
            installation.wait_for(each.topology)
        yield made


@pytest.fixture
def case(request: pytest.FixtureRequest, cases: dict[str, Windowed]) -> Iterator[Windowed]:
    """The test's own topology."""
    yield cases[request.node.name]
    end_runs(cases[request.node.name])


@pytest.fixture
def mended(installation: Installation) -> Iterator[Installation]:
    """For a test that kills parts of Airflow: all of them live again afterwards."""
    yield installation
    installation.stack.metadata.start()
    installation.airflow.mend()


def kill(*pids: int) -> float:
    """kill -9, in this order, until they are dead; ``time.monotonic()`` of the first."""
    at = time.monotonic()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        poll("a dead process", lambda pid=pid: launch.ended(pid) or None, 10, every=0.005)  # type: ignore[misc]
    return at


def supervisor(task: int) -> int:
    """The process above a task's: the executor's worker."""
    return int(Path(f"/proc/{task}/stat").read_text().rpartition(")")[2].split()[1])
