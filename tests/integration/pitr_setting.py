"""A server that archives its WAL into a folder, a topology of its own over it, and room for restored servers."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from midtime.catalog import Catalog
from midtime.model.instants import restore_point_id
from midtime.model.restore_point import RestorePoint, StoreBackup
from midtime.model.topology import Topology
from midtime.stores.base import Shelf, Target
from midtime.stores.postgresql_pitr import cluster
from midtime.stores.postgresql_pitr.store import PostgresqlPitrStore
from midtime.stores.postgresql_pitr.wal import Span
from tests.integration.fixtures import ROWS, SCHEMA
from tests.stack.postgres import UNPRIVILEGED, Postgres
from tests.stack.processes import Processes, poll
from tests.unit.builders import published

DATABASE = "bank"


@contextmanager
def folder_of_the_server(prefix: str) -> Iterator[Path]:
    """A folder with a short name that the server's system user may write to; gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    if os.geteuid() == 0:
        shutil.chown(folder, UNPRIVILEGED)
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


COUNT = "SELECT count(*) FROM bank.acct"


@dataclass
class Archiving:
    """The server and its archive."""

    server: Postgres
    archive: Path

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        return self.server.execute(statement, DATABASE)

    def settle(self) -> None:
        """Wait until everything is archived that is to be."""
        ((segment,),) = self.execute("SELECT pg_walfile_name(pg_switch_wal() - 1)")
        poll(f"{segment} in the archive", lambda: (self.archive / segment).exists() or None, 20)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Meanwhile the archiver fails."""
        flag = self.archive / "hold"
        flag.touch()
        try:
            yield
        finally:
            flag.unlink()


@dataclass
class PitrSetting:
    """A topology of this one store."""

    source: Archiving
    folder: Path
    """Restored servers."""
    topology: Topology

    @property
    def store(self) -> PostgresqlPitrStore:
        return PostgresqlPitrStore(self.topology, "accounts")

    @property
    def catalog(self) -> Catalog:
        return self.store.catalog

    def changed(self, **store: Any) -> PitrSetting:
        """The same with other keys of the store."""
        body = self.topology.model_dump(mode="json", exclude_unset=True)
        body["stores"][0] |= store
        return PitrSetting(self.source, self.folder, Topology.model_validate(body))

    def back_up(self, run: str = "run") -> RestorePoint:
        """One published backup."""
        store = self.store
        with store.capture() as capture:
            point = restore_point_id(capture.midtime, run)
            self.catalog.begin(point)
            return published(self.catalog, self.topology, point, store.copy(capture, self.shelf(point), lambda _: None))

    def shelf(self, point: str) -> Shelf:
        return Shelf(self.catalog.folder(point), "accounts")

    def target(self, run: str = "abc123", *, drill: bool = True) -> Target:
        return self.store.target(None, run=run, drill=drill, in_place=False)

    def restore(self, point: RestorePoint, target: Target | None = None) -> Target:
        """Restore under the working name."""
        wanted = target or self.target()
        poll("restorable", lambda: self.store.restorable(point.stores[0]).ready or None, 20)
        self.store.restore(point.stores[0], self.shelf(point.id), wanted, lambda _: None)
        return wanted

    def ask(self, backup: StoreBackup, target: Target, query: str) -> Any:
        """One value of the restored server."""
        with self.store.restored(backup, target) as restored:
            return restored.scalar(query)


def segments(pitr: PitrSetting, point: RestorePoint) -> list[Path]:
    """The WAL that a point needs, in the archive."""
    return [pitr.source.archive / name for name in Span.from_dict(point.stores[0].details["wal"]).names()]


def bases(pitr: PitrSetting) -> list[str]:
    """Ids of those that can be used."""
    return [base.id for base in pitr.store.bases.usable()]


@contextmanager
def moved(path: Path) -> Iterator[None]:
    """Out of the way for a while."""
    away = path.with_name(f"away-{path.name}")
    path.rename(away)
    try:
        yield
    finally:
        away.rename(path)


@contextmanager
def archiving_server(processes: Processes, name: str = "pitr", **options: Any) -> Iterator[Archiving]:
    """A server with small WAL segments, and the bank in it."""
    with folder_of_the_server("mt-wal-") as archive:
        command = f"test ! -e {archive}/hold && cp %p {archive}/.%f && mv {archive}/.%f {archive}/%f"
        settings = {"archive_mode": "on", "archive_command": command}
        server = Postgres(processes, name, settings=settings, initdb=["--wal-segsize=1"], **options).start()
        try:
            server.create_database(DATABASE)
            server.execute(SCHEMA + ROWS, DATABASE)
            source = Archiving(server, archive)
            source.settle()
            yield source
        finally:
            server.close()


@pytest.fixture(scope="module")
def archiving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archiving]:
    """One of its own for a module."""
    processes = Processes(tmp_path_factory.mktemp("pitr"))
    try:
        with archiving_server(processes) as source:
            yield source
    finally:
        processes.stop()


@pytest.fixture
def pitr(archiving: Archiving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PitrSetting]:
    """A catalog of its own for each test."""
    monkeypatch.setenv("AIRFLOW_CONN_ACCOUNTS_DB", archiving.server.conn_uri(DATABASE))
    with folder_of_the_server("mt-") as folder:
        body = {
            "name": "bank",
            "destination": f"file://{tmp_path}/restore-points",
            "stores": [
                {
                    "name": "accounts", "engine": "postgresql", "method": "pitr", "conn_id": "accounts_db", "namespaces": ["bank"],
                    "client_path": str(archiving.server.binaries), "wal": {"archive": f"file://{archiving.archive}"},
                }
            ],
            "drill": {"targets": {"accounts": {"data_dir": str(folder), "port": 5433}}},
        }  # fmt: skip
        try:
            yield PitrSetting(archiving, folder, Topology.model_validate(json.loads(json.dumps(body))))
        finally:
            for each in folder.iterdir():
                cluster.kill_all_in(each / cluster.DATA)
