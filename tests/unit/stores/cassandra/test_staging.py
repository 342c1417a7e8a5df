"""A node's files come whole or not at all; what is there already is not fetched again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from midtime.catalog.artifacts import check_sizes
from midtime.errors import ArtifactError, StagingSpaceError
from midtime.stores.cassandra.listing import SnapshotFile
from midtime.stores.cassandra.nodes.local import LocalNode
from midtime.stores.cassandra.staging import Staging

WORKING = "midtime_tmp_abcdef_ring"
TABLE = "bank/account-0123"
NAMES = [f"{TABLE}/nb-{number}-big-{part}.db" for number in range(1, 5) for part in ("Data", "Index", "Statistics")]


class Room:
    """A pool, and a node with two data directories."""

    def __init__(self, root: Path) -> None:
        from airflow.sdk import ObjectStoragePath

        self.root = root
        self.pool = ObjectStoragePath(f"file://{root}/pool")
        self.roots = tuple(f"{root}/node/{name}/{WORKING}" for name in ("data1", "data2"))
        self.files = [self.pooled(name) for name in [*NAMES, f"{TABLE}/.idx/nb-1-big-Data.db", f"{TABLE}/manifest.json"]]
        self.said: list[str] = []

    def pooled(self, path: str) -> SnapshotFile:
        content = f"content of {path}".encode() * 9
        sha256 = hashlib.sha256(content).hexdigest()
        (self.root / "pool").mkdir(exist_ok=True)
        (self.root / "pool" / sha256).write_bytes(content)
        return SnapshotFile(path=path, size=len(content), sha256=sha256, content=sha256, inode=1, mtime_ns=1)

    def bring(self, **changes: Any) -> None:
        given: dict[str, Any] = {"node": LocalNode("one", "127.0.0.1"), "roots": self.roots, "pool": self.pool, "owner": None, "streams": 3}
        Staging(**{**given, **changes}).bring(self.files, self.said.append)

    def there(self) -> dict[str, bytes]:
        found = [Path(folder, name) for root in self.roots for folder, _, names in os.walk(root) for name in names]
        return {str(path.relative_to(next(root for root in self.roots if str(path).startswith(root)))): path.read_bytes() for path in found}

    def wanted(self) -> dict[str, bytes]:
        return {file.path: (self.root / "pool" / file.content).read_bytes() for file in self.files[:-1]}


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_everything_comes(room: Room) -> None:
    room.bring()
    assert room.there() == room.wanted(), "and the snapshot's own notes stay away"
    assert room.said[0] == f"node one: 13 of 13 files are fetched, {sum(map(len, room.wanted().values())):,} bytes"


def test_components_stay_together_and_all_directories_are_used(room: Room) -> None:
    room.bring()
    where: dict[str, set[str]] = {}
    for root in room.roots:
        for path in Path(root).rglob("nb-*"):
            where.setdefault(f"{path.parent.name}/{path.name[:4]}", set()).add(root)
    assert all(len(found) == 1 for found in where.values())
    assert set().union(*where.values()) == set(room.roots)


def test_a_nodes_own_tables_stay_where_it_looks_for_them(room: Room, tmp_path: Path) -> None:
    room.files = [room.pooled(f"system/local-{number}/nb-1-big-Data.db") for number in range(9)] + room.files
    room.bring()
    assert not Path(room.roots[1], "system").exists()
    apart = f"{tmp_path}/node/own/{WORKING}"
    room.bring(system_root=apart)
    assert len(list(Path(apart).rglob("*.db"))) == 9
    assert not Path(apart, "bank").exists()


@pytest.fixture
def fetched(room: Room, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    room.bring()
    found: list[str] = []
    real = Staging._content

    def noted(one: Staging, file: SnapshotFile) -> Iterator[bytes]:
        found.append(file.path)
        return real(one, file)

    monkeypatch.setattr(Staging, "_content", noted)
    yield found
    assert room.there() == room.wanted()


class TestAgain:
    def test_nothing_is_fetched(self, room: Room, fetched: list[str]) -> None:
        room.bring()
        assert fetched == []

    @pytest.mark.parametrize("spoilt", [b"", b"short", "same length"])
    def test_what_is_not_as_it_should_be(self, room: Room, fetched: list[str], spoilt: Any) -> None:
        (path,) = [path for root in room.roots for path in Path(root).rglob("nb-2-big-Index.db")]
        path.write_bytes(spoilt if isinstance(spoilt, bytes) else path.read_bytes()[::-1])
        room.bring()
        assert fetched == [f"{TABLE}/nb-2-big-Index.db"]

    def test_a_file_that_is_missing(self, room: Room, fetched: list[str]) -> None:
        for root in room.roots:
            for path in Path(root).rglob("nb-3-big-Data.db"):
                path.unlink()
        room.bring()
        assert fetched == [f"{TABLE}/nb-3-big-Data.db"]

    def test_a_working_copy_that_was_in_use(self, room: Room, fetched: list[str]) -> None:
        """It was placed and put back: the cluster has written to it, and nobody knows what."""
        Path(room.roots[0], TABLE).mkdir(parents=True, exist_ok=True)
        Path(room.roots[0], TABLE, "nb-9-big-Data.db").write_bytes(b"compacted")
        room.bring()
        assert len(fetched) == 13

    def test_our_marks_are_no_files(self, room: Room, fetched: list[str]) -> None:
        Path(room.roots[0], ".midtime_staged").touch()
        room.bring()
        assert fetched == []
        Path(room.roots[0], ".midtime_staged").unlink()


class TestRefused:
    @pytest.mark.parametrize("spoilt", [None, b"", b"short", "flipped", "longer"])
    def test_content_that_is_not_what_was_stored(self, room: Room, spoilt: Any) -> None:
        path = room.root / "pool" / room.files[4].content
        whole = path.read_bytes()
        if spoilt is None:
            path.unlink()
        else:
            path.write_bytes({"flipped": b"X" + whole[1:], "longer": whole + b"x"}.get(spoilt, spoilt))
        with pytest.raises(ArtifactError, match=r"is missing|has \d+ bytes|was altered"):
            room.bring()
        if spoilt != "flipped":
            with pytest.raises(ArtifactError):
                check_sizes([file.pooled for file in room.files], room.pool)

    def test_no_room(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("midtime.stores.cassandra.nodes.files.free_bytes", lambda *_: 1000)
        with pytest.raises(StagingSpaceError, match=r"node one: .*data1 has 1,000 bytes free"):
            room.bring()
        assert room.there() == {}
