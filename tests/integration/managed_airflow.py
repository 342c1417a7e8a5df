"""Stores whose services restore them, and others, under one ScalarDB Server, in a real Airflow: marked while money moves, then drilled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from midtime.catalog import Catalog
from midtime.model.restore_point import RestorePoint, State
from midtime.model.topology import Topology
from tests.integration.airflow_restores import Switch, marks
from tests.integration.fixtures import Installation, installation_of
from tests.integration.test_airflow_faults import kill_worker
from tests.integration.windows import ENDED
from tests.stack.azure_arm import Azure
from tests.stack.bank import Bank
from tests.stack.processes import poll
from tests.stack.scalardb import Place, ScalarDB
from tests.stack.stack import Stack

BEHIND, QUICK = 900.0, 0.5
"""Seconds by which histories lag: nothing of a restore point is restorable, or all of it is at once."""


@dataclass
class BackedUp:
    """A run of the backup whose histories do not reach its midtime yet; the drill that it will start stands at its report."""

    run_id: str
    point: RestorePoint
    drill_stands: Path


@dataclass
class Managed:
    """What is backed up, marked and restored."""

    NAME: ClassVar[str]
    installation: Installation
    topology: Topology
    places: dict[str, Place]
    bank: Bank
    switch: Switch

    @property
    def server(self) -> Any:
        """The service's double."""
        raise NotImplementedError

    def lag(self, seconds: float) -> None:
        """So far are the histories behind from now on."""
        self.server.settings(lag=seconds)

    def mark(self, number: int) -> None:
        """Write beside ScalarDB, into all."""
        raise NotImplementedError

    def live(self) -> Any:
        """Whatever there is of the service's, and its settings."""
        raise NotImplementedError

    @property
    def catalog(self) -> Catalog:
        return self.installation.catalog(self.topology)

    def pid(self, task: str) -> int:
        """The process of a task that runs (``faults.py`` writes it down)."""
        return int((self.installation.folder / "faults" / f"{self.NAME}.{task}.pid").read_text())

    @contextmanager
    def backed_up(self) -> Iterator[BackedUp]:
        """What is committed after arming and before the pause carries the mark 1, what comes afterwards the mark 2."""
        installation, backup = self.installation, f"{self.NAME}__backup"
        drill_stands, armed = (installation.stop_at(self.NAME, place) for place in ("report", "pausing"))
        self.bank.start(threads=2, think=0.1)
        try:
            run_id = installation.airflow.trigger(backup)
            installation.reached(armed, timeout=240)
            self.mark(1)
            self.lag(BEHIND)
            armed.unlink()
            installation.airflow.wait_task(backup, run_id, "unpause", lambda state: state in ENDED, timeout=120)
            self.mark(2)
        finally:
            armed.unlink(missing_ok=True)
            self.bank.stop()
        installation.airflow.wait_task(backup, run_id, "publish", lambda state: state in ENDED, timeout=120)
        published = self.catalog.newest(1)
        assert published, installation.airflow.failure_report(backup, run_id)
        assert published[0].restore_point
        yield BackedUp(run_id, published[0].restore_point, drill_stands)
        drill_stands.unlink(missing_ok=True)

    def restorable(self, backed_up: BackedUp) -> BackedUp:
        """The same, when the histories have reached its midtime; its drill is under way."""
        self.lag(QUICK)
        self.installation.succeeded(f"{self.NAME}__backup", backed_up.run_id)
        return backed_up

    def drilled(self, restorable: BackedUp) -> BackedUp:
        """The same, with nobody at work on it any more."""
        restorable.drill_stands.unlink(missing_ok=True)
        drill = f"{self.NAME}__drill"
        run = poll("the drill that the asset starts", lambda: self.installation.airflow.runs(drill) or None, 60)[0]
        self.installation.succeeded(drill, run["dag_run_id"], timeout=420)
        return restorable

    def standing_drill(self, restorable: BackedUp) -> tuple[str, dict[str, str]]:
        """The drill that the asset started, restored and verified; and the working name of each store."""
        self.installation.reached(restorable.drill_stands, timeout=240)
        drill = f"{self.NAME}__drill"
        run_id = self.installation.airflow.runs(drill)[0]["dag_run_id"]
        return run_id, {target["store"]: target["working"] for target in self.installation.airflow.xcom(drill, run_id, "plan")["targets"]}

    def require_drilled(self, restorable: BackedUp, run_id: str) -> None:
        """It ends well, fence rows and all."""
        restorable.drill_stands.unlink()
        drill = f"{self.NAME}__drill"
        self.installation.succeeded(drill, run_id, timeout=420)
        verified = self.installation.airflow.xcom(drill, run_id, "verify")
        assert verified["good"]
        assert not [note for note in verified["records"]["notes"] if "fence" in note]
        self.require_state(restorable, State.DRILLED)

    def require_state(self, backed_up: BackedUp, state: State) -> None:
        entry = self.catalog.entry(backed_up.point.id)
        assert entry is not None
        assert entry.state is state

    def require_refused_in_place(self, backed_up: BackedUp, *says: str) -> None:
        """Before anything is asked or touched, of either store; the log says why, and what to do instead."""
        airflow, restore, before = self.installation.airflow, f"{self.NAME}__restore", (self.live(), marks(self.places))
        self.server.forget_calls()
        run_id = airflow.trigger(restore, {"restore_point": backed_up.point.id, "in_place": True})
        assert airflow.wait_run(restore, run_id) == "failed"
        assert self.server.calls()["control"] == []
        log = airflow.task_log(restore, run_id, "plan")
        assert [text for text in says if text not in log] == []
        states = airflow.task_states(restore, run_id)
        assert (states.pop("plan"), states.pop("release")) == ("failed", "success")
        assert set(states.values()) == {"upstream_failed"}
        assert self.switch.done == []
        assert (self.live(), marks(self.places)) == before

    def restored_by_survivors(self, backed_up: BackedUp, targets: Mapping[str, str], deaths: Iterable[tuple[str, str]]) -> None:
        """Tasks are killed, each with its worker, in the middle of a call that the service carried out, and whose answer nobody has heard.

        :param deaths: tasks, and the operations in which they die, one after the other
        """
        run_id, restore = "", f"{self.NAME}__restore"
        for task, operation in deaths:
            self.server.faults({"kind": "hang", "operations": [operation], "times": 1, "after": True})
            run_id = run_id or self.installation.airflow.trigger(restore, {"restore_point": backed_up.point.id, "targets": targets})
            self.server.wait_hit(420)
            kill_worker(self.pid(task))
        self.server.faults()
        self.installation.succeeded(restore, run_id, timeout=600)


@contextmanager
def of_its_own(factory: pytest.TempPathFactory, double: Callable[[Stack], Azure]) -> Iterator[Installation]:
    """An Airflow whose processes take the double for Azure, all of them from their start."""
    directory, folder = factory.mktemp("azure"), factory.mktemp("azure-installation")
    (topologies := directory / "topologies").mkdir()
    with Stack(directory, topologies_dir=topologies) as stack:
        yield installation_of(stack, folder, **double(stack).environment())


def written(
    installation: Installation,
    name: str,
    places: Mapping[str, Place],
    scalardb: ScalarDB,
    switch: Switch,
    drill_target: dict[str, Any],
    **changes: Any,
) -> Topology:
    """The topology, whose DAGs Airflow shows; the first of the places has the Coordinator, and goes to that target in drills.

    :param changes: of its keys
    """
    managed = next(iter(places))
    product = {"kind": "scalardb-server", "endpoints": {"static": [scalardb.address]}, "stop": switch.command("stop")}
    keys = {
        "destination": f"file://{installation.folder}/restore-points",
        "products": [{**product, "start": switch.command("start")}],
        "scalardb": {"coordinators": [{"store": managed}]},
        "stores": [place.store(namespace) for namespace, place in places.items()],
        "pause": {"drain": "5s", "deadline": "30s"},
        "drill": {"targets": {managed: drill_target}},
        **changes,
    }
    topology = installation.write(name, keys)
    installation.wait_for(topology)
    return topology
