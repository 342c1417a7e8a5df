"""Arming, releasing and forgetting, with nodes that only say that they do it."""

from __future__ import annotations

import re
import threading
import time
from contextlib import AbstractContextManager
from datetime import timedelta

import pytest

from midtime.errors import CopyError, StoreUnreachableError, TargetExistsError, ToolError, WindowVoidError
from midtime.stores.cassandra.capture import ArmedSnapshots, armed_snapshots
from midtime.stores.cassandra.nodetool import Nodetool
from midtime.stores.cassandra.snapshot_folders import _FOLDERS
from tests.unit.stores.cassandra.fake_ring import HOSTS, Ring3

TAG = "midtime-books-ring-012345-6789"


def arm(three: Ring3, tag: str = TAG) -> AbstractContextManager[ArmedSnapshots]:
    return armed_snapshots(three.cluster, three.tool, tag, ["bank", "system"], timedelta(minutes=1))


def cleared(three: Ring3) -> list[int]:
    return [len(node.told("clearsnapshot")) for node in three.nodes]


def test_all_nodes_flush_then_wait_and_nothing_is_sent_before_the_window() -> None:
    three = Ring3()
    with arm(three) as armed:
        armed.check()
        for node in three.nodes:
            (armed_command,) = node.told("snapshot")
            assert node.commands.index(node.told("flush")[0]) < node.commands.index(armed_command)
            assert armed_command[-7:] == ["snapshot", "-t", TAG, "--ttl", "259200s", "bank", "system"]
            assert not any(node.sent)
        capture = armed.fix()
    assert all(b"".join(node.sent) == b"midtime midtime\n" for node in three.nodes)
    assert (capture.tag, capture.keyspaces, capture.ring.name) == (TAG, ("bank", "system"), "Mid Time")
    assert cleared(three) == [0, 0, 0]  # it is needed


def test_flush_gets_no_more_time_than_the_window_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    three, given = Ring3(), list[float]()
    monkeypatch.setattr(Nodetool, "flush", lambda _, timeout: given.append(timeout))
    with armed_snapshots(three.cluster, three.tool, TAG, ["bank"], timedelta(minutes=2)):
        assert given == [120 + three.cluster.spec.capture_limit.total_seconds()] * 3


def test_flush_may_be_left_out_and_so_may_the_time_to_live() -> None:
    three = Ring3(flush=False, snapshot_ttl="0s")
    with arm(three):
        assert not three.nodes[0].told("flush")
        assert three.nodes[0].told("snapshot")[0][-5:] == ["snapshot", "-t", TAG, "bank", "system"]
        assert [node.closed for node in three.nodes] == [0, 0, 0]
    assert all(node.closed for node in three.nodes)


def test_4_0_knows_no_time_to_live() -> None:
    three = Ring3()
    three.replace(None, "describecluster", "5.0.4:", "4.0.11:")
    with arm(three):
        assert "--ttl" not in three.nodes[0].told("snapshot")[0]


def test_failure_before_the_release_clears_nothing() -> None:
    three = Ring3()
    with pytest.raises(WindowVoidError), arm(three):
        raise WindowVoidError("nobody paused")
    assert cleared(three) == [0, 0, 0]
    assert all(node.closed >= 1 for node in three.nodes)


def test_failure_after_the_release_clears_on_all_nodes_that_answer() -> None:
    three = Ring3()
    three.nodes[1].answers["clearsnapshot"] = StoreUnreachableError("node 127.0.0.2 is gone")
    with pytest.raises(WindowVoidError), arm(three) as armed:
        armed.fix()
        raise WindowVoidError("somebody unpaused")
    assert cleared(three) == [1, 1, 1]
    assert all(node.told("clearsnapshot")[0][-2:] == ["-t", TAG] for node in three.nodes)


def test_one_failed_snapshot_fails_all_and_is_named() -> None:
    three = Ring3()
    three.nodes[2].ends_with = ToolError("node 127.0.0.3: sh ended with exit code 2: error: Snapshot exists")
    with pytest.raises(ToolError, match=re.escape("node 127.0.0.3: error: Snapshot exists")), arm(three) as armed:
        armed.fix()
    assert cleared(three) == [1, 1, 1]


def test_two_failed_snapshots_are_both_named() -> None:
    three = Ring3()
    for node in three.nodes[1:]:
        node.ends_with = ToolError(f"node {node.label}: sh ended with exit code 2: no room")
    with pytest.raises(ToolError, match="2 of 3 nodes failed") as caught, arm(three) as armed:
        armed.fix()
    assert all(f"node {host}: no room" in str(caught.value) for host in HOSTS[1:])


def test_first_failure_is_told_while_others_still_take_theirs() -> None:
    """Writers are paused as long as nobody knows that there is nothing to wait for."""
    three, closed, waited = Ring3(), threading.Event(), list[bool]()
    three.nodes[2].ends_with = ToolError("node 127.0.0.3: sh ended with exit code 2: no room")
    with pytest.raises(ToolError, match="no room"), arm(three) as armed:
        slow = armed.commands[HOSTS[0]]
        slow.wait = lambda _: waited.append(closed.wait(2))  # type: ignore[method-assign]
        slow.close = closed.set  # type: ignore[method-assign]
        with pytest.raises(ToolError, match="no room"):
            armed.fix()
        assert (waited, closed.is_set()) == ([], False)
        raise three.nodes[2].ends_with
    assert closed.is_set(), "ended afterwards"
    assert cleared(three) == [1, 1, 1]


def test_limit_is_one_for_all_and_told_as_such() -> None:
    three = Ring3(capture_limit="1ms")
    three.nodes[0].ends_with = StoreUnreachableError("node 127.0.0.1: sh has not ended")
    with pytest.raises(StoreUnreachableError, match=re.escape("node 127.0.0.1 has not taken its snapshot within 1ms")), arm(three) as armed:
        armed.commands[HOSTS[0]].release = lambda: time.sleep(0.01)  # type: ignore[method-assign]
        armed.fix()


def test_nodetool_that_has_ended_is_told_before_the_window() -> None:
    three = Ring3()
    with pytest.raises(CopyError, match=re.escape("node 127.0.0.2: nodetool ended while it waited")), arm(three) as armed:
        armed.check()
        three.nodes[1].waiting = False
        armed.check()


def test_node_that_cannot_be_armed_ends_the_others() -> None:
    three = Ring3()
    three.nodes[0].answers["snapshot"] = ToolError("node 127.0.0.1: nodetool does not run")
    with pytest.raises(ToolError, match="does not run"), arm(three):
        pytest.fail("it was armed")
    assert all(node.closed >= 1 for node in three.nodes[1:])
    assert cleared(three) == [0, 0, 0]


def test_tag_in_use_is_refused() -> None:
    three = Ring3()
    three.nodes[1].answers[_FOLDERS] = f"bank/acct-{'0' * 32}/snapshots/{TAG}\0"
    with pytest.raises(TargetExistsError, match=f"node 127.0.0.2 has a snapshot {TAG} already"), arm(three):
        pytest.fail("it was armed")
    assert not any(node.told("flush") for node in three.nodes)


def test_table_named_as_folders_of_snapshots_are_is_none() -> None:
    three = Ring3()
    three.nodes[1].answers[_FOLDERS] = f"snapshots/{TAG}/acct-{'0' * 32}/{TAG}\0"
    with arm(three):
        assert three.nodes[1].told("snapshot")
