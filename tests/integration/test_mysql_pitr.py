"""MySQL and MariaDB restored to a position of the binary log, on a real MariaDB that keeps one."""

from __future__ import annotations

import json
import os
import shutil
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
from midtime.errors import ArtifactError, CopyError, ManifestError, RequestError, RestoreFailedError, StoreAccessError
from midtime.model.instants import restore_point_id
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Target as TargetWish
from midtime.stores.base import Target
from midtime.stores.mysql import connections
from midtime.stores.mysql_pitr import checks
from midtime.stores.mysql_pitr.store import MysqlPitrStore
from tests.integration.mysql_setting import MysqlSetting, setting_on
from tests.stack.mariadb import MariaDB
from tests.stack.mysql import MySQL
from tests.stack.processes import Processes

pytestmark = pytest.mark.integration
# TLS has tests of its own: it is slow here.
LOGGED = {"log-bin": "bin", "binlog-format": "ROW", "server-id": 7, "ssl": 0}
WRITERS = 4


@pytest.fixture(scope="module")
def logging_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    """A server that keeps a binary log; tests make databases of their own in it, and may restart it."""
    processes = Processes(tmp_path_factory.mktemp("binlog") / "processes")
    yield MariaDB(processes, "logging", settings=LOGGED).start()
    processes.stop()


@pytest.fixture
def pitr(logging_server: MariaDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MysqlSetting]:
    for setting in setting_on(logging_server, tmp_path, monkeypatch):
        setting.change_store(method="pitr")
        yield setting


def store_of(setting: MysqlSetting) -> MysqlPitrStore:
    store = setting.store
    assert isinstance(store, MysqlPitrStore)
    return store


def restore(setting: MysqlSetting, point: str, backup: StoreBackup, run: str = "abc123") -> Target:
    target = setting.target(drill=True, run=run)
    setting.store.restore(backup, setting.shelf(point), target, lambda _: None)
    return target


def base_folder(setting: MysqlSetting, backup: StoreBackup) -> Path:
    return Path(Bases(setting.catalog, "accounts").folder(backup.details["base"]["id"]).path)


def balances(setting: MysqlSetting, target: Target | None = None) -> dict[int, int]:
    query = "SELECT id, balance FROM {bank}.acct WHERE id < 4 OR id > 500"
    return dict(setting.in_copy(target, query) if target else setting.execute(query))  # type: ignore[arg-type]


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


def damage_remove(path: Path) -> None:
    path.unlink()


def damage_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def damage_change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_damaged(pitr: MysqlSetting) -> None:
    """Whatever a point needs is missing, short or altered: it is no longer restorable, or its restore refuses; nothing is left of that."""
    pitr.back_up()
    pitr.execute("UPDATE {bank}.acct SET balance = 1")
    point, backup = pitr.back_up()
    target = pitr.target()
    for what in ("binlog/*.gz", "accounts/dump.sql.gz", "base.json"):
        path = next(base_folder(pitr, backup).glob(what))
        whole = path.read_bytes()
        for damage in (damage_remove, damage_cut, damage_change):
            damage(path)
            if damage is not damage_change or what == "base.json":
                with pytest.raises((ArtifactError, ManifestError)):
                    store_of(pitr).restorable(backup)
                assert isinstance(pitr.refusal(target, backup), (ArtifactError, ManifestError))
            with pytest.raises((ArtifactError, ManifestError)):
                pitr.store.restore(backup, pitr.shelf(point), target, lambda _: None)
            assert not [name for name in pitr.databases() if name.startswith("midtime_tmp")]
            path.write_bytes(whole)
    assert store_of(pitr).restorable(backup).ready
    assert balances(pitr, restore(pitr, point, backup)) == {1: 1, 2: 1, 3: 1}


def test_descriptions_are_copied_into_the_manifest(pitr: MysqlSetting) -> None:
    """What lies beside a base later cannot change what a restore point means; what is lost there is fetched again."""
    pitr.back_up()
    pitr.execute("UPDATE {bank}.acct SET balance = 1 WHERE id = 1")
    point, backup = pitr.back_up()
    for path in (base_folder(pitr, backup) / "binlog").glob("*.json"):
        path.unlink()
    assert balances(pitr, restore(pitr, point, backup)) == {1: 1, 2: 1000, 3: 1000}
    _, again = pitr.back_up()
    assert again.details["base"] == backup.details["base"]
    lacking = backup.model_copy(update={"details": {**backup.details, "binlog": {**backup.details["binlog"], "segments": []}}})
    with pytest.raises(ArtifactError, match="the restore point is at"):
        store_of(pitr).restorable(lacking)


def test_a_base_that_has_grown_old(pitr: MysqlSetting) -> None:
    """It serves this backup; the next one has a new one. A failure of the new one is no failure of the backup."""
    pitr.back_up()
    pitr.change_store(binlog={"full_every": "1ms"})
    pitr.execute("UPDATE {bank}.acct SET balance = 5 WHERE id = 1")
    point, backup = pitr.back_up()
    assert len(backup.details["binlog"]["segments"]) == 1
    bases = Bases(pitr.catalog, "accounts")
    newest = bases.newest()
    assert newest is not None
    assert newest.id != backup.details["base"]["id"]
    _, following = pitr.back_up()
    assert following.details["base"] == newest.reference
    assert balances(pitr, restore(pitr, point, backup)) == {1: 5, 2: 1000, 3: 1000}


def test_a_renewal_that_fails(pitr: MysqlSetting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    pitr.back_up()
    pitr.change_store(binlog={"full_every": "1ms"})
    store = store_of(pitr)
    with store.arm() as armed:
        capture = armed.fix()
        monkeypatch.setenv("PATH", "/nowhere")
        backup = store.copy(capture, pitr.shelf("p"), lambda _: None)
    assert "the next one failed" in caplog.text
    assert store.restorable(backup).ready


def test_the_log_goes_on_in_other_files(pitr: MysqlSetting) -> None:
    """Rotated, and begun anew after a crash."""
    pitr.back_up()
    pitr.execute("UPDATE {bank}.acct SET balance = 1 WHERE id = 1; FLUSH BINARY LOGS; FLUSH BINARY LOGS")
    pitr.execute("UPDATE {bank}.acct SET balance = 2 WHERE id = 2")
    pitr.server.kill()
    pitr.server.start()
    pitr.execute("UPDATE {bank}.acct SET balance = 3 WHERE id = 3")
    pitr.back_up()
    pitr.server.restart()
    point, backup = pitr.back_up()
    segments = backup.details["binlog"]["segments"]
    assert len({segment["file"] for segment in segments}) == 5
    assert balances(pitr, restore(pitr, point, backup)) == {1: 1, 2: 2, 3: 3}


@pytest.mark.parametrize("loss", ["RESET MASTER", "PURGE BINARY LOGS TO '{last}'"])
def test_the_log_is_gone(pitr: MysqlSetting, loss: str) -> None:
    """A new full dump; the points before stay what they are."""
    pitr.back_up()
    pitr.execute("UPDATE {bank}.acct SET balance = 1 WHERE id = 1")
    point, backup = pitr.back_up()
    pitr.execute("UPDATE {bank}.acct SET balance = 2 WHERE id = 1; FLUSH BINARY LOGS; UPDATE {bank}.acct SET balance = 3 WHERE id = 1")
    kept = backup.details["binlog"]["segments"][-1]["file"]
    for _ in range(100):  # the server keeps for a moment what its recovery may need
        pitr.server.execute(loss.format(last=pitr.server.execute("SHOW BINARY LOGS")[-1][0]))
        if loss == "RESET MASTER" or kept not in [row[0] for row in pitr.server.execute("SHOW BINARY LOGS")]:
            break
        pitr.server.execute("FLUSH BINARY LOGS")
        time.sleep(0.1)
    pitr.execute(
        "UPDATE {bank}.acct SET balance = 4 WHERE id = 1; INSERT INTO {bank}.acct (id, name) SELECT id + 1000, repeat('x', 99) FROM {bank}.acct"
    )
    following = pitr.back_up()
    assert following[1].details["base"] != backup.details["base"]
    assert balances(pitr, restore(pitr, point, backup))[1] == 1
    assert balances(pitr, restore(pitr, *following, run="00000f"))[1] == 4


def test_another_log_at_the_same_position(pitr: MysqlSetting) -> None:
    """Begun anew, and at the very position at which the full dump was: what changed meanwhile is not in it."""
    pitr.server.execute("RESET MASTER")
    first = pitr.back_up()[1]
    while pitr.server.execute("SELECT UNIX_TIMESTAMP() = %s", args=(born_of(pitr, first),))[0][0]:
        time.sleep(0.1)
    pitr.execute("SET SESSION sql_log_bin = 0; UPDATE {bank}.acct SET balance = 1 WHERE id = 1")
    pitr.server.execute("RESET MASTER")
    point, backup = pitr.back_up()
    assert backup.details["binlog"]["position"] == first.details["binlog"]["position"]
    assert balances(pitr, restore(pitr, point, backup))[1] == 1


def born_of(setting: MysqlSetting, backup: StoreBackup) -> int:
    return int(Bases(setting.catalog, "accounts").of(backup).details["born"])


def test_other_databases_need_another_full_dump(pitr: MysqlSetting) -> None:
    pitr.back_up()
    pitr.execute("CREATE DATABASE more_{bank}; CREATE TABLE more_{bank}.t (id int PRIMARY KEY)")
    pitr.change_store(namespaces=[pitr.names("{bank}"), pitr.names("more_{bank}")])
    _, backup = pitr.back_up()
    assert pitr.names("more_{bank}.t") in backup.details["shapes"]


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


def test_a_log_that_the_server_cannot_read(pitr: MysqlSetting) -> None:
    """It says so in the middle of the log; the backup begins anew, instead of failing there for ever."""
    _, before = pitr.back_up()
    pitr.execute("UPDATE {bank}.acct SET balance = 1 WHERE id = 1; FLUSH BINARY LOGS")
    *_, (name, size, *_), _ = pitr.server.execute("SHOW BINARY LOGS")
    os.truncate(pitr.server.data_dir / name, size - 5)
    try:
        assert pitr.back_up()[1].details["base"] != before.details["base"]
    finally:
        pitr.execute("RESET MASTER")


def archive_of(setting: MysqlSetting, tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    setting.change_store(binlog={"archive": f"file://{folder}"})
    return folder


def fill(setting: MysqlSetting, folder: Path) -> None:
    """What somebody's job does: copies files that are complete."""
    *complete, _ = setting.server.execute("SHOW BINARY LOGS")
    for name, *_ in complete:
        shutil.copy(setting.server.data_dir / name, folder)


def test_an_archive(pitr: MysqlSetting, tmp_path: Path) -> None:
    """Somebody else keeps the log: the point waits for it, is looked for there, and refuses what is not the server's file."""
    folder = archive_of(pitr, tmp_path)
    assert "is empty" in str(pitr.failing())
    fill(pitr, folder) if len(pitr.server.execute("SHOW BINARY LOGS")) > 1 else (folder / "x").touch()
    pitr.back_up()
    pitr.execute("UPDATE {bank}.acct SET balance = 1 WHERE id = 1; FLUSH BINARY LOGS; UPDATE {bank}.acct SET balance = 2 WHERE id = 2")
    point, backup = pitr.back_up()
    store = store_of(pitr)
    assert not list(base_folder(pitr, backup).glob("binlog/*.gz"))
    assert (store.restorable(backup).ready, isinstance(pitr.refusal(pitr.target(), backup), RequestError)) == (False, True)
    fill(pitr, folder)
    assert store.restorable(backup).ready
    assert balances(pitr, restore(pitr, point, backup)) == {1: 1, 2: 2, 3: 1000}
    last = folder / backup.details["binlog"]["segments"][-1]["file"]
    whole = last.read_bytes()
    for bad in (whole[:200], whole[:-1] if len(whole) < 5 else b"x" + whole[1:], bytes([*whole[:310], whole[310] ^ 1, *whole[311:]])):
        last.write_bytes(bad)
        with pytest.raises((ArtifactError, RestoreFailedError)):
            pitr.store.restore(backup, pitr.shelf(point), pitr.target(run="00000a"), lambda _: None)
    last.unlink()
    assert not store.restorable(backup).ready
    with pytest.raises(ArtifactError, match="is missing"):
        pitr.store.restore(backup, pitr.shelf(point), pitr.target(run="00000a"), lambda _: None)
    pitr.change_store(binlog={})
    with pytest.raises(RequestError, match="names none any more"):
        store_of(pitr).restorable(backup)


WRONG = {"binlog_format": "'MIXED'", "binlog_row_image": "'MINIMAL'", "binlog_checksum": "'NONE'", "log_bin_compress": "1"}


@pytest.fixture
def setting_of_server(logging_server: MariaDB) -> Iterator[Callable[[str, str], None]]:
    """Changes a global variable for one test."""
    before: dict[str, str] = {}

    def change(name: str, value: str) -> None:
        before.setdefault(name, logging_server.execute(f"SELECT @@global.{name}")[0][0])
        logging_server.execute(f"SET GLOBAL {name} = {value}")

    yield change
    for name, value in before.items():
        logging_server.execute(f"SET GLOBAL {name} = {value!r}" if isinstance(value, str) else f"SET GLOBAL {name} = {value}")


def test_a_log_that_will_not_do(pitr: MysqlSetting, setting_of_server: Callable[[str, str], None]) -> None:
    assert all(answer() for _, answer in pitr.store.questions())
    setting_of_server("binlog_expire_logs_seconds", "3600")
    assert "binlog_expire_logs_seconds" in pitr.failing().fix
    for name, value in WRONG.items():
        before = pitr.server.execute(f"SELECT @@global.{name}")[0][0]
        setting_of_server(name, value)
        error = pitr.failing()
        assert isinstance(error, StoreAccessError)
        assert name in error.fix
        with pytest.raises(StoreAccessError), pitr.store.arm():
            pass
        setting_of_server(name, repr(before))


def test_a_server_without_a_log(mysql_setting: MysqlSetting) -> None:
    mysql_setting.change_store(method="pitr")
    assert "log_bin = OFF" in str(mysql_setting.failing())


def test_databases_that_are_not_logged(pitr: MysqlSetting) -> None:
    pitr.server.stop()
    try:
        for filters in ({"binlog-ignore-db": pitr.names("{coordinator}")}, {"binlog-do-db": pitr.names("{bank}")}):
            pitr.server._settings.update(filters)
            pitr.server.restart()
            error = pitr.failing()
            assert "leaves" in error.message
            assert pitr.names("{coordinator}") in error.message
            pitr.server._settings.clear()
            pitr.server._settings.update({**LOGGED, "innodb-log-file-size": "32M"})
    finally:
        pitr.server.restart()


RIGHTS = ["SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE, LOCK TABLES ON {bank}.*", "SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON {coordinator}.*",
          "SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON {scalardb}.*"]  # fmt: skip


@pytest.mark.parametrize(
    ("grants", "lacking"),
    [
        ([], "BINLOG MONITOR"),
        (["BINLOG MONITOR ON *.*"], "REPLICATION SLAVE"),
        (["BINLOG MONITOR, REPLICATION SLAVE ON *.*"], ""),
    ],
)
def test_rights_of_a_backup(pitr: MysqlSetting, monkeypatch: pytest.MonkeyPatch, grants: list[str], lacking: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MYSQL_DB", pitr.login("backup", *RIGHTS, *grants))
    if lacking:
        assert lacking in str(pitr.failing())
        return
    pitr.back_up()
    pitr.execute("UPDATE {bank}.acct SET balance = 1 WHERE id = 1")
    pitr.back_up()
    pitr.change_store(binlog={"archive": "file:///tmp"})
    assert "lacks RELOAD" in str(pitr.failing())


def test_rights_of_a_restore(pitr: MysqlSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    pitr.back_up()
    pitr.execute("UPDATE {bank}.acct SET balance = 1 WHERE id = 1")
    point, backup = pitr.back_up()
    target = pitr.target(drill=True)
    monkeypatch.setenv("AIRFLOW_CONN_MYSQL_DB", pitr.login("restorer", "ALL ON `midtime\\_tmp\\_%`.*"))
    assert "BINLOG REPLAY" in pitr.refusal(target, backup).fix
    pitr.execute(f"GRANT BINLOG REPLAY ON *.* TO restorer_{pitr.mark}")
    assert "BINLOG ADMIN" in pitr.refusal(target, backup).fix
    pitr.execute(f"GRANT BINLOG ADMIN ON *.* TO restorer_{pitr.mark}")
    assert all(answer() for _, answer in pitr.store.restore_questions(target, backup))
    pitr.store.restore(backup, pitr.shelf(point), target, lambda _: None)
    assert balances(pitr, target)[1] == 1


def test_a_server_that_would_pass_over_what_does_not_fit(pitr: MysqlSetting, setting_of_server: Callable[[str, str], None]) -> None:
    _, backup = pitr.back_up()
    setting_of_server("slave_exec_mode", "'IDEMPOTENT'")
    assert "slave_exec_mode" in str(pitr.refusal(pitr.target(), backup))


def test_rows_longer_than_a_packet(pitr: MysqlSetting, setting_of_server: Callable[[str, str], None]) -> None:
    """An event of more than 16 MiB comes in pieces, and needs a target that takes it."""
    setting_of_server("max_allowed_packet", str(64 << 20))
    pitr.back_up()
    pitr.execute("UPDATE {bank}.acct SET raw = NULL WHERE id = 1")
    pitr.execute("ALTER TABLE {bank}.acct MODIFY raw longblob")
    pitr.back_up()
    pitr.execute("UPDATE {bank}.acct SET raw = repeat('x', 17 << 20) WHERE id = 1")
    point, backup = pitr.back_up()
    target = restore(pitr, point, backup)
    assert pitr.in_copy(target, "SELECT length(raw) FROM {bank}.acct WHERE id = 1") == [(17 << 20,)]
    setting_of_server("max_allowed_packet", str(17 << 20))
    assert "max_allowed_packet" in str(pitr.refusal(target, backup))


def test_a_server_of_its_own_is_no_target(pitr: MysqlSetting) -> None:
    with pytest.raises(RequestError, match="into a server that runs"):
        pitr.target(TargetWish(data_dir="/tmp/x", port=3307))


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


def test_a_login_whose_sessions_are_not_logged(pitr: MysqlSetting) -> None:
    with connections.connect("mysql_db") as session:
        session.rows("SET SESSION sql_log_bin = 0")
        with pytest.raises(StoreAccessError, match="does not log the sessions"):
            checks.check_log(session, pitr.topology, "accounts")
