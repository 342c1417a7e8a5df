"""A SQLite file as ScalarDB leaves it, a topology over it, and a catalog. The files are real; no ScalarDB runs here."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midtime.catalog import Catalog
from midtime.model.instants import restore_point_id
from midtime.model.restore_point import RestorePoint, StoreBackup
from midtime.model.topology import Target as TargetWish
from midtime.model.topology import Topology
from midtime.stores import open_store
from midtime.stores.base import Shelf, Target
from midtime.stores.sqlite.store import SqliteStore
from midtime.verification import Verification, verify
from tests.unit.builders import published

SCHEMA = """
CREATE TABLE "scalardb$metadata" (full_table_name TEXT, column_name TEXT, data_type TEXT, PRIMARY KEY (full_table_name, column_name));
CREATE TABLE "coordinator$state" (tx_id TEXT, tx_child_ids TEXT, tx_state INT, tx_created_at BIGINT, PRIMARY KEY (tx_id));
CREATE TABLE "bank$acct" (
    id INT, balance INT, owner TEXT, tx_id TEXT, tx_state INT, tx_version INT, tx_prepared_at BIGINT, tx_committed_at BIGINT, PRIMARY KEY (id));
CREATE INDEX "index$bank$acct$owner" ON "bank$acct" (owner);
CREATE TABLE notes (a, b);
"""
ROWS = """
WITH RECURSIVE n (g) AS (SELECT 1 UNION ALL SELECT g + 1 FROM n WHERE g < 500)
INSERT INTO "coordinator$state" SELECT 't' || g, NULL, 3, 1763700000000 + g FROM n;
WITH RECURSIVE n (g) AS (SELECT 1 UNION ALL SELECT g + 1 FROM n WHERE g < 500)
INSERT INTO "bank$acct" SELECT g, 1000, 'owner ' || g, 't' || g, 3, 1, 1763700000000 + g, 1763700000001 + g FROM n;
INSERT INTO notes VALUES (1, 'x'), (1, 'x'), (NULL, NULL);
"""
TOTAL = 500_000
POINT = "20260101T000000Z-000000"


def make_database(path: Path, *, journal_mode: str = "wal", script: str = SCHEMA + ROWS) -> Path:
    with closing(sqlite3.connect(path)) as session:
        session.execute(f"PRAGMA journal_mode = {journal_mode}")
        session.executescript(script)
    return path


def execute(path: str | Path, statement: str) -> list[tuple[Any, ...]]:
    """As another program would, in this process; never while a capture of the same file is open."""
    with closing(sqlite3.connect(path, isolation_level=None)) as session:
        return session.execute(statement).fetchall()


def elsewhere(path: str | Path, statement: str, *, timeout: float = 5) -> str:
    """As another process does: locks are a process's."""
    code = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1], isolation_level=None, timeout=float(sys.argv[3])).execute(sys.argv[2]).fetchall())"
    argv = [sys.executable, "-I", "-c", code, str(path), statement, str(timeout)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


@contextmanager
def process(code: str, *argv: str) -> Iterator[subprocess.Popen[str]]:
    """Another program that has said a line and goes on until the block ends, when it is killed."""
    with subprocess.Popen([sys.executable, "-I", "-c", code, *argv], stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout
            assert running.stdout.readline(), "the program died"
            yield running
        finally:
            running.kill()


HOLDER = """
import sqlite3, sys, time
session = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    session.execute(statement).fetchall()
print("holding", flush=True)
time.sleep(60)
"""


@dataclass
class SqliteSetting:
    """A topology of one SQLite store, and what belongs to it."""

    topology: Topology
    catalog: Catalog
    path: Path

    @property
    def store(self) -> SqliteStore:
        store = open_store(self.topology, "accounts")
        assert isinstance(store, SqliteStore)
        return store

    def shelf(self, point: str = POINT) -> Shelf:
        return Shelf(self.catalog.folder(point), "accounts")

    def back_up(self) -> tuple[str, StoreBackup]:
        store = self.store
        with store.capture() as capture:
            point = restore_point_id(capture.midtime, "run")
            return point, store.copy(capture, self.shelf(point), lambda _: None)

    def published(self) -> RestorePoint:
        point, backup = self.back_up()
        published(self.catalog, self.topology, point, backup)
        return self.catalog.resolve(point)

    def restored(self, *, wish: TargetWish | None = None, in_place: bool = False, drill: bool = False) -> tuple[RestorePoint, Target]:
        """Back up, restore under the working name."""
        manifest = self.published()
        target = self.store.target(wish, run="abc123", drill=drill, in_place=in_place)
        self.restore(manifest, target)
        return manifest, target

    def restore(self, manifest: RestorePoint, target: Target) -> None:
        self.store.restore(manifest.stores[0], self.shelf(manifest.id), target, lambda _: None)

    def look(self, manifest: RestorePoint, target: Target) -> Verification:
        return verify(self.topology, manifest, [target])

    def files(self) -> set[str]:
        return {each.name for each in self.path.parent.iterdir()}


def setting_of(folder: Path, path: Path, **changes: Any) -> SqliteSetting:
    store = {"name": "accounts", "engine": "sqlite", "path": str(path), "namespaces": ["bank"], **changes.pop("store", {})}
    store = {key: value for key, value in store.items() if value is not None}
    body = {"name": "bank", "destination": f"file://{folder}/restore-points", "stores": [store], **changes}
    topology = Topology.model_validate(body)
    return SqliteSetting(topology, Catalog(topology.destination, topology.name), path)


@contextmanager
def unprivileged(*folders: Path) -> Iterator[None]:
    """As a user whom permissions bind; as root, for whom they do not, nobody in particular."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


SUM = 'SELECT sum(balance) FROM "bank$acct"'
RESTORED, LIVE = f"[({TOTAL},)]", "[(0,)]"
EMPTY = 'UPDATE "bank$acct" SET balance = 0'


def place(setting: SqliteSetting, planned: tuple[RestorePoint, Target]) -> None:
    """As the task does."""
    setting.store.place(planned[0].stores[0], planned[1])


def good(setting: SqliteSetting, target: Target, *, names: int = 3) -> None:
    """The restored file has the name, the former one is whole, nothing else is there."""
    assert target.aside
    assert elsewhere(setting.path, SUM) == RESTORED
    assert elsewhere(target.aside, SUM) == LIVE
    for path in (setting.path, target.aside):
        assert elsewhere(path, "PRAGMA integrity_check") == "[('ok',)]"
    assert len(setting.files()) == names, setting.files()
