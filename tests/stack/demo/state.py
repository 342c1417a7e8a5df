"""The demo's folder, and what of a person's environment reaches into it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.stack.airflow import REPOSITORY
from tests.stack.demo import DemoError

#: tells a state directory of the demo, which may be removed, from anything else
MARK = ".midtime-demo"


def state_directory() -> Path:
    return Path(os.environ.get("MIDTIME_STATE") or REPOSITORY / ".midtime").resolve() / "demo"


@contextlib.contextmanager
def only_one(state: Path) -> Iterator[None]:
    """One demo at a time in a state directory, and each begins with an empty one."""
    state.parent.mkdir(parents=True, exist_ok=True)
    with (state.parent / ".demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DemoError(f"another demo is running in {state}: end it first") from None
        if state.exists():
            if not (state / MARK).exists():
                raise DemoError(f"{state} was not made by the demo and is not touched: remove it, or set MIDTIME_STATE to another folder")
            shutil.rmtree(state)
        state.mkdir()
        (state / MARK).touch()
        yield


def guard_environment() -> None:
    """What a person has set for other Airflows and other networks must not reach into the demo's."""
    for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
        del os.environ[name]
    local = "127.0.0.1,localhost"
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), local]))
