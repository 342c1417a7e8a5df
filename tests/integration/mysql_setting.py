"""Databases as ScalarDB leaves them on a real MariaDB, a topology over them, and a catalog: what the tests of the MySQL store need."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from midtime.catalog import Catalog
from midtime.errors import MidtimeError
from midtime.model.instants import restore_point_id
from midtime.model.restore_point import RestorePoint, StoreBackup
from midtime.model.topology import Target as TargetWish
from midtime.model.topology import Topology
from midtime.stores import open_copied
from midtime.stores.base import Shelf, Target
from midtime.stores.copied import CopiedStore
from midtime.verification import Verification, verify
from tests.answers import refusal
from tests.stack.mariadb import MariaDB
from tests.stack.mysql import MySQL
from tests.stack.processes import Processes
from tests.unit.builders import published

SCHEMA = """
CREATE DATABASE {bank}; CREATE DATABASE {coordinator}; CREATE DATABASE {scalardb};
CREATE TABLE {scalardb}.metadata (full_table_name varchar(128), column_name varchar(128), data_type varchar(20) NOT NULL,
    PRIMARY KEY (full_table_name, column_name));
CREATE TABLE {coordinator}.state (tx_id varchar(64) PRIMARY KEY, tx_state int, tx_created_at bigint);
CREATE TABLE {bank}.acct (
    id int PRIMARY KEY, balance int, tx_id longtext, tx_state int, tx_version int, tx_prepared_at bigint, tx_committed_at bigint,
    ratio double, price decimal(20,2), note json, name varchar(100), raw blob);
CREATE INDEX acct_name ON {bank}.acct (name);
CREATE TABLE {bank}.`Odd ``Name` (a int, b text);
CREATE TABLE {bank}.empty (id int PRIMARY KEY);
INSERT INTO {scalardb}.metadata VALUES ('{bank}.acct', 'id', 'INT');
"""
ROWS = """
INSERT INTO {coordinator}.state SELECT concat('t', seq), 3, 1763700000000 + seq FROM (
    WITH RECURSIVE n AS (SELECT 1 AS seq UNION ALL SELECT seq + 1 FROM n WHERE seq < 500) SELECT seq FROM n) numbers;
INSERT INTO {bank}.acct SELECT seq, 1000, concat('t', seq), 3, 1, 1763700000000 + seq, 1763700000001 + seq, seq / 7, seq * 1.10,
    '{{"a": [1]}}', concat('name ', seq, '),(\\\\n''"😀', char(10), '-- Dump completed'), unhex('00270A5C')
    FROM (
    WITH RECURSIVE n AS (SELECT 1 AS seq UNION ALL SELECT seq + 1 FROM n WHERE seq < 500) SELECT seq FROM n) numbers;
INSERT INTO {bank}.`Odd ``Name` VALUES (1, 'x'), (1, 'x'), (NULL, NULL);
"""


@dataclass
class MysqlSetting:
    """A topology of one store over databases of its own on the real server."""

    server: MariaDB
    mark: str
    topology: Topology
    catalog: Catalog

    @property
    def store(self) -> CopiedStore:
        return open_copied(self.topology, "accounts")

    def execute(self, statement: str, args: tuple[Any, ...] | None = None) -> list[tuple[Any, ...]]:
        """Run SQL in which ``{bank}``, ``{coordinator}`` and ``{scalardb}`` stand for this test's databases."""
        return self.server.execute(self.names(statement), args=args)

    def names(self, text: str) -> str:
        return text.format(**self._names("*"))

    def back_up(self, run: str = "run") -> tuple[str, StoreBackup]:
        store = self.store
        with store.capture() as capture:
            point = restore_point_id(capture.midtime, run)
            return point, store.copy(capture, self.shelf(point), lambda _: None)

    def shelf(self, point: str) -> Shelf:
        return Shelf(self.catalog.folder(point), "accounts")

    def publish(self, point: str, backup: StoreBackup) -> RestorePoint:
        return published(self.catalog, self.topology, point, backup)

    def restored(
        self, *, wish: TargetWish | None = None, in_place: bool = False, drill: bool = False, run: str = "abc123"
    ) -> tuple[RestorePoint, Target]:
        """Back up, restore under the working names."""
        point, backup = self.back_up(uuid.uuid4().hex)  # two of one second must differ
        manifest = self.publish(point, backup)
        target = self.store.target(wish, run=run, drill=drill, in_place=in_place)
        self.store.restore(backup, self.shelf(point), target, lambda _: None)
        return manifest, target

    def failing(self) -> MidtimeError:
        """The error of the first question of a backup that fails."""
        return refusal(self.store.questions())

    def refusal(self, target: Target, backup: StoreBackup) -> MidtimeError:
        """The same of a restore."""
        return refusal(self.store.restore_questions(target, backup))

    def target(self, wish: TargetWish | None = None, *, run: str = "abc123", drill: bool = False, in_place: bool = False) -> Target:
        return self.store.target(wish, run=run, drill=drill, in_place=in_place)

    def place(self, manifest: RestorePoint, target: Target) -> None:
        self.store.place(manifest.stores[0], target)

    def look(self, manifest: RestorePoint, target: Target) -> Verification:
        return verify(self.topology, manifest, [target])

    def working(self, target: Target) -> dict[str, str]:
        """What stands for ``{bank}`` and the others in a restored copy."""
        return self._names(target.working)

    def _names(self, pattern: str) -> dict[str, str]:
        return {name: pattern.replace("*", f"{name}_{self.mark}") for name in ("bank", "coordinator", "scalardb")}

    def in_copy(self, target: Target, statement: str) -> list[tuple[Any, ...]]:
        """Run SQL in the working copy."""
        return self.server.execute(statement.format(**self.working(target)))

    def login(self, name: str, *grants: str) -> str:
        """A login with these grants only, as an Airflow connection."""
        self.server.execute(f"CREATE USER `{name}_{self.mark}` IDENTIFIED BY 'secret'")
        for grant in grants:
            self.execute(f"GRANT {grant} TO `{name}_{self.mark}`")
        return f"mysql://{name}_{self.mark}:secret@{self.server.host}:{self.server.port}/?ssl_disabled=true"

    def change(self, **changes: Any) -> None:
        """Another topology."""
        body = {**self.topology.model_dump(mode="json", exclude_unset=True), **changes}
        self.topology = Topology.model_validate(body)

    def change_store(self, **changes: Any) -> None:
        self.change(stores=[{**self.topology.model_dump(mode="json", exclude_unset=True)["stores"][0], **changes}])

    def databases(self) -> set[str]:
        """All databases of this test, restored ones included."""
        return {name for (name,) in self.server.execute("SHOW DATABASES") if self.mark in name}


PROGRAMS = """
CREATE VIEW {bank}.rich AS SELECT a.id AS id, s.tx_state AS st FROM {bank}.acct a JOIN {coordinator}.state s ON s.tx_id = a.tx_id;
CREATE VIEW {bank}.a_first AS SELECT id FROM {bank}.rich;
CREATE TRIGGER {bank}.audit BEFORE UPDATE ON {bank}.acct FOR EACH ROW INSERT INTO {bank}.empty VALUES (NEW.id);
CREATE FUNCTION {bank}.total() RETURNS int READS SQL DATA RETURN (SELECT sum(balance) FROM {bank}.acct);
CREATE PROCEDURE {bank}.sneaky() PREPARE s FROM 'DELETE FROM {bank}.acct';
CREATE EVENT {bank}.nightly ON SCHEDULE EVERY 1 DAY STARTS '2035-01-01 00:00:00' DO DELETE FROM {bank}.acct
"""


def checksums(setting: MysqlSetting) -> list[tuple[Any, ...]]:
    """Of every table of its databases."""
    names = [f"`{schema}`.`{table.replace('`', '``')}`" for schema, table in setting.server.execute(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND table_schema IN (%s, %s, %s) ORDER BY 1, 2",
        args=tuple(setting.names("{bank} {coordinator} {scalardb}").split()),
    )]  # fmt: skip
    return setting.server.execute(f"CHECKSUM TABLE {', '.join(names)}")


BACKUP_RIGHTS = "SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE"


def drop_all(server: MariaDB, mark: str) -> None:
    doomed = [name for (name,) in server.execute("SHOW DATABASES") if mark in name]
    server.execute("SET foreign_key_checks = 0; " + "; ".join(f"DROP DATABASE IF EXISTS `{name}`" for name in doomed))
    for (name,) in server.execute("SELECT user FROM mysql.user"):
        if name.endswith(mark):
            server.execute(f"DROP USER `{name}`")


@pytest.fixture
def mysql_setting(mariadb_server: MariaDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MysqlSetting]:
    yield from setting_on(mariadb_server, tmp_path, monkeypatch)


@pytest.fixture
def oracle_setting(mysql_server: MySQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MysqlSetting]:
    """The same on a MySQL, with MariaDB's clients."""
    for setting in setting_on(mysql_server, tmp_path, monkeypatch):
        setting.change_store(client="mariadb-dump")
        yield setting


def setting_on(server: MariaDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MysqlSetting]:
    """Databases of a test's own on that server."""
    mark = uuid.uuid4().hex[:8]
    staging = tmp_path / "staging"
    staging.mkdir()
    monkeypatch.setenv("MIDTIME_STAGING", str(staging))
    monkeypatch.setenv("AIRFLOW_CONN_MYSQL_DB", server.conn_uri())
    monkeypatch.setenv("PATH", str(server.bin_dir), prepend=":")
    body = {
        "name": "bank",
        "destination": f"file://{tmp_path}/restore-points",
        "scalardb": {
            "coordinators": [{"store": "accounts", "namespace": f"coordinator_{mark}"}],
            "metadata_namespace": f"scalardb_{mark}",
        },
        "stores": [{"name": "accounts", "engine": "mysql", "conn_id": "mysql_db", "namespaces": [f"bank_{mark}"]}],
    }
    topology = Topology.model_validate(body)
    setting = MysqlSetting(server, mark, topology, Catalog(topology.destination, topology.name))
    setting.execute(SCHEMA + ROWS)
    yield setting
    drop_all(server, mark)


@pytest.fixture(scope="session")
def _other_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    folder = tmp_path_factory.mktemp("other")
    for name in ("right", "wrong"):
        _certificate(folder, name)
    processes = Processes(folder / "processes")
    yield MariaDB(processes, "other", settings={"ssl-cert": folder / "right.pem", "ssl-key": folder / "right.key"})
    processes.stop()


@pytest.fixture
def other_server(_other_server: MariaDB, mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch) -> Iterator[MariaDB]:
    """A second server, which a test may kill; ``right.pem`` beside its processes is its certificate, ``wrong.pem`` is not."""
    server = _other_server.start()
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_DB", server.conn_uri())
    yield server
    server.start()
    drop_all(server, mysql_setting.mark)


def _certificate(folder: Path, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
    made = made.not_valid_after(datetime(2120, 1, 1, tzinfo=UTC)).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
    (folder / f"{name}.pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / f"{name}.key").write_bytes(key.private_bytes(*plain))


def everything(setting: MysqlSetting) -> dict[str, Any]:
    """Databases, tables with their definitions and checksums, and all programs, of whatever this test may have made or changed."""
    names = sorted(name for name in setting.databases() if not name.startswith("midtime_tmp_"))
    inside = "', '".join(names)
    with closing(setting.server.connect()) as session, closing(session.cursor()) as cursor:

        def ask_for(statement: str) -> list[Any]:
            cursor.execute(statement)
            return list(cursor.fetchall())

        listed = ask_for(
            f"SELECT table_schema, table_name, table_type FROM information_schema.tables WHERE table_schema IN ('{inside}') ORDER BY 1, 2"
        )
        found: dict[str, Any] = {"databases": names, "tables": listed}
        quoted = {(schema, table): f"`{schema}`.`{table.replace('`', '``')}`" for schema, table, _ in listed}
        for schema, table, kind in listed:
            found[f"{schema}.{table}"] = ask_for(f"SHOW CREATE {'VIEW' if kind == 'VIEW' else 'TABLE'} {quoted[schema, table]}")
        for kind in ("routine", "trigger", "event"):
            columns = f"{kind}_schema, {kind}_name"
            found[kind] = ask_for(f"SELECT {columns} FROM information_schema.{kind}s WHERE {kind}_schema IN ('{inside}') ORDER BY 1, 2")
        rows = [quoted[schema, table] for schema, table, kind in listed if kind == "BASE TABLE"]
        found["rows"] = ask_for(f"CHECKSUM TABLE {', '.join(rows)}")
        return found
