"""Fence rows in CQL, by the same fence as everywhere."""

from __future__ import annotations

import pytest

from midtime.stores import fences as every
from midtime.stores.cassandra.fences import fence_of, places
from tests.unit.stores.cassandra.cql_fakes import FakeCluster

NAMESPACES = ("Bank", "coordinator")
TABLE = '"Bank"."midtime_fence"'
NOW = 10**12


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(every, "_milliseconds", lambda: NOW)


def test_a_new_table() -> None:
    cluster = FakeCluster({})
    fence_of(cluster, NAMESPACES).prepare()
    ((statement, parameters, seconds),) = cluster.executed
    assert statement.startswith(f"CREATE TABLE IF NOT EXISTS {TABLE} (window_id text, place text, written_at bigint, PRIMARY KEY")
    assert (parameters, seconds) == ((), 30), "a change of the schema takes its time"


def test_a_table_that_is_there_is_not_made_again_and_forgets_what_is_old() -> None:
    old = NOW - int(every.KEPT.total_seconds() * 1000)
    rows = [("w1", old - 1), ("w2", old), ("w3", NOW)]
    cluster = FakeCluster({"system_schema.tables": [("Bank", "midtime_fence")], "midtime_fence": rows})
    fence_of(cluster, NAMESPACES).prepare()
    assert [(statement, parameters) for statement, parameters, _ in cluster.executed] == [
        (f"DELETE FROM {TABLE} WHERE window_id = %s", ("w1",))
    ]


def test_a_row_is_written_within_the_window_and_never_expires() -> None:
    """A restored set is asked for it long after the live table has forgotten it."""
    cluster = FakeCluster({})
    fence_of(cluster, NAMESPACES).write("w1", "before")
    ((statement, parameters, seconds),) = cluster.executed
    assert statement == f"INSERT INTO {TABLE} (window_id, place, written_at) VALUES (%s, %s, %s)"
    assert (parameters, seconds) == (("w1", "before", NOW), every.SECONDS)


def test_places() -> None:
    there = {"system_schema.tables": [("Bank", "midtime_fence")], "midtime_fence": [("w1", "before"), ("w1", "after"), ("w2", "before")]}
    assert places(FakeCluster(there), ["Bank"], "w1") == {"before", "after"}
    assert places(FakeCluster(there), ["Bank"], "w3") == frozenset()
    assert places(FakeCluster({}), ["Bank"], "w1") == frozenset()
