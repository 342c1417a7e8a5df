"""MySQL and MariaDB restored to a position of the binary log, on a real MariaDB that keeps one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from midtime.catalog.bases import Bases
from midtime.errors import CopyError
from midtime.model.instants import restore_point_id
from midtime.stores.base import Target
from tests.integration.mysql_pitr.setting import balances, base_folder, restore
from tests.integration.mysql_setting import MysqlSetting, setting_on
from tests.stack.mariadb import MariaDB
from tests.stack.mysql import MySQL

pytestmark = pytest.mark.integration
WRITERS = 4


class Load:
    """Writers whose every transaction writes the same number to two databases."""

    def __init__(self, setting: MysqlSetting) -> None:
        self.setting = setting
        self.begun, self.told = [0] * WRITERS, [0] * WRITERS
        self.enough = threading.Event()
        for database in ("bank", "coordinator"):
            setting.execute(f"CREATE TABLE {{{database}}}.moved (writer int, n int, pad varchar(200), PRIMARY KEY (writer, n))")

    @contextmanager
    def running(self) -> Iterator[Load]:
        threads = [threading.Thread(target=self._write, args=(writer,)) for writer in range(WRITERS)]
        for thread in threads:
            thread.start()
        try:
            self.more()
            yield self
        finally:
            self.enough.set()
            for thread in threads:
                thread.join()

    def more(self, count: int = 20) -> None:
        """Wait until every writer has written so much more."""
        goal = [told + count for told in self.told]
        while any(told < wanted for told, wanted in zip(self.told, goal, strict=True)):
            time.sleep(0.01)

    def _write(self, writer: int) -> None:
        statements = [
            self.setting.names(f"INSERT INTO {{{name}}}.moved VALUES (%s, %s, repeat('x', 200))") for name in ("bank", "coordinator")
        ]
        with self.setting.server.connect(autocommit=False) as connection, connection.cursor() as cursor:
            while not self.enough.is_set():
                self.begun[writer] += 1
                for statement in statements:
                    cursor.execute(statement, (writer, self.begun[writer]))
                connection.commit()
                self.told[writer] = self.begun[writer]

    def found(self, target: Target) -> list[int]:
        """How many transactions of each writer are there: all up to that one, in both databases."""
        counts = []
        for writer in range(WRITERS):
            one, other = (
                [n for (n,) in self.setting.in_copy(target, f"SELECT n FROM {{{name}}}.moved WHERE writer = {writer} ORDER BY n")]
                for name in ("bank", "coordinator")
            )
            assert one == other == list(range(1, len(one) + 1))
            counts.append(len(one))
        return counts


def test_points_under_load(pitr: MysqlSetting) -> None:
    """What was told to be committed before is there, what was begun after is not, and nothing is there by half; from one full dump."""
    load, points = Load(pitr), []
    with load.running():
        for number in range(3):
            store = pitr.store
            with store.arm() as armed:
                load.more()
                told = list(load.told)
                capture = armed.fix()
                begun = list(load.begun)
                load.more()
                point = restore_point_id(capture.midtime, f"run {number}")
                points.append((told, begun, point, store.copy(capture, pitr.shelf(point), lambda _: None)))
    assert len({backup.details["base"]["id"] for *_, backup in points}) == 1
    for number, (told, begun, point, backup) in enumerate(points):
        manifest = pitr.publish(point, backup)
        target = restore(pitr, point, backup, f"00000{number}")
        found = load.found(target)
        assert all(low <= count <= high for low, count, high in zip(told, found, begun, strict=True)), (told, found, begun)
        look = pitr.look(manifest, target)
        assert look.verdict is not None
        assert (look.verdict.outcome.value, look.differences) == ("good", ())
    sizes = [sum(segment["end"] - segment["start"] for segment in backup.details["binlog"]["segments"]) for *_, backup in points]
    stored = [path.name for path in (base_folder(pitr, points[0][3]) / "binlog").glob("*.json")]
    assert sizes[0] < sizes[1] < sizes[2]
    assert len(stored) == len(points[2][3].details["binlog"]["segments"]), "each stretch is kept once"


def test_fences_tell_a_wrong_position(pitr: MysqlSetting) -> None:
    """A point before the window, in it, and after it, each taken for the one in it."""
    points = []
    with pitr.store.fence() as fence:
        fence.prepare()
        points.append(pitr.back_up("early"))
        fence.write("w1", "before")
        points.append(pitr.back_up("right"))
        fence.write("w1", "after")
        points.append(pitr.back_up("late"))
    assert len({backup.details["base"]["id"] for _, backup in points}) == 1
    found = []
    for number, (point, backup) in enumerate(points):
        target = restore(pitr, point, backup, f"00000{number}")
        with pitr.store.restored(backup, target) as databases:
            found.append(databases.fences("w1", pitr.topology.all_namespaces("accounts")[0]))
    assert found == [frozenset(), {"before"}, {"before", "after"}]


ADVERSARY = """
CREATE TABLE {other}.t (id int PRIMARY KEY, b int); CREATE TABLE {other}.audit (id int AUTO_INCREMENT PRIMARY KEY, what int);
CREATE TABLE {other}.acct LIKE {bank}.acct; INSERT INTO {other}.t VALUES (1, 1), (2, 2);
CREATE TABLE {bank}.parent (id int PRIMARY KEY) ENGINE=InnoDB;
CREATE TABLE {bank}.child (id int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES {bank}.parent (id) ON DELETE CASCADE ON UPDATE CASCADE) ENGINE=InnoDB;
CREATE TABLE {bank}.all_types (
    id bigint AUTO_INCREMENT PRIMARY KEY, a bit(9), b decimal(20,5), c time(6), d datetime(6), e timestamp(6) DEFAULT now(6) ON UPDATE now(6),
    f year, g enum('x','y'), h set('p','q'), i json, j longblob, k double, l point, m char(20) CHARACTER SET latin1, n decimal(20,5) AS (b + 1) STORED,
    UNIQUE KEY (b));
CREATE TRIGGER {bank}.tell AFTER UPDATE ON {bank}.acct FOR EACH ROW INSERT INTO {other}.audit (what) VALUES (NEW.id);
CREATE TRIGGER {other}.back AFTER INSERT ON {other}.t FOR EACH ROW UPDATE {bank}.acct SET balance = balance + 1 WHERE id = 2;
CREATE SEQUENCE {bank}.counter;
INSERT INTO {bank}.parent VALUES (1), (2), (3); INSERT INTO {bank}.child VALUES (1, 1), (2, 1), (3, 2)
"""
CHANGES = """
UPDATE {bank}.acct SET balance = 4711 WHERE id = 1;
UPDATE {bank}.acct a, {other}.t t SET a.balance = 99, t.b = 99 WHERE a.id = 3 AND t.id = 1;
INSERT INTO {other}.t VALUES (3, 3);
USE {other}; INSERT INTO {bank}.acct (id, balance) SELECT id + 9000, b FROM t; INSERT INTO acct (id, balance) VALUES (1, 1);
CREATE TABLE {other}.made SELECT * FROM {bank}.acct; CREATE OR REPLACE TABLE {other}.made AS SELECT 1 AS one; DROP TABLE {other}.made;
TRUNCATE {other}.audit; ALTER TABLE {other}.t ADD c int DEFAULT 5; CREATE VIEW {other}.v AS SELECT * FROM {other}.t;
CREATE TEMPORARY TABLE {bank}.passing SELECT * FROM {bank}.acct; DELETE FROM {bank}.passing; DROP TEMPORARY TABLE {bank}.passing;
ANALYZE TABLE {bank}.acct; FLUSH TABLES {bank}.acct; GRANT SELECT ON {bank}.* TO 'someone'@'nowhere' IDENTIFIED BY 'secret'; DROP USER 'someone'@'nowhere';
START TRANSACTION; INSERT INTO {bank}.acct (id, balance) VALUES (9101, 1); SAVEPOINT s; INSERT INTO {bank}.acct (id, balance) VALUES (9102, 1);
ROLLBACK TO s; INSERT INTO {other}.t (id, b) VALUES (4, 4); COMMIT;
START TRANSACTION; INSERT INTO {bank}.acct (id, balance) VALUES (9103, 1); ROLLBACK;
DELETE FROM {bank}.parent WHERE id = 1; UPDATE {bank}.parent SET id = 20 WHERE id = 2;
INSERT INTO {bank}.all_types (a, b, c, d, f, g, h, i, j, k, l, m) VALUES
    (b'101010101', -12345.67891, '-100:20:30.123456', '2026-11-21 02:03:04.5', 2026, 'y', 'p,q', '{{"a": [1, "é"]}}', repeat(x'00275c0aff', 9000), 1/7,
     point(1, 2), 'grün'), (NULL, 1, NULL, NULL, NULL, NULL, '', NULL, '', -0e0, NULL, '');
UPDATE {bank}.all_types SET b = b + 1, j = concat(j, x'00'); REPLACE INTO {bank}.all_types (id, b) VALUES (7, 2);
SELECT NEXT VALUE FOR {bank}.counter;
INSERT INTO {bank}.acct (id, balance) SELECT n, n FROM (
    WITH RECURSIVE c AS (SELECT 20000 AS n UNION ALL SELECT n + 1 FROM c WHERE n < 20900) SELECT n FROM c) numbers;
DELETE FROM {bank}.acct WHERE id > 20000 AND id % 3 = 0;
SET NAMES latin1; INSERT INTO {bank}.acct (id, name) VALUES (9201, 'grün'); SET NAMES utf8mb4;
SET SESSION time_zone = '+09:00'; UPDATE {bank}.all_types SET e = '2026-06-01 00:00:00.000001' WHERE id = 7;
SET SESSION binlog_row_image = FULL; INSERT INTO {bank}.`Odd ``Name` VALUES (5, 'y'), (5, 'y')
"""


def checksums(server: MariaDB, databases: set[str]) -> dict[str, Any]:
    """Every table with rows in them, and its definition."""
    marks = ", ".join(f"'{name}'" for name in sorted(databases))
    found: dict[str, Any] = {}
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN ({marks})")
        for schema, table in cursor.fetchall():
            if (schema, table[:7]) == ("mysql", "innodb_"):
                continue  # statistics, which the server takes when it likes
            name = "`{}`.`{}`".format(schema, table.replace("`", "``"))
            cursor.execute(f"CHECKSUM TABLE {name}")
            rows = cursor.fetchall()
            cursor.execute(f"SHOW CREATE TABLE {name}")
            found[name] = (rows, cursor.fetchall())
    return found


@contextmanager
def another_database(setting: MysqlSetting) -> Iterator[Callable[[str], None]]:
    """Statements in which ``{other}`` is one that is not backed up; one session for each text."""
    other = f"other_{setting.mark}"
    setting.server.execute(f"CREATE DATABASE {other}")

    def execute(text: str) -> None:
        setting.server.execute(setting.names(text.replace("{other}", other)))

    yield execute
    setting.execute("DROP TRIGGER IF EXISTS {bank}.tell")


def test_nothing_else_is_changed(pitr: MysqlSetting) -> None:
    """Whatever is in the log between full dump and point: other databases stay as they are, and the copy equals the original."""
    with another_database(pitr) as execute:
        execute(ADVERSARY)
        first = pitr.back_up()[1]
        execute(CHANGES)
        everything = {name for (name,) in pitr.server.execute("SHOW DATABASES")} - {"information_schema", "performance_schema", "sys"}
        point, backup = pitr.back_up()
        assert backup.details["base"] == first.details["base"], "rows only: nothing made a new full dump due"
        before = checksums(pitr.server, everything)
        originals = {key: value for key, value in before.items() if key.startswith(("`bank_", "`coord", "`scalardb_"))}
        execute(
            "INSERT INTO {bank}.acct (id, balance) VALUES (30000, 1); DELETE FROM {bank}.acct WHERE id = 30000; DROP TABLE {bank}.empty"
        )
        now = checksums(pitr.server, everything)
        target = restore(pitr, point, backup)
        assert checksums(pitr.server, everything) == now
        copies = checksums(pitr.server, set(pitr.working(target).values()))
        prefix = target.working.removesuffix("*")
        assert {name.replace(f"`{prefix}", "`"): checksum for name, (checksum, _) in _without_names(copies).items()} == {
            name: checksum for name, (checksum, _) in _without_names(originals).items()
        }
        assert pitr.in_copy(target, "SELECT count(*) FROM {bank}.child") == [(1,)]
        with pitr.store.restored(backup, target) as databases:
            assert list(databases.schema_differences()) == []


def _without_names(found: dict[str, Any]) -> dict[str, Any]:
    """Sequences have no checksum that means anything: the server reserves numbers when it opens one."""
    return {name: ([each[1] for each in checksum], made) for name, (checksum, made) in found.items() if "counter" not in name}


NO_ROWS = [
    "TRUNCATE {bank}.acct",
    "USE {bank}; CREATE TABLE more (id int PRIMARY KEY)",
    "CREATE VIEW {bank}.v AS SELECT 1 AS one",
    "SET SESSION binlog_format = 'STATEMENT'; UPDATE {bank}.acct SET balance = 0",
    "SET SESSION binlog_format = 'STATEMENT'; UPDATE {other}.t SET id = 0",
]


def test_what_is_no_change_of_rows(pitr: MysqlSetting) -> None:
    """Before a backup: a new full dump. Between arming and the position: no restore point; and a new full dump the next time."""
    with another_database(pitr) as execute:
        execute("CREATE TABLE {other}.t (id int)")
        base = pitr.back_up()[1].details["base"]
        for statement in NO_ROWS:
            execute(statement)
            _, backup = pitr.back_up()
            assert backup.details["base"] != base
            assert backup.details["binlog"]["segments"] == []
            base = backup.details["base"]
        store = pitr.store
        with store.arm() as armed:
            execute("ALTER TABLE {bank}.empty ADD x int")
            capture = armed.fix()
            with pytest.raises(CopyError, match="a statement that changes more than rows: ALTER"):
                store.copy(capture, pitr.shelf("p"), lambda _: None)
        assert pitr.back_up()[1].details["base"] != base


def test_killed_in_the_middle_of_a_replay(pitr: MysqlSetting) -> None:
    """The next try begins afresh."""
    pitr.back_up()
    for _ in range(20):
        pitr.execute("UPDATE {bank}.acct SET balance = balance + 1")
    point, backup = pitr.back_up()
    pitr.publish(point, backup)
    target = pitr.target(drill=True)
    said = {"topology": pitr.topology.model_dump(mode="json", exclude_unset=True), "point": point, "target": target.to_dict()}
    environment = {**os.environ, "MIDTIME_TEST_RESTORE": json.dumps(said)}
    command = [sys.executable, "-m", "tests.integration.replay_once"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith("half-way"):
                break
        child.kill()
    assert child.wait() == -9
    assert [min_max for min_max in pitr.in_copy(target, "SELECT min(balance) FROM {bank}.acct") if min_max[0] < 1020]
    pitr.store.restore(backup, pitr.shelf(point), target, lambda _: None)
    assert pitr.in_copy(target, "SELECT DISTINCT balance FROM {bank}.acct") == [(1020,)]


def test_into_place_and_back(pitr: MysqlSetting) -> None:
    """By the way of a dump; afterwards the log has DDL, so the next backup begins anew."""
    pitr.back_up()
    pitr.execute("CREATE FUNCTION {scalardb}.f() RETURNS int NO SQL RETURN 1")
    pitr.execute("UPDATE {bank}.acct SET balance = 5 WHERE id = 1")
    point, backup = pitr.back_up()
    pitr.execute("UPDATE {bank}.acct SET balance = 6 WHERE id = 1")
    target = pitr.target(in_place=True)
    assert not [check for question, check in pitr.store.restore_questions(target, backup) if not check()]
    pitr.store.restore(backup, pitr.shelf(point), target, lambda _: None)
    pitr.store.place(backup, target)
    assert balances(pitr)[1] == 5
    pitr.store.put_back(backup, target)
    assert balances(pitr)[1] == 6
    pitr.store.place(backup, target)
    pitr.store.discard(target)
    assert balances(pitr)[1] == 5
    assert pitr.back_up()[1].details["base"] != backup.details["base"]


@pytest.fixture
def oracle_pitr(mysql_server: MySQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MysqlSetting]:
    for setting in setting_on(mysql_server, tmp_path, monkeypatch):
        setting.change_store(method="pitr", client="mariadb-dump")
        yield setting


@pytest.mark.long
def test_points_of_oracle(oracle_pitr: MysqlSetting) -> None:
    """Another way of writing the log (and, with MariaDB's client, of taking the dump's position), the same under load."""
    assert all(answer() for _, answer in oracle_pitr.store.questions())
    test_points_under_load(oracle_pitr)
    oracle_pitr.execute("TRUNCATE {bank}.moved")
    base = Bases(oracle_pitr.catalog, "accounts").newest()
    _, backup = oracle_pitr.back_up("after")
    assert base is not None
    assert backup.details["base"] != base.reference
