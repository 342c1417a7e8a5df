"""What the tests of a window's MySQL capture look at, and how they slow it down."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from subprocess import Popen

import psutil
import pytest

from midtime.stores.mysql import gate as gates
from midtime.stores.mysql.capture import ArmedDump, Snapshot
from midtime.stores.mysql.store import MysqlStore
from tests.integration.mysql_setting import MysqlSetting

POINT = "20260101T000000Z-000000"

TWO_DATABASES = """
CREATE TABLE {bank}.coins (id int PRIMARY KEY, amount int); CREATE TABLE {scalardb}.coins (id int PRIMARY KEY, amount int);
INSERT INTO {bank}.coins SELECT id, 100 FROM {bank}.acct WHERE id <= 20; INSERT INTO {scalardb}.coins SELECT * FROM {bank}.coins;
CREATE TABLE {bank}.marks (id int PRIMARY KEY)"""


def store_of(setting: MysqlSetting) -> MysqlStore:
    """As what it is."""
    store = setting.store
    assert isinstance(store, MysqlStore)
    return store


def read(capture: Snapshot) -> str:
    """All of the dump."""
    return b"".join(capture.chunks).decode()


def left_nothing() -> None:
    """No client, no thread, nobody who listens. The client is ours, so it is our child."""
    assert [thread for thread in threading.enumerate() if thread.name == "gate"] == []
    own = psutil.Process()
    assert [child for child in own.children(recursive=True) if is_client(child)] == []
    assert [found for found in own.net_connections("tcp4") if found.status == psutil.CONN_LISTEN] == []


def is_client(process: psutil.Process) -> bool:
    with suppress(psutil.Error):  # it has ended; somebody else's child that nobody has waited for yet is there, and has no command line
        return "mariadb-dump" in " ".join(process.cmdline())
    return False


def client_of(armed: ArmedDump) -> Popen[bytes]:
    """The client that waits."""
    assert armed._process is not None
    return armed._process


def slowly(monkeypatch: pytest.MonkeyPatch, wait: Callable[[], object]) -> None:
    """Whatever the client asks for waits on its way to the server."""
    real = gates._pump

    def pump(source: socket.socket, sink: socket.socket) -> None:
        if source.getsockname()[1] == sink.getpeername()[1]:
            raise AssertionError
        real(_Slow(source, wait), sink)  # type: ignore[arg-type]

    monkeypatch.setattr(gates, "_pump", pump)


class _Slow:
    def __init__(self, source: socket.socket, wait: Callable[[], object]) -> None:
        self.source, self.wait = source, wait

    def recv_into(self, buffer: memoryview) -> int:
        count = self.source.recv_into(buffer)
        self.wait()
        return count

    def shutdown(self, how: int) -> None:
        self.source.shutdown(how)
