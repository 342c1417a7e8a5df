"""Listings: newest first, of what is whole, and never empty because nobody answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from midtime.catalog import Catalog, artifacts, objects
from midtime.catalog.restore_points import BACKUP_LEASE, MANIFEST
from midtime.errors import DestinationError, RestorePointNotFoundError
from midtime.model.instants import restore_point_id
from tests.unit.builders import MIDTIME, days_later, point
from tests.unit.catalog.examples import FULL_WIDTH, POINT, disk, half_write, ids


class TestListing:
    def test_newest_first(self, any_catalog: Catalog) -> None:
        made = [days_later(day) for day in (3, 1, 2)]
        for each in made:
            any_catalog.publish(each)
        assert ids(any_catalog) == [days_later(day).id for day in (3, 2, 1)]
        assert [entry.id for entry in any_catalog.newest(2)] == [days_later(3).id, days_later(2).id]

    @pytest.mark.parametrize("limit", [0, 1, 5, 100])
    def test_the_newest_cost_nothing_of_the_rest(self, any_catalog: Catalog, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
        for day in range(20):
            any_catalog.publish(days_later(day))
        reads: list[str] = []
        lists: list[str] = []
        real_read, real_names = objects.read, objects.names
        monkeypatch.setattr(objects, "read", lambda path: (reads.append(str(path)), real_read(path))[1])
        monkeypatch.setattr(objects, "names", lambda path: (lists.append(str(path)), real_names(path))[1])
        assert len(any_catalog.newest(limit)) == min(limit, 20)
        assert len(reads) == min(limit, 20)
        assert len(lists) == (1 + min(limit, 20) if limit else 0)

    def test_latest_reads_one(self, any_catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        for day in range(5):
            any_catalog.publish(days_later(day))
        reads: list[str] = []
        real_read = objects.read
        monkeypatch.setattr(objects, "read", lambda path: (reads.append(str(path)), real_read(path))[1])
        any_catalog.resolve("latest")
        assert len(reads) == 1

    def test_an_empty_or_absent_destination(self, any_catalog: Catalog) -> None:
        assert any_catalog.newest(10) == []
        assert any_catalog.half_written() == []
        assert any_catalog.sweep_half_written() == []
        with pytest.raises(RestorePointNotFoundError, match="bank__backup"):
            any_catalog.resolve("latest")

    def test_strays_are_ignored(self, catalog: Catalog) -> None:
        catalog.publish(POINT)
        strays = [
            "notes.txt",
            "20261121T020007Z",
            f"{POINT.id}.bak",
            f"x{POINT.id}",
            "lost+found/x",
            ".DS_Store",
            f"{POINT.id}\n/x",
        ]
        strays += [f"{days_later(9).id.upper()}/{MANIFEST}", f"{FULL_WIDTH}0101T000000Z-abcdef/manifest.json"]
        for stray in strays:
            path = disk(catalog, stray)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(POINT.seal())
        disk(catalog, POINT.id, "stray").mkdir()
        disk(catalog, POINT.id, "drills", "a folder.json").mkdir(parents=True)
        disk(catalog, days_later(8).id, MANIFEST).mkdir(parents=True)
        before = sorted(disk(catalog).rglob("*"))
        assert ids(catalog) == [POINT.id]
        assert catalog.resolve("latest") == catalog.resolve("latest", at=MIDTIME + timedelta(days=900)) == POINT
        assert catalog.sweep_half_written() == []
        assert sorted(disk(catalog).rglob("*")) == before, "and left alone"

    def test_a_file_that_is_called_like_a_restore_point(self, catalog: Catalog) -> None:
        catalog.publish(POINT)
        disk(catalog, days_later(1).id).write_bytes(b"not even a folder")
        assert ids(catalog) == [POINT.id]
        assert catalog.resolve("latest") == catalog.resolve("latest", at=MIDTIME + timedelta(days=9)) == POINT
        with pytest.raises(RestorePointNotFoundError):
            catalog.resolve(days_later(1).id)

    @pytest.mark.parametrize("name", ["20269999T020007Z-abcdef", "20270230T020007Z-abcdef", "99999999T999999Z-abcdef"])
    def test_a_folder_of_a_day_that_never_was(self, catalog: Catalog, name: str) -> None:
        catalog.publish(POINT)
        disk(catalog, name).mkdir()
        assert ids(catalog) == [POINT.id]
        assert catalog.resolve("latest", at=MIDTIME + timedelta(days=9)) == POINT

    def test_two_topologies_in_one_destination(self, destination: str) -> None:
        bank, shop = Catalog(destination, "bank"), Catalog(destination, "shop")
        bank.publish(POINT)
        half_write(shop, point(topology="shop").id)
        assert ids(shop) == []
        assert shop.sweep_half_written() == [POINT.id]
        assert ids(bank) == [POINT.id]

    @pytest.mark.parametrize("state", ["good", "bad"])
    def test_as_json(self, catalog: Catalog, state: str) -> None:
        catalog.publish(POINT)
        if state == "bad":
            disk(catalog, POINT.id, MANIFEST).write_bytes(b"{}")
        (entry,) = catalog.newest(1)
        body = json.loads(json.dumps(entry.to_dict()))
        assert (body["id"], body["state"]) == (POINT.id, "RESTORABLE" if state == "good" else "INVALID")
        assert ("midtime" in body) == (state == "good")


class TestUnreachable:
    @pytest.fixture
    def broken(self, any_catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalog]:
        any_catalog.publish(POINT)

        def fails(*args: Any, **kwargs: Any) -> None:
            raise ConnectionError("the object store does not answer")

        with monkeypatch.context() as patch:
            patch.setattr(type(any_catalog.root.fs), "cat_file", fails)
            yield any_catalog

    @pytest.mark.parametrize("ask", [lambda c: c.newest(1), lambda c: c.resolve("latest"), lambda c: c.resolve(POINT.id)])
    def test_is_not_taken_for_an_empty_catalog(self, broken: Catalog, ask: Callable[[Catalog], object]) -> None:
        with pytest.raises(DestinationError, match="does not answer") as caught:
            ask(broken)
        assert caught.value.retryable

    def test_a_wrong_destination(self) -> None:
        with pytest.raises(DestinationError, match="cannot open nosuchscheme://bucket/x"):
            Catalog("nosuchscheme://bucket/x", "bank").newest(1)

    @pytest.mark.parametrize("verb", ["upload", "publish", "acquire", "list"])
    def test_a_file_where_the_destination_should_be(self, tmp_path: Path, verb: str) -> None:
        (tmp_path / "file").write_bytes(b"")
        (tmp_path / "source").mkdir()
        (tmp_path / "source" / "toc.dat").write_bytes(b"")
        catalog = Catalog(f"file://{tmp_path}/file", "bank")
        work: dict[str, Callable[[], object]] = {
            "upload": lambda: artifacts.upload(tmp_path / "source", catalog.folder(POINT.id), "accounts"),
            "publish": lambda: catalog.publish(POINT),
            "acquire": lambda: catalog.leases.acquire(BACKUP_LEASE, "a"),
        }
        if verb == "list":
            assert catalog.newest(1) == []
            return
        with pytest.raises(DestinationError):
            work[verb]()


def test_ids_of_one_second_are_told_apart_by_the_run(catalog: Catalog) -> None:
    for run in "abc":
        catalog.publish(point(run=run))
    assert sorted(ids(catalog)) == sorted(restore_point_id(MIDTIME, run) for run in "abc")
