"""What lies at the destination is all that the tasks after the capture need."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from midtime.catalog import Catalog
from midtime.errors import ArtifactError, MidtimeError, StoreUnreachableError, TargetExistsError
from midtime.model.instants import utc_now
from midtime.model.topology import Topology
from midtime.stores import open_store
from midtime.stores.base import Shelf
from midtime.stores.cassandra import backup_side
from midtime.stores.cassandra.cluster import Cluster
from midtime.stores.cassandra.listing import NodeListing, SnapshotFile
from midtime.stores.cassandra.store import CassandraStore
from tests.unit.stores.cassandra.fake_ring import HOSTS, IDS, Ring3
from tests.unit.stores.cassandra.test_checks import topology
from tests.unit.stores.cassandra.test_proving import IDS as TABLES
from tests.unit.stores.cassandra.test_proving import TAG, taken, three_with_snapshot

OURS = "midtime-books-ring-012345-6789"


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> Ring3:
    three = three_with_snapshot()
    monkeypatch.setattr(backup_side, "live_cluster", lambda *_: three.cluster)
    return three


@pytest.fixture
def store() -> CassandraStore:
    store = open_store(topology(), "ring")
    assert isinstance(store, CassandraStore)
    return store


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    catalog = Catalog(f"file://{tmp_path}", "books")
    catalog.begin("20260101T000000Z-000000")
    return Shelf(catalog.folder("20260101T000000Z-000000"), "ring")


def list_files(shelf: Shelf, label: str, *, tag: str = TAG) -> None:
    """As an upload does."""
    file = SnapshotFile(path="bank/acct-1/nb-1-big-Data.db", size=7, sha256="0" * 64, content="00/0", inode=1, mtime_ns=1)
    listing = NodeListing(store="ring", label=label, host_id=IDS[HOSTS.index(label)], tag=tag, files=(file, file))
    backup_side._write(shelf, f"{label}/files.json", listing.seal())


def test_any_worker_can_collect_what_others_have_left(three: Ring3, store: CassandraStore, shelf: Shelf) -> None:
    store.prove(taken(three), shelf)
    assert store.labels(shelf) == list(HOSTS)
    for label in HOSTS:
        list_files(shelf, label)
    midtime = utc_now()
    backup = store.collect(shelf, midtime, 1.5)
    assert (backup.engine, backup.method, backup.midtime, backup.server, backup.tables) == ("cassandra", "snapshot", midtime, "5.0.4", ())
    listings = [f"ring/{label}/files.json" for label in HOSTS]
    assert [artifact.path for artifact in backup.artifacts] == ["ring/cluster.json", "ring/schema.cql", *listings]
    assert backup.details == {
        "tag": TAG,
        "cluster": "Mid Time",
        "nodes": 3,
        "files": 6,
        "bytes": 42,
        "tables": TABLES,
        "listings": listings,
    }


def test_listing_that_is_missing_or_of_another_snapshot_is_refused(three: Ring3, store: CassandraStore, shelf: Shelf) -> None:
    store.prove(taken(three), shelf)
    list_files(shelf, HOSTS[0])
    list_files(shelf, HOSTS[1], tag="older")
    with pytest.raises(ArtifactError, match="lists snapshot older, not cold1"):
        store.collect(shelf, utc_now(), 1)
    list_files(shelf, HOSTS[1])
    with pytest.raises(ArtifactError, match=re.escape(f"{HOSTS[2]}/files.json is missing")):
        store.collect(shelf, utc_now(), 1)


def test_try_that_wakes_up_late_leaves_the_listing_of_the_other_one_alone(three: Ring3, store: CassandraStore, shelf: Shelf) -> None:
    store.prove(taken(three), shelf)
    for label in HOSTS:
        list_files(shelf, label)
    artifacts = store.collect(shelf, utc_now(), 1).artifacts
    late = NodeListing(store="ring", label=HOSTS[0], host_id=IDS[0], tag=TAG, files=())
    backup_side._list(shelf, f"{HOSTS[0]}/files.json", late)
    assert store.collect(shelf, utc_now(), 1).artifacts == artifacts
    backup_side._list(shelf, f"{HOSTS[0]}/files.json", late.model_copy(update={"tag": "another"}))
    with pytest.raises(ArtifactError, match="lists snapshot another"):
        store.collect(shelf, utc_now(), 1)


def test_nothing_is_written_of_a_snapshot_that_is_not_proven(three: Ring3, store: CassandraStore, shelf: Shelf) -> None:
    capture = taken(three)
    three.replace(
        0, "listsnapshots", "cold1                         bank          empty", "other                         bank          empty"
    )
    with pytest.raises(Exception, match="lacks"):
        store.prove(capture, shelf)
    with pytest.raises(ArtifactError, match=re.escape("cluster.json is missing")):
        store.labels(shelf)


def test_forgetting_clears_on_all_nodes_even_if_one_does_not_answer(three: Ring3, store: CassandraStore) -> None:
    three.nodes[0].answers["clearsnapshot"] = StoreUnreachableError("node 127.0.0.1 is gone")
    with pytest.raises(StoreUnreachableError, match=re.escape("node 127.0.0.1 is gone")):
        store.forget(OURS)
    assert [node.told("clearsnapshot")[0][-2:] for node in three.nodes] == [["-t", OURS]] * 3


def test_forgetting_clears_on_the_pods_that_are_up(three: Ring3, store: CassandraStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(topology: Topology, name: str, down: list[MidtimeError]) -> Cluster:
        down.append(StoreUnreachableError("pod c-3 is Pending"))
        return three.cluster

    monkeypatch.setattr(backup_side, "live_cluster", found)
    with pytest.raises(StoreUnreachableError, match=r"^pod c-3 is Pending$"):
        store.forget(OURS)
    assert all(node.told("clearsnapshot") for node in three.nodes)
    three.nodes[0].answers["clearsnapshot"] = StoreUnreachableError("node 127.0.0.1 is gone")
    with pytest.raises(StoreUnreachableError, match=re.escape("pod c-3 is Pending\nnode 127.0.0.1 is gone")):
        store.forget(OURS)


@pytest.mark.parametrize("tag", ["nightly", "", "midtime-books-other-012345-6789", "midtime-books-ring-", "midtime-other-ring-012345-6789"])
def test_snapshots_of_others_are_never_cleared(three: Ring3, store: CassandraStore, tag: str) -> None:
    with pytest.raises(TargetExistsError):
        store.forget(tag)
    assert not any(node.commands for node in three.nodes)


@pytest.mark.usefixtures("three")
def test_capture_gets_a_tag_of_its_own(store: CassandraStore) -> None:
    with store.capture() as one, store.capture() as other:
        assert re.fullmatch(r"midtime-books-ring-[0-9a-f]{6}-[0-9a-f]{4}", one.tag)
        assert one.tag != other.tag
        assert one.keyspaces == ("bank", "coordinator", "scalardb", "system", "system_schema", "system_auth")
