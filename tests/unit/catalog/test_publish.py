"""Published at once and once, whole or not at all, whatever interrupts it."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any, NoReturn

import pytest

from midtime.catalog import Catalog, objects
from midtime.catalog.restore_points import BACKUP_LEASE, MANIFEST
from midtime.errors import ArtifactError, CatalogError, DestinationError, RestorePointNotFoundError
from midtime.model.restore_point import Artifact, State
from tests.unit.builders import days_later, part, point, sha256
from tests.unit.catalog.examples import POINT, disk, half_write, ids, unseen
from tests.unit.catalog.test_objects import PLACES, files_of_at_most, interrupt
from tests.unit.processes import FORK, kill_when_it_says_so, race


def before_a_manifest(monkeypatch: pytest.MonkeyPatch, instead: Callable[[Any, bytes], None]) -> None:
    """Let ``instead`` write the manifest; everything else is written as always."""
    real = objects.create
    monkeypatch.setattr(objects, "create", lambda path, content: instead(path, content) if path.name == MANIFEST else real(path, content))


class TestPublish:
    def test_makes_visible(self, any_catalog: Catalog) -> None:
        half_write(any_catalog, POINT.id)
        unseen(any_catalog, POINT.id)
        any_catalog.publish(POINT)
        assert any_catalog.load(POINT.id) == any_catalog.resolve(POINT.id) == any_catalog.resolve("latest") == POINT
        (entry,) = any_catalog.newest(10)
        assert (entry.id, entry.state, entry.reason, entry.restore_point) == (POINT.id, State.RESTORABLE, "", POINT)

    def test_takes_the_parts_away_and_nothing_else(self, any_catalog: Catalog) -> None:
        half_write(any_catalog, POINT.id)
        any_catalog.publish(POINT)
        assert sorted(objects.names(any_catalog.folder(POINT.id))) == ["accounts", MANIFEST]

    def test_never_changes_what_is_published(self, any_catalog: Catalog) -> None:
        any_catalog.publish(POINT)
        raw = objects.read(any_catalog.folder(POINT.id) / MANIFEST)
        with pytest.raises(CatalogError, match="published already"):
            any_catalog.publish(point(stores=(part("other"),)))
        assert objects.read(any_catalog.folder(POINT.id) / MANIFEST) == raw

    @pytest.mark.parametrize("when", ["before the manifest", "after the manifest"])
    def test_a_publisher_that_stood_still_for_too_long(self, any_catalog: Catalog, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
        """Its lease expired after its last look at the artifacts, and the next backup swept them: nobody may take this for a backup."""
        mine = point(stores=(part(artifacts=(TestParts.ARTIFACT,)),))
        half_write(any_catalog, mine.id)
        any_catalog.leases.acquire(BACKUP_LEASE, "me", ttl=timedelta(minutes=-16))
        real = objects.create

        def slowly(path: Any, content: bytes) -> None:
            if when == "after the manifest":
                real(path, content)
            any_catalog.leases.acquire(BACKUP_LEASE, "the next")
            assert any_catalog.sweep_half_written(holder="the next") == ([mine.id] if when == "before the manifest" else [])
            if when == "before the manifest":
                real(path, content)

        before_a_manifest(monkeypatch, slowly)
        if when == "after the manifest":
            any_catalog.publish(mine)
            assert any_catalog.resolve("latest") == mine
            return
        with pytest.raises(ArtifactError, match=r"toc\.dat is missing"):
            any_catalog.publish(mine)
        assert [(entry.state, "is missing" in entry.reason) for entry in any_catalog.entries()] == [(State.INVALID, True)]
        with pytest.raises(RestorePointNotFoundError):
            any_catalog.resolve("latest")

    def test_one_of_many_threads(self, catalog: Catalog) -> None:
        """Not in memory: no two processes share it, and its exclusive creation is none between threads."""
        barrier = Barrier(6)

        def contend(number: int) -> list[str]:
            won = []
            for turn in range(15):
                mine = days_later(turn, topology_digest=f"{number}")
                barrier.wait()
                try:
                    catalog.publish(mine)
                    won.append(mine.id)
                except CatalogError as error:
                    assert "published already" in error.message  # noqa: PT017 - in a thread
            return won

        with ThreadPoolExecutor(6) as pool:
            wins = list(pool.map(contend, range(6)))
        assert sorted(each for won in wins for each in won) == sorted(ids(catalog))
        assert all(catalog.load(name).topology_digest == f"{number}" for number, won in enumerate(wins) for name in won)

    def test_one_of_many_processes(self, catalog: Catalog) -> None:
        def contend(number: int, meet: Callable[[], object]) -> list[str]:
            won = []
            for turn in range(15):
                mine = days_later(turn, topology_digest=f"{number}")
                meet()
                try:
                    catalog.publish(mine)
                    won.append(mine.id)
                except CatalogError as error:
                    if "published already" not in error.message:
                        raise
            return won

        wins = race(3, contend)
        assert sorted(each for won in wins for each in won) == sorted(ids(catalog)) == sorted(days_later(turn).id for turn in range(15))
        assert all(catalog.load(name).topology_digest == f"{number}" for number, won in enumerate(wins) for name in won)


class TestInterrupted:
    """Power, memory, patience: whatever ends a publisher, there is a whole restore point or none."""

    @pytest.mark.parametrize("place", PLACES[:4])
    def test_killed(self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
        half_write(catalog, POINT.id)

        def work(here: Callable[[], NoReturn]) -> None:
            interrupt(monkeypatch, place, here)
            catalog.publish(POINT)

        kill_when_it_says_so(work)
        if place == "after link":
            assert catalog.resolve("latest") == POINT
            assert catalog.sweep_half_written() == []
            assert catalog.load(POINT.id) == POINT
        else:
            unseen(catalog, POINT.id)
            assert catalog.sweep_half_written() == [POINT.id]
            assert not disk(catalog, POINT.id).exists(), "drafts and all"

    def test_killed_at_any_moment(self, catalog: Catalog) -> None:
        def publish_for_ever() -> None:
            for turn in range(100_000):
                catalog.begin(days_later(turn).id)
                catalog.add_part(days_later(turn).id, part())
                catalog.publish(days_later(turn))

        for turn in range(12):
            process = FORK.Process(target=publish_for_ever, daemon=True)
            process.start()
            time.sleep(0.001 * (3 * turn + 7))
            process.kill()
            process.join()
            assert all(entry.state is State.RESTORABLE for entry in catalog.entries())
            whole = ids(catalog)
            assert len(catalog.sweep_half_written()) <= 1
            assert ids(catalog) == whole
            shutil.rmtree(disk(catalog), ignore_errors=True)

    @pytest.mark.parametrize("place", ["before fsync", "after fsync", "before link"])
    def test_disk_full(self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
        def full() -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        half_write(catalog, POINT.id)
        with monkeypatch.context() as patch:
            interrupt(patch, place, full)
            with pytest.raises(DestinationError, match="No space left"):
                catalog.publish(POINT)
        unseen(catalog, POINT.id)
        assert sorted(os.listdir(disk(catalog, POINT.id))) == ["accounts", "parts"]
        catalog.publish(POINT)
        assert catalog.resolve("latest") == POINT

    def test_disk_full_in_the_middle_of_the_manifest(self, catalog: Catalog) -> None:
        half_write(catalog, POINT.id)
        with files_of_at_most(len(POINT.seal()) // 2), pytest.raises(DestinationError):
            catalog.publish(POINT)
        unseen(catalog, POINT.id)
        assert sorted(os.listdir(disk(catalog, POINT.id))) == ["accounts", "parts"]


class TestParts:
    ARTIFACT = Artifact(path="accounts/toc.dat", size=4, sha256=sha256(b"half"))

    def test_there_and_back(self, any_catalog: Catalog) -> None:
        mine = part(artifacts=(self.ARTIFACT,))
        half_write(any_catalog, POINT.id)
        any_catalog.add_part(POINT.id, mine)
        any_catalog.add_part(POINT.id, part("points"))
        assert any_catalog.parts(POINT.id, ["points", "accounts"]) == (part("points"), mine)

    @pytest.mark.parametrize("raw", [None, b"", b"{}", b"[]", b"\xff"])
    def test_missing_or_unreadable(self, any_catalog: Catalog, raw: bytes | None) -> None:
        if raw is not None:
            objects.create(any_catalog.folder(POINT.id) / "parts" / "accounts.json", raw)
        with pytest.raises(CatalogError, match="part of store 'accounts' is missing or unreadable"):
            any_catalog.parts(POINT.id, ["accounts"])

    @pytest.mark.parametrize("damage", ["missing", "truncated"])
    def test_artifacts_are_looked_at_once_more(self, any_catalog: Catalog, damage: str) -> None:
        half_write(any_catalog, POINT.id)
        any_catalog.add_part(POINT.id, part(artifacts=(self.ARTIFACT,)))
        path = any_catalog.folder(POINT.id) / self.ARTIFACT.path
        if damage == "missing":
            objects.remove_tree(path)
        else:
            objects.replace(path, b"hal")
        with pytest.raises(ArtifactError):
            any_catalog.parts(POINT.id, ["accounts"])
