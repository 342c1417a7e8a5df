"""Sweeping: what dead backups left goes; nothing published, and nothing of a living one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from midtime.catalog import Catalog, Lease, objects
from midtime.catalog.restore_points import BACKUP_LEASE, MANIFEST
from midtime.errors import CatalogError, DestinationError, LeaseHeldError
from tests.unit.builders import days_later, part, point
from tests.unit.catalog.examples import POINT, disk, half_write


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

    @pytest.mark.parametrize("end", ["released", "abandoned"])
    def test_after_the_lease(self, littered: Catalog, end: str) -> None:
        littered.leases.acquire(BACKUP_LEASE, "somebody", ttl=timedelta(minutes=1 if end == "released" else -16))
        if end == "released":
            littered.leases.release(BACKUP_LEASE, "somebody")
        assert len(littered.sweep_half_written()) == 2

    def test_a_killed_task_s_run_has_time_to_come_back(self, littered: Catalog) -> None:
        """Airflow notices a killed worker after minutes; its retry must find its lease. The next backup need not wait for that."""
        littered.leases.acquire(BACKUP_LEASE, "somebody", ttl=timedelta(minutes=-10))
        assert littered.sweep_half_written() == []
        littered.leases.acquire(BACKUP_LEASE, "next")
        assert len(littered.sweep_half_written(holder="next")) == 2

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


class TestTakenOver:
    """The sweeper holds the backup lease while it removes: a living run whose lease ran out between two tasks must not publish into it."""

    @pytest.fixture
    def slow(self, any_catalog: Catalog) -> Catalog:
        half_write(any_catalog, POINT.id)
        any_catalog.leases.acquire(BACKUP_LEASE, "slow", ttl=timedelta(minutes=-16))
        return any_catalog

    def publish(self, catalog: Catalog) -> None:
        with catalog.leases.held(BACKUP_LEASE, "slow"):
            catalog.publish(POINT)

    def holder(self, catalog: Catalog) -> Lease:
        current = catalog.leases.current(BACKUP_LEASE)
        assert current
        return current

    def test_a_slow_run_cannot_publish_what_is_being_removed(self, slow: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        real = objects.remove_tree
        refused: list[LeaseHeldError] = []

        def meanwhile(path: Any) -> None:
            if path.name == POINT.id and path.parent.name != ".writing":
                with pytest.raises(LeaseHeldError, match="midtime__sweep") as caught:
                    self.publish(slow)
                refused.append(caught.value)
            real(path)

        monkeypatch.setattr(objects, "remove_tree", meanwhile)
        assert slow.sweep_half_written() == [POINT.id]
        assert len(refused) == 1
        assert slow.folders() == []

    def test_a_slow_run_that_published_first_keeps_everything(self, slow: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        """Between the sweeper's look and its removal: the lease goes to the run again, and its restore point stays."""
        real = objects.create

        def meanwhile(path: Any, content: bytes) -> None:
            monkeypatch.setattr(objects, "create", real)
            self.publish(slow)
            slow.leases.renew(self.holder(slow), timedelta(minutes=-16))
            real(path, content)

        monkeypatch.setattr(objects, "create", meanwhile)
        assert slow.sweep_half_written() == []
        assert slow.load(POINT.id) == POINT
        assert "accounts" in objects.names(slow.folder(POINT.id))

    def test_a_slow_run_that_renewed_first_is_left_alone(self, slow: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        real = slow.half_written

        def meanwhile() -> list[str]:
            found = real()
            slow.leases.acquire(BACKUP_LEASE, "slow")
            return found

        monkeypatch.setattr(slow, "half_written", meanwhile)
        assert slow.sweep_half_written() == []
        assert slow.folders() == [POINT.id]
        assert self.holder(slow).holder == "slow"

    def test_a_backup_that_began_while_the_sweeper_slept(self, slow: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        """It was taken to have died with the lease, looks again when another one writes already, and must not remove that."""
        real = slow.half_written
        looks: list[str] = []

        def meanwhile() -> list[str]:
            looks.append("x")
            if len(looks) == 2:
                slow.leases.renew(self.holder(slow), timedelta(minutes=-16))
                slow.leases.acquire(BACKUP_LEASE, "next")
                half_write(slow, days_later(1).id)
            return real()

        monkeypatch.setattr(slow, "half_written", meanwhile)
        with pytest.raises(LeaseHeldError, match="lost to next"):
            slow.sweep_half_written()
        assert days_later(1).id in slow.folders()
        assert self.holder(slow).holder == "next"

    def test_the_next_backup_need_not_wait(self, slow: Catalog) -> None:
        slow.sweep_half_written()
        assert self.holder(slow).released
        assert slow.leases.acquire(BACKUP_LEASE, "next").holder == "next"

    def test_is_given_back_when_nothing_could_be_removed(self, slow: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(_: str) -> None:
            raise DestinationError("does not answer")

        monkeypatch.setattr(slow, "discard_half_written", fails)
        with pytest.raises(DestinationError):
            slow.sweep_half_written()
        assert self.holder(slow).released

    @pytest.mark.parametrize("case", ["live", "nothing to remove"])
    def test_is_not_taken_for_nothing(self, slow: Catalog, case: str) -> None:
        if case == "live":
            slow.leases.acquire(BACKUP_LEASE, "slow")
        else:
            slow.publish(POINT)
        before = slow.leases.current(BACKUP_LEASE)
        assert slow.sweep_half_written() == []
        assert slow.leases.current(BACKUP_LEASE) == before

    def test_not_from_the_run_that_asks(self, slow: Catalog) -> None:
        mine = slow.leases.acquire(BACKUP_LEASE, "me")
        assert slow.sweep_half_written(holder="me") == [POINT.id]
        assert slow.leases.current(BACKUP_LEASE) == mine


class TestAnnounced:
    def announced(self, catalog: Catalog) -> list[str]:
        return sorted(objects.names(catalog.root / ".writing"))

    @pytest.mark.parametrize("published", [2, 2000])
    def test_what_is_published_costs_nothing(self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, published: int) -> None:
        for number in range(published):
            folder = disk(catalog, days_later(number).id)
            folder.mkdir(parents=True)
            (folder / MANIFEST).write_bytes(b"")
        half_write(catalog, days_later(5000).id)
        listed: list[str] = []
        real = objects.names
        monkeypatch.setattr(objects, "names", lambda path: (listed.append(path.name), real(path))[1])
        assert catalog.half_written() == [days_later(5000).id]
        assert listed == [".writing", days_later(5000).id]
        listed.clear()
        assert catalog.sweep_half_written() == [days_later(5000).id]
        assert set(listed) == {".leases", ".writing", days_later(5000).id}
        assert len(listed) < 30
        listed.clear()
        assert catalog.sweep_half_written() == []
        assert sorted(listed) == [".leases", ".writing"]

    def test_twice(self, any_catalog: Catalog) -> None:
        any_catalog.begin(POINT.id)
        any_catalog.begin(POINT.id)
        assert any_catalog.half_written() == [POINT.id]
        assert any_catalog.folders() == [], "no folder yet"

    def test_what_died_before_its_first_artifact(self, any_catalog: Catalog) -> None:
        any_catalog.begin(POINT.id)
        assert any_catalog.sweep_half_written() == [POINT.id]
        assert self.announced(any_catalog) == []

    def test_ends_with_publication(self, any_catalog: Catalog) -> None:
        half_write(any_catalog, POINT.id)
        any_catalog.publish(POINT)
        assert self.announced(any_catalog) == []

    def test_ends_with_removal(self, any_catalog: Catalog) -> None:
        half_write(any_catalog, POINT.id)
        any_catalog.discard_half_written(POINT.id)
        assert self.announced(any_catalog) == []

    def test_a_removal_that_fails_is_tried_again(self, any_catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        half_write(any_catalog, POINT.id)

        def fails(_: object) -> None:
            raise DestinationError("does not answer")

        with monkeypatch.context() as patch:
            patch.setattr(objects, "remove_tree", fails)
            with pytest.raises(DestinationError):
                any_catalog.discard_half_written(POINT.id)
        assert any_catalog.half_written() == [POINT.id]

    def test_of_a_publisher_that_died_after_its_manifest(self, any_catalog: Catalog) -> None:
        any_catalog.publish(POINT)
        any_catalog.begin(POINT.id)
        assert any_catalog.sweep_half_written() == []
        assert self.announced(any_catalog) == []
        assert any_catalog.load(POINT.id) == POINT

    def test_by_suffix(self, any_catalog: Catalog) -> None:
        mine, other = point(run="a").id, point(run="b").id
        any_catalog.begin(mine)
        any_catalog.begin(other)
        assert any_catalog.half_written(suffix=mine[-6:]) == [mine]

    def test_thoroughly(self, any_catalog: Catalog) -> None:
        """For folders of whoever announced nothing."""
        any_catalog.publish(POINT)
        any_catalog.add_part(days_later(1).id, part())
        any_catalog.begin(days_later(2).id)
        assert any_catalog.half_written() == [days_later(2).id]
        assert any_catalog.half_written(thorough=True) == [days_later(2).id, days_later(1).id]

    @pytest.mark.parametrize("name", ["", "..", "../x", ".leases", "x"])
    def test_only_an_id(self, any_catalog: Catalog, name: str) -> None:
        with pytest.raises(CatalogError, match="is not a restore point id"):
            any_catalog.begin(name)
        assert any_catalog.half_written() == []

    def test_strays_are_ignored(self, any_catalog: Catalog) -> None:
        for name in ("notes.txt", f"{POINT.id}.bak", f".{POINT.id}.{'0' * 32}"):
            objects.create(any_catalog.root / ".writing" / name, b"")
        assert any_catalog.half_written() == []
        assert any_catalog.sweep_half_written() == []
