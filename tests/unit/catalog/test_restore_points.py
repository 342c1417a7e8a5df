"""The catalog: published at once and once, seen only when whole, never swept, believed only when sealed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midtime.catalog import Catalog, artifacts, objects
from midtime.catalog.restore_points import BACKUP_LEASE, INVALID, MANIFEST
from midtime.errors import (
    ArtifactError,
    CatalogError,
    DestinationError,
    ManifestError,
    RestorePointNotFoundError,
)
from midtime.model.instants import restore_point_id
from midtime.model.restore_point import Artifact, RestorePoint, State
from tests.unit.builders import MIDTIME, days_later, drill_report, part, point, resealed, sha256
from tests.unit.catalog.test_objects import PLACES, files_of_at_most, interrupt
from tests.unit.processes import FORK, kill_when_it_says_so, race

POINT = point()
FULL_WIDTH = "\uff12\uff10\uff12\uff17"
"""2027 in digits that are none of ours."""


def disk(catalog: Catalog, *names: str) -> Path:
    """Where that is on this machine."""
    return Path(catalog.root.path).joinpath(*names)


def half_write(catalog: Catalog, name: str) -> None:
    objects.create(catalog.folder(name) / "accounts" / "toc.dat", b"half")
    catalog.add_part(name, part())


def ids(catalog: Catalog) -> list[str]:
    return [entry.id for entry in catalog.entries()]


def unseen(catalog: Catalog, name: str) -> None:
    """Nobody who asks is told of it."""
    assert name not in ids(catalog)
    assert catalog.newest(10) == []
    assert catalog.entry(name) is None
    for wanted in (name, "latest"):
        with pytest.raises(RestorePointNotFoundError):
            catalog.resolve(wanted)


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
        any_catalog.leases.acquire(BACKUP_LEASE, "me", ttl=timedelta(seconds=-1))
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

    def test_one_of_many_threads(self, any_catalog: Catalog) -> None:
        barrier = Barrier(6)

        def contend(number: int) -> list[str]:
            won = []
            for turn in range(15):
                mine = days_later(turn, topology_digest=f"{number}")
                barrier.wait()
                try:
                    any_catalog.publish(mine)
                    won.append(mine.id)
                except CatalogError as error:
                    assert "published already" in error.message  # noqa: PT017 - in a thread
            return won

        with ThreadPoolExecutor(6) as pool:
            wins = list(pool.map(contend, range(6)))
        assert sorted(each for won in wins for each in won) == sorted(ids(any_catalog))
        assert all(any_catalog.load(name).topology_digest == f"{number}" for number, won in enumerate(wins) for name in won)

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


class TestStates:
    def test_drilled(self, any_catalog: Catalog) -> None:
        any_catalog.publish(POINT)
        any_catalog.add_drill_report(drill_report(POINT, good=False))
        assert any_catalog.newest(1)[0].state is State.RESTORABLE, "a drill that failed proves nothing"
        any_catalog.add_drill_report(drill_report(POINT, hours=2))
        assert any_catalog.newest(1)[0].state is State.DRILLED
        assert [report.good for report in any_catalog.drill_reports(POINT.id)] == [False, True]
        assert any_catalog.resolve("latest") == any_catalog.resolve(POINT.id) == POINT

    @pytest.mark.parametrize("raw", [b"", b"{}", b"not json", b'{"good": true}', b"\xff"])
    def test_an_unreadable_drill_report_proves_nothing(self, catalog: Catalog, raw: bytes) -> None:
        catalog.publish(POINT)
        objects.create(catalog.folder(POINT.id) / "drills" / "1.json", raw)
        assert catalog.newest(1)[0].state is State.RESTORABLE
        catalog.add_drill_report(drill_report(POINT))
        assert catalog.newest(1)[0].state is State.DRILLED

    @pytest.mark.parametrize("place", ["before fsync", "after fsync", "before rename"])
    def test_a_drill_report_that_was_never_finished(self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
        catalog.publish(POINT)

        def work(here: Callable[[], NoReturn]) -> None:
            interrupt(monkeypatch, place, here)
            catalog.add_drill_report(drill_report(POINT))

        kill_when_it_says_so(work)
        assert catalog.drill_reports(POINT.id) == []
        assert catalog.newest(1)[0].state is State.RESTORABLE

    def test_invalid(self, any_catalog: Catalog) -> None:
        any_catalog.publish(days_later(0))
        any_catalog.publish(days_later(1))
        any_catalog.add_drill_report(drill_report(days_later(1)))
        any_catalog.invalidate(days_later(1).id, "torn")
        any_catalog.invalidate(days_later(1).id, "another reason")
        newest, older = any_catalog.newest(2)
        assert (newest.state, newest.reason, newest.restore_point) == (State.INVALID, "torn", days_later(1))
        assert older.state is State.RESTORABLE
        assert any_catalog.resolve("latest") == days_later(0)
        with pytest.raises(ManifestError, match="is invalid: torn"):
            any_catalog.resolve(days_later(1).id)

    @pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"null", b'{"reason"', b"\xff"])
    def test_invalid_without_a_readable_reason_is_invalid(self, catalog: Catalog, raw: bytes) -> None:
        catalog.publish(POINT)
        objects.create(catalog.folder(POINT.id) / INVALID, raw)
        assert (catalog.newest(1)[0].state, catalog.newest(1)[0].reason) == (State.INVALID, "its invalid.json is unreadable")
        with pytest.raises(RestorePointNotFoundError):
            catalog.resolve("latest")


class TestUnbelievable:
    @pytest.mark.parametrize(
        ("raw", "reason"),
        [
            (b"", "unreadable"),
            (POINT.seal()[: len(POINT.seal()) // 2], "unreadable"),
            (POINT.seal().replace(b'"rows": 3', b'"rows": 4'), "edited"),
            (b"[" * 100_000, "unreadable"),
            (resealed(days_later(1), version=2), "of version 2"),
            (days_later(2).seal(), f"belongs to bank/{days_later(2).id}"),
            (days_later(1, topology="shop").seal(), "belongs to shop/"),
        ],
        ids=["empty", "truncated", "edited", "nested", "version", "another id's", "another topology's"],
    )
    def test_shown_as_invalid_and_passed_over(self, any_catalog: Catalog, raw: bytes, reason: str) -> None:
        any_catalog.publish(days_later(0))
        bad = days_later(1).id
        objects.create(any_catalog.folder(bad) / MANIFEST, raw)
        newest, older = any_catalog.newest(9)
        assert (newest.id, newest.state, newest.restore_point) == (bad, State.INVALID, None)
        assert reason in newest.reason
        assert older.state is State.RESTORABLE
        assert any_catalog.resolve("latest") == days_later(0)
        with pytest.raises(ManifestError, match=reason):
            any_catalog.resolve(bad)
        assert any_catalog.half_written() == [], "kept for diagnosis"
        assert any_catalog.sweep_half_written() == []

    def test_a_restore_point_moved_to_another_folder(self, catalog: Catalog, destination: str) -> None:
        catalog.publish(POINT)
        shutil.copytree(disk(catalog, POINT.id), disk(catalog, days_later(1).id))
        shutil.copytree(disk(catalog), disk(Catalog(destination, "shop")))
        assert catalog.resolve("latest") == POINT
        with pytest.raises(ManifestError, match=f"belongs to bank/{POINT.id}"):
            catalog.load(days_later(1).id)
        with pytest.raises(ManifestError, match=f"belongs to bank/{POINT.id}"):
            Catalog(destination, "shop").load(POINT.id)


class TestResolve:
    def test_latest_at(self, any_catalog: Catalog) -> None:
        for day in (1, 2, 3):
            any_catalog.publish(days_later(day))
        any_catalog.invalidate(days_later(2).id, "torn")

        def at(days: float) -> RestorePoint:
            return any_catalog.resolve("latest", at=MIDTIME + timedelta(days=days))

        assert at(3) == at(99) == any_catalog.resolve("latest") == days_later(3)
        assert at(2.9) == at(2) == at(1) == days_later(1)
        with pytest.raises(RestorePointNotFoundError, match="no restorable restore point at 2026-11-21"):
            at(0.9)

    @given(days=st.sets(st.integers(0, 40), max_size=8), at=st.integers(-1, 41))
    @settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_latest_at_is_the_newest_not_after(self, tmp_path_factory: pytest.TempPathFactory, days: set[int], at: int) -> None:
        catalog = Catalog(f"file://{tmp_path_factory.mktemp('at')}", "bank")
        for day in days:
            catalog.publish(days_later(day))
        expected = max((day for day in days if day <= at), default=None)
        if expected is not None:
            assert catalog.resolve("latest", at=MIDTIME + timedelta(days=at)) == days_later(expected)
            return
        with pytest.raises(RestorePointNotFoundError):
            catalog.resolve("latest", at=MIDTIME + timedelta(days=at))

    @pytest.mark.parametrize(
        "wanted", ["", "newest", "LATEST", "..", "../bank", "/etc/passwd", ".leases", f"{POINT.id}/", f"{POINT.id}\n", f"./{POINT.id}"]
    )
    def test_what_is_no_id(self, any_catalog: Catalog, wanted: str) -> None:
        any_catalog.publish(POINT)
        with pytest.raises(RestorePointNotFoundError, match="is not a restore point id"):
            any_catalog.resolve(wanted)

    def test_an_id_that_is_not_there(self, any_catalog: Catalog) -> None:
        with pytest.raises(RestorePointNotFoundError, match="bank has no restore point") as caught:
            any_catalog.resolve(POINT.id)
        assert "midtime list bank" in caught.value.fix


class TestSweep:
    @pytest.fixture
    def littered(self, any_catalog: Catalog) -> Catalog:
        any_catalog.publish(POINT)
        half_write(any_catalog, days_later(1).id)
        half_write(any_catalog, days_later(2).id)
        return any_catalog

    def test_removes_what_is_half_written_and_that_only(self, littered: Catalog) -> None:
        assert littered.sweep_half_written() == [days_later(2).id, days_later(1).id]
        assert littered.folders() == [POINT.id]
        assert littered.load(POINT.id) == POINT
        assert littered.sweep_half_written() == []

    def test_nothing_while_a_backup_lives(self, littered: Catalog) -> None:
        littered.leases.acquire(BACKUP_LEASE, "somebody")
        assert littered.sweep_half_written() == []
        assert littered.sweep_half_written(holder="somebody else") == []
        assert len(littered.folders()) == 3

    def test_the_holder_itself_may(self, littered: Catalog) -> None:
        littered.leases.acquire(BACKUP_LEASE, "me")
        assert len(littered.sweep_half_written(holder="me")) == 2

    @pytest.mark.parametrize("end", ["released", "expired"])
    def test_after_the_lease(self, littered: Catalog, end: str) -> None:
        littered.leases.acquire(BACKUP_LEASE, "somebody", ttl=timedelta(minutes=1 if end == "released" else -1))
        if end == "released":
            littered.leases.release(BACKUP_LEASE, "somebody")
        assert len(littered.sweep_half_written()) == 2

    def test_other_leases_do_not_matter(self, littered: Catalog) -> None:
        littered.leases.acquire("restore-abcdef", "somebody")
        assert len(littered.sweep_half_written()) == 2

    def test_an_unreadable_lease_stops_it(self, littered: Catalog) -> None:
        objects.create(littered.leases.folder / f"{BACKUP_LEASE}.1.json", b"{")
        with pytest.raises(CatalogError, match="unreadable"):
            littered.sweep_half_written()
        assert len(littered.folders()) == 3

    def test_a_backup_that_begins_while_it_looks(self, littered: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        """Looking into 100,000 folders takes a while; a lease that is taken meanwhile must count."""
        real = littered.half_written

        def slowly() -> list[str]:
            littered.leases.acquire(BACKUP_LEASE, "a new backup")
            half_write(littered, days_later(3).id)
            return real()

        monkeypatch.setattr(littered, "half_written", slowly)
        assert littered.sweep_half_written() == []
        assert days_later(3).id in littered.folders()

    def test_published_is_never_discarded(self, littered: Catalog) -> None:
        with pytest.raises(CatalogError, match="is a published restore point"):
            littered.discard_half_written(POINT.id)
        assert littered.load(POINT.id) == POINT

    def test_published_invalid_is_never_swept(self, littered: Catalog) -> None:
        littered.invalidate(POINT.id, "torn")
        littered.sweep_half_written()
        assert littered.newest(1)[0].reason == "torn"

    @pytest.mark.parametrize("name", ["", ".", "..", "../bank", ".leases", "/", f"{POINT.id}/..", f"../bank/{POINT.id}"])
    def test_only_a_restore_point_s_own_folder_is_discarded(self, littered: Catalog, name: str) -> None:
        littered.leases.acquire(BACKUP_LEASE, "somebody")
        with pytest.raises(CatalogError):
            littered.discard_half_written(name)
        assert len(littered.folders()) == 3
        assert littered.leases.current(BACKUP_LEASE)

    def test_discarding_what_is_not_there(self, any_catalog: Catalog) -> None:
        any_catalog.discard_half_written(POINT.id)


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
