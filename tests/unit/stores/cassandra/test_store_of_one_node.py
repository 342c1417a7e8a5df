"""A target that names a node goes to the restore of that node; all others to the restore of the cluster."""

from __future__ import annotations

from typing import Any

import pytest

from midtime.stores.base import Shelf, Target
from midtime.stores.cassandra import one_node, restoring
from midtime.stores.cassandra.store import CassandraStore
from tests.unit.builders import part
from tests.unit.snapshot_store import ring

BACKUP: Any = part("rows")
CLUSTER = Target("rows", "ring", "midtime_tmp_x", "rows", "midtime_before_abcdef")


@pytest.fixture
def book(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who was asked for what."""
    done: list[str] = []

    def noting(who: str, what: str) -> Any:
        def note(*_: Any, **__: Any) -> Any:
            done.append(f"{who} {what}")
            return iter(())

        return note

    for what in ("questions", "restore", "place", "put_back", "discard"):
        monkeypatch.setattr(one_node.OneNode, what, noting("node", what))
        monkeypatch.setattr(restoring, what, noting("cluster", what))
    return done


@pytest.mark.parametrize("who", ["node", "cluster"])
def test_who_is_asked(book: list[str], who: str, tmp_path: Any) -> None:
    store = CassandraStore(ring(tmp_path), "rows")
    target = store.node_target("10.0.0.2", run="abcdef") if who == "node" else CLUSTER
    list(store.restore_questions(target, BACKUP))
    store.restore(BACKUP, Shelf(tmp_path, "rows"), target, print)
    store.place(BACKUP, target)
    store.put_back(BACKUP, target)
    store.discard(target)
    assert book == [f"{who} {what}" for what in ("questions", "restore", "place", "put_back", "discard")]
    assert store.verified_in_place(target) is (who == "cluster")


def test_the_target_names_the_node_and_travels(tmp_path: Any) -> None:
    target = CassandraStore(ring(tmp_path), "rows").node_target("10.0.0.2", run="abcdef")
    assert (target.node, target.final, target.aside) == ("10.0.0.2", "10.0.0.2", "midtime_before_abcdef")
    assert Target.from_dict(target.to_dict()) == target
    assert Target.from_dict(CLUSTER.to_dict()).node is None
