"""A cluster in a window: snapshots on its nodes, copied node by node after it, and cleared whatever happens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from midtime.catalog import Catalog
from midtime.catalog.snapshot_notes import SnapshotNotes
from midtime.dag_parts import restore_points
from midtime.errors import CopyError, LeaseHeldError, WindowVoidError
from midtime.operators.base import run_name
from midtime.operators.collect import CollectOperator
from midtime.operators.midtime import MidtimeOperator
from midtime.operators.publish import PublishOperator
from midtime.operators.release import ReleaseBackupOperator
from midtime.operators.snapshot import WindowedSnapshotOperator
from midtime.operators.upload import NodesOperator, UploadOperator
from midtime.scalar.double import Double
from tests.unit.operators.tasks import ArmableStore, Hub, dump_task, pause_task, preflight_done
from tests.unit.snapshot_store import RING, Snapshotted, notes, ring

LIMITS = {"drain": "1s", "deadline": "4s", "arm": "5s"}


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> type[Snapshotted]:
    return Snapshotted.install(monkeypatch)


@pytest.fixture
def double() -> Iterator[Double]:
    with Double(count=2) as made:
        yield made


@pytest.fixture
def hub(double: Double, tmp_path: Path) -> Hub:
    products = [{"kind": "scalardb-cluster", "endpoints": {"static": double.addresses}}]
    made = Hub(ring(tmp_path, "accounts", products=products, pause=LIMITS))
    preflight_done(made.topology, made)
    return made


def capture(hub: Hub) -> None:
    """The window: the cluster, where the Coordinator is, before the database."""
    hub.start(pause_task(hub.topology, captures=["snapshot_rows", "dump_accounts"]))
    hub.start(WindowedSnapshotOperator(task_id="snapshot_rows", topology=hub.topology, store="rows"))
    hub.start(dump_task(hub.topology, "accounts", after=["snapshot_rows"]))
    hub.join()


def upload(hub: Hub, captured: Any) -> list[Any]:
    common: dict[str, Any] = {"topology": hub.topology, "store": "rows", "capture": captured}
    nodes = NodesOperator(task_id="nodes_rows", **common).work(hub.context("nodes_rows"))
    return [UploadOperator(task_id="upload_rows", node=node, **common).work(hub.context("upload_rows")) for node in nodes]


def collect(hub: Hub, captured: Any = None, taken: Any = None, uploads: Any = ()) -> Any:
    operator = CollectOperator(
        task_id="collect_rows",
        topology=hub.topology,
        store="rows",
        capture=captured or hub.results["snapshot_rows"],
        taken=taken or hub.xcoms["snapshot_rows", "taken"],
        uploads=uploads,
    )
    return operator.work(hub.context("collect_rows"))


def release(hub: Hub) -> None:
    ReleaseBackupOperator(task_id="release", topology=hub.topology).work(hub.context("release"))


def test_from_the_window_to_the_restore_point(hub: Hub, double: Double) -> None:
    capture(hub)
    assert hub.errors == {}
    paused = max(call["at"] for call in double.calls("pause"))
    unpaused = min(call["at"] for call in double.calls("unpause"))
    assert paused < ArmableStore.captured_at["rows"] < ArmableStore.captured_at["accounts"] < unpaused
    captured, taken = hub.results["snapshot_rows"], hub.xcoms["snapshot_rows", "taken"]
    assert captured.keys() == hub.results["dump_accounts"].keys()
    assert {taken["tag"]} == Snapshotted.standing

    uploads = upload(hub, captured)
    assert [each["node"] for each in uploads] == list(RING)
    assert collect(hub, uploads=uploads) == {"files": 6, "bytes": 300, "sent_bytes": 120}
    (part,) = Catalog(hub.topology.destination, "bank").parts(captured["restore_point"], ["rows"])
    assert part.details == {**taken, "sent_bytes": 120}
    assert (part.details["quiesced"], part.details["fence"]["why"]) == (True, "")
    assert (Snapshotted.standing, notes(hub.topology)) == (set(), [])

    captures, window = [captured, hub.results["dump_accounts"]], hub.results["pause"]
    midtime = MidtimeOperator(task_id="midtime", topology=hub.topology, captures=captures, window=window).work(hub.context("midtime"))
    publish = PublishOperator(
        task_id="publish", topology=hub.topology, captures=captures, midtime=midtime, window=window, asset=restore_points(hub.topology)
    )
    context = {**hub.context("publish"), "outlet_events": defaultdict(SimpleNamespace)}
    assert Catalog(hub.topology.destination, "bank").load(publish.work(context)).whole  # type: ignore[arg-type]


def test_noted_before_anything_can_take_it(hub: Hub) -> None:
    capture(hub)
    assert Snapshotted.noted == [hub.xcoms["snapshot_rows", "taken"]["tag"]]
    (note,) = notes(hub.topology)
    assert (note.store, note.run) == ("rows", run_name(hub.context("x")))
    assert note.tag.startswith("midtime-bank-rows-")


@pytest.mark.parametrize(("key", "wrong"), [("capture", "another"), ("tag", "midtime-bank-rows-abcdef-0123")])
def test_a_part_of_another_capture_is_refused(hub: Hub, key: str, wrong: str) -> None:
    """Two tries of one snapshot lived at once."""
    capture(hub)
    with pytest.raises(WindowVoidError, match="of another capture"):
        collect(hub, taken={**hub.xcoms["snapshot_rows", "taken"], key: wrong})
    assert len(Snapshotted.standing) == 1


def test_a_node_that_does_not_answer_fails_no_backup(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    capture(hub)
    Snapshotted.down = RING[1]
    collect(hub, uploads=upload(hub, hub.results["snapshot_rows"]))
    release(hub)
    assert f"node {RING[1]} does not answer" in capsys.readouterr().out
    assert len(notes(hub.topology)) == 1
    with pytest.raises(LeaseHeldError):
        collect(hub)  # the lease was given back all the same


def test_another_stores_snapshot_of_the_same_run_stays_while_it_is_copied(hub: Hub) -> None:
    capture(hub)
    SnapshotNotes(Catalog(hub.topology.destination, "bank")).add("rows", "midtime-bank-rows-abcdef-0123", run_name(hub.context("x")))
    collect(hub, uploads=upload(hub, hub.results["snapshot_rows"]))
    assert [note.tag for note in notes(hub.topology)] == ["midtime-bank-rows-abcdef-0123"]


class TestFailures:
    def test_a_void_window_leaves_a_snapshot_that_the_teardown_clears(self, hub: Hub, double: Double) -> None:
        ArmableStore.failing = {"accounts": CopyError("disk on fire", fix="see to it")}
        capture(hub)
        assert "disk on fire" in str(hub.errors["snapshot_rows"])
        assert not double.paused
        assert Snapshotted.asked == []
        assert len(Snapshotted.standing) == 1
        release(hub)
        assert (Snapshotted.standing, notes(hub.topology)) == (set(), [])

    def test_a_snapshot_that_fails_ends_the_window(self, hub: Hub, double: Double) -> None:
        ArmableStore.failing = {"rows": CopyError("node 2: disk full", fix="see to it")}
        capture(hub)
        assert "snapshot_rows could not capture: node 2: disk full" in str(hub.errors["pause"])
        assert not double.paused

    def test_a_snapshot_that_is_not_proven_is_not_told_of(self, hub: Hub) -> None:
        Snapshotted.unproven = CopyError("node 3 lacks bank.accounts", fix="start a new run")
        capture(hub)
        assert hub.errors["snapshot_rows"] is Snapshotted.unproven
        assert ("snapshot_rows", "taken") not in hub.xcoms
        release(hub)
        assert Snapshotted.standing == set()
        assert Catalog(hub.topology.destination, "bank").folders() == []

    def test_a_window_of_another_run_clears_nothing_of_ours(self, hub: Hub) -> None:
        capture(hub)
        before = set(Snapshotted.standing)
        other = Hub(hub.topology)
        context = {**other.context("release"), "run_id": "other"}
        ReleaseBackupOperator(task_id="release", topology=hub.topology).work(context)  # type: ignore[arg-type]
        assert Snapshotted.standing == before
