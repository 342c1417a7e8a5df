"""The driver, set up: for which nodes, and with what of the Airflow connection."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cassandra import ConsistencyLevel

from midtime.errors import StoreAccessError, StoreUnreachableError
from midtime.stores.cassandra import cql_driver
from midtime.stores.cassandra.cql import session_to
from midtime.stores.cassandra.cql_driver import connect, options_of
from tests.stack.tls import Authority


def test_only_these_nodes_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of the live cluster name the live nodes; and the same address may have another cluster at another port."""
    made: dict[str, Any] = {}

    class Driver:
        def __init__(self, contact_points: Any, **options: Any) -> None:
            made.update(options, contact_points=contact_points)

        def connect(self) -> str:
            return "session"

    monkeypatch.setattr(cql_driver, "Cluster", Driver)
    connect([("127.0.0.1", 9042), ("127.0.0.2", 9043)], {"protocol_version": 4})
    (profile,) = made["execution_profiles"].values()
    assert made["contact_points"] == [("127.0.0.1", 9042), ("127.0.0.2", 9043)]
    assert profile.consistency_level == ConsistencyLevel.QUORUM

    def used(address: str, port: int) -> bool:
        return bool(profile.load_balancing_policy.predicate(SimpleNamespace(endpoint=SimpleNamespace(address=address, port=port))))

    assert used("127.0.0.2", 9043)
    assert not used("127.0.0.2", 9042)
    assert not used("127.0.0.3", 9042)


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda said: monkeypatch.setenv("AIRFLOW_CONN_CQL", said)


def test_a_login(connection: Callable[[str], None]) -> None:
    connection("cassandra://user:secret@live.example:9999/bank?protocol_version=5")
    options = options_of("cql")
    assert (options["auth_provider"].username, options["auth_provider"].password) == ("user", "secret")
    assert options["protocol_version"] == 5
    assert options["ssl_context"] is None


def test_without_a_login(connection: Callable[[str], None]) -> None:
    connection("cassandra://live.example")
    assert options_of("cql") == {"auth_provider": None, "ssl_context": None, "protocol_version": 4}
    assert options_of(None) == {"protocol_version": 4}


def test_tls(connection: Callable[[str], None], tmp_path: Path) -> None:
    connection('{"conn_type": "cassandra", "extra": {"ssl_options": {}}}')
    assert options_of("cql")["ssl_context"].verify_mode is ssl.CERT_NONE, "as the driver does where nobody names an authority"
    authority = Authority(tmp_path)
    certificate, key = authority.issue("client")
    asked = {"ca_certs": authority.ca, "certfile": certificate, "keyfile": key}
    connection(json.dumps({"conn_type": "cassandra", "extra": {"ssl_options": asked}}))
    context = options_of("cql")["ssl_context"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, False)
    assert len(context.get_ca_certs()) == 1
    connection('{"conn_type": "cassandra", "extra": {"ssl_options": {"cert_reqs": "CERT_OPTIONAL"}}}')
    assert options_of("cql")["ssl_context"].verify_mode is ssl.CERT_OPTIONAL


def test_no_such_connection() -> None:
    with pytest.raises(StoreAccessError, match="no Airflow connection 'nowhere'"), session_to([("127.0.0.1", 1)], "nowhere"):
        pass


def test_nobody_answers() -> None:
    with pytest.raises(StoreUnreachableError, match=r"127\.0\.0\.1:1"), session_to([("127.0.0.1", 1)], None):
        pass


def test_no_such_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(StoreUnreachableError, match="no-such-host"), session_to([("no-such-host.invalid", 1)], None):
        pass


@contextmanager
def listening(certificate: str, key: str) -> Iterator[int]:
    """Whoever is content with its certificate is hung up on. Its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    taken, _ = listener.accept()
                    with suppress(OSError), context.wrap_socket(taken, server_side=True):
                        pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(("known", "error"), [(True, StoreUnreachableError), (False, StoreAccessError)])
def test_a_server_that_pretends(
    connection: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool, error: type[Exception]
) -> None:
    """A certificate of another authority ends it before the password is sent; that of ours does not."""
    monkeypatch.setattr(cql_driver, "CONNECT_SECONDS", 1)
    mine, theirs = Authority(tmp_path), Authority(tmp_path, "other")
    trusted = mine if known else theirs
    connection(json.dumps({"conn_type": "cassandra", "login": "u", "password": "p", "extra": {"ssl_options": {"ca_certs": trusted.ca}}}))
    with listening(*mine.issue("server", "127.0.0.1")) as port, pytest.raises(error), session_to([("127.0.0.1", port)], "cql"):
        pass
