"""A dump client, its login, its server that break around a window: said while nobody is paused, where that can be."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from midtime.errors import CopyError, StoreUnreachableError
from midtime.stores.mysql import capture as module
from midtime.stores.mysql.gate import Gate
from tests.integration.mysql_armed import client_of, left_nothing, slowly, store_of
from tests.integration.mysql_setting import MysqlSetting
from tests.stack.mariadb import MariaDB
from tests.stack.processes import poll

pytestmark = pytest.mark.integration


def test_a_client_that_died_while_it_was_armed(mysql_setting: MysqlSetting) -> None:
    with store_of(mysql_setting).arm() as armed:
        client_of(armed).kill()
        poll("the client's end", lambda: client_of(armed).poll() is not None, 30)
        with pytest.raises(CopyError, match=r"the dump client failed:\n.*SIGKILL"):
            armed.fix()
        left_nothing()  # at once, not when the task ends


@pytest.mark.parametrize(("who", "says"), [("the client", "SIGKILL"), ("the server", "Lost connection|has gone away")])
def test_what_ends_before_the_window_is_noticed_then(mysql_setting: MysqlSetting, who: str, says: str) -> None:
    """By whoever waits for the window, while nobody has been paused."""
    with pytest.raises(CopyError, match=rf"the dump client failed:\n(.|\n)*({says})"), store_of(mysql_setting).arm() as armed:
        armed.check()
        if who == "the client":
            client_of(armed).kill()
        else:
            assert armed._gate is not None
            mysql_setting.execute(f"KILL {armed._gate._number}")
        for _ in range(300):
            armed.check()
            time.sleep(0.1)
    left_nothing()


def test_a_login_that_is_refused_is_said_while_nobody_is_paused(mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MYSQL_DB", mysql_setting.login("late", "ALL ON *.*"))
    locked = f"ALTER USER `late_{mysql_setting.mark}` ACCOUNT LOCK"
    admit = Gate.admit
    monkeypatch.setattr(Gate, "admit", lambda gate, process: (admit(gate, process), mysql_setting.execute(locked))[0])
    with pytest.raises(CopyError, match=r"the dump client failed:\n.*locked"), store_of(mysql_setting).arm():
        pass
    left_nothing()


def test_a_login_that_is_refused_in_the_window_is_said_in_the_client_s_words(
    mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MYSQL_DB", mysql_setting.login("late", "ALL ON *.*"))
    monkeypatch.setattr(module, "_OWN_NUMBER", "SELECT 0")  # so the client logs in only then
    with store_of(mysql_setting).arm() as armed:
        mysql_setting.execute(f"ALTER USER `late_{mysql_setting.mark}` ACCOUNT LOCK")
        with pytest.raises(CopyError, match=r"the dump client failed:\n.*locked"):
            armed.fix()
        left_nothing()


@pytest.mark.parametrize("after", ["the arming", "the first look at the clock", "the opening"])
def test_a_server_that_hangs(mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch, after: str) -> None:
    def freeze() -> None:
        os.kill(mysql_setting.server.pid, signal.SIGSTOP)

    if after == "the first look at the clock":
        clock = module._clock
        monkeypatch.setattr(module, "_clock", lambda session: (clock(session), freeze())[0])
    if after == "the opening":
        gate_open = Gate.open
        monkeypatch.setattr(Gate, "open", lambda gate, deadline: (gate_open(gate, deadline), freeze())[0])
    with store_of(mysql_setting).arm() as armed:
        if after == "the arming":
            freeze()
        try:
            with pytest.raises(StoreUnreachableError, match="does not answer"):
                armed.fix(1)
            left_nothing()
        finally:
            os.kill(mysql_setting.server.pid, signal.SIGCONT)


def test_a_snapshot_that_does_not_open(mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server answers, and the client gets nowhere."""
    go_on = threading.Event()
    slowly(monkeypatch, lambda: go_on.wait(60))
    real = Gate.close
    monkeypatch.setattr(Gate, "close", lambda gate: (go_on.set(), real(gate))[1])  # whatever holds it up must not hold us up
    with store_of(mysql_setting).arm() as armed:
        with pytest.raises(CopyError, match="was not open in time"):
            armed.fix(0.5)
        left_nothing()


def test_a_server_that_is_gone(other_server: MariaDB, mysql_setting: MysqlSetting) -> None:
    for name in ("bank", "coordinator", "scalardb"):
        other_server.create_database(mysql_setting.names(f"{{{name}}}"))
    mysql_setting.change_store(conn_id="other_db")
    with store_of(mysql_setting).arm() as armed:
        other_server.kill()
        with pytest.raises(StoreUnreachableError, match="does not answer"):
            armed.fix()
        left_nothing()
