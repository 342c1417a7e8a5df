"""Stores whose services restore them, and others, under one ScalarDB Server, in a real Airflow: marked while money moves, then drilled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from midtime.catalog import Catalog
from midtime.model.restore_point import RestorePoint, State
from midtime.model.topology import Topology
from tests.integration.airflow_restores import Switch
from tests.integration.fixtures import Installation
from tests.integration.windows import ENDED
from tests.stack.bank import Bank
from tests.stack.processes import poll
from tests.stack.scalardb import Place, ScalarDB

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

    def standing_drill(self, restorable: BackedUp) -> tuple[str, dict[str, str]]:
        """The run of the drill that the asset has started, once it stands at its report; and what it works on, by store."""
        drill = f"{self.NAME}__drill"
        self.installation.reached(restorable.drill_stands, timeout=240)
        run_id = self.installation.airflow.runs(drill)[0]["dag_run_id"]
        plan = self.installation.airflow.xcom(drill, run_id, "plan")
        return run_id, {target["store"]: target["working"] for target in plan["targets"]}

    def require_drilled(self, restorable: BackedUp, run_id: str, timeout: float = 180) -> None:
        """Let it go on: it is good, also by the fence rows, and the restore point has been drilled."""
        drill = f"{self.NAME}__drill"
        restorable.drill_stands.unlink()
        self.installation.succeeded(drill, run_id, timeout=timeout)
        verified = self.installation.airflow.xcom(drill, run_id, "verify")
        assert verified["good"]
        assert not [note for note in verified["records"]["notes"] if "fence" in note]
        entry = self.catalog.entry(restorable.point.id)
        assert entry is not None
        assert entry.state is State.DRILLED

    def drilled(self, restorable: BackedUp, timeout: float) -> BackedUp:
        """The same, with nobody at work on it any more."""
        restorable.drill_stands.unlink(missing_ok=True)
        drill = f"{self.NAME}__drill"
        run = poll("the drill that the asset starts", lambda: self.installation.airflow.runs(drill) or None, 60)[0]
        self.installation.succeeded(drill, run["dag_run_id"], timeout=timeout)
        return restorable


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
