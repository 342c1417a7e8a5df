"""A backup in a real pool, brought to nodes that are folders: whole in place, put back, refused where its content is damaged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from midtime.catalog import Catalog
from midtime.catalog.artifacts import new_artifact
from midtime.catalog.pool import Pool
from midtime.errors import ArtifactError, LeaseHeldError, RestoreFailedError, StoreAccessError
from midtime.model.restore_point import Artifact, Sealed, StoreBackup
from midtime.stores.base import Shelf, Target
from midtime.stores.cassandra import restoring
from midtime.stores.cassandra.lifecycle import Lifecycle
from midtime.stores.cassandra.listing import NodeListing, SnapshotFile
from tests.unit.builders import part, point
from tests.unit.stores.cassandra.moving_room import IN_PLACE, LIVE, World
from tests.unit.stores.cassandra.test_moving import new_world
from tests.unit.stores.cassandra.test_restoring import facts, node, ring, topology

RING = ring(node("node0", "r"), node("node1", "r"))
OTHER = Target(**{**IN_PLACE.to_dict(), "working": "midtime_tmp_999999_1234_ring", "aside": "midtime_before_999999"})


class Backup:
    """Of the world's nodes, each of which had a file of its own content."""

    asked: list[Any]
    """What sessions of CQL were opened with, and what each was asked to read."""

    def __init__(self, world: World, catalog: Catalog) -> None:
        self.world, self.catalog = world, catalog
        self.topology = topology().model_copy(update={"destination": catalog.destination})
        self.pool = Pool(catalog, "ring")
        made = point()
        self.shelf = Shelf(catalog.folder(made.id), "ring")
        labels = [member.label for member in world.cluster.members]
        listings = [self._put(f"ring/{label}/files.json", self._listing(label)) for label in labels]
        cluster = self._put("ring/cluster.json", facts(*(node(label, "r") for label in labels)))
        details = {"listings": [each.path for each in listings], "tables": {"bank.account": "0" * 32}, "bytes": 99}
        self.part: StoreBackup = part("ring", artifacts=(cluster, *listings), tables=(), details=details)
        catalog.publish(point(stores=(self.part,)))

    def _listing(self, label: str) -> NodeListing:
        files = tuple(self._file(path, f"{label} {path}") for path in ("system/x.db", "bank/account-01/nb-1-big-Data.db"))
        return NodeListing(store="ring", label=label, host_id=label, tag="t", files=files)

    def _file(self, path: str, said: str) -> SnapshotFile:
        content = said.encode()
        sha256 = hashlib.sha256(content).hexdigest()
        name = self.pool.put(sha256, len(content), [content])
        return SnapshotFile(path=path, size=len(content), sha256=sha256, content=name, inode=1, mtime_ns=1)

    def _put(self, name: str, sealed: Sealed) -> Artifact:
        with new_artifact(self.shelf.folder, name) as writer:
            writer.write(sealed.seal())
        return writer.artifact

    def restore(self, target: Target = IN_PLACE) -> None:
        restoring.restore(self.topology, self.part, self.shelf, target, self.world.said.append)

    def placed(self) -> bool:
        return all(
            (self.world.folder(member) / "data/bank/account-01/nb-1-big-Data.db").read_text().startswith(f"{member.label} bank")
            for member in self.world.cluster.members
        )


@pytest.fixture
def backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backup]:
    asked: list[Any] = []

    @contextmanager
    def session_to(nodes: Any, conn_id: str | None, *, patience: float) -> Iterator[Any]:
        asked.append(conn_id)
        yield SimpleNamespace(read_back=asked.append)

    monkeypatch.setattr(restoring, "session_to", session_to)
    with new_world() as world:
        monkeypatch.setattr(restoring, "cluster_of", lambda *_: world.cluster)
        monkeypatch.setattr(World, "content", lambda world, member: "old" if world.log(member) else "new")
        monkeypatch.setattr("tests.unit.stores.cassandra.moving_room.LIVE", "old")
        monkeypatch.setattr(Lifecycle, "wait_whole", lambda _: RING)
        made = Backup(world, Catalog(f"file://{tmp_path}", "bank"))
        made.asked = asked
        yield made


def test_placed_and_put_back(backup: Backup) -> None:
    backup.restore()
    assert not [line for line in backup.world.said if line.startswith(("stop", "start"))], "the cluster runs while all is staged"
    restoring.place(backup.topology, backup.part, IN_PLACE)
    assert backup.placed()
    restoring.put_back(backup.topology, backup.part, IN_PLACE)
    assert (backup.world.root / "node0/data/system/x.db").read_text() == LIVE
    restoring.discard(backup.topology, IN_PLACE)
    assert not list(backup.world.root.rglob("*midtime_*"))


def test_placed_for_good(backup: Backup) -> None:
    backup.restore()
    restoring.place(backup.topology, backup.part, IN_PLACE)
    restoring.discard(backup.topology, IN_PLACE)
    assert backup.placed()
    assert {path.name for path in backup.world.root.rglob("midtime_*")} == {IN_PLACE.aside}
    backup.restore(OTHER)


def test_a_node_with_other_tokens(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for rows that it has not."""
    backup.restore()
    changed = replace(RING, nodes=(RING.nodes[0], RING.nodes[1].model_copy(update={"tokens": ("7",)})))
    monkeypatch.setattr(Lifecycle, "wait_whole", lambda _: changed)
    with pytest.raises(RestoreFailedError, match="node1 came up with other tokens"):
        restoring.place(backup.topology, backup.part, IN_PLACE)


def test_staged_again_without_the_log_of_an_earlier_try(backup: Backup) -> None:
    backup.restore()
    restoring.place(backup.topology, backup.part, IN_PLACE)
    for member in backup.world.cluster.members:
        (backup.world.folder(member) / "commitlog/log").write_text("of the earlier try")
    moving = backup.world.moving()
    moving.back()
    backup.restore()
    moving.swap_in()
    assert not any(map(backup.world.log, backup.world.cluster.members))


def test_nothing_is_staged_where_placing_has_begun(backup: Backup) -> None:
    """The marks that tell which nodes ran would be lost."""
    backup.restore()
    backup.world.moving().swap_in()
    with pytest.raises(RestoreFailedError, match="placing has begun on node0, node1"):
        backup.restore()


def test_another_restore_waits(backup: Backup) -> None:
    backup.restore()
    with pytest.raises(LeaseHeldError):
        backup.restore(OTHER)


@pytest.mark.parametrize("how", ["missing", "truncated", "flipped"])
def test_damaged_content(backup: Backup, how: str) -> None:
    """Of the last node's last file."""
    listing = NodeListing.unseal((Path(backup.shelf.folder.path) / "ring/node1/files.json").read_bytes(), where="")
    path = Path(backup.pool.root.path) / listing.files[-1].content
    whole = path.read_bytes()
    path.unlink()
    if how != "missing":
        path.write_bytes({"truncated": whole[:-1], "flipped": whole[:-1] + b"?"}[how])
    with pytest.raises(ArtifactError):
        backup.restore()
    assert backup.pool.condemned() == ({path.name} if how == "flipped" else set()), "the next backup sends it anew"
    with pytest.raises(RestoreFailedError, match="nothing is staged"):
        restoring.place(backup.topology, backup.part, IN_PLACE)
    assert not [line for line in backup.world.said if line.startswith(("stop", "start"))]
    restoring.discard(backup.topology, IN_PLACE)
    assert all((backup.world.folder(member) / "data/system/x.db").read_text() == LIVE for member in backup.world.cluster.members)


def test_reads_back_with_the_login_there_is_or_without(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    """And all keyspaces but Cassandra's own."""
    asked = backup.asked
    tables = dict.fromkeys(("system.local", "system_auth.roles", "systems.parts", "bank.account"), "0a")
    part = backup.part.model_copy(update={"details": {"tables": tables}})
    restoring._read_back(backup.world.cluster, part, backup.world.said.append)
    assert asked == [None, ["systems.parts", "bank.account"]]
    monkeypatch.setattr(backup.world.cluster, "spec", backup.world.cluster.spec.model_copy(update={"conn_id": "live"}))
    restoring._read_back(backup.world.cluster, part, backup.world.said.append)
    assert asked[2] == "live"


def test_other_nodes_than_the_backups(backup: Backup) -> None:
    backup.world.cluster.members = backup.world.cluster.members[:1]
    with pytest.raises(StoreAccessError, match="are not those of the backup: node1 is gone"):
        backup.restore()
