"""Backup of a real MariaDB: one instant for all databases, every way in which a dump may lie or fail, and no secret where it does not belong."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE
from urllib.parse import quote

import pytest

from midtime.catalog.artifacts import ArtifactWriter
from midtime.errors import CopyError, MidtimeError
from midtime.stores.base import ask
from midtime.stores.mysql import tools
from midtime.stores.mysql.capture import Snapshot
from midtime.stores.mysql.connections import connect
from midtime.stores.mysql.stream import lines
from midtime.stores.processes import read_output, streaming_tool
from tests.integration.mysql_setting import BACKUP_RIGHTS, ROWS, SCHEMA, MysqlSetting
from tests.stack.mariadb import MariaDB
from tests.stack.processes import poll

pytestmark = pytest.mark.integration
POINT = "20260101T000000Z-000000"


def test_a_good_store_answers_every_question(mysql_setting: MysqlSetting) -> None:
    checks = list(ask("accounts", mysql_setting.store.questions()))
    assert all(check.ok for check in checks), checks
    assert [check.question for check in checks] == [
        "is reachable",
        "has every namespace",
        "grants us",
        "has only tables that one transaction can read",
        "lets us read views, triggers and routines",
        "has client tools",
    ]


@contextmanager
def transfers(setting: MysqlSetting, threads: int = 2) -> Iterator[None]:
    """Money moves between two databases, each time in one transaction: the sum over both never changes."""
    setting.execute(
        "CREATE TABLE {scalardb}.purse (id int PRIMARY KEY, balance int); INSERT INTO {scalardb}.purse SELECT id, 1000 FROM {bank}.acct"
    )
    stop = threading.Event()

    def move() -> None:
        with setting.server.connect(autocommit=False) as connection, connection.cursor() as cursor:
            number = 0
            while not stop.is_set():
                number += 1
                cursor.execute(setting.names("UPDATE {bank}.acct SET balance = balance - 1 WHERE id = %s"), (number % 500 + 1,))
                cursor.execute(setting.names("UPDATE {scalardb}.purse SET balance = balance + 1 WHERE id = %s"), (number % 500 + 1,))
                connection.commit()

    movers = [threading.Thread(target=move) for _ in range(threads)]
    for mover in movers:
        mover.start()
    try:
        moved = "SELECT sum(balance) < 500000 FROM {bank}.acct"
        poll("money that has moved", lambda: setting.execute(moved) == [(1,)] or None, timeout=30)
        yield
    finally:
        stop.set()
        for mover in movers:
            mover.join()


BALANCES = "SELECT (SELECT sum(balance) FROM {bank}.acct) + (SELECT sum(balance) FROM {scalardb}.purse)"


def fat(setting: MysqlSetting) -> None:
    """Rows that take the dump a while between the two databases."""
    setting.execute(
        "CREATE TABLE {coordinator}.fat (id int PRIMARY KEY, t longtext); INSERT INTO {coordinator}.fat SELECT seq, repeat('x', 100000) FROM {bank}.seq_1_to_300"
    )


def test_all_databases_are_of_one_instant(mysql_setting: MysqlSetting) -> None:
    fat(mysql_setting)
    with transfers(mysql_setting):
        _, target = mysql_setting.restored(drill=True)
    ((total,),) = mysql_setting.in_copy(target, BALANCES)
    assert total == 1_000_000
    assert mysql_setting.in_copy(target, "SELECT sum(balance) < 500000 FROM {bank}.acct") == [(1,)], "something had moved"


def test_two_dumps_one_after_the_other_are_torn(mysql_setting: MysqlSetting) -> None:
    """The negative control: what the test above proves is not so by itself."""

    def total(database: str, table: str, column: int) -> int:
        with connect("mysql_db") as session:
            clients = tools.find_clients(mariadb=True, server=session.version)
            command = tools.dump_command(clients, session.login, [mysql_setting.names(database)])
            with streaming_tool(command, env=tools.environment(session.login), failed=tools.dump_failed, stdout=PIPE) as process:
                text = b"\n".join(line for batch in lines(read_output(process)) for line in batch)
        rows = text.partition(b"INSERT INTO `" + table.encode())[2].partition(b"VALUES ")[2].partition(b";\n")[0]
        return sum(int(row.lstrip(b"(").split(b",")[column].rstrip(b")")) for row in rows.split(b"\n"))

    with transfers(mysql_setting):
        first = total("{bank}", "acct", 1)
        time.sleep(0.2)
        assert first + total("{scalardb}", "purse", 1) > 1_000_000


def test_midtime_bounds(mysql_setting: MysqlSetting) -> None:
    """What was committed before it is in; what is committed after the capture is not, although it is read later."""
    store = mysql_setting.store
    before = mysql_setting.execute("INSERT INTO {bank}.acct (id) VALUES (9998); SELECT UTC_TIMESTAMP(6)")[0][0]
    with store.capture() as capture:
        mysql_setting.execute(
            "INSERT INTO {bank}.acct (id) VALUES (9999); UPDATE {coordinator}.state SET tx_state = 4; DELETE FROM {bank}.acct WHERE id < 50"
        )
        backup = store.copy(capture, mysql_setting.shelf(POINT), lambda _: None)
    rows = {table.name: table.rows for table in backup.tables}
    assert rows[mysql_setting.names("{bank}.acct")] == 501
    assert before <= backup.midtime.replace(tzinfo=None)
    assert isinstance(capture, Snapshot)
    assert capture.midtime <= capture.opened_by


def put_before(folder: Path, monkeypatch: pytest.MonkeyPatch, setting: MysqlSetting, *, on_dump: str) -> Path:
    """A mariadb-dump of our own: ``on_dump`` is what it does when it dumps; ``$REAL`` is the real one."""
    own = folder / "tools"
    own.mkdir()
    (own / "mariadb-dump").write_text(
        f'#!/bin/bash\nREAL={setting.server.bin_dir}/mariadb-dump\ncase "$*" in *--databases*) {on_dump};; *) exec $REAL "$@";; esac\n'
    )
    (own / "mariadb-dump").chmod(0o755)
    (own / "mariadb").symlink_to(setting.server.bin_dir / "mariadb")
    setting.change_store(client_path=str(own))
    return own


LIES = {
    "no trailer": ('"$REAL" "$@" | grep -v "^-- Dump completed"', "has no end"),
    "cut in the middle": ('"$REAL" "$@" | head -c 20000; exit 0', "has no end|not known"),
    "a table is missing": ('exec "$REAL" "${{@:1:6}}" --ignore-table={bank}.empty "${{@:7}}"', r"lacks bank_\w+\.empty \(1 tables\)"),
    "a database is missing": ('args=("$@"); unset "args[-1]"; exec "$REAL" "${{args[@]}}"', r"lacks \w+"),
    "nothing at all": ('"$REAL" "$@" > /dev/null', "has no end"),
    "something else": ('"$REAL" "$@" > /dev/null; echo hello', "not known"),
    "it never connects": ("echo hello", "ended without connecting"),
    "an error with a trailer": ('"$REAL" "$@"; echo gone wrong >&2; exit 2', r"gone wrong\n\(exit code 2\)"),
    "killed": ('"$REAL" "$@" | head -c 20000; kill -9 $$', "SIGKILL"),
    "killed at once": ("kill -9 $$", "SIGKILL"),
    "its own words": ('echo "Access denied for you" >&2; exit 2', "Access denied for you"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_dump_that_lies_is_not_published(mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    on_dump, said = LIES[name]
    put_before(tmp_path, monkeypatch, mysql_setting, on_dump=on_dump.format(bank=mysql_setting.names("{bank}")))
    with pytest.raises(CopyError, match=said):
        mysql_setting.back_up()
    left_nothing(mysql_setting, tmp_path)


def left_nothing(setting: MysqlSetting, folder: Path) -> None:
    assert list((folder / "staging").iterdir()) == []
    assert [thread for thread in threading.enumerate() if thread.name == "pack"] == []
    poll("the dump's end", lambda: not dumping(setting) or None, 10)


def dumping(setting: MysqlSetting) -> list[str]:
    """The command lines of running dumps of this test."""
    lines = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(entry.read_bytes().decode(errors="replace").replace("\0", " "))
        except OSError:
            continue
    return [line for line in lines if "--single-transaction" in line and setting.mark in line]


def test_a_row_less_is_found_by_the_first_drill(mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A client that loses rows on the way in loses them in the count as well; the Coordinator's row is what is missed then."""
    put_before(tmp_path, monkeypatch, mysql_setting, on_dump="""exec "$REAL" "$@" > >(grep -v "^('t7',")""")
    manifest, target = mysql_setting.restored(drill=True)
    found = mysql_setting.look(manifest, target)
    assert not found.good
    assert "t7" in str(found.to_dict())


MEANWHILE = {
    "TRUNCATE": "TRUNCATE {scalardb}.zz",
    "an instant ADD COLUMN": "ALTER TABLE {scalardb}.zz ADD COLUMN n int DEFAULT 7",
    "an instant DROP COLUMN": "ALTER TABLE {scalardb}.zz DROP COLUMN v",
    "a column that came and went": "ALTER TABLE {scalardb}.zz ADD COLUMN n int; ALTER TABLE {scalardb}.zz DROP COLUMN n",
    "DROP": "DROP TABLE {scalardb}.zz",
    "RENAME": "RENAME TABLE {scalardb}.zz TO {scalardb}.zzz",
    "a new table": "CREATE TABLE {scalardb}.zzz (a int)",
    "a new view": "CREATE VIEW {scalardb}.zzz AS SELECT 1 AS one",
    "another engine": "ALTER TABLE {scalardb}.zz ENGINE=MyISAM",
    "a new trigger": "CREATE TRIGGER {scalardb}.zt BEFORE INSERT ON {scalardb}.zz FOR EACH ROW SET NEW.id = NEW.id",
    "the dump's end": "KILL {dump}",
}


@pytest.mark.parametrize("name", MEANWHILE)
def test_what_is_changed_meanwhile_is_never_published_wrong(mysql_setting: MysqlSetting, tmp_path: Path, name: str) -> None:
    """The dump waits in a full pipe between its snapshot and the last table."""
    mysql_setting.execute(
        "CREATE TABLE {scalardb}.zz (id int PRIMARY KEY, v varchar(9)); INSERT INTO {scalardb}.zz VALUES (1, 'a'); "
        "CREATE TABLE {coordinator}.fat (id int PRIMARY KEY, t longtext); "
        "INSERT INTO {coordinator}.fat SELECT seq, repeat('x', 1000000) FROM {bank}.seq_1_to_24"
    )
    time.sleep(max(0.0, 1.1 - time.time() % 1) if "came and went" in name else 0)
    store = mysql_setting.store
    with pytest.raises(MidtimeError) as caught, store.capture() as capture:
        query = "SELECT id FROM information_schema.processlist WHERE db = %s AND command IN ('Query', 'Sleep')"
        ((dump,),) = poll("the dump", lambda: mysql_setting.execute(query, (mysql_setting.names("{coordinator}"),)) or None, 10)
        mysql_setting.server.execute(mysql_setting.names(MEANWHILE[name].replace("{dump}", str(dump))))
        store.copy(capture, mysql_setting.shelf(POINT), lambda _: None)
    assert isinstance(caught.value, CopyError)
    assert caught.value.retryable
    left_nothing(mysql_setting, tmp_path)


def test_an_event_that_ends_meanwhile_spoils_nothing(mysql_setting: MysqlSetting) -> None:
    mysql_setting.execute("CREATE EVENT {bank}.once ON SCHEDULE AT now() + INTERVAL 1 HOUR DO DELETE FROM {bank}.empty")
    store = mysql_setting.store
    with store.capture() as capture:
        backup = store.copy(capture, mysql_setting.shelf(POINT), lambda _: None)
        mysql_setting.execute("DROP EVENT {bank}.once")
    assert [each["name"] for each in backup.details["programs"]] == ["once"]


def test_a_dump_that_waits_for_somebody_s_lock_is_ended(
    mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tools, "SILENCE", 2)
    with mysql_setting.server.connect() as user, user.cursor() as cursor:
        cursor.execute(mysql_setting.names("LOCK TABLES {bank}.acct WRITE"))
        with pytest.raises(CopyError, match=r"mariadb-dump wrote nothing for 2 seconds"):
            mysql_setting.back_up()
        cursor.execute("UNLOCK TABLES")
    left_nothing(mysql_setting, tmp_path)


def test_a_server_that_is_gone_without_a_word_is_noticed(mysql_setting: MysqlSetting) -> None:
    with connect("mysql_db") as session:
        own = session.connection._socket.sock
        assert own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
        assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


def test_a_destination_that_fails_ends_the_dump(mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mysql_setting.execute(
        "CREATE TABLE {bank}.fat (id int PRIMARY KEY, t longtext); INSERT INTO {bank}.fat SELECT seq, repeat('x', 1000000) FROM {bank}.seq_1_to_120"
    )
    mysql_setting.change_store(compression="none")
    written: list[int] = []
    real = ArtifactWriter.write

    def write(self: ArtifactWriter, chunk: bytes) -> None:
        written.append(len(chunk))
        if len(written) > 5:
            raise OSError("quota exceeded")
        real(self, chunk)

    monkeypatch.setattr(ArtifactWriter, "write", write)
    with pytest.raises(OSError, match="quota exceeded"):
        mysql_setting.back_up()
    left_nothing(mysql_setting, tmp_path)
    assert list(mysql_setting.catalog.entries()) == []
    assert [path for path in (tmp_path / "restore-points").rglob("*") if path.is_file()] == []


def test_a_reader_slower_than_the_server_s_patience(mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    """A destination that hangs longer than net_write_timeout: the server ends the dump, and that is an error, not an end."""
    mysql_setting.execute(
        "CREATE TABLE {bank}.fat (id int PRIMARY KEY, t longtext); INSERT INTO {bank}.fat SELECT seq, repeat('x', 1000000) FROM {bank}.seq_1_to_120"
    )
    store = mysql_setting.store
    ((former,),) = mysql_setting.execute("SELECT @@GLOBAL.net_write_timeout")
    mysql_setting.execute("SET GLOBAL net_write_timeout = 1")
    try:
        with pytest.raises(CopyError, match=r"dumping table `fat`|2013|2026"), store.capture() as capture:
            time.sleep(2.5)
            store.copy(capture, mysql_setting.shelf(POINT), lambda _: None)
    finally:
        mysql_setting.execute(f"SET GLOBAL net_write_timeout = {former}")


def test_our_session_outlives_a_long_dump(mysql_setting: MysqlSetting) -> None:
    ((former,),) = mysql_setting.execute("SELECT @@GLOBAL.wait_timeout")
    mysql_setting.execute("SET GLOBAL wait_timeout = 1")
    try:
        store = mysql_setting.store
        with store.capture() as capture:
            backup = store.copy(capture, mysql_setting.shelf(POINT), lambda _: None)
            time.sleep(2.5)
        assert backup.rows == 1004
    finally:
        mysql_setting.execute(f"SET GLOBAL wait_timeout = {former}")


def test_all_sorts_of_tables_and_values(mysql_setting: MysqlSetting) -> None:
    """Out and in again."""
    mysql_setting.execute(
        "CREATE SEQUENCE {bank}.s START WITH 100; "
        "CREATE TABLE {bank}.`it's``p` (id int DEFAULT nextval({bank}.s) PRIMARY KEY, d double, g int AS (id + 1) STORED, b bit(10), "
        "dt datetime(6), e enum('a','b'), u varchar(9) CHARACTER SET latin1, i int INVISIBLE DEFAULT 5, CHECK (u <> '`x`.')); "
        "INSERT INTO {bank}.`it's``p` (id, d, b, dt, e, u) VALUES (1, -0e0, b'11', now(6), 'a', 'é'), (2, 1e308, 0, null, 'b', ''); "
        "CREATE TABLE {bank}.c (id int, FOREIGN KEY `f's` (id) REFERENCES {bank}.`it's``p` (id)); "
        "CREATE TABLE {bank}.p (y int, m int) PARTITION BY RANGE (y) (PARTITION a VALUES LESS THAN (5), PARTITION b VALUES LESS THAN MAXVALUE); "
        "INSERT INTO {bank}.p VALUES (1, 1), (9, 9); INSERT INTO {bank}.c (id) VALUES (1)"
    )
    manifest, target = mysql_setting.restored(drill=True)
    found = mysql_setting.look(manifest, target)
    assert found.good, found.summary()
    assert mysql_setting.in_copy(target, "SELECT d FROM {bank}.`it's``p` WHERE id = 1")[0][0].hex() == "-0x0.0p+0"
    with pytest.raises(Exception, match="foreign key"):
        mysql_setting.in_copy(target, "INSERT INTO {bank}.c (id) VALUES (77)")
    mysql_setting.in_copy(target, "INSERT INTO {bank}.`it's``p` (d) VALUES (0)")


def test_the_password_is_in_no_argument_log_or_manifest(
    mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    password = "o'dd \\ \"1%00€`$(x)"
    mysql_setting.login("odd", f"{BACKUP_RIGHTS} ON *.*", "ALL ON `midtime\\_tmp\\_%`.*")
    mysql_setting.server.execute(f"ALTER USER odd_{mysql_setting.mark} IDENTIFIED BY %s", args=(password,))
    monkeypatch.setenv(
        "AIRFLOW_CONN_MYSQL_DB", f"mysql://odd_{mysql_setting.mark}:{quote(password, safe='')}@127.0.0.1:{mysql_setting.server.port}/"
    )
    fat(mysql_setting)  # a small dump would be over, in the pipe, before anybody looks
    seen: list[str] = []
    store = mysql_setting.store
    with store.capture() as capture:
        seen += poll("the dump", lambda: dumping(mysql_setting) or None, 5)
        backup = store.copy(capture, mysql_setting.shelf(POINT), lambda line: seen.append(line))
    target = mysql_setting.target(drill=True)
    store.restore(backup, mysql_setting.shelf(POINT), target, lambda line: seen.append(line))
    assert mysql_setting.look(mysql_setting.publish(POINT, backup), target).good
    out = capfd.readouterr()
    for text in (*seen, out.out, out.err, caplog.text, repr(backup.model_dump() if hasattr(backup, "model_dump") else backup)):
        assert password not in text
        assert "o'dd" not in text


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_server_that_dies_amid_the_dump(
    mysql_setting: MysqlSetting, other_server: MariaDB, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MYSQL_DB", other_server.conn_uri())
    monkeypatch.setattr(mysql_setting, "server", other_server)
    mysql_setting.execute(SCHEMA + ROWS)
    fat(mysql_setting)
    store = mysql_setting.store
    with pytest.raises(MidtimeError) as caught, store.capture() as capture:
        getattr(other_server, how)()
        store.copy(capture, mysql_setting.shelf(POINT), lambda _: None)
    assert caught.value.retryable
    left_nothing(mysql_setting, tmp_path)
