"""The engines and object stores, each as a test of a whole Airflow needs it: made, counted, damaged and taken away in one way."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from contextlib import closing
from typing import Any

from midtime.model.topology import Topology
from tests.integration import mysql_setting
from tests.integration.fixtures import ROWS, SCHEMA, Installation

NOTHING_BY_ITSELF = {"drill": {"after_backup": False}}
ROWS_OF_ACCT = 500


class Engine(ABC):
    """One kind of database; each topology has one of its own, with the bank's accounts in it."""

    name: str

    def __init__(self, installation: Installation) -> None:
        self.installation = installation

    @abstractmethod
    def create(self, topology: str) -> dict[str, Any]:
        """Make a database; the topology's keys beside its name and destination."""

    @abstractmethod
    def rows(self, topology: str) -> int:
        """Of the live table of accounts."""

    @abstractmethod
    def copy_target(self, topology: str) -> str:
        """What a person writes for a copy beside the original."""

    @abstractmethod
    def rows_of_copy(self, topology: str) -> int | None:
        """Of the accounts in that copy; None while it is not there."""

    @abstractmethod
    def working_copies(self) -> list[str]:
        """What Midtime has made and must remove again."""

    def add(self, topology: str, destination: str, **changes: Any) -> Topology:
        """Database and topology file; Airflow finds it in its own time."""
        return self.installation.write(topology, {"destination": destination, **self.create(topology), **NOTHING_BY_ITSELF, **changes})

    def conn_id(self, topology: str) -> str:
        return f"{topology.replace('-', '_')}_db"


class PostgresEngine(Engine):
    name = "postgresql"

    def create(self, topology: str) -> dict[str, Any]:
        server, database = self.installation.stack.postgres, topology.replace("-", "_")
        server.create_database(database)
        server.execute(SCHEMA + ROWS, database)
        self.installation.airflow.add_connection(self.conn_id(topology), server.conn_uri(database))
        return {"stores": [{"name": "accounts", "engine": self.name, "conn_id": self.conn_id(topology), "namespaces": ["bank"]}]}

    def rows(self, topology: str) -> int:
        return int(self._execute("SELECT count(*) FROM bank.acct", topology.replace("-", "_"))[0][0])

    def copy_target(self, topology: str) -> str:
        return f"{topology.replace('-', '_')}_copy"

    def rows_of_copy(self, topology: str) -> int | None:
        there = self._execute(f"SELECT 1 FROM pg_database WHERE datname = '{self.copy_target(topology)}'")
        return int(self._execute("SELECT count(*) FROM bank.acct", self.copy_target(topology))[0][0]) if there else None

    def working_copies(self) -> list[str]:
        return [name for (name,) in self._execute("SELECT datname FROM pg_database WHERE datname LIKE 'midtime_tmp_%'")]

    def _execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        return self.installation.stack.postgres.execute(statement, database)


class MysqlEngine(Engine):
    name = "mysql"

    def create(self, topology: str) -> dict[str, Any]:
        mark = topology.replace("-", "_")
        names = {name: f"{name}_{mark}" for name in ("bank", "coordinator", "scalardb")}
        self._execute((mysql_setting.SCHEMA + mysql_setting.ROWS).format(**names))
        self.installation.airflow.add_connection(self.conn_id(topology), self.installation.stack.mariadb.conn_uri())
        return {
            "scalardb": {
                "coordinators": [{"store": "accounts", "namespace": names["coordinator"]}],
                "metadata_namespace": names["scalardb"],
            },
            "stores": [{"name": "accounts", "engine": self.name, "conn_id": self.conn_id(topology), "namespaces": [names["bank"]]}],
        }

    def rows(self, topology: str) -> int:
        return int(self._execute(f"SELECT count(*) FROM bank_{topology.replace('-', '_')}.acct")[0][0])

    def copy_target(self, topology: str) -> str:
        return "copy_"

    def rows_of_copy(self, topology: str) -> int | None:
        database = f"copy_bank_{topology.replace('-', '_')}"
        there = self._execute(f"SELECT 1 FROM information_schema.tables WHERE table_schema = '{database}' AND table_name = 'acct'")
        return int(self._execute(f"SELECT count(*) FROM {database}.acct")[0][0]) if there else None

    def working_copies(self) -> list[str]:
        return [name for (name,) in self._execute("SHOW DATABASES LIKE 'midtime\\_tmp\\_%'")]

    def _execute(self, statement: str) -> list[tuple[Any, ...]]:
        return self.installation.stack.mariadb.execute(statement)


class SqliteEngine(Engine):
    name = "sqlite"

    def create(self, topology: str) -> dict[str, Any]:
        path = self._path(topology)
        path.parent.mkdir(exist_ok=True)
        with closing(sqlite3.connect(path)) as session, session:
            session.executescript("""
                PRAGMA journal_mode = WAL;
                CREATE TABLE "scalardb$metadata" (full_table_name TEXT, column_name TEXT, data_type TEXT, PRIMARY KEY (full_table_name, column_name));
                CREATE TABLE "coordinator$state" (tx_id TEXT PRIMARY KEY, tx_child_ids TEXT, tx_state INT, tx_created_at BIGINT);
                CREATE TABLE "bank$acct" (id INT PRIMARY KEY, balance INT, tx_id TEXT, tx_state INT, tx_version INT,
                    tx_prepared_at BIGINT, tx_committed_at BIGINT);
                WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < 500)
                    INSERT INTO "coordinator$state" SELECT 't' || n, NULL, 3, 1763700000000 + n FROM g;
                WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < 500)
                    INSERT INTO "bank$acct" SELECT n, 1000, 't' || n, 3, 1, 1763700000000 + n, 1763700000001 + n FROM g;
            """)
        return {"stores": [{"name": "accounts", "engine": self.name, "path": str(path), "namespaces": ["bank"]}]}

    def rows(self, topology: str) -> int:
        return self._count(self._path(topology))

    def copy_target(self, topology: str) -> str:
        return str(self._path(f"{topology}-copy"))

    def rows_of_copy(self, topology: str) -> int | None:
        path = self._path(f"{topology}-copy")
        return self._count(path) if path.exists() else None

    def working_copies(self) -> list[str]:
        return [path.name for path in self._path("any").parent.glob("midtime_tmp_*")]

    def _path(self, topology: str) -> Any:
        return self.installation.folder / "sqlite" / f"{topology}.db"

    def _count(self, path: Any) -> int:
        with closing(sqlite3.connect(path)) as session:
            return int(session.execute('SELECT count(*) FROM "bank$acct"').fetchone()[0])


ENGINES: dict[str, type[Engine]] = {engine.name: engine for engine in (PostgresEngine, MysqlEngine, SqliteEngine)}


def destination(installation: Installation, kind: str) -> str:
    """Where restore points go: a folder, S3, Azure Blob Storage. Its connection is in Airflow then."""
    if kind == "file":
        return f"file://{installation.folder}/restore-points"
    store: Any = installation.stack.s3 if kind == "s3" else installation.stack.azurite
    installation.airflow.add_connection(store.CONN_ID, store.conn())
    return str(store.destination("restore-points"))
