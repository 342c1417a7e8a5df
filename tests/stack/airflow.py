"""A real Airflow: api-server, scheduler with the LocalExecutor, dag-processor and triggerer as four processes.

The settings are written to ``airflow.cfg`` of its home, so ``AIRFLOW_HOME=<home> airflow …`` on the command line talks to it too.
"""

from __future__ import annotations

import base64
import configparser
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.stack import airflow_settings, launch, mariadb
from tests.stack.airflow_api import AirflowApi
from tests.stack.postgres import wheel_bin
from tests.stack.processes import Port, Process, Processes, StackError, poll

REPOSITORY = Path(__file__).resolve().parents[2]
COMPONENTS = {
    # without the log servers: every log is on this machine, and they would want ports that another stack may hold
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
#: facts/airflow.md 2.4, and no needless sleep between two tasks
TUNED = {
    ("scheduler", "scheduler_idle_sleep_time"): 0.2,
    ("scheduler", "task_instance_heartbeat_timeout"): 20,
    ("scheduler", "task_instance_heartbeat_timeout_detection_interval"): 5,
    ("scheduler", "orphaned_tasks_check_interval"): 15,
    ("scheduler", "scheduler_health_check_threshold"): 15,
    ("workers", "min_heartbeat_interval"): 1,
    ("triggerer", "triggerer_health_check_threshold"): 12,
    ("dag_processor", "refresh_interval"): 5,
    ("dag_processor", "min_file_process_interval"): 10,
}


class LocalAirflow(AirflowApi):
    """``start()`` makes it ready for use; everything else is the API of ``AirflowApi``, as ``admin``."""

    def __init__(
        self,
        processes: Processes,
        home: Path,
        metadata_dsn: str,
        *,
        topologies_dir: Path | None = None,
        connections: Mapping[str, Any] | None = None,
        path_dirs: tuple[Path, ...] | None = None,
        env: Mapping[str, str] | None = None,
        settings: Mapping[tuple[str, str], Any] | None = None,
        dags_folder: Path | None = None,
        dags_paused: bool = False,
        parallelism: int = 8,
        port: int = 0,
        keep_user_settings: bool = False,
    ) -> None:
        self.home, self._processes, self._reserved = home.resolve(), processes, Port(port)
        self.url = f"http://127.0.0.1:{self._reserved.number}"
        self.topologies_dir = topologies_dir or REPOSITORY / "include" / "topologies"
        self.passwords = {"admin": "admin", "viewer": "viewer"}
        self._connections = dict(connections or {})
        self._path = (wheel_bin(), mariadb.bin_path()) if path_dirs is None else path_dirs  # pg_dump, mariadb-dump and the rest
        self._extra_env, self._keep = dict(env or {}), keep_user_settings
        self._settings = self._base_settings(metadata_dsn, dags_folder or REPOSITORY / "dags", dags_paused, parallelism) | dict(
            settings or {}
        )
        self._components: dict[str, Process] = {}
        super().__init__(self.url, "admin", self.passwords["admin"])

    def start(self) -> LocalAirflow:
        """Migrate, import connections and pools, start the four components, wait until all are healthy."""
        self.home.mkdir(parents=True, exist_ok=True)
        self._write_configuration()
        airflow_settings.write(self._imports(), self.home)
        self._prepare()
        for name in COMPONENTS:
            self.start_component(name)
        self._components["api-server"].wait_ready(self.healthy, timeout=240, every=0.2)
        return self

    def stop(self) -> None:
        """End the components; running tasks are ended too."""
        for process in self._components.values():
            process.signal_stop()
        for process in list(self._components.values()):
            process.stop()
        self._components.clear()

    def close(self) -> None:
        self.stop()
        super().close()
        self._reserved.release()

    def start_component(self, name: str) -> Process:
        """Start one of the four, or start it again."""
        command = [sys.executable, "-m", "airflow", *COMPONENTS[name]]
        process = self._processes.start(f"airflow-{name}", command, env=self.environment(), cwd=self.home, grace=9)
        self._components[name] = process
        return process

    def component(self, name: str) -> Process:
        """``api-server``, ``scheduler``, ``dag-processor`` or ``triggerer``: to be killed by a test, for example."""
        return self._components[name]

    def processes_of(self, name: str) -> list[int]:
        """A component and what it has started: all of them stand still when a machine's component does."""
        pid = self._components[name].pid
        return [pid, *launch.descendants(pid)]

    def mend(self, timeout: float = 180) -> None:
        """Start again what is dead, and wait until everything is healthy: the end of a test that killed something."""
        poll("a healthy Airflow", self._mended, timeout, every=0.2)

    def _mended(self) -> bool | None:
        for name, process in list(self._components.items()):
            if not process.alive:
                process.wait(1)
                self.start_component(name)
        try:
            return self.healthy() or None
        except (httpx.HTTPError, KeyError):  # not yet
            return None

    def viewer(self) -> AirflowApi:
        """The API as the user who may only look."""
        return AirflowApi(self.url, "viewer", self.passwords["viewer"])

    def airflow(self, *arguments: str, timeout: float = 120) -> str:
        """Run the ``airflow`` command against this Airflow."""
        return self._run([sys.executable, "-m", "airflow", *arguments], timeout)

    def environment(self) -> dict[str, str]:
        """The processes' environment. A person's own ``AIRFLOW_CONN_*`` always count, other settings only for ``make up``."""
        passing = ("AIRFLOW_CONN_", "AIRFLOW_VAR_")
        inherited = {
            key: value for key, value in os.environ.items() if self._keep or not key.startswith("AIRFLOW") or key.startswith(passing)
        }
        path = os.pathsep.join([str(Path(sys.executable).parent), *map(str, self._path), os.environ.get("PATH", os.defpath)])
        return {
            **inherited,
            "PATH": path,
            # tests.stack is a package of the repository's top and not installed
            "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])),
            "AIRFLOW_HOME": str(self.home),
            "MIDTIME_TOPOLOGIES": str(self.topologies_dir),
            **self._extra_env,
        }

    def _base_settings(self, dsn: str, dags: Path, paused: bool, parallelism: int) -> dict[tuple[str, str], Any]:
        return (
            TUNED
            | {
                ("core", "executor"): "LocalExecutor",
                ("core", "parallelism"): parallelism,
                ("core", "dags_folder"): dags,
                ("core", "plugins_folder"): REPOSITORY / "plugins",
                ("core", "load_examples"): False,
                ("core", "dags_are_paused_at_creation"): paused,
                ("core", "simple_auth_manager_users"): ",".join(f"{user}:{user}" for user in self.passwords),
                ("core", "simple_auth_manager_passwords_file"): self.home / "passwords.json",
                ("core", "execution_api_server_url"): f"{self.url}/execution/",
                ("database", "sql_alchemy_conn"): dsn.replace("postgresql://", "postgresql+psycopg2://", 1),
                ("api", "base_url"): self.url,
                ("api", "host"): "127.0.0.1",
                ("api", "port"): self._reserved.number,
                ("api", "workers"): 1,
                ("logging", "base_log_folder"): self.home / "logs",
                ("dag_processor", "dag_bundle_storage_path"): self.home / "bundles",
            }
            | self._secrets()
        )

    def _secrets(self) -> dict[tuple[str, str], str]:
        """Made once for a home: another Fernet key could not read the connections that are in the database."""
        file = self.home / "secrets.json"
        if not file.exists():
            self.home.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            fernet = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
            file.write_text(json.dumps([fernet, secrets.token_urlsafe(48), secrets.token_urlsafe(48)]))
        fernet, token, api = json.loads(file.read_text())
        return {("core", "fernet_key"): fernet, ("api_auth", "jwt_secret"): token, ("api", "secret_key"): api}

    def _write_configuration(self) -> None:
        parser = configparser.RawConfigParser()
        for (section, option), value in self._settings.items():
            if not parser.has_section(section):
                parser.add_section(section)
            parser.set(section, option, str(value).replace("%", "%%"))
        (self.home / "airflow.cfg").touch(mode=0o600)
        with (self.home / "airflow.cfg").open("w") as file:
            parser.write(file)
        (self.home / "passwords.json").touch(mode=0o600)
        (self.home / "passwords.json").write_text(json.dumps(self.passwords))

    def _imports(self) -> airflow_settings.Settings:
        """The repository's own settings (its pools), and the connections given here."""
        settings = airflow_settings.from_astro(REPOSITORY / "airflow_settings.yaml")
        settings["connections"].update(self._connections)
        return settings

    def _prepare(self) -> None:
        self._run([sys.executable, "-m", "tests.stack.airflow_settings", str(self.home)], timeout=240)

    def _run(self, command: list[str], timeout: float) -> str:
        done = subprocess.run(command, env=self.environment(), cwd=self.home, capture_output=True, text=True, timeout=timeout)
        if done.returncode:
            raise StackError(f"{' '.join(command[1:])} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout
