"""``python -m tests.stack up | down | status``: the local Airflow of ``make up`` and ``make down``.

``up`` leaves a supervisor behind that owns all other processes: when it ends, however it does, so do they. State, logs and
Airflow's database are in ``MIDTIME_STATE`` (default ``.midtime/`` of the repository) and outlive ``down``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.stack import launch
from tests.stack.processes import MARKER, Processes

REPOSITORY = Path(__file__).resolve().parents[2]
START_TIMEOUT = 400.0


def state_dir() -> Path:
    path = Path(os.environ.get("MIDTIME_STATE") or REPOSITORY / ".midtime").resolve()
    path.mkdir(parents=True, exist_ok=True)
    return path


def state() -> dict[str, Any]:
    """What the supervisor has said of itself."""
    with contextlib.suppress(OSError, json.JSONDecodeError):
        found: dict[str, Any] = json.loads((state_dir() / "state.json").read_text())
        return found
    return {}


def alive(found: dict[str, Any]) -> bool:
    """Whether the supervisor runs; the marker tells it apart from a process that was given its number later."""
    return bool(found) and launch.is_marked(found["pid"], f"{MARKER}={found['id']}")


def up() -> int:
    """Start it in the background, unless it runs already, and say where it is."""
    with _lock():
        if alive(state()):
            print("Already running, with the settings that it was started with; make down first to change topologies or connections.")
        else:
            _clear(state())
            supervisor = _spawn()
            if not _wait_ready(supervisor):
                print(f"the local Airflow did not start; the end of {state_dir() / 'supervisor.log'}:", file=sys.stderr)
                print((state_dir() / "supervisor.log").read_text()[-4000:], file=sys.stderr)
                _clear(state())
                return 1
    return status()


def down() -> int:
    """End the supervisor and everything that it started."""
    with _lock():
        found = state()
        if alive(found):
            os.kill(found["pid"], signal.SIGTERM)
            end = time.monotonic() + 60
            while alive(found) and time.monotonic() < end:
                time.sleep(0.1)
        _clear(found)
    print("The local Airflow is stopped.")
    return 0


def status() -> int:
    """0 when it runs, 1 when not."""
    found = state()
    if not alive(found) or not found.get("url"):
        print("The local Airflow is not running: make up")
        return 1
    print(f"Airflow       {found['url']}")
    print(f"login         {found['login']}  (viewer / viewer may only look)")
    print(f"topologies    {found['topologies']}")
    print(f"command line  (. {state_dir() / 'env'}; midtime list; airflow dags list)   AIRFLOW_CONN_… must be set there, too")
    print(f"logs          {state_dir()}")
    return 0


def serve() -> int:
    """The supervisor: own the parts until SIGTERM."""
    from tests.stack.airflow import LocalAirflow
    from tests.stack.postgres import Postgres

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # also in the middle of the start: the parts end on the way out
    processes = Processes(state_dir(), os.environ[MARKER])
    topologies = Path(os.environ.get("MIDTIME_TOPOLOGIES") or REPOSITORY / "include" / "topologies").resolve()
    with contextlib.ExitStack() as parts:
        parts.callback(processes.stop)
        metadata = Postgres(processes, "metadata", durable=True)
        parts.callback(metadata.close)
        metadata.start().create_database("airflow")
        airflow = LocalAirflow(
            processes, state_dir() / "airflow", metadata.dsn("airflow"), topologies_dir=topologies,
            port=int(os.environ.get("MIDTIME_PORT", "8080")), keep_user_settings=True,
        )  # fmt: skip
        parts.callback(airflow.close)
        airflow.start()
        _write_environment(airflow.environment(), metadata.bin_dir)
        _save(url=airflow.url, login=f"admin / {airflow.passwords['admin']}", topologies=str(topologies), home=str(airflow.home))
        while True:
            signal.pause()


def _write_environment(wanted: dict[str, str], tools: Path) -> None:
    """For people: ``. .midtime/env`` and then ``midtime list`` sees what this Airflow sees."""
    lines = [f"export {name}='{wanted[name]}'" for name in ("AIRFLOW_HOME", "MIDTIME_TOPOLOGIES")]
    lines.append(f"export PATH='{Path(sys.executable).parent}:{tools}':\"$PATH\"")
    (state_dir() / "env").write_text("\n".join(lines) + "\n")


def _spawn() -> subprocess.Popen[bytes]:
    stack_id = uuid.uuid4().hex
    with (state_dir() / "supervisor.log").open("wb") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "tests.stack", "serve"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=REPOSITORY, start_new_session=True,
            env={**os.environ, MARKER: stack_id},
        )  # fmt: skip
    (state_dir() / "state.json").write_text(json.dumps({"id": stack_id, "pid": supervisor.pid}))
    return supervisor


def _save(**values: str) -> None:
    """Replace the state in one step: ``up`` reads it meanwhile."""
    new = state_dir() / "state.json.new"
    new.write_text(json.dumps({**state(), **values}))
    new.replace(state_dir() / "state.json")


def _wait_ready(supervisor: subprocess.Popen[bytes]) -> bool:
    end = time.monotonic() + START_TIMEOUT
    while time.monotonic() < end and supervisor.poll() is None:
        if state().get("url"):
            return True
        time.sleep(0.2)
    return False


def _clear(found: dict[str, Any]) -> None:
    """Whatever carries this stack's marker ends, be it left by a supervisor that was killed."""
    if found:
        launch.kill_marked(f"{MARKER}={found['id']}", within=15)
    (state_dir() / "state.json").unlink(missing_ok=True)


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    """One ``up`` or ``down`` at a time."""
    with (state_dir() / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(arguments: list[str]) -> int:
    commands = {"up": up, "down": down, "status": status, "serve": serve}
    if len(arguments) != 1 or arguments[0] not in commands:
        print("usage: python -m tests.stack up | down | status", file=sys.stderr)
        return 2
    return commands[arguments[0]]()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
