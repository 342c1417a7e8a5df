"""Which cluster a restored set is read from, and with whose login."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from midtime.errors import RequestError, StoreStatementError
from midtime.model.instants import utc_now
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.stores.base import Target
from midtime.stores.cassandra import restored
from midtime.stores.cassandra.restored import RestoredCluster, open_restored
from tests.unit.stores.cassandra.cql_fakes import FakeCluster


def topology_of(**drill: Any) -> Topology:
    store = {"name": "ring", "engine": "cassandra", "namespaces": ["bank"], "access": "local", "conn_id": "live", "nodes": ["127.0.0.1"]}
    return Topology.model_validate(
        {
            "name": "proof",
            "destination": "file:///nowhere",
            "products": [{"kind": "scalardb-server", "endpoints": {"static": ["127.0.0.1:1"]}}],
            "scalardb": {"coordinators": [{"store": "ring"}]},
            "stores": [store],
            "drill": {"targets": {"ring": {"nodes": ["127.0.0.9"], "access": "local", **drill}}},
        }
    )


def backup_of(**details: Any) -> StoreBackup:
    made = {"store": "ring", "engine": "cassandra", "method": "snapshot", "server": "5.0", "client": "", "seconds": 1.0}
    return StoreBackup.model_validate({**made, "midtime": utc_now(), "artifacts": (), "tables": (), "details": details})


def target(aside: str | None) -> Target:
    return Target("ring", "live", "ring", "ring", aside=aside)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Sequence[tuple[str, int]], str | None]]:
    found = []

    @contextmanager
    def session_to(nodes: Sequence[tuple[str, int]], conn_id: str | None, *, patience: float) -> Iterator[FakeCluster]:
        found.append((nodes, conn_id))
        yield FakeCluster({})

    monkeypatch.setattr(restored, "session_to", session_to)
    return found


@pytest.mark.parametrize(
    ("drill", "aside", "expected"),
    [
        ({}, "before", ([("127.0.0.1", 9042)], "live")),
        ({}, None, ([("127.0.0.9", 9042)], "live")),
        ({"conn_id": "drill"}, None, ([("127.0.0.9", 9042)], "drill")),
        ({"conn_id": "drill"}, "before", ([("127.0.0.1", 9042)], "live")),
    ],
)
def test_whom_it_asks(asked: list[Any], drill: dict[str, Any], aside: str | None, expected: Any) -> None:
    with open_restored(topology_of(**drill), backup_of(), target(aside)):
        assert asked == [expected]


def opened(**details: Any) -> RestoredCluster:
    ids = [("bank", "acct", FAKE), ("coordinator", "state", FAKE)]
    return RestoredCluster(
        topology_of(), backup_of(**details), FakeCluster({"system_schema.tables": ids, "system_schema.views": [("bank", "by_owner", FAKE)]})
    )


class Number:
    hex = "0a"


FAKE = Number()


def test_schema_differences() -> None:
    """A view has a snapshot of its own, as a table has."""
    same = {"bank.acct": "0a", "bank.by_owner": "0a", "coordinator.state": "0a", "system.paxos": "0b"}
    assert opened(tables=same).schema_differences() == []
    assert opened(tables={"bank.acct": "0a", "bank.by_owner": "0a", "bank.gone": "0a"}).schema_differences() == [
        "bank.gone: missing",
        "coordinator.state: unexpected (not captured)",
    ]
    assert opened(tables={**same, "bank.acct": "0c"}).schema_differences() == [
        "bank.acct: another table of that name (id 0a, captured 0c)",
    ]
    assert opened().schema_differences() == (), "older backups do not say"


@pytest.mark.parametrize("query", ["", "UPDATE a SET b = 1", "SELECTED", "-- SELECT\nDROP TABLE a", "(SELECT a)"])
def test_only_a_select_is_sent(query: str) -> None:
    found = opened()
    with pytest.raises(RequestError, match="no SELECT"):
        found.scalar(query)
    assert found.session.asked == []  # type: ignore[attr-defined]


def test_a_select_that_fails_is_the_topologys_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    found = opened()

    def fails(_: str) -> None:
        raise StoreStatementError("ring: no such column", fix="check the nodes' logs")

    monkeypatch.setattr(found.session, "value", fails)
    with pytest.raises(RequestError, match=r"no such column.*correct the check"):
        found.scalar(" select x from a")
