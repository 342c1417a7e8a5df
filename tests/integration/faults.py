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
from pathlib import Path
from typing import Any

FOLDER = "MIDTIME_TEST_FAULTS"


def stop_at(place: str, topology: str) -> None:
    """Wait here while the test wants it."""
    flag = Path(os.environ[FOLDER]) / f"{topology}.{place}"
    if flag.exists():
        flag.with_suffix(f".{place}.reached").write_text(str(os.getpid()))
    while flag.exists():
        time.sleep(0.05)


def _stopping(place: str, function: Callable[..., Any], topology_of: Callable[..., str]) -> Callable[..., Any]:
    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        stop_at(place, topology_of(*args, **kwargs))
        return function(*args, **kwargs)

    return wrapper


def install() -> None:
    """Put the stops into Midtime's own functions."""
    from midtime.catalog import artifacts, restore_points
    from midtime.stores.postgresql import store

    def of_folder(_: Any, folder: Any, *__: Any) -> str:
        return str(folder.parent.name)

    artifacts._upload_file = _stopping("upload", artifacts._upload_file, of_folder)
    catalog: Any = restore_points.Catalog
    catalog.publish = _stopping("publish", catalog.publish, lambda self, _: self.topology)
    postgresql: Any = store.PostgresqlStore
    postgresql.copy = _stopping("dump", postgresql.copy, lambda self, *_: self.topology.name)
    restoring: Any = store.tools.restore
    store.tools.restore = _stopping("restore", restoring, lambda *_, **kwargs: kwargs["env"]["PGDATABASE"].split("_")[-1])


if FOLDER in os.environ:
    install()
