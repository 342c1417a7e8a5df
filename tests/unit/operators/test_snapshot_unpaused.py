"""Snapshots without a pause: good for one lost node; or as good as in a window, if the products were stopped all the while."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from midtime.catalog import Catalog, placings
from midtime.errors import (
    ArtifactError,
    CatalogError,
    ManifestError,
    ProductRunningError,
    RequestError,
    RestorePointNotFoundError,
    WindowVoidError,
)
from midtime.model.instants import from_rfc3339, restore_point_id, to_rfc3339, utc_now
from midtime.model.restore_point import RestorePoint
from midtime.model.topology import Topology
from midtime.operators.base import run_name
from midtime.operators.collect import CollectOperator
from midtime.operators.preflight import SnapshotPreflightOperator
from midtime.operators.publish import PublishSnapshotOperator
from midtime.operators.release import ReleaseBackupOperator
from midtime.operators.snapshot import SnapshotOperator
from midtime.operators.upload import UploadOperator
from tests.unit.operators.tasks import RUN, ArmableStore, Hub
from tests.unit.snapshot_store import RING, Snapshotted, notes, ring


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> type[Snapshotted]:
    return Snapshotted.install(monkeypatch)


@pytest.fixture
def address() -> Iterator[str]:
    """A port of ours at which nobody listens."""
    with closing(socket.socket()) as mine:
        mine.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{mine.getsockname()[1]}"


class Chain:
    """The tasks of one run, one after the other."""

    def __init__(self, topology: Topology, **conf: Any) -> None:
        self.topology = topology
        self.hub = Hub(topology)
        self.conf = conf

    def context(self, task: str) -> Any:
        run = SimpleNamespace(**vars(RUN), conf=self.conf)
        return {**self.hub.context(task), "params": {}, "dag_run": run}

    def preflight(self) -> str:
        return str(SnapshotPreflightOperator(task_id="preflight", topology=self.topology).work(self.context("preflight")))

    def snapshot(self, midtime: str) -> dict[str, Any]:
        operator = SnapshotOperator(task_id="snapshot_rows", topology=self.topology, store="rows", midtime=midtime)
        return operator.work(self.context("snapshot_rows"))

    def copy(self, captured: dict[str, Any]) -> None:
        common: dict[str, Any] = {"topology": self.topology, "store": "rows", "capture": captured}
        sent = [UploadOperator(task_id="upload_rows", node=node, **common).work(self.context("upload_rows")) for node in RING]
        taken = self.hub.xcoms["snapshot_rows", "taken"]
        CollectOperator(task_id="collect_rows", taken=taken, uploads=sent, **common).work(self.context("collect_rows"))

    def publish(self, captured: dict[str, Any], midtime: str) -> RestorePoint:
        publish = PublishSnapshotOperator(task_id="publish", topology=self.topology, captures=[captured], midtime=midtime)
        return Catalog(self.topology.destination, "bank").load(publish.work(self.context("publish")))

    def run(self) -> RestorePoint:
        midtime = self.preflight()
        captured = self.snapshot(midtime)
        self.copy(captured)
        return self.publish(captured, midtime)


def bank(folder: Path, address: str, *others: str) -> Topology:
    return ring(folder, *others, products=[{"kind": "scalardb-cluster", "endpoints": {"static": [address]}}])


def test_for_one_lost_node(tmp_path: Path, address: str) -> None:
    """Of a topology with a database, too: that is not in it."""
    point = Chain(bank(tmp_path, address, "accounts")).run()
    assert not point.whole
    assert [part.store for part in point.stores] == ["rows"]
    assert point.stores[0].quiesced is False
    assert "one lost node" in point.evidence["kind"]
    catalog = Catalog(f"file://{tmp_path}", "bank")
    with pytest.raises(ManifestError, match=r"not whole.*bank__restore_node"):
        catalog.resolve(point.id)
    with pytest.raises(RestorePointNotFoundError):
        catalog.resolve("latest")
    assert catalog.resolve("latest", whole=False) == point
    assert (Snapshotted.standing, notes(bank(tmp_path, address))) == (set(), [])


class TestStopped:
    def test_a_whole_restore_point(self, tmp_path: Path, address: str) -> None:
        point = Chain(bank(tmp_path, address), stopped=True).run()
        assert point.whole
        assert point.stores[0].quiesced is True
        asked = point.evidence["stopped"]["rows"]
        assert asked["before"] < asked["after"]
        assert Catalog(f"file://{tmp_path}", "bank").resolve("latest") == point

    def test_refused_before_anything_is_taken(self, tmp_path: Path) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as there:
            chain = Chain(bank(tmp_path, f"127.0.0.1:{there.getsockname()[1]}"), stopped=True)
            with pytest.raises(ProductRunningError, match="still answers at"):
                chain.preflight()
        assert (Snapshotted.asked, Snapshotted.standing, notes(chain.topology)) == ([], set(), [])

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_refused_when_a_product_was_started(self, tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with closing(socket.socket()) as there:
            there.bind(("127.0.0.1", 0))
            chain = Chain(bank(tmp_path, f"127.0.0.1:{there.getsockname()[1]}"), stopped=True)
            midtime = chain.preflight()
            if when == "before":
                there.listen()
            else:
                fix = Snapshotted.fix
                monkeypatch.setattr(Snapshotted, "fix", lambda self: (there.listen(), fix(self))[1])
            with pytest.raises(ProductRunningError, match="still answers at"):
                chain.snapshot(midtime)
        assert ("snapshot_rows", "taken") not in chain.hub.xcoms
        assert ("rows" in ArmableStore.captured_at) is (when == "after")
        ReleaseBackupOperator(task_id="release", topology=chain.topology).work(chain.context("release"))
        assert (Snapshotted.standing, notes(chain.topology)) == (set(), [])

    def test_refused_where_it_would_not_be_the_whole_set(self, tmp_path: Path, address: str) -> None:
        with pytest.raises(RequestError, match="accounts would not be in it"):
            Chain(bank(tmp_path, address, "accounts"), stopped=True).preflight()


def test_never_retried(tmp_path: Path, address: str) -> None:
    common: dict[str, Any] = {"task_id": "snapshot_rows", "topology": bank(tmp_path, address), "store": "rows", "midtime": ""}
    assert SnapshotOperator(default_args={"retries": 2}, **common).retries == 0
    assert SnapshotOperator(retries=2, **common).retries == 2


@pytest.mark.parametrize(("second", "good"), [("04", True), ("06", False)])
def test_looks_that_do_not_overlap(tmp_path: Path, address: str, second: str, good: bool) -> None:
    """Whether anything ran between the two, nobody has seen."""

    def stopped(store: str, before: str, after: str) -> dict[str, Any]:
        return {"store": store, "stopped": {"before": f"2026-11-21T00:00:{before}Z", "after": f"2026-11-21T00:00:{after}Z"}}

    captures = [stopped("rows", "01", "05"), stopped("columns", second, "09")]
    midtime, chain = "2026-11-21T00:00:00Z", Chain(bank(tmp_path, address))
    publish = PublishSnapshotOperator(task_id="publish", topology=chain.topology, captures=captures, midtime=midtime)
    context = chain.context("publish")
    point = restore_point_id(from_rfc3339(midtime), run_name(context))
    if good:
        publish._require_proof(point, captures, context)
    else:
        with pytest.raises(WindowVoidError, match="columns was not begun before rows was over"):
            publish._require_proof(point, captures, context)


@pytest.mark.parametrize("conf", [{"stoped": True}, {"stopped": "yes"}, {"stopped": None}])
def test_a_request_that_makes_no_sense(tmp_path: Path, address: str, conf: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        Chain(bank(tmp_path, address), **conf).preflight()


def test_a_restore_that_began_meanwhile_spoils_it(tmp_path: Path, address: str) -> None:
    """Also for a second try of the task, as long as that restore is not over."""
    chain = Chain(bank(tmp_path, address))
    midtime = chain.preflight()
    captured = chain.snapshot(midtime)
    chain.copy(captured)
    journal = placings.journal_of(Catalog(chain.topology.destination, "bank"), "restore_node-abc")
    journal.write(placings.State.PLACING, ["rows"])
    with pytest.raises(CatalogError, match="stores were replaced during the backup"):
        chain.publish(captured, midtime)
    assert not list(Catalog(chain.topology.destination, "bank").newest(1))


@pytest.mark.parametrize(
    ("since", "until", "good"), [(-9, -5, True), (-9, 1, False), (1, 2, False), (1, 9, False), (-9, 9, False), (7, 9, True)]
)
def test_a_restore_that_came_and_went_between_snapshots_spoils_it(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch, since: int, until: int, good: bool
) -> None:
    """Seconds from the first look at the products; the last one is at 5."""
    chain, began = Chain(bank(tmp_path, address), stopped=True), utc_now()
    midtime = chain.preflight()
    captured = chain.snapshot(midtime)
    captured["stopped"] = {"before": to_rfc3339(began), "after": to_rfc3339(began + timedelta(seconds=5))}
    chain.copy(captured)
    journal = placings.journal_of(Catalog(chain.topology.destination, "bank"), "restore-abc")
    for state, at in (
        (placings.State.STOPPING, -20),
        (placings.State.PLACING, since),
        (placings.State.PLACED, until),
        (placings.State.DONE, 9),
    ):
        monkeypatch.setattr(placings, "utc_now", lambda at=at: began + timedelta(seconds=at))
        journal.write(state)
    if good:
        assert chain.publish(captured, midtime).whole
    else:
        with pytest.raises(CatalogError, match="restore-abc replaced live stores from"):
            chain.publish(captured, midtime)


def test_captures_of_another_run_are_not_published(tmp_path: Path, address: str) -> None:
    chain = Chain(bank(tmp_path, address))
    midtime = chain.preflight()
    captured = chain.snapshot(midtime)
    chain.copy(captured)
    with pytest.raises(CatalogError, match="the captures belong to"):
        chain.publish(captured, "2026-11-21T00:00:00Z")
    with pytest.raises(WindowVoidError, match="rows: another try"):
        chain.publish({**captured, "capture": "another"}, midtime)
    assert chain.publish(captured, midtime)


def test_content_that_is_not_in_the_pool_is_not_published(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain(bank(tmp_path, address))
    midtime = chain.preflight()
    captured = chain.snapshot(midtime)
    collect = Snapshotted.collect

    def pooled(self: Snapshotted, shelf: Any, *said: Any) -> Any:
        backup = collect(self, shelf, *said)
        return backup.model_copy(update={"details": {**backup.details, "listings": ["rows/10.0.0.1/files.json"]}})

    monkeypatch.setattr(Snapshotted, "collect", pooled)
    chain.copy(captured)
    with pytest.raises((ArtifactError, ManifestError)):
        chain.publish(captured, midtime)
    assert Catalog(chain.topology.destination, "bank").newest(1) == []
