"""Folders without a manifest that nobody announced: swept when nobody can be writing them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from midtime.catalog import Catalog, objects
from midtime.model.instants import utc_now
from tests.unit import retention_examples as examples
from tests.unit.builders import days_later
from tests.unit.fakes import FakeStore
from tests.unit.retention_examples import add, retain


@pytest.fixture(autouse=True)
def setting(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeStore.install(monkeypatch)
    examples.at(monkeypatch)


class TestSweeps:
    @pytest.fixture
    def littered(self, catalog: Catalog) -> Catalog:
        return self.litter(catalog)

    def litter(self, catalog: Catalog) -> Catalog:
        add(catalog, 99)
        objects.create(catalog.folder(days_later(1).id) / "accounts" / "late.dat", b"a frozen thread's last write")
        return catalog

    def test_what_nobody_announced(self, littered: Catalog) -> None:
        assert retain(littered).swept == [days_later(1).id]
        assert littered.folders() == [days_later(99).id]

    def test_not_while_a_backup_lives(self, littered: Catalog) -> None:
        littered.leases.acquire("backup", "bank__backup/1", ttl=timedelta(days=200))
        assert retain(littered).swept == []
        assert retain(littered, dry_run=True).swept == []
        assert len(littered.folders()) == 2

    @pytest.mark.parametrize(("hours", "swept"), [(23, 0), (25, 1)])
    def test_only_what_was_not_written_for_a_day(self, littered: Catalog, monkeypatch: pytest.MonkeyPatch, hours: int, swept: int) -> None:
        """However old its id is: somebody may be copying restore points to here."""
        then = utc_now() + timedelta(hours=hours)
        examples.at(monkeypatch, then)
        assert len(retain(littered).swept) == swept

    def test_an_empty_folder(self, littered: Catalog) -> None:
        Path(littered.folder(days_later(2).id).path).mkdir()
        assert len(retain(littered).swept) == 2

    def test_not_what_is_copied_with_its_old_times(self, littered: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        os.utime(Path(littered.folder(days_later(1).id).path, "accounts", "late.dat"), (0, 1))
        examples.at(monkeypatch, utc_now())
        assert retain(littered).swept == []

    def test_not_where_the_store_does_not_tell_when(self, memory_catalogs: Iterator[Catalog]) -> None:
        assert retain(self.litter(next(memory_catalogs))).swept == []

    def test_one_that_is_published_meanwhile_stays(self, littered: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        real = Catalog.left_behind

        def meanwhile(self: Catalog) -> list[str]:
            found = real(self)
            littered.publish(days_later(1))
            return found

        monkeypatch.setattr(Catalog, "left_behind", meanwhile)
        assert retain(littered).swept == []
        assert littered.load(days_later(1).id)
