"""Sessions: the pages of a query, what is asked again, and what the driver's errors become."""

from __future__ import annotations

import itertools
import ssl
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
from midtime.stores.cassandra import cql
from midtime.stores.cassandra.cql import TRIES, CqlSession, quoted
from midtime.stores.cassandra.cql_errors import cql_errors
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
