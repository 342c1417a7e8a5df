"""Every engine with every object store in a real Airflow: the main path of all pairs, and the faults of each engine and of each store.

PostgreSQL on ``file://`` has files of its own (``test_airflow_main_path.py``, ``test_airflow_faults.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.model.restore_point import State
from midtime.model.topology import Topology
from midtime.stores import open_store
from tests.integration.engines import ENGINES, ROWS_OF_ACCT, Engine, destination
from tests.integration.fixtures import Installation
from tests.integration.test_airflow_faults import kill_worker
from tests.stack.processes import poll

pytestmark = [pytest.mark.integration, pytest.mark.airflow, pytest.mark.timeout(600)]
KINDS = ("file", "s3", "azure")
PAIRS = [(engine, kind) for engine in ENGINES for kind in KINDS if (engine, kind) != ("postgresql", "file")]
FAULTY = [("mysql", "s3"), ("sqlite", "azure")]
"""With PostgreSQL on ``file://`` each engine and each store once."""
OTHERS = [pair for pair in PAIRS if pair not in FAULTY]
PLACES = ("dump", "upload", "publish")


class Fleet:
    """All topologies of this file; Airflow finds them at once."""

    def __init__(self, installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
        self.installation = installation
        self.engines: dict[str, Engine] = {name: engine(installation) for name, engine in ENGINES.items()}
        self.destinations = {kind: destination(installation, kind) for kind in KINDS}
        for store in (installation.stack.s3, installation.stack.azurite):  # the tests look into the catalogs, too
            monkeypatch.setenv(f"AIRFLOW_CONN_{store.CONN_ID.upper()}", store.conn())
        monkeypatch.setenv("PATH", str(installation.stack.mariadb.bin_dir), prepend=":")
        self.topologies = {f"{engine}-{kind}": self._add(engine, kind, f"{engine}-{kind}") for engine, kind in PAIRS}
        for engine, kind in FAULTY:
            for place in (*PLACES, "restore", "damage", "rivals"):
                self.topologies[f"{engine}-{place}"] = self._add(engine, kind, f"{engine}-{place}")
        for topology in self.topologies.values():
            installation.wait_for(topology)

    def _add(self, engine: str, kind: str, name: str) -> Topology:
        return self.engines[engine].add(name, self.destinations[kind])


@pytest.fixture(scope="module")
def fleet(installation: Installation) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        yield Fleet(installation, patch)


def _trigger(fleet: Fleet, names: list[str], kind: str, conf: Callable[[str], dict[str, Any]] = lambda _: {}) -> dict[str, str]:
    return {name: fleet.installation.airflow.trigger(f"{name}__{kind}", conf(name)) for name in names}


def _all_succeed(fleet: Fleet, runs: dict[str, str], kind: str) -> None:
    for name, run_id in runs.items():
        fleet.installation.succeeded(f"{name}__{kind}", run_id, timeout=240)


@pytest.mark.long  # of PostgreSQL on file:// it runs every time (test_airflow_main_path.py), of MariaDB in the demo
@pytest.mark.parametrize("pairs", [FAULTY, OTHERS], ids=["each-once", "all-others"])
def test_the_main_path_of_every_pair(fleet: Fleet, pairs: list[tuple[str, str]]) -> None:
    """Backed up, listed, drilled, restored beside; nothing temporary is left."""
    names = [f"{engine}-{kind}" for engine, kind in pairs]
    _all_succeed(fleet, _trigger(fleet, names, "backup"), "backup")
    _all_succeed(fleet, _trigger(fleet, names, "drill"), "drill")
    for name in names:
        (entry,) = fleet.installation.catalog(fleet.topologies[name]).entries()
        assert entry.state is State.DRILLED, name
    runs = _trigger(fleet, names, "restore", lambda name: {"targets": {"accounts": fleet.engines[name.split("-")[0]].copy_target(name)}})
    _all_succeed(fleet, runs, "restore")
    for name in names:
        engine = fleet.engines[name.split("-")[0]]
        assert engine.rows(name) == engine.rows_of_copy(name) == ROWS_OF_ACCT
    _no_working_copies(fleet)


def _no_working_copies(fleet: Fleet, timeout: float = 30) -> None:
    def left() -> list[str]:
        return [name for engine in fleet.engines.values() for name in engine.working_copies()]

    poll("the end of all working copies", lambda: None if left() else True, timeout)


@pytest.mark.long  # of PostgreSQL on file:// they run every time (test_airflow_faults.py)
def test_a_worker_killed_anywhere_in_a_backup(fleet: Fleet) -> None:
    """During the dump, during the upload, and between upload and manifest: no half restore point is seen, the next try succeeds."""
    installation, places = fleet.installation, {f"{engine}-{place}": place for engine, _ in FAULTY for place in PLACES}
    flags = {name: installation.stop_at(name, place) for name, place in places.items()}
    runs = _trigger(fleet, list(places), "backup")
    for name, flag in flags.items():
        kill_worker(installation.reached(flag))
        assert list(installation.catalog(fleet.topologies[name]).entries()) == []
    for flag in flags.values():
        flag.unlink()
    _all_succeed(fleet, runs, "backup")
    for name in places:
        catalog = installation.catalog(fleet.topologies[name])
        assert len(list(catalog.entries())) == 1
        assert catalog.half_written(thorough=True) == []
    _all_succeed(fleet, _trigger(fleet, list(places), "drill"), "drill")


@pytest.mark.long  # of PostgreSQL on file:// they run every time (test_airflow_faults.py)
def test_a_worker_killed_during_a_restore(fleet: Fleet) -> None:
    """What is live keeps its rows; the next try succeeds."""
    installation, names = fleet.installation, [f"{engine}-restore" for engine, _ in FAULTY]
    _all_succeed(fleet, _trigger(fleet, names, "backup"), "backup")
    flags = {name: installation.stop_at(name, "restore") for name in names}
    runs = _trigger(fleet, names, "restore", lambda name: {"targets": {"accounts": fleet.engines[name.split("-")[0]].copy_target(name)}})
    for name, flag in flags.items():
        kill_worker(installation.reached(flag))
        engine = fleet.engines[name.split("-")[0]]
        assert engine.rows_of_copy(name) is None
        assert engine.rows(name) == ROWS_OF_ACCT
        flag.unlink()
    _all_succeed(fleet, runs, "restore")
    for name in names:
        assert fleet.engines[name.split("-")[0]].rows_of_copy(name) == ROWS_OF_ACCT
    _no_working_copies(fleet)


@pytest.mark.long
def test_two_backups_at_once_and_a_dead_drill(fleet: Fleet) -> None:
    """Leases in the object store: another installation is at work; and what a dead run's lease names is swept."""
    airflow, names = fleet.installation.airflow, [f"{engine}-rivals" for engine, _ in FAULTY]
    runs = {}
    for name in names:
        catalog = fleet.installation.catalog(fleet.topologies[name])
        catalog.leases.acquire(BACKUP_LEASE, "another airflow/manual__1")
        target = open_store(fleet.topologies[name], "accounts").target(None, run="dead00", drill=True, in_place=False)
        catalog.leases.acquire("drill-dead00", "dead/run", details={"targets": [target.to_dict()]}, ttl=timedelta(minutes=-16))
        runs[name] = airflow.trigger(f"{name}__backup")
    for name in names:
        catalog = fleet.installation.catalog(fleet.topologies[name])
        airflow.wait_task(f"{name}__backup", runs[name], "preflight", lambda state: state == "up_for_retry", 90)
        assert "another airflow/manual__1 works on 'backup'" in airflow.task_log(f"{name}__backup", runs[name], "preflight")
        catalog.leases.release(BACKUP_LEASE, "another airflow/manual__1")
    _all_succeed(fleet, runs, "backup")
    for name in names:
        leases = fleet.installation.catalog(fleet.topologies[name]).leases
        poll(
            "the dead run's lease to be released",
            lambda leases=leases: getattr(leases.current("drill-dead00"), "released", None) or None,
            150,
        )  # type: ignore[misc]


def _flip(path: Any) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.long
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder, artifact: _flip(folder / artifact), "SHA-256 differs"),
        (lambda folder, artifact: (folder / artifact).write_bytes(b"x"), "bytes, its manifest says"),
        (lambda folder, artifact: (folder / artifact).unlink(), "is missing"),
        (lambda folder, _: (folder / "manifest.json").write_bytes(b"{"), "is unreadable"),
    ],
    ids=["flipped", "truncated", "missing", "unreadable"],
)
def test_damage_in_an_object_store(fleet: Fleet, damage: Callable[[Any, str], Any], said: str) -> None:
    """Drill and restore refuse, and say which file it is; nothing is created."""
    airflow, names = fleet.installation.airflow, [f"{engine}-damage" for engine, _ in FAULTY]
    backups = _trigger(fleet, names, "backup")
    _all_succeed(fleet, backups, "backup")
    runs = {}
    for name in names:
        point = airflow.xcom(f"{name}__backup", backups[name], "publish")
        catalog = fleet.installation.catalog(fleet.topologies[name])
        damage(catalog.folder(point), catalog.load(point).artifacts()[0].path)
        runs[name] = {kind: airflow.trigger(f"{name}__{kind}", {"restore_point": point}) for kind in ("drill", "restore")}
    for name in names:
        for kind, run_id in runs[name].items():
            assert airflow.wait_run(f"{name}__{kind}", run_id, 180) == "failed"
            assert said in airflow.failure_report(f"{name}__{kind}", run_id)
    _no_working_copies(fleet)
