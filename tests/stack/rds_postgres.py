"""The data behind an RDS for PostgreSQL of the tests: a real server that archives its WAL, and real point-in-time restores of it.

The RDS server says which instance is wanted, and of which second; here it is made, and the RDS server told where it is reached.
"""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from tests.stack.postgres import Postgres
from tests.stack.processes import Processes, poll
from tests.stack.rds import RDS


class RdsPostgres:
    """One live instance, and those restored of it.

    :param folder: which the servers' system user may write to
    """

    def __init__(self, processes: Processes, rds: RDS, name: str, folder: Path) -> None:
        self.rds, self.name, self._processes = rds, name, processes
        self.archive, self.base = folder / "archive", folder / "base"
        self.archive.mkdir()
        shutil.chown(self.archive, folder.owner())
        copy = f"cp %p {self.archive}/.%f && mv {self.archive}/.%f {self.archive}/%f"
        settings = {"archive_mode": "on", "archive_command": copy}
        self.live = Postgres(processes, "rds-live", settings=settings, initdb=["--wal-segsize=1"])
        self.restored: dict[str, Postgres] = {}

    def start(self) -> RdsPostgres:
        """With a base backup of what is there."""
        self.live.start()
        self.rds.settings(endpoints={self.name: [self.live.host, self.live.port]}, awaited=True)
        return self

    def back_up(self) -> None:
        """What restores begin with."""
        with psycopg.connect(self.live.dsn(), autocommit=True) as session:
            session.execute("SELECT pg_backup_start('rds', true)")
            subprocess.run(["cp", "-a", self.live.data_dir, self.base], check=True)
            row = session.execute("SELECT labelfile FROM pg_backup_stop()").fetchone()
        assert row
        for each in ("postmaster.pid", "postmaster.opts"):
            (self.base / each).unlink(missing_ok=True)
        for each in (self.base / "pg_wal").iterdir():
            if each.is_file():
                each.unlink()
        for name, content in (("backup_label", row[0]), ("recovery.signal", "")):
            (self.base / name).write_text(content)
            shutil.chown(self.base / name, self.base.owner())

    def settle(self) -> None:
        """Everything is archived."""
        ((segment,),) = self.live.execute("SELECT pg_walfile_name(pg_switch_wal() - 1)")
        poll(f"{segment} in the archive", lambda: (self.archive / segment).exists() or None, 20)

    def fulfil(self) -> None:
        """Make what was asked for and is not there yet."""
        said = self.rds.settings()
        for name, second in said["restores"].items():
            if name not in self.restored:
                self.restored[name] = self._restore(name, second, includes_second=said["includes_second"])
        there = {name: [server.host, server.port] for name, server in {self.name: self.live, **self.restored}.items()}
        self.rds.settings(endpoints=there)

    def _restore(self, name: str, second: float, *, includes_second: bool) -> Postgres:
        until = datetime.fromtimestamp(second + (0.999999 if includes_second else 0), UTC)
        settings: dict[str, str | int] = {
            "restore_command": f"cp {self.archive}/%f %p", "recovery_target_time": until.isoformat(sep=" "), "recovery_target_action": "promote",
        }  # fmt: skip
        server = Postgres(self._processes, f"rds-{name}", settings=settings)
        server.data_dir.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", self.base, server.data_dir], check=True)
        server.start()
        poll(f"{name} at {until}", lambda: not server.execute("SELECT pg_is_in_recovery()")[0][0] or None, 30)
        return server

    def close(self) -> None:
        for each in (self.live, *self.restored.values()):
            each.close()
