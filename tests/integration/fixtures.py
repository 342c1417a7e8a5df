"""A database as ScalarDB leaves it, a topology over it, and a catalog: what the tests of one store need. No ScalarDB runs here."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from midtime.catalog import Catalog
from midtime.model.instants import restore_point_id
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.stores import open_copied
from midtime.stores.base import Shelf
from midtime.stores.copied import CopiedStore
from tests.integration import faults
from tests.stack.airflow import REPOSITORY, LocalAirflow
from tests.stack.postgres import Postgres
from tests.stack.processes import poll
from tests.stack.stack import Stack

SCHEMA = """
CREATE SCHEMA bank; CREATE SCHEMA coordinator; CREATE SCHEMA scalardb;
CREATE TABLE scalardb.metadata (full_table_name text, column_name text, data_type text, PRIMARY KEY (full_table_name, column_name));
CREATE TABLE coordinator.state (tx_id text PRIMARY KEY, tx_child_ids text, tx_state int, tx_created_at bigint);
CREATE TABLE bank.acct (
    id int PRIMARY KEY, balance int, tx_id text, tx_state int, tx_version int, tx_prepared_at bigint, tx_committed_at bigint,
    ratio float8, price numeric, note jsonb, name text);
CREATE INDEX acct_name ON bank.acct (name);
CREATE TABLE bank."Odd ""Name" (a int, b text);
"""
ROWS = """
INSERT INTO coordinator.state SELECT 't' || g, NULL, 3, 1763700000000 + g FROM generate_series(1, 500) g;
INSERT INTO bank.acct SELECT g, 1000, 't' || g, 3, 1, 1763700000000 + g, 1763700000001 + g, g / 7.0, g * 1.10, '{"a": [1]}', 'name ' || g
    FROM generate_series(1, 500) g;
INSERT INTO bank."Odd ""Name" VALUES (1, 'x'), (1, 'x'), (NULL, NULL);
"""


@dataclass
class Database:
    """One database on the real server, with an Airflow connection to it."""

    server: Postgres
    name: str
    conn_id: str

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        return self.server.execute(statement, self.name)

    def databases(self) -> set[str]:
        """The names of all databases of the server that belong to this one's test."""
        return {name for (name,) in self.server.execute("SELECT datname FROM pg_database")}


@dataclass
class Setting:
    """A topology of one PostgreSQL store, and what belongs to it."""

    topology: Topology
    catalog: Catalog
    database: Database

    @property
    def store(self) -> CopiedStore:
        return open_copied(self.topology, "accounts")

    def back_up(self, run: str = "run") -> tuple[str, StoreBackup]:
        """One backup without its manifest: the id and the store's part."""
        store = self.store
        with store.capture() as capture:
            point = restore_point_id(capture.midtime, run)
            return point, store.copy(capture, self.shelf(point), lambda _: None)

    def shelf(self, point: str) -> Shelf:
        return Shelf(self.catalog.folder(point), "accounts")


@pytest.fixture
def database(postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    name = f"test_{uuid.uuid4().hex[:8]}"
    postgres_server.create_database(name)
    postgres_server.execute(SCHEMA + ROWS, name)
    monkeypatch.setenv("AIRFLOW_CONN_ACCOUNTS_DB", postgres_server.conn_uri(name))
    monkeypatch.setenv("PATH", str(postgres_server.bin_dir), prepend=":")
    before = {each for (each,) in postgres_server.execute("SELECT datname FROM pg_database")}
    yield Database(postgres_server, name, "accounts_db")
    after = {each for (each,) in postgres_server.execute("SELECT datname FROM pg_database")}
    for each in (after - before) | {name}:
        postgres_server.execute(f'DROP DATABASE IF EXISTS "{each}" WITH (FORCE)')


def topology_of(folder: Path, **changes: Any) -> Topology:
    """A topology with its destination below ``folder``."""
    store = {"name": "accounts", "engine": "postgresql", "conn_id": "accounts_db", "namespaces": ["bank"], **changes.pop("store", {})}
    body = {"name": "bank", "destination": f"file://{folder}/restore-points", "stores": [store], **changes}
    return Topology.model_validate(json.loads(json.dumps(body)))


@pytest.fixture
def setting(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    staging = tmp_path / "staging"
    staging.mkdir()
    monkeypatch.setenv("MIDTIME_STAGING", str(staging))
    topology = topology_of(tmp_path)
    return Setting(topology, Catalog(topology.destination, topology.name), database)


@dataclass
class Installation:
    """The real Airflow, with topologies that tests add."""

    airflow: LocalAirflow
    stack: Stack
    folder: Path

    @property
    def other_dags(self) -> Path:
        """A second folder of DAG files, empty at first."""
        return self.folder / "other-dags"

    def add_topology(self, name: str, database: str, **changes: Any) -> Topology:
        """Write a topology file over one database of the real server, and wait until Airflow shows its DAGs."""
        topology = self.write_topology(name, database, **changes)
        self.wait_for(topology)
        return topology

    def wait_for(self, topology: Topology) -> None:
        """Wait until Airflow shows the DAGs."""
        for kind in ("backup", "restore", "drill"):
            self.airflow.wait_dag(f"{topology.name}__{kind}", timeout=90)

    def write_topology(self, name: str, database: str, **changes: Any) -> Topology:
        """The same without waiting."""
        conn_id = f"{name.replace('-', '_')}_db"
        self.airflow.add_connection(conn_id, self.stack.postgres.conn_uri(database))
        store = {"name": changes.pop("store_name", "accounts"), "engine": "postgresql", "conn_id": conn_id, "namespaces": ["bank"]}
        store |= changes.pop("store", {})
        return self.write(name, {"destination": f"file://{self.folder}/restore-points", "stores": [store], **changes})

    def write(self, name: str, keys: dict[str, Any]) -> Topology:
        """A topology file of these keys."""
        body = {"name": name, **keys}
        topology = Topology.model_validate(body)
        file = self.topology_file(name)
        file.write_text(yaml.safe_dump(body))
        _written.append(file)
        return topology

    def topology_file(self, name: str) -> Path:
        """Where Airflow looks for it."""
        return (self.stack.topologies_dir or self.folder) / f"{name}.yaml"

    def catalog(self, topology: Topology) -> Catalog:
        return Catalog(topology.destination, topology.name)

    def run(self, dag_id: str, conf: dict[str, Any] | None = None, *, timeout: float = 180) -> str:
        """Start a run and see it succeed."""
        run_id = self.airflow.trigger(dag_id, conf)
        self.succeeded(dag_id, run_id, timeout=timeout)
        return run_id

    def succeeded(self, dag_id: str, run_id: str, *, timeout: float = 180) -> None:
        assert self.airflow.wait_run(dag_id, run_id, timeout) == "success", self.airflow.failure_report(dag_id, run_id)

    def midtime(self, *arguments: str) -> str:
        """What the command says, with Airflow's own environment; it must succeed."""
        command = [str(Path(sys.executable).with_name("midtime")), *arguments]
        done = subprocess.run(command, env=self.airflow.environment(), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop_at(self, topology: str, place: str) -> Path:
        """From now on tasks of this topology stop there (``faults.py``)."""
        flag = self.folder / "faults" / f"{topology}.{place}"
        faults.reached(flag).unlink(missing_ok=True)  # an earlier test's
        flag.touch()
        return flag

    def reached(self, flag: Path, timeout: float = 120) -> int:
        """Wait until a task has stopped there; its process id."""
        reached = faults.reached(flag)
        return int(poll(f"a task at {flag.name}", lambda: (reached.exists() and reached.read_text()) or None, timeout))


def installation_of(stack: Stack, folder: Path, **env: str) -> Installation:
    """Its Airflow is started, with ``faults.py`` in its tasks.

    :param folder: empty, of the installation's own
    :param env: of all Airflow's processes
    """
    (folder / "faults").mkdir()
    config = stack.directory / "airflow" / "config"
    config.mkdir(parents=True)
    (config / "airflow_local_settings.py").write_text(Path(faults.__file__).read_text())
    stack.airflow_options["env"] = {faults.FOLDER: str(folder / "faults"), **env}
    stack.airflow_options["settings"] = {("dag_processor", "dag_bundle_config_list"): _bundles(folder / "other-dags")}
    return Installation(stack.airflow, stack, folder)


@pytest.fixture(scope="session")
def installation(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return installation_of(stack, tmp_path_factory.mktemp("installation"))


_written: list[Path] = []
"""The topology files of the module that is running."""


@pytest.fixture(scope="module", autouse=True)
def topologies_of_the_module() -> Iterator[None]:
    """They go with it: else clocks would go on starting their DAGs, and all be parsed again and again, beside all tests that follow."""
    yield
    while _written:
        _written.pop().unlink(missing_ok=True)


def _bundles(others: Path) -> str:
    """The repository's DAGs, and those of somebody else's that a test writes."""
    others.mkdir()
    local = "airflow.dag_processing.bundles.local.LocalDagBundle"
    folders = {"dags-folder": REPOSITORY / "dags", "other-dags": others}
    return json.dumps([{"name": name, "classpath": local, "kwargs": {"path": str(path)}} for name, path in folders.items()])
