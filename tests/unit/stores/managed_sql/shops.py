"""A bank in Oracle or SQL Server, as ScalarDB's JDBC adapter lays it out, run by H2; and the RDS instance that it is on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from midtime.stores.managed_sql import data
from midtime.stores.managed_sql.data import Data, data_of
from tests.stack.h2 import DRIVERS, World, connecting
from tests.unit.stores.rds.restores import LIVE, Account

HOST = f"{LIVE}.x.eu-west-1.rds.amazonaws.com"
MODES = {"oracle": "Oracle", "sqlserver": "MSSQLServer"}
SAYS = {
    "oracle": {"DATABASE_ROLE": "PRIMARY", "NETWORK_PROTOCOL": "tcps", "SESSION_USER": "ADMIN"},
    "sqlserver": {"ProductVersion": "16.0.4165.4", "Updateability": "READ_WRITE", "Recovery": "FULL"},
}
TYPES = {
    # RdbEngineOracle and RdbEngineSqlServer of ScalarDB: text as a key, text, int, bigint, blob
    "oracle": ("VARCHAR2(128)", "VARCHAR2(4000)", "NUMBER(10)", "NUMBER(16)", "RAW(2000)"),
    "sqlserver": ("VARCHAR(8000)", "VARCHAR(8000)", "INT", "BIGINT", "VARBINARY(8000)"),
}
NAMESPACES = ("bank", "coordinator", "scalardb")
COMMITTED_AT = 1_700_000_000_000


class Shop:
    """One dialect's."""

    def __init__(self, dialect: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dialect, self.patch = dialect, monkeypatch
        self.world = World(MODES[dialect], dict(SAYS[dialect]), list(NAMESPACES))
        self.asked: list[dict[str, Any]] = []
        monkeypatch.setattr(DRIVERS[self.world.mode], "connect", connecting(self.world, self.asked))
        monkeypatch.setattr(data.socket, "getaddrinfo", lambda host, *_: [(0, 0, 0, "", (f"address of {host}", 0))])
        self.leads_to()
        self.fill()
        self.account = Account("rds", folder, monkeypatch, dialect=dialect)
        live = self.account.memory.make(LIVE, "live", Engine="oracle-ee" if dialect == "oracle" else "sqlserver-se")
        live.said["DBInstanceIdentifier"] = LIVE

    def leads_to(self, host: str = HOST, **extra: Any) -> None:
        kind, schema = ("oracle", "ORCL") if self.dialect == "oracle" else ("mssql", "shop")
        said = {"conn_type": kind, "host": host, "login": "admin", "password": "secret", "schema": schema, "extra": extra}
        self.patch.setenv("AIRFLOW_CONN_POINTS_DB", json.dumps(said))

    @property
    def data(self) -> Data:
        found = data_of(self.account.topology, "points", self.account.topology.store("points"))  # type: ignore[arg-type]
        assert found
        return found

    def fill(self) -> None:
        key, text, whole, long, blob = TYPES[self.dialect]
        for name in NAMESPACES:
            self.run(f'CREATE SCHEMA "{name}"')
        marks = f'"tx_id" {text}, "tx_state" {whole}, "tx_version" {whole}, "tx_prepared_at" {long}, "tx_committed_at" {long}'
        self.run(
            f'CREATE TABLE "bank"."acct" ("size" {whole} NOT NULL, "id" {key} NOT NULL, "raw" {blob} NOT NULL, "balance" {long}, {marks}, '
            f'"before_balance" {long}, PRIMARY KEY ("id", "size", "raw"))'
        )
        self.run(f'CREATE TABLE "bank"."log" ("id" {whole} NOT NULL, "text" {text}, PRIMARY KEY ("id"))')
        self.run('CREATE VIEW "bank"."acct_scalardb" AS SELECT * FROM "bank"."acct"')
        self.run(
            f'CREATE TABLE "coordinator"."state" ("tx_id" {key} NOT NULL, "tx_child_ids" {text}, "tx_state" {whole}, '
            f'"tx_created_at" {long}, PRIMARY KEY ("tx_id"))'
        )
        for number in range(1, 6):
            self.run(f"INSERT INTO \"coordinator\".\"state\" VALUES ('Tx{number}', '', 3, {COMMITTED_AT + number})")
            self.run(
                f"INSERT INTO \"bank\".\"acct\" VALUES ({number}, 'a/{number}', X'0{number}ff', 100, 'Tx{number}', 3, 1, {COMMITTED_AT}, "
                f"{COMMITTED_AT + number}, NULL)"
            )

    def run(self, statement: str) -> None:
        self.world.run(statement)


@contextmanager
def shop_of(dialect: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    shop = Shop(dialect, folder, monkeypatch)
    try:
        yield shop
    finally:
        shop.world.close()
