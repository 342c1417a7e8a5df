"""What the fence rows that a backup wrote are worth when its stores come back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest

from midtime import stores
from midtime.model.restore_point import RestorePoint, StoreBackup
from midtime.model.topology import Topology
from midtime.stores.base import Target
from midtime.verification import Verification, verify
from midtime.verify.verdict import Outcome, Rule
from tests.unit.builders import part, point, topology
from tests.unit.fakes import FakeStore
from tests.unit.verify.fakes import FakeCoordinator, record, row
from tests.unit.verify.fakes import FakeStore as FakeRecords

WINDOW = {"id": "w1", "window": {"start": "2026-11-21T02:00:07Z", "end": "2026-11-21T02:00:08Z"}}
WRITTEN = {"namespace": "bank_then", "before": "2026-11-21T02:00:07.1Z", "after": "2026-11-21T02:00:08.1Z", "why": ""}


class Restored:
    """A restored store without a record."""

    def __init__(self, store: str) -> None:
        self.store = store

    def content(self) -> tuple[Any, ...]:
        return ()

    def schema_differences(self) -> list[str]:
        return []

    def records(self) -> FakeRecords:
        return FakeRecords(non_transactional=["bank.midtime_fence", "bank.note"])

    def coordinators(self) -> list[FakeCoordinator]:
        return [FakeCoordinator()] if self.store == "accounts" else []

    def fences(self, window: str, namespace: str) -> frozenset[str]:
        """Where they were written: the topology of today has another first namespace."""
        return RestoredStore.places[self.store] if (window, namespace) == (WINDOW["id"], "bank_then") else frozenset()


class RestoredStore(FakeStore):
    places: ClassVar[dict[str, frozenset[str]]] = {}

    @contextmanager
    def restored(self, backup: StoreBackup, target: Target) -> Iterator[Restored]:
        yield Restored(self.name)


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(stores.ENGINES, ("postgresql", "dump"), f"{__name__}:{RestoredStore.__name__}")
    RestoredStore.places = {"accounts": frozenset({"before"}), "points": frozenset({"before"})}


def backed_up(**fences: Any) -> RestorePoint:
    parts = [part(store, tables=(), details={"fence": fence} if fence else {}) for store, fence in fences.items()]
    return point(stores=tuple(parts), evidence=WINDOW)


def verified(of: RestorePoint, which: Topology | None = None) -> Verification:
    targets = [Target(backup.store, "own", "w", "w") for backup in of.stores]
    return verify(which or topology("accounts", "points"), of, targets)


def test_good() -> None:
    found = verified(backed_up(accounts=WRITTEN, points=WRITTEN))
    assert found.good, found.summary()
    assert found.verdict is not None
    assert not any("fence" in note for note in found.verdict.notes)
    assert found.verdict.non_transactional == ("accounts: bank.note", "points: bank.note")


@pytest.mark.parametrize(
    ("places", "text"),
    [(frozenset(), "restored too early"), (frozenset({"before", "after"}), "restored too late"), (frozenset({"after"}), "too early")],
)
def test_a_store_that_missed_the_window(places: frozenset[str], text: str) -> None:
    RestoredStore.places["points"] = places
    found = verified(backed_up(accounts=WRITTEN, points=WRITTEN))
    assert not found.good
    assert found.verdict is not None
    assert found.verdict.outcome is Outcome.TORN
    assert Rule.FENCE in found.verdict.counts
    assert "points" in found.summary()
    assert text in found.summary()


@pytest.mark.parametrize("fence", [None, {"before": None, "after": None, "why": "no right"}])
def test_without_a_fence_nothing_is_claimed(fence: Any) -> None:
    """Its restored copy holds no row, and that is no proof of anything; the verdict says what is not proven."""
    RestoredStore.places["points"] = frozenset()
    found = verified(backed_up(accounts=WRITTEN, points=fence))
    assert found.good, found.summary()
    assert found.verdict is not None
    assert any("points" in note and "fence" in note for note in found.verdict.notes)


@pytest.mark.parametrize("method", ["dump", "pitr"])
def test_a_single_store_that_is_restored_to_a_point_can_miss_it(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dump cannot: there a stamp that is later only shows a clock that runs ahead."""
    body = topology("accounts").model_dump(mode="json", exclude_defaults=True)
    if method == "pitr":
        body["stores"][0] |= {"method": "pitr", "wal": {"archive": "file:///wal"}}
    monkeypatch.setitem(stores.ENGINES, ("postgresql", "pitr"), f"{__name__}:{RestoredStore.__name__}")
    late = int(point().midtime.timestamp() * 1000) + 3_600_000
    monkeypatch.setattr(Restored, "records", lambda _: FakeRecords([record("t", prepared_at=late, committed_at=late)]))
    monkeypatch.setattr(Restored, "coordinators", lambda _: [FakeCoordinator([row("t", at=late)])])
    found = verified(point(stores=(part("accounts", method=method, tables=()),)), Topology.model_validate(body))
    assert found.verdict is not None
    assert found.good is (method == "dump"), found.summary()
    assert bool([note for note in found.verdict.notes if "too early" in note]) is (method == "pitr"), found.verdict.notes


def test_fences_count_without_consensus_commit_as_well() -> None:
    other = topology("accounts", "points", scalardb={"transaction_manager": "single-crud-operation"})
    assert verified(backed_up(accounts=WRITTEN, points=WRITTEN), other).good
    RestoredStore.places["points"] = frozenset()
    assert not verified(backed_up(accounts=WRITTEN, points=WRITTEN), other).good
