"""Oracle's and SQL Server's real drivers against what answers nothing, or refuses in the servers' own protocols: whose error it becomes."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from midtime.errors import StoreAccessError, StoreError, StoreUnreachableError
from midtime.stores.managed_sql.oracle import OracleSession
from midtime.stores.managed_sql.sessions import SchemaSession, connect
from midtime.stores.managed_sql.sqlserver import SqlserverSession
from tests.stack.dumb_servers import Talk, falls_silent, hangs_up, listener_refuses, login_refused, serving
from tests.stack.processes import Port

# oracledb leaves a socket open to a server that hangs up.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

KINDS: dict[str, type[SchemaSession]] = {"oracle": OracleSession, "mssql": SqlserverSession}
PLAIN = {"oracle": {"protocol": "tcp"}, "mssql": {"encryption": "off"}}


class Caller:
    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch

    def call(self, kind: str, port: int, host: str = "127.0.0.1", extra: dict[str, str] | None = None) -> None:
        self.set(kind, port, host, extra)
        with connect(KINDS[kind], "db", None):
            pytest.fail("connected")

    def set(self, kind: str, port: int, host: str = "127.0.0.1", extra: dict[str, str] | None = None) -> None:
        """The connection."""
        said = {"conn_type": kind, "host": host, "port": port, "login": "admin", "password": "s3cret", "schema": "shop"}
        self.patch.setenv("AIRFLOW_CONN_DB", json.dumps({**said, "extra": PLAIN[kind] if extra is None else extra}))

    @contextmanager
    def refused(self, error: type[StoreError], words: str) -> Iterator[None]:
        with pytest.raises(error, match=words) as caught:
            yield
        assert type(caught.value) is error
        assert "'db'" in caught.value.message
        assert caught.value.fix
        assert "s3cret" not in str(caught.value)


@contextmanager
def nobody() -> Iterator[int]:
    """A port at which nobody listens."""
    port = Port()
    yield port.number
    port.release()


@pytest.fixture
def caller(monkeypatch: pytest.MonkeyPatch) -> Iterator[Caller]:
    yield Caller(monkeypatch)
    gc.collect()


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_there(caller: Caller, kind: str) -> None:
    with nobody() as port, caller.refused(StoreUnreachableError, "does not answer: 127.0.0.1"):
        caller.call(kind, port)


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_nobody_knows(caller: Caller, kind: str) -> None:
    with caller.refused(StoreUnreachableError, "no.such.invalid"):
        caller.call(kind, 1521, host="no.such.invalid")


@pytest.mark.parametrize("kind", KINDS)
def test_who_hangs_up(caller: Caller, kind: str) -> None:
    with serving(hangs_up) as port, caller.refused(StoreUnreachableError, "does not answer"):
        caller.call(kind, port)


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        (12514, StoreAccessError, "is not registered with the listener"),
        (12505, StoreAccessError, "is not registered with the listener"),
        (12528, StoreUnreachableError, "Similar to ORA-12528"),
    ],
)
def test_oracle_s_listener(caller: Caller, code: int, error: type[StoreError], words: str) -> None:
    with serving(listener_refuses(code)) as port, caller.refused(error, words):
        caller.call("oracle", port)


def test_oracle_without_tls_is_not_spoken_to(caller: Caller) -> None:
    """The login never leaves."""
    heard: list[bytes] = []

    def listen(client: Any) -> None:
        heard.append(client.recv(8192))
        client.sendall(b"\0\x20\0\0\x04\0\0\0" + bytes(24))

    with serving(listen) as port, caller.refused(StoreAccessError, "SSL"):
        caller.call("oracle", port, extra={})
    assert heard[0][:1] == b"\x16", "a TLS handshake"


FAILED = login_refused(18456, "Login failed for user 'admin'.")
UNKNOWN = login_refused(4060, 'Cannot open database "shop" requested by the login. The login failed.')


def test_sql_server_refuses_the_login_and_again_and_is_gone_then(caller: Caller) -> None:
    """The driver keeps the number of the first refusal for ever, and loses the words of those that follow."""
    talks: list[tuple[Talk, type[StoreError]]] = [
        (FAILED, StoreAccessError), (UNKNOWN, StoreAccessError), (FAILED, StoreAccessError), (hangs_up, StoreUnreachableError),
    ]  # fmt: skip
    for talk, error in talks:
        with serving(talk) as port, caller.refused(error, "127.0.0.1"):
            caller.call("mssql", port)
    with nobody() as port, caller.refused(StoreUnreachableError, "127.0.0.1"):
        caller.call("mssql", port)


def test_a_sql_server_that_falls_silent_holds_nobody_in_a_window(caller: Caller) -> None:
    outlasted: list[str] = []
    with serving(falls_silent("SYSUTCDATETIME", outlasted)) as port, caller.refused(StoreUnreachableError, "does not answer"):
        caller.set("mssql", port)
        with connect(SqlserverSession, "db", None) as session:
            session.hurry()
            session.value("SELECT SYSUTCDATETIME()")
    assert not outlasted


def test_sql_server_without_tls_gets_no_login(caller: Caller) -> None:
    heard: list[bytes] = []

    def listen(client: Any) -> None:
        FAILED(_Heard(client, heard))  # type: ignore[arg-type]

    with serving(listen) as port, caller.refused(StoreUnreachableError, "127.0.0.1"):
        caller.call("mssql", port, extra={})
    assert heard[0][:1] == b"\x12", "its first packet asks what the other side can"
    assert not any(packet[:1] == b"\x10" for packet in heard), "no login"


class _Heard:
    """Writes down what comes."""

    def __init__(self, client: Any, heard: list[bytes]) -> None:
        self._client, self._heard = client, heard
        self.sendall = client.sendall

    def recv(self, size: int) -> bytes:
        found: bytes = self._client.recv(size)
        self._heard.append(found)
        return found
