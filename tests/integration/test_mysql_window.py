"""A dump of a real MariaDB that is armed before a pause window: what is in it, what is not, and what happens when something breaks in between."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from midtime.errors import CopyError, MidtimeError
from midtime.stores.mysql import capture as module
from midtime.stores.mysql import tools
from tests.integration.mysql_armed import POINT, TWO_DATABASES, client_of, left_nothing, read, slowly, store_of
from tests.integration.mysql_setting import MysqlSetting
from tests.stack.mariadb import MariaDB

pytestmark = pytest.mark.integration


def rows(dump: str, table: str) -> list[tuple[int, ...]]:
    """Of all tables of that name."""
    statements = re.findall(rf"^INSERT INTO `{table}` .*?;$", dump, re.MULTILINE | re.DOTALL)
    return [
        tuple(map(int, row.split(",")))
        for statement in statements
        for row in re.findall(r"(?:^|VALUES )\(([^()]*)\)[,;]$", statement, re.MULTILINE)
    ]


def mark(setting: MysqlSetting, number: int) -> None:
    setting.execute("INSERT INTO {bank}.marks VALUES (%s)", (number,))


@contextmanager
def movers(setting: MysqlSetting, threads: int = 2) -> Iterator[None]:
    """Coins move between two databases, each time in one transaction: their number never changes."""
    stop = threading.Event()

    def move() -> None:
        with setting.server.connect(autocommit=False) as connection, connection.cursor() as cursor:
            number = 0
            while not stop.is_set():
                number = number % 20 + 1
                cursor.execute(setting.names("UPDATE {bank}.coins SET amount = amount - 1 WHERE id = %s"), (number,))
                cursor.execute(setting.names("UPDATE {scalardb}.coins SET amount = amount + 1 WHERE id = %s"), (number,))
                connection.commit()
                time.sleep(0.002)

    running = [threading.Thread(target=move) for _ in range(threads)]
    for each in running:
        each.start()
    try:
        yield
    finally:
        stop.set()
        for each in running:
            each.join()


# -- the instant ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proof", "rounds"),
    [("the server's list", 10), ("the first bytes", 10), pytest.param("the server's list", 30, marks=pytest.mark.long)],
)
def test_what_is_committed_before_is_in_and_what_is_committed_after_is_not(
    mysql_setting: MysqlSetting, proof: str, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Round after round under load: a transaction over two databases is whole, whichever way the snapshot was proven open."""
    if proof == "the first bytes":
        monkeypatch.setattr(module, "_OWN_NUMBER", "SELECT 0")
    mysql_setting.execute(TWO_DATABASES)
    store, moved = store_of(mysql_setting), set()
    with movers(mysql_setting):
        for number in range(0, 2 * rounds, 2):
            with store.arm() as armed:
                mark(mysql_setting, number)
                capture = armed.fix()
                mark(mysql_setting, number + 1)
                dump = read(capture)
            assert armed.known.numbered == (proof == "the server's list")
            assert (number,) in rows(dump, "marks"), f"round {number}: committed before, and not in"
            assert (number + 1,) not in rows(dump, "marks"), f"round {number}: committed after, and in"
            coins = rows(dump, "coins")
            assert len(coins) == 40
            assert sum(amount for _, amount in coins) == 4000, f"round {number}: torn"
            moved.add(coins[0][1])
            assert capture.midtime <= capture.opened_by
    assert len(moved) > 5, "nothing was moved"
    left_nothing()


@pytest.mark.parametrize("numbered", ["SELECT 0", module._OWN_NUMBER], ids=["the first bytes", "the server's list"])
def test_an_instant_that_takes_its_time_is_waited_for(mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch, numbered: str) -> None:
    """A slow way to the server: whoever did not wait for a proof would let writers in before the snapshot is open."""
    monkeypatch.setattr(module, "_OWN_NUMBER", numbered)
    slowly(monkeypatch, lambda: time.sleep(0.03))
    mysql_setting.execute(TWO_DATABASES)
    with mysql_setting.store.arm() as armed:
        capture = armed.fix()  # type: ignore[attr-defined]
        mark(mysql_setting, 1)
        assert rows(read(capture), "marks") == []


def test_a_client_enters_a_database_only_with_its_snapshot_open(mysql_setting: MysqlSetting) -> None:
    """On this rests the proof by the server's list."""
    mysql_setting.execute("SET GLOBAL log_output = 'TABLE'; TRUNCATE mysql.general_log; SET GLOBAL general_log = 1")
    try:
        with store_of(mysql_setting).arm() as armed:
            capture = armed.fix()
            read(capture)
    finally:
        mysql_setting.execute("SET GLOBAL general_log = 0")
    said = mysql_setting.execute("SELECT thread_id, command_type, argument FROM mysql.general_log ORDER BY event_time")
    ((thread, *_),) = [each for each in said if "WITH CONSISTENT SNAPSHOT" in each[2]]
    told = [(kind, argument) for number, kind, argument in said if number == thread]
    entered = [at for at, (kind, _) in enumerate(told) if kind == "Init DB"]
    opened = [at for at, (_, argument) in enumerate(told) if "WITH CONSISTENT SNAPSHOT" in argument]
    assert entered
    assert opened[0] < entered[0]


def test_two_at_once(mysql_setting: MysqlSetting) -> None:
    mysql_setting.execute(TWO_DATABASES)
    store = store_of(mysql_setting)
    with ExitStack() as stack, movers(mysql_setting):
        armed = [stack.enter_context(store.arm()) for _ in range(2)]
        mark(mysql_setting, 1)
        first = armed[0].fix()
        mark(mysql_setting, 2)
        second = armed[1].fix()
        mark(mysql_setting, 3)
        dumps = [read(second), read(first)]
    assert [rows(dump, "marks") for dump in dumps] == [[(1,), (2,)], [(1,)]]
    assert [sum(amount for _, amount in rows(dump, "coins")) for dump in dumps] == [4000, 4000]


# -- before the window ------------------------------------------------------------------------------------------------------------------


NOT_NUMBERED = "a server that lists other numbers"
IMPATIENT = "a server that ends idle connections"


@pytest.fixture(params=["", NOT_NUMBERED, IMPATIENT], ids=["logged in", NOT_NUMBERED, IMPATIENT])
def kept_out(request: pytest.FixtureRequest, mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    """Whether the client waits for its greeting, because it cannot wait for anything later."""
    if request.param == NOT_NUMBERED:
        monkeypatch.setattr(module, "_OWN_NUMBER", "SELECT 0")
    ((patience,),) = mysql_setting.execute("SELECT @@global.wait_timeout")
    if request.param == IMPATIENT:
        mysql_setting.execute("SET GLOBAL wait_timeout = 600")
    yield bool(request.param)
    mysql_setting.execute(f"SET GLOBAL wait_timeout = {patience}")


def test_an_armed_dump_is_connected_and_has_said_nothing(mysql_setting: MysqlSetting, kept_out: bool) -> None:
    mysql_setting.execute(TWO_DATABASES)
    with store_of(mysql_setting).arm() as armed:
        connected = psutil.Process(client_of(armed).pid).net_connections("tcp4")
        assert [found.status for found in connected] == [psutil.CONN_ESTABLISHED]
        assert connected[0].raddr != (mysql_setting.server.host, mysql_setting.server.port)
        asked = "SELECT id, command, info FROM information_schema.processlist WHERE user = 'midtime' AND id NOT IN (CONNECTION_ID(), %s)"
        idle = mysql_setting.execute(asked, (armed.session.connection.connection_id,))
        assert [each[1:] for each in idle] == ([] if kept_out else [("Sleep", None)])
        assert mysql_setting.execute("SELECT count(*) FROM information_schema.innodb_trx") == [(0,)]
        assert [thread for thread in threading.enumerate() if thread.name == "gate"] == []
        armed.check()
        mark(mysql_setting, 1)
        assert rows(read(armed.fix()), "marks") == [(1,)]
    left_nothing()


@pytest.mark.parametrize("error", [None, CopyError("the window is void")], ids=["left", "void"])
def test_an_armed_dump_that_is_never_used_leaves_nothing(mysql_setting: MysqlSetting, error: Exception | None) -> None:
    def use() -> int:
        with store_of(mysql_setting).arm() as armed:
            if error:
                raise error
            return client_of(armed).pid

    if error:
        with pytest.raises(CopyError, match="void"):
            use()
    else:
        assert not psutil.pid_exists(use())
    left_nothing()


def test_a_fixed_dump_that_is_never_read_leaves_nothing(mysql_setting: MysqlSetting) -> None:
    with pytest.raises(CopyError, match="void"), store_of(mysql_setting).arm() as armed:
        armed.fix()
        raise CopyError("the window is void")
    left_nothing()


MEANWHILE = {
    "a new column": "ALTER TABLE {bank}.empty ADD COLUMN n int",
    "a column that came and went": "ALTER TABLE {bank}.empty ADD COLUMN n int; ALTER TABLE {bank}.empty DROP COLUMN n",
    "a new table": "CREATE TABLE {bank}.x (a int)",
    "a new table that no snapshot covers": "CREATE TABLE {bank}.x (a int) ENGINE=MyISAM",
    "a new view": "CREATE VIEW {bank}.v AS SELECT 1",
    "a table less": "DROP TABLE {bank}.empty",
}


@pytest.mark.parametrize("name", MEANWHILE)
@pytest.mark.parametrize("when", ["before the snapshot", "right after it"])
def test_ddl_after_arming_voids_the_dump(mysql_setting: MysqlSetting, name: str, when: str) -> None:
    time.sleep(1.1)  # the server says to the second when a table got its shape
    store = mysql_setting.store
    with pytest.raises(CopyError), store.arm() as armed:
        if when == "before the snapshot":
            mysql_setting.execute(MEANWHILE[name])
        capture = armed.fix()
        if when != "before the snapshot":
            mysql_setting.execute(MEANWHILE[name])
        store.copy(capture, mysql_setting.shelf(POINT), lambda _: None)
    left_nothing()


def test_rows_that_were_truncated_away_after_arming(mysql_setting: MysqlSetting) -> None:
    """No DDL to MariaDB, which keeps the table's shape: before the snapshot the truth is no row; after it, all of them or an error."""
    store = mysql_setting.store
    with store.arm() as armed:
        mysql_setting.execute("TRUNCATE {bank}.`Odd ``Name`")
        backup = store.copy(armed.fix(), mysql_setting.shelf(POINT), lambda _: None)
    held = {table.name: table.rows for table in backup.tables}
    assert held[mysql_setting.names("{bank}.Odd `Name")] == 0
    assert held[mysql_setting.names("{bank}.acct")] == 500


def test_rows_that_are_truncated_away_in_the_window(mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is kept from reading them until they are gone: it fails, and shows no empty table."""
    go_on = threading.Event()
    with pytest.raises(CopyError, match="Table definition has changed"), store_of(mysql_setting).arm() as armed:
        slowly(monkeypatch, lambda: armed.fixed and go_on.wait(60))
        capture = armed.fix()
        mysql_setting.execute("TRUNCATE {scalardb}.metadata")  # the last of all tables
        go_on.set()
        read(capture)


# -- TLS --------------------------------------------------------------------------------------------------------------------------------


def test_tls_passes_the_gate(mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    login = mysql_setting.login("tls", "ALL ON *.*").removesuffix("?ssl_disabled=true")
    mysql_setting.execute(f"ALTER USER `tls_{mysql_setting.mark}` REQUIRE SSL")
    monkeypatch.setenv("AIRFLOW_CONN_MYSQL_DB", login)
    with store_of(mysql_setting).arm() as armed:
        assert client_of(armed)
        assert "-- Dump completed" in read(armed.fix())


@pytest.mark.parametrize("authority", ["right", "wrong"])
def test_a_client_that_verifies_the_server_s_name_is_told_the_real_one(
    other_server: MariaDB,
    mysql_setting: MysqlSetting,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    authority: str,
) -> None:
    """It cannot come through a gate, whose address is another: it is started when the window opens, and verifies as it would have."""
    for name in ("bank", "coordinator", "scalardb"):
        other_server.create_database(mysql_setting.names(f"{{{name}}}"))
    folder = other_server.data_dir.parent.parent
    commands: list[str] = []
    monkeypatch.setattr(tools, "dump_command", spied(tools.dump_command, commands))
    ca = f"&ssl_ca={folder}/{authority}.pem"
    monkeypatch.setenv(
        "AIRFLOW_CONN_OTHER_DB", other_server.conn_uri().replace("ssl_disabled=true", f"ssl_verify_identity=true&ssl_ca={folder}/right.pem")
    )
    mysql_setting.change_store(conn_id="other_db")
    with store_of(mysql_setting).arm() as armed:
        assert armed._process is None
        assert commands == []
        if authority == "wrong":
            armed.session.login.extra["ssl_ca"] = ca.partition("=")[2]
            with pytest.raises(MidtimeError, match="certificate"):
                armed.fix()
        else:
            assert "-- Dump completed" in read(armed.fix())
        (command,) = commands
        assert f"--port={other_server.port}" in command
        assert "--ssl-verify-server-cert" in command


def spied(real: Callable[..., list[str | Path]], commands: list[str]) -> Callable[..., list[str | Path]]:
    def spy(*args: object, **kwargs: object) -> list[str | Path]:
        made = real(*args, **kwargs)
        commands.append(" ".join(map(str, made)))
        return made

    return spy
