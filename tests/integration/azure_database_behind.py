"""What Azure does behind its double: restores of a real PostgreSQL by its own point-in-time recovery, and of a real MariaDB from copies of it.

The servers that are restored have the logins and the port of the live one, at loopback addresses of their own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
import traceback
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Protocol

from tests.integration.pitr_setting import Archiving
from tests.stack.azure_database import AzureDatabase
from tests.stack.mariadb import MariaDB
from tests.stack.postgres import UNPRIVILEGED, Postgres
from tests.stack.processes import Processes, poll

HERE = "127.0.0.1"
QUICKLY = {"ssl": 0}
"""A MariaDB starts at once that need not make a key for TLS."""
Server = Postgres | MariaDB


class History(Protocol):
    """What is known of a live server's past."""

    def restored(self, instant: datetime, host: str) -> Server:
        """A server as of an instant, at another address; whoever asks for it stops it."""


class PostgresHistory:
    """An archive, and a base backup that is made now.

    :param folder: which the servers' system user may write to
    """

    def __init__(self, source: Archiving, folder: Path, processes: Processes) -> None:
        self.source, self.folder, self._processes = source, folder, processes
        self.base = folder / "base"
        server = source.server
        command = [
            server.bin_dir / "pg_basebackup",
            "-D",
            self.base,
            "-h",
            HERE,
            "-p",
            str(server.port),
            "-U",
            server.user,
            "-X",
            "none",
            "-c",
            "fast",
        ]
        subprocess.run([*map(str, command)], env={**os.environ, "PGPASSWORD": server.password}, check=True, capture_output=True)

    def restored(self, instant: datetime, host: str) -> Postgres:
        """Promoted, when everything up to the instant is in the archive: a recovery ends at the first commit behind it."""
        self.source.server.execute("SELECT pg_current_xact_id()")
        self.source.settle()
        server = Postgres(self._processes, f"restored-{host}-{instant:%H%M%S}", password=self.source.server.password)
        server._reserved.release()
        server.host, server.data_dir, server._reserved = host, self._copy(instant, host), self.source.server._reserved
        server.start()
        poll("promoted", lambda: server.execute("SELECT 1 WHERE NOT pg_is_in_recovery()") or None, 60)
        return server

    def _copy(self, instant: datetime, host: str) -> Path:
        data = self.folder / f"{host}-{instant:%H%M%S}"
        shutil.copytree(self.base, data)
        shutil.copy(self.source.server.data_dir / "pg_hba.conf", data)
        with (data / "postgresql.auto.conf").open("a") as settings:
            settings.write(f"\nrestore_command = 'cp {self.source.archive}/%f %p'\nrecovery_target_time = '{instant.isoformat()}'\n")
            settings.write("recovery_target_action = 'promote'\narchive_mode = off\n")
        (data / "recovery.signal").touch()
        if os.geteuid() == 0:
            for path in [data, *data.rglob("*")]:
                shutil.chown(path, UNPRIVILEGED)
        data.chmod(0o700)
        return data


class MariadbHistory:
    """A copy before each change that goes through here, and when that was."""

    def __init__(self, source: MariaDB, databases: tuple[str, ...], processes: Processes) -> None:
        self.source, self._databases, self._processes = source, databases, processes
        self._before: list[tuple[float, bytes]] = []

    def change(self, statement: str) -> None:
        """Nobody else changes anything."""
        copy = self._run(self.source, "mariadb-dump", "--single-transaction", "--databases", *self._databases)
        self._before.append((time.time(), copy))
        self.source.execute(statement)

    def restored(self, instant: datetime, host: str) -> MariaDB:
        """With what was there before the first change behind the instant."""
        copy = next(copy for at, copy in self._before if at > instant.timestamp())
        server = MariaDB(self._processes, f"restored-{host}", settings=QUICKLY, password=self.source.password)
        server._reserved.release()
        server.host, server._reserved = host, self.source._reserved
        self._run(server.start(), "mariadb", given=copy)
        return server

    @staticmethod
    def _run(server: MariaDB, program: str, *options: str, given: bytes = b"") -> bytes:
        login = ["--no-defaults", "--skip-ssl", f"--host={server.host}", f"--port={server.port}", f"--user={server.user}"]
        command = [str(server.bin_dir / program), *login, *options]
        return subprocess.run(
            command, env={**os.environ, "MYSQL_PWD": server.password}, input=given, check=True, capture_output=True
        ).stdout


class Behind:
    """Meanwhile every restore that the double takes is made, and every server that was deleted ends.

    :param histories: by the live server's name
    """

    def __init__(self, azure: AzureDatabase, histories: Mapping[str, History]) -> None:
        self.azure, self._histories = azure, histories
        self.made: dict[str, Server] = {}
        self._hosts = (f"127.0.0.{number}" for number in range(20, 250))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Behind:
        self.azure.settings(awaited=True, addresses=self._addresses())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for server in self.made.values():
            server.stop()

    def _addresses(self) -> dict[str, str]:
        return {**dict.fromkeys(self._histories, HERE), **{name: server.host for name, server in self.made.items()}}

    def _work(self) -> None:
        while not self._over.wait(0.3):
            try:
                self._fulfil(self.azure.settings()["restores"])
            except Exception:  # noqa: BLE001 - the restore that waits for it ends its test
                traceback.print_exc()

    def _fulfil(self, wanted: Mapping[str, tuple[str, str]]) -> None:
        for name in self.made.keys() - wanted.keys():
            self.made.pop(name).stop()
        for name in wanted.keys() - self.made.keys():
            source, instant = wanted[name]
            self.made[name] = self._histories[source].restored(datetime.fromisoformat(instant), next(self._hosts))
            self.azure.settings(addresses=self._addresses())
