"""Places where a test can stop a task of the real Airflow, to kill it right there.

Airflow imports this file in every one of its processes, as ``$AIRFLOW_HOME/config/airflow_local_settings.py``. A task that comes to a place
for whose topology the file ``<folder>/<topology>.<place>`` exists writes its process id into ``….reached`` and waits until the first file is
gone. Without such files nothing changes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import Any

from midtime.model.instants import RESTORE_POINT_ID

FOLDER = "MIDTIME_TEST_FAULTS"
SENT = 5
"""How many objects an upload has sent into a pool when it comes to ``sending``."""


def stop_at(place: str, topology: str) -> None:
    """Wait here while the test wants it."""
    flag = Path(os.environ[FOLDER]) / f"{topology}.{place}"
    if flag.exists():
        reached(flag).write_text(str(os.getpid()))
    while flag.exists():
        time.sleep(0.05)


def reached(flag: Path) -> Path:
    """Where a task that has stopped at a flag says so."""
    return flag.with_name(f"{flag.name}.reached")


def _stopping(place: str, function: Callable[..., Any], topology_of: Callable[..., str]) -> Callable[..., Any]:
    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        stop_at(place, topology_of(*args, **kwargs))
        return function(*args, **kwargs)

    return wrapper


def _stopping_at(place: str, method: Callable[..., Any], store: Callable[[Any], str] = lambda of: str(of.name)) -> Callable[..., Any]:
    """At ``<place>_<store>``: what is done once for each store."""

    @wraps(method)
    def wrapper(self: Any, *args: Any) -> Any:
        stop_at(f"{place}_{store(self)}", self.topology.name)
        return method(self, *args)

    return wrapper


_restoring: list[str] = []
"""The topology that this task restores; the places inside a restore do not know it."""


def _remembering(restore: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(restore)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        _restoring.append(self.topology.name)
        return restore(self, *args, **kwargs)

    return wrapper


def _of_artifact(writer: Any, _: Any) -> str:
    """Empty for what goes into a pool: that has a place of its own."""
    parts = str(writer._target).split("/")
    return next((name for name, below in pairwise(parts) if RESTORE_POINT_ID.fullmatch(below)), "")


def install() -> None:
    """Put the stops into Midtime's own functions."""
    from midtime.catalog import artifacts, restore_points
    from midtime.stores.mysql import copying
    from midtime.stores.mysql.store import MysqlStore
    from midtime.stores.postgresql import tools
    from midtime.stores.postgresql.store import PostgresqlStore
    from midtime.stores.sqlite import packing
    from midtime.stores.sqlite.store import SqliteStore

    def now(*_: Any, **__: Any) -> str:
        return _restoring[-1]

    for store in (PostgresqlStore, MysqlStore, SqliteStore):
        changed: Any = store
        changed.copy = _stopping("dump", changed.copy, lambda self, *_: self.topology.name)
        changed.restore = _remembering(changed.restore)
        changed.place = _stopping_at("place", changed.place)
    writer: Any = artifacts.ArtifactWriter
    writer.finish = _stopping("upload", writer.finish, _of_artifact)
    catalog: Any = restore_points.Catalog
    catalog.publish = _stopping("publish", catalog.publish, lambda self, _: self.topology)
    tools.restore = _stopping("restore", tools.restore, now)
    copying.load = _stopping("restore", copying.load, now)
    packing.unpack = _stopping("restore", packing.unpack, now)


def note_process(task: str, topology: str) -> None:
    """Write down the process of a task, ``<task>`` or of a mapped one ``<task>.<node>``, for a test that wants to kill it."""
    (Path(os.environ[FOLDER]) / f"{topology}.{task}.pid").write_text(str(os.getpid()))


def _noted(work: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(work)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        note_process(".".join(filter(None, [self.task_id, getattr(self, "node", "")])), self.topology.name)
        return work(self, *args, **kwargs)

    return wrapper


def install_in_windows() -> None:
    """The places of a window: ``pausing`` before the first lease, ``capture_<store>`` before the instant is fixed."""
    from midtime import pausing
    from midtime.operators import dump, pause

    for operator in (dump.WindowedDumpOperator, pause.ScalarPauseOperator):
        changed: Any = operator
        changed.work = _noted(changed.work)
    captures: Any = dump.WindowedDumpOperator
    captures._capture = _stopping_at("capture", captures._capture, store=lambda operator: str(operator.store))
    begins: Any = pausing.Pausing
    begins.take_leases = _stopping("pausing", begins.take_leases, lambda self: self.topology.name)


def sent(folder: Path, topology: str, process: int) -> Path:
    """Where an upload writes down the content that it has sent, a line for each object."""
    return folder / f"{topology}.sent.{process}"


def _sending(put: Callable[..., str]) -> Callable[..., str]:
    @wraps(put)
    def wrapper(self: Any, sha256: str, *args: Any) -> str:
        done = sent(Path(os.environ[FOLDER]), self.catalog.topology, os.getpid())
        if done.exists() and done.read_text().count("\n") >= SENT:
            stop_at("sending", self.catalog.topology)
        name = put(self, sha256, *args)
        with done.open("a") as file:
            file.write(f"{sha256}\n")
        return name

    return wrapper


def install_in_snapshots() -> None:
    """The places of a cluster's backup, ``prove_<store>`` and ``sending``; and ``report``, where a drill's targets are still there."""
    from midtime.catalog.pool import Pool
    from midtime.operators import snapshot, upload, verify

    snapshots: Any = snapshot.WindowedSnapshotOperator
    snapshots.keep = _stopping_at("prove", snapshots.keep, store=lambda operator: str(operator.store))
    uploads: Any = upload.UploadOperator
    uploads.work = _noted(uploads.work)
    pools: Any = Pool
    pools.put = _sending(pools.put)
    reports: Any = verify.ReportDrillOperator
    reports.work = _stopping("report", reports.work, lambda self, _: self.topology.name)


def install_in_restores() -> None:
    """No places: a service that hangs is where they stop. Only their processes are written down."""
    from midtime.operators import restore

    for operator in (restore.RestoreOperator, restore.PlaceOperator):
        changed: Any = operator
        changed.work = _noted(changed.work)


if FOLDER in os.environ:
    install()
    install_in_windows()
    install_in_snapshots()
    install_in_restores()
