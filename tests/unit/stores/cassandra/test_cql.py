"""Sessions: the pages of a query, what is asked again, and what the driver's errors become."""

from __future__ import annotations

import itertools
import json
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cassandra import (
    AuthenticationFailed,
    ConsistencyLevel,
    InvalidRequest,
    OperationTimedOut,
    ReadFailure,
    ReadTimeout,
    Unauthorized,
    Unavailable,
)
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionShutdown
from cassandra.protocol import OverloadedErrorMessage, SyntaxException

from midtime.errors import StoreAccessError, StoreError, StoreStatementError, StoreUnreachableError
from midtime.stores.cassandra import cql, cql_driver
from midtime.stores.cassandra.cql import TRIES, CqlSession, quoted, session_to
from midtime.stores.cassandra.cql_driver import connect, options_of
from midtime.stores.cassandra.cql_errors import cql_errors
from tests.stack.tls import Authority
from tests.unit.stores.cassandra.cql_fakes import FakeCluster


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cql, "pause", lambda _: None)


def no_host(**errors: Exception) -> NoHostAvailable:
    return NoHostAvailable("none", errors)


REFUSED = AuthenticationFailed("Provided username and/or password are incorrect")
NOT_YET = AuthenticationFailed("Unable to perform authentication: Cannot achieve consistency level QUORUM")


@pytest.mark.parametrize(
    ("raised", "becomes"),
    [
        (no_host(a=REFUSED), StoreAccessError),
        (no_host(a=ConnectionRefusedError("no"), b=REFUSED), StoreAccessError),
        (no_host(a=ssl.SSLCertVerificationError("self-signed certificate")), StoreAccessError),
        (Unauthorized("User x has no SELECT permission"), StoreAccessError),
        (no_host(a=NOT_YET), StoreUnreachableError),
        (NOT_YET, StoreUnreachableError),
        (no_host(a=ConnectionRefusedError("no")), StoreUnreachableError),
        (no_host(), StoreUnreachableError),
        (ConnectionShutdown("gone"), StoreUnreachableError),
        (OperationTimedOut(), StoreUnreachableError),
        (ReadTimeout("late", consistency=ConsistencyLevel.QUORUM, required_responses=2, received_responses=1), StoreUnreachableError),
        (Unavailable("few", consistency=ConsistencyLevel.QUORUM, required_replicas=2, alive_replicas=1), StoreUnreachableError),
        (OverloadedErrorMessage(0x1001, "busy", None), StoreUnreachableError),
        (InvalidRequest("unconfigured table"), StoreStatementError),
        (SyntaxException(0x2000, "no viable alternative", None), StoreStatementError),
        (ReadFailure("a replica is corrupt"), StoreStatementError),
    ],
    ids=repr,
)
def test_errors(raised: Exception, becomes: type[StoreError]) -> None:
    with pytest.raises(StoreError) as caught, cql_errors("ring"):
        raise raised
    assert type(caught.value) is becomes
    assert "ring: " in caught.value.message
    assert caught.value.fix


def test_what_is_no_error_of_the_drivers_passes() -> None:
    with pytest.raises(KeyError), cql_errors("ring"):
        raise KeyError("ours")


def test_every_node_is_named() -> None:
    with pytest.raises(StoreUnreachableError, match="a: no; b: TimeoutError"), cql_errors("ring"):
        raise no_host(a=ConnectionRefusedError("no"), b=TimeoutError())


def test_rows_come_page_by_page_and_are_asked_again() -> None:
    rows = [(number,) for number in range(2 * cql.PAGE + 1)]
    cluster = FakeCluster({"numbers": rows}, itertools.chain([True], itertools.cycle([False, True])))
    assert cluster.rows("SELECT numbers") == rows
    assert cluster.value("SELECT numbers") == 0
    assert cluster.value("SELECT nothing") is None


def test_a_query_is_not_asked_for_ever() -> None:
    cluster = FakeCluster({}, itertools.repeat(True))
    with pytest.raises(StoreUnreachableError):
        cluster.rows("SELECT numbers")
    assert len(cluster.asked) == TRIES


def test_many_questions() -> None:
    cluster = FakeCluster({" IN ?": [(number,) for number in range(100)]}, itertools.cycle([False, False, True]))
    asked = [[[number]] for number in range(100)]
    assert [row for rows in cluster.many("x IN ?", asked) for row in rows] == [(number,) for number in range(100)]


def test_what_the_driver_is_asked() -> None:
    """Each page with its size and state; a statement that only reads may be sent to another node without a question."""
    seen: list[Any] = []

    def execute_async(statement: Any, given: Any, paging_state: Any) -> Any:
        seen.append((statement.fetch_size, statement.is_idempotent, given, paging_state))
        return SimpleNamespace(result=lambda: SimpleNamespace(current_rows=[(1,)], paging_state=b"next"))

    session = CqlSession(SimpleNamespace(execute_async=execute_async), "ring")
    assert session.begin("SELECT 1", (7,), page=20, state=b"here")() == ([(1,)], b"next")
    assert seen == [(20, True, (7,), b"here")]


@pytest.mark.parametrize(("names", "expected"), [(("bank", "acct"), '"bank"."acct"'), (('Odd "x"',), '"Odd ""x"""')])
def test_quoted(names: tuple[str, ...], expected: str) -> None:
    assert quoted(*names) == expected


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
