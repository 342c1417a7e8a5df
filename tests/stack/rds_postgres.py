"""The data behind an RDS for PostgreSQL of the tests: a real server that archives its WAL, and real point-in-time restores of it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from tests.stack.postgres import Postgres
from tests.stack.processes import Processes, poll
from tests.stack.rds import RDS
from tests.stack.rds_behind import At, Behind


class Live(Postgres):
    """The server itself, as topologies name it."""

    keys: dict[str, Any]

    def topology_store(self, name: str, namespaces: Iterable[str], conn_id: str) -> dict[str, Any]:
        """As a store of a topology; the connection is to the data."""
        return {"name": name, **self.keys, "data_conn_id": conn_id, "namespaces": list(namespaces)}


class RdsPostgres(Behind):
    """One live instance or cluster, and those restored of it.

    :param folder: which the servers' system user may write to
    :param kind: ``rds`` or ``aurora``
    """

    def __init__(self, processes: Processes, rds: RDS, name: str, folder: Path, kind: str = "rds") -> None:
        super().__init__(rds, name)
        self._processes = processes
        self.archive, self.base = folder / "archive", folder / "base"
        self.archive.mkdir()
        shutil.chown(self.archive, folder.owner())
        copy = f"cp %p {self.archive}/.%f && mv {self.archive}/.%f {self.archive}/%f"
        settings = {"archive_mode": "on", "archive_command": copy}
        self.live = Live(processes, f"rds-{name}", settings=settings, initdb=["--wal-segsize=1"])
        self.live.keys = rds.topology_keys(kind, "postgresql", name)
        self.restored: dict[str, Postgres] = {}

    def start(self) -> RdsPostgres:
        self.live.start()
        self.tell(self.name, (self.live.host, self.live.port))
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
        """Everything is archived, and after it a commit: a recovery goes on until it comes to one behind its target."""
        self.live.execute("SELECT pg_logical_emit_message(true, 'rds', 'on')")
        ((segment,),) = self.live.execute("SELECT pg_walfile_name(pg_switch_wal() - 1)")
        poll(f"{segment} in the archive", lambda: (self.archive / segment).exists() or None, 20)

    def restore(self, name: str, second: float, *, includes_second: bool) -> At:
        self.settle()
        until = datetime.fromtimestamp(second + (0.999999 if includes_second else 0), UTC)
        settings: dict[str, str | int] = {
            "restore_command": f"cp {self.archive}/%f %p", "recovery_target_time": until.isoformat(sep=" "), "recovery_target_action": "promote",
        }  # fmt: skip
        server = Postgres(self._processes, f"rds-{name}", settings=settings)
        server.data_dir.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", self.base, server.data_dir], check=True)
        server.start()
        poll(f"{name} at {until}", lambda: not server.execute("SELECT pg_is_in_recovery()")[0][0] or None, 30)
        self.restored[name] = server
        return server.host, server.port

    def close(self) -> None:
        for each in (self.live, *self.restored.values()):
            each.close()
