"""The upload of one node's snapshot: what it reads, what it sends, and what becomes of it when somebody comes in between."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from midtime.catalog import Catalog, objects
from midtime.catalog.pool import LISTINGS, Pool
from midtime.errors import ArtifactError, CopyError, ToolError
from midtime.model.restore_point import Artifact
from midtime.stores.cassandra import sending, uploading
from midtime.stores.cassandra.listing import NodeListing
from midtime.stores.cassandra.nodes import files
from midtime.stores.cassandra.nodes.local import LocalNode
from midtime.stores.cassandra.uploading import Source, Uploaded, remembered, upload_node
from tests.unit.builders import days_later, part, sha256

TABLE = "bank/accounts-1b255f4def2540a6"
TAG = "midtime-bank-ring-0a0b0c-1"
LABEL = "10.0.0.1"
KILLED = "killed"


@dataclass
class Ring:
    """A node of two data directories, and what was read and sent of it."""

    catalog: Catalog
    folder: Path
    tag: str = TAG
    read: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def data(self) -> tuple[str, ...]:
        return str(self.folder / "data1"), str(self.folder / "data2")

    @property
    def source(self) -> Source:
        return Source(LocalNode(LABEL, LABEL), "host-1", self.tag, self.data)

    def sstable(self, name: str, content: bytes, data: int = 0) -> Path:
        live = Path(self.data[data]) / TABLE / name
        live.parent.mkdir(parents=True, exist_ok=True)
        live.write_bytes(content)
        return live

    def snapshot(self, tag: str = TAG, files: Sequence[str] = ()) -> None:
        """Hard links, as Cassandra makes them; and two files of its own."""
        self.tag = tag
        for root in self.data:
            for live in [path for path in Path(root).rglob("*.db") if "snapshots" not in path.parts]:
                table = Path(root) / TABLE
                link = table / "snapshots" / tag / live.relative_to(table)
                link.parent.mkdir(parents=True, exist_ok=True)
                os.link(live, link)
        own = Path(self.data[0]) / TABLE / "snapshots" / tag
        own.mkdir(parents=True, exist_ok=True)
        (own / "manifest.json").write_text(json.dumps({"files": list(files), "tag": tag}))
        (own / "schema.cql").write_text("CREATE TABLE")

    def upload(self, *, uploads: int = 2, throttle: int | None = None, tables: Sequence[str] = (TABLE,)) -> Uploaded:
        self.read.clear()
        known = remembered(self.catalog, "ring", LABEL, "host-1")
        pool = Pool(self.catalog, "ring")
        return upload_node(self.source, pool, known, uploads=uploads, throttle=throttle, say=self.said.append, tables=tables)

    def publish(self, done: Uploaded, days: int = 1) -> None:
        path, text = f"ring/{LABEL}/files.json", done.listing.seal()
        listed = (Artifact(path=path, size=len(text), sha256=sha256(text)),)
        point = days_later(days, stores=(part("ring", artifacts=listed, details={LISTINGS: [path]}),))
        objects.create(self.catalog.folder(point.id) / path, text)
        self.catalog.publish(point)

    def content(self, listing: NodeListing) -> dict[str, bytes]:
        root = Pool(self.catalog, "ring").root
        return {file.path.removeprefix(f"{TABLE}/"): objects.read(root / file.content) for file in listing.files}


@pytest.fixture
def ring(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ring:
    made = Ring(catalog, tmp_path / "node")
    real = files.hashes

    def hashes(node: Any, root: str, paths: Sequence[str], jobs: int = 2, *, size: int = 0) -> dict[str, str]:
        made.read += [path.rpartition("/")[2] for path in paths]
        assert size >= sum(file.stat().st_size for path in paths if (file := Path(root) / path).exists())
        return real(node, root, paths, jobs)

    monkeypatch.setattr(files, "hashes", hashes)
    return made


def before_each_put(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], object]) -> None:
    real, numbers = Pool.put, iter(range(10**6))

    def put(pool: Pool, sha256: str, size: int, chunks: Any) -> str:
        act(next(numbers))
        return real(pool, sha256, size, chunks)

    monkeypatch.setattr(Pool, "put", put)


class TestFirst:
    def test_all_of_it(self, ring: Ring) -> None:
        ring.sstable("nb-1-big-Data.db", b"data")
        ring.sstable("nb-2-big-Data.db", b"more" * 1000, data=1)
        ring.sstable(".by_owner/nb-1-big-Data.db", b"index")
        ring.sstable("nb-1-big-Empty.db", b"")
        ring.snapshot()
        done = ring.upload()
        assert ring.content(done.listing) == {
            "nb-1-big-Data.db": b"data",
            "nb-2-big-Data.db": b"more" * 1000,
            ".by_owner/nb-1-big-Data.db": b"index",
            "nb-1-big-Empty.db": b"",
            "manifest.json": f'{{"files": [], "tag": "{TAG}"}}'.encode(),
            "schema.cql": b"CREATE TABLE",
        }
        assert (done.listing.store, done.listing.label, done.listing.host_id, done.listing.tag) == ("ring", LABEL, "host-1", TAG)
        assert done.sent_files == 6
        contents = ring.content(done.listing)
        hashes = {name: sha256(content) for name, content in contents.items()}
        assert {file.path.removeprefix(f"{TABLE}/"): file.sha256 for file in done.listing.files} == hashes

    def test_the_same_content_is_sent_once(self, ring: Ring) -> None:
        ring.sstable("nb-1-big-Data.db", b"same")
        ring.sstable("nb-2-big-Data.db", b"same")
        ring.snapshot()
        done = ring.upload()
        assert (done.sent_files, len(done.listing.files)) == (3, 4)
        assert len({file.content for file in done.listing.files}) == 3

    def test_other_snapshots_are_none_of_ours(self, ring: Ring) -> None:
        ring.sstable("nb-1-big-Data.db", b"old")
        ring.snapshot("somebody-elses")
        ring.snapshot(f"{TAG}2")
        ring.sstable(f"snapshots/{TAG}x/nb-9-big-Data.db", b"odd")
        ring.sstable("nb-2-big-Data.db", b"new")
        ring.snapshot()
        assert len(ring.upload().listing.files) == 4

    def test_a_snapshot_that_is_not_there(self, ring: Ring) -> None:
        ring.sstable("nb-1-big-Data.db", b"data")
        with pytest.raises(ToolError, match=f"snapshot {TAG} is not there"):
            ring.upload()

    def test_a_data_directory_that_is_not_mounted(self, ring: Ring) -> None:
        ring.sstable("nb-1-big-Data.db", b"data")
        ring.sstable(".by_owner/nb-1-big-Data.db", b"index", data=1)
        ring.snapshot(files=["nb-1-big-Data.db", ".by_owner/nb-1-big-Data.db"])
        assert len(ring.upload().listing.files) == 4
        shutil.rmtree(ring.data[1])
        with pytest.raises(CopyError, match=rf"lacks {TABLE}/\.by_owner/nb-1-big-Data\.db"):
            ring.upload()

    def test_a_table_that_is_gone_from_the_snapshot(self, ring: Ring) -> None:
        ring.sstable("nb-1-big-Data.db", b"data")
        ring.snapshot()
        with pytest.raises(CopyError, match=r"lacks bank/gone-1/manifest\.json and 1 more"):
            ring.upload(tables=(TABLE, "bank/gone-1", "bank/gone-2"))

    def test_a_manifest_that_is_none(self, ring: Ring) -> None:
        ring.sstable("nb-1-big-Data.db", b"data")
        ring.snapshot()
        (Path(ring.data[0]) / TABLE / "snapshots" / TAG / "manifest.json").write_text("[]")
        with pytest.raises(CopyError, match=r"manifest\.json of snapshot .* cannot be read"):
            ring.upload()

    def test_the_small_ones_of_each_data_directory(self, ring: Ring) -> None:
        ring.sstable("nb-1-big-Data.db", b"data")
        ring.snapshot()
        other = Path(ring.data[1]) / TABLE / "snapshots" / TAG
        other.mkdir(parents=True)
        (other / "manifest.json").write_text("another")
        assert sorted(ring.content(ring.upload().listing)) == ["manifest.json", "nb-1-big-Data.db", "schema.cql"]

    def test_two_sstables_of_one_name(self, ring: Ring) -> None:
        ring.sstable("nb-1-big-Data.db", b"this")
        ring.sstable("nb-1-big-Data.db", b"that", data=1)
        ring.snapshot()
        with pytest.raises(CopyError, match=r"nb-1-big-Data\.db lies in .*data1 and in .*data2"):
            ring.upload()
        ring.sstable("nb-1-big-Data.db", b"this", data=1)
        assert len(ring.upload().listing.files) == 3


class TestNext:
    def two(self, ring: Ring) -> Uploaded:
        ring.sstable("nb-1-big-Data.db", b"data")
        ring.sstable("nb-1-big-Statistics.db", b"statistics")
        ring.snapshot()
        done = ring.upload()
        ring.publish(done)
        ring.sstable("nb-2-big-Data.db", b"new")
        ring.snapshot(f"{TAG}2")
        return done

    def test_reads_and_sends_only_what_is_new(self, ring: Ring) -> None:
        first = self.two(ring)
        done = ring.upload()
        assert sorted(ring.read) == ["manifest.json", "nb-1-big-Statistics.db", "nb-2-big-Data.db", "schema.cql"]
        assert (done.sent_files, done.sent_bytes) == (2, 3 + len(f'{{"files": [], "tag": "{TAG}2"}}'))
        shared = {file.content for file in first.listing.files} & {file.content for file in done.listing.files}
        assert len(shared) == 3
        assert ring.content(done.listing)["nb-2-big-Data.db"] == b"new"

    @pytest.mark.parametrize("damage", ["missing", "edited", "another node", "other host"])
    def test_an_earlier_listing_that_helps_nobody(self, ring: Ring, damage: str) -> None:
        self.two(ring)
        path = Path(ring.catalog.folder(days_later(1).id).path) / "ring" / LABEL / "files.json"
        match damage:
            case "missing":
                path.unlink()
            case "edited":
                path.write_text(path.read_text().replace("big", "bog"))
            case "another node":
                assert remembered(ring.catalog, "ring", "10.0.0.2", "host-1") == {}
            case _:
                assert remembered(ring.catalog, "ring", LABEL, "host-2") == {}
        done = ring.upload()
        assert done.sent_files == 2, "what is there is hashed, and not sent again"
        assert ("nb-1-big-Data.db" in ring.read) == (damage in ("missing", "edited"))

    def test_content_that_is_lost_is_sent_again(self, ring: Ring) -> None:
        first = self.two(ring)
        (lost,) = (file.content for file in first.listing.files if file.path.endswith("nb-1-big-Data.db"))
        objects.replace(Pool(ring.catalog, "ring").root / lost, b"dat")
        done = ring.upload()
        assert done.sent_files == 3
        assert ring.content(done.listing)["nb-1-big-Data.db"] == b"data"

    def test_content_that_is_condemned_is_sent_again(self, ring: Ring) -> None:
        first = self.two(ring)
        Pool(ring.catalog, "ring").condemn(file.content for file in first.listing.files)
        done = ring.upload()
        assert done.sent_files == 5
        assert not {file.content for file in first.listing.files} & {file.content for file in done.listing.files}

    @pytest.mark.parametrize("change", ["time", "inode", "size"])
    def test_a_file_that_is_not_the_same(self, ring: Ring, change: str) -> None:
        self.two(ring)
        path = Path(ring.data[0]) / TABLE / "snapshots" / f"{TAG}2" / "nb-1-big-Data.db"
        told = path.stat()
        if change == "inode":
            path.rename(path.with_suffix(".kept"))
            path.write_bytes(b"DATA")
            path.with_suffix(".kept").unlink()
        path.write_bytes(b"DATA" if change != "size" else b"DATA+")
        os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns + (change == "time")))
        assert ring.content(ring.upload().listing)["nb-1-big-Data.db"].startswith(b"DATA")

    def test_what_cassandra_rewrites_is_always_read(self, ring: Ring) -> None:
        self.two(ring)
        path = Path(ring.data[0]) / TABLE / "nb-1-big-Statistics.db"
        told = path.stat()
        path.write_bytes(b"STATISTICS")
        os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))
        assert ring.content(ring.upload().listing)["nb-1-big-Statistics.db"] == b"STATISTICS"


class TestMeanwhile:
    def many(self, ring: Ring, count: int = 6) -> None:
        for number in range(count):
            ring.sstable(f"nb-{number}-big-Data.db", b"%d" % number * (number + 1))
        ring.snapshot()

    @pytest.mark.parametrize("at", range(8))
    def test_killed_after_each_file_and_begun_again(self, ring: Ring, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self.many(ring)

        def dies(number: int) -> None:
            if number == at:
                raise KeyboardInterrupt(KILLED)

        with monkeypatch.context() as patch:
            before_each_put(patch, dies)
            with pytest.raises(KeyboardInterrupt):
                ring.upload(uploads=1)
        assert len(Pool(ring.catalog, "ring").known()) == at
        done = ring.upload()
        assert done.sent_files == 8 - at
        assert len(ring.content(done.listing)) == 8

    def test_compacted_away(self, ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
        self.many(ring)

        def compacts(number: int) -> None:
            for live in (Path(ring.data[0]) / TABLE).glob("*.db"):
                live.unlink()

        before_each_put(monkeypatch, compacts)
        assert len(ring.upload().listing.files) == 8

    @pytest.mark.parametrize("at", [0, 2, "hashing"])
    def test_cleared_by_somebody(self, ring: Ring, monkeypatch: pytest.MonkeyPatch, at: int | str) -> None:
        self.many(ring)
        own = Path(ring.data[0]) / TABLE / "snapshots"
        monkeypatch.setattr(sending, "STREAM_FILES", 1)
        real = uploading._hashed

        def hashed(*args: Any) -> Any:
            shutil.rmtree(own)
            return real(*args)

        def clear(number: int) -> None:
            if number == at:
                shutil.rmtree(own)

        if at == "hashing":
            monkeypatch.setattr(uploading, "_hashed", hashed)
        else:
            before_each_put(monkeypatch, clear)
        with pytest.raises(ToolError, match="somebody cleared it"):
            ring.upload(uploads=1)

    def test_written_between_hash_and_sending(self, ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
        self.many(ring)
        real = sending.Sender.send

        def send(sender: Any, missing: Any) -> Any:
            (Path(ring.data[0]) / TABLE / "nb-3-big-Data.db").write_bytes(b"XXXX")
            return real(sender, missing)

        monkeypatch.setattr(sending.Sender, "send", send)
        with pytest.raises(CopyError, match="not what was hashed"):
            ring.upload()
        assert all(
            look.size == len(objects.read(Pool(ring.catalog, "ring").root / name)) for name, look in Pool(ring.catalog, "ring").listed()
        )

    def test_a_destination_that_fails_ends_all_streams(self, ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
        self.many(ring, 20)
        monkeypatch.setattr(sending, "STREAM_FILES", 1)
        begun = list[int]()

        def fails(number: int) -> None:
            begun.append(number)
            raise ArtifactError("the destination is full")

        before_each_put(monkeypatch, fails)
        with pytest.raises(ArtifactError, match="full"):
            ring.upload(uploads=2)
        assert len(begun) <= 2, "one for each stream that was under way"

    def test_the_failure_is_told_and_not_that_another_stream_gave_up(self, ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
        self.many(ring, 2)
        monkeypatch.setattr(sending, "STREAM_FILES", 1)
        monkeypatch.setattr(sending, "as_completed", reversed)
        both, one_failed = threading.Barrier(2), threading.Event()
        real = sending.Sender._stream

        def stream(sender: sending.Sender, batch: Any) -> Any:
            try:
                return real(sender, batch)
            finally:
                one_failed.set()

        def fails(number: int) -> None:
            both.wait(60)
            if number == 0:
                raise ArtifactError("the destination is full")
            assert one_failed.wait(60)

        monkeypatch.setattr(sending.Sender, "_stream", stream)
        before_each_put(monkeypatch, fails)
        with pytest.raises(ArtifactError, match="full"):
            ring.upload(uploads=2)
        assert len(Pool(ring.catalog, "ring").known()) == 0, "and that one sends no more"
