"""A real PostgreSQL as a managed service hands it out: the database belongs to a login that may make databases and roles, and is no superuser."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from midtime.catalog import Catalog
from midtime.errors import MidtimeError
from midtime.model.restore_point import RestorePoint
from midtime.model.topology import Target as TargetWish
from midtime.stores.base import Target
from midtime.verification import Verification, verify
from tests.answers import refusal
from tests.integration.fixtures import ROWS, SCHEMA, Database, Setting, topology_of
from tests.unit.builders import published

AZURE = {"subscription_id": "00000000-0000-0000-0000-000000000000", "resource_group": "g", "server": "s"}
ENGINES: dict[str, dict[str, Any]] = {
    "rds": {"engine": "rds", "dialect": "postgresql", "region": "eu-west-1", "instance": "bank"},
    "aurora": {"engine": "aurora", "dialect": "postgresql", "region": "eu-west-1", "cluster": "bank"},
    "azure_postgresql": {"engine": "azure_postgresql", **AZURE},
}
"""What each topology says beside the connection to the data."""


class ManagedSetting(Setting):
    """The same with everything done by that login; the control plane's connection does not exist."""

    master: str

    def as_master(self, statement: str, database: str = "") -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn(database or self.database.name), autocommit=True) as session:
            done = session.execute(statement.encode())
            return done.fetchall() if done.description else []

    def dsn(self, database: str) -> str:
        server = self.database.server
        return f"postgresql://{self.master}:master-secret@{server.host}:{server.port}/{database}?sslmode=disable"

    def conn_uri(self, database: str) -> str:
        return self.dsn(database).replace("postgresql://", "postgres://")

    def target(self, wish: TargetWish | None = None, *, drill: bool = False, in_place: bool = False) -> Target:
        return self.store.target(wish, run="abc123", drill=drill, in_place=in_place)

    def restored(self, target: Target) -> tuple[RestorePoint, list[str]]:
        """Back up, restore under the working name; what the restore said."""
        point, backup = self.back_up()
        said: list[str] = []
        self.store.restore(backup, self.shelf(point), target, said.append)
        return published(self.catalog, self.topology, point, backup), said

    def look(self, manifest: RestorePoint, target: Target) -> Verification:
        return verify(self.topology, manifest, [target])

    def failing(self) -> MidtimeError:
        return refusal(self.store.questions())

    def change_store(self, folder: Path, **keys: Any) -> None:
        """Another topology."""
        store: dict[str, Any] = {"method": "dump", "conn_id": "no_control_plane", "data_conn_id": "accounts_db", **keys}
        self.topology = topology_of(folder, store=store)
        self.catalog = Catalog(self.topology.destination, self.topology.name)


def setting_for(engine: str, database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ManagedSetting]:
    """One engine's."""
    (folder / "staging").mkdir()
    monkeypatch.setenv("MIDTIME_STAGING", str(folder / "staging"))
    topology = topology_of(
        folder, store={**ENGINES[engine], "method": "dump", "conn_id": "no_control_plane", "data_conn_id": "accounts_db"}
    )
    setting = ManagedSetting(topology, Catalog(topology.destination, topology.name), database)
    setting.master = f"master_{uuid.uuid4().hex[:8]}"
    before = database.databases()
    database.server.execute(
        f"CREATE ROLE {setting.master} LOGIN PASSWORD 'master-secret' CREATEDB CREATEROLE IN ROLE pg_signal_backend, pg_monitor"
    )
    database.execute(f"DROP SCHEMA bank, coordinator, scalardb CASCADE; ALTER DATABASE {database.name} OWNER TO {setting.master}")
    setting.as_master(SCHEMA + ROWS)
    monkeypatch.setenv("AIRFLOW_CONN_ACCOUNTS_DB", setting.conn_uri(database.name))
    yield setting
    for name in (database.databases() - before) | {database.name}:
        database.server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    for (role,) in database.server.execute(
        f"SELECT rolname FROM pg_roles WHERE rolname LIKE '%{setting.master[-8:]}' AND rolname <> '{setting.master}'"
    ):
        database.server.execute(f'DROP ROLE "{role}"')
    database.server.execute(f"DROP ROLE {setting.master}")


@pytest.fixture(params=sorted(ENGINES))
def each_managed(
    request: pytest.FixtureRequest, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ManagedSetting]:
    """One after the other."""
    yield from setting_for(request.param, database, tmp_path, monkeypatch)


@pytest.fixture
def managed(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ManagedSetting]:
    """RDS, where the engines do not differ."""
    yield from setting_for("rds", database, tmp_path, monkeypatch)
