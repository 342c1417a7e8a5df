"""What can be verified of a set before a cluster of it is in place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from midtime import verification
from midtime.model.restore_point import StoreBackup, TableContent
from midtime.stores.base import Target
from midtime.verification import Verification, verify_beforehand
from tests.unit.builders import part, point, topology
from tests.unit.fakes import FakeStore


class Restored:
    def __init__(self, content: tuple[TableContent, ...]) -> None:
        self._content = content

    def content(self) -> tuple[TableContent, ...]:
        return self._content

    def schema_differences(self) -> list[str]:
        return []


class ClusterOrNot(FakeStore):
    """Store ``ring`` can be read in place only."""

    lost = False

    def verified_in_place(self, target: Target) -> bool:
        return self.name == "ring" and target.aside is not None

    @contextmanager
    def restored(self, backup: StoreBackup, target: Target) -> Iterator[Any]:
        assert not self.verified_in_place(target), "nothing is there yet"
        yield Restored(() if self.lost else backup.tables)


def targets(aside: str | None = "before") -> list[Target]:
    return [Target(store, "c", "tmp", store, aside) for store in ("ring", "b")]


@pytest.fixture(autouse=True)
def stores(monkeypatch: pytest.MonkeyPatch) -> None:
    ClusterOrNot.install(monkeypatch)
    ClusterOrNot.lost = False


def test_the_others() -> None:
    made = point(stores=(part("ring"), part("b")))
    found = verify_beforehand(topology("ring", "b"), made, targets())
    assert found.good
    assert found.error() is None
    assert found.summary().endswith("ring will be verified in place, and the whole set with it, before the products start")
    assert (found.tables, found.rows) == (len(made.stores[1].tables), made.stores[1].rows)


@pytest.fixture
def of_files(monkeypatch: pytest.MonkeyPatch) -> StoreBackup:
    """A store's part of which no table was counted."""
    restored, ours = ClusterOrNot.restored, {"bank_ring.a": "1", "bank_ring.b": "2", "system.local": "3"}
    backup = part("ring", tables=(), details={"tables": ours})

    @contextmanager
    def placed(self: ClusterOrNot, backup: StoreBackup, target: Target) -> Iterator[Any]:
        with restored(self, backup, replace(target, aside=None)) as found:
            yield found

    monkeypatch.setattr(ClusterOrNot, "restored", placed)
    monkeypatch.setattr(verification, "_judge", lambda *_: None)
    return backup


def test_no_row_is_said_to_be_counted_where_none_was(of_files: StoreBackup) -> None:
    found = verification.verify(topology("ring"), point(stores=(of_files,)), targets()[:1])
    assert found.summary() == "good: 2 tables whose files are as captured"
    assert (found.to_dict()["tables"], found.to_dict()["tables_in_files"]) == (0, 2)


def test_counted_beside_not_counted(of_files: StoreBackup) -> None:
    found = verification.verify(topology("ring", "b"), point(stores=(of_files, part("b"))), targets())
    assert found.summary() == "good: 1 table and 3 rows as captured; 2 tables whose files are as captured"


def test_marked_tables_are_neither_counted_nor_files(of_files: StoreBackup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "_is_marked", lambda _, backup: backup.store == "ring")
    found = verification.verify(topology("ring"), point(stores=(of_files,)), targets()[:1])
    assert found.summary() == "good: 3 tables as the service's history has them"
    assert (found.to_dict()["tables_in_files"], found.to_dict()["tables_marked"]) == (0, 3)


def test_settings_are_listed_and_fail_nothing(of_files: StoreBackup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Restored, "setting_differences", lambda _: ["the account: role of p was r, is not there"], raising=False)
    found = verification.verify(topology("ring"), point(stores=(of_files,)), targets()[:1])
    assert found.good
    assert found.summary().endswith("1 setting not as marked (listed)")
    assert found.to_dict()["settings"] == ["ring: the account: role of p was r, is not there"]


def test_what_differs_fails_at_once() -> None:
    made = point(stores=(part("ring"), part("b")))
    ClusterOrNot.lost = True
    assert not verify_beforehand(topology("ring", "b"), made, targets()).good


def test_a_drill_is_verified_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Verification(verdict=None, tables=7)
    monkeypatch.setattr(verification, "verify", lambda *_: whole)
    assert verify_beforehand(topology("ring", "b"), point(stores=(part("ring"), part("b"))), targets(None)) is whole
