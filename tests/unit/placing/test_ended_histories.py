"""A restore in place that takes a store's history with it takes the restore points that stand on it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from midtime.model.restore_point import State
from midtime.stores.base import Target
from tests.unit.builders import MIDTIME, part, point
from tests.unit.placing_world import Run, WorldStore


def ends(self: WorldStore, target: Target) -> str:
    return "its history is gone" if self.name == "b" and target.aside else ""


@pytest.fixture
def others(run: Run) -> dict[str, str]:
    """Restore points of the same topology: what they stand on, and their ids."""
    found = {}
    for number, (name, method) in enumerate({"history": "pitr", "copy": "dump"}.items()):
        made = point(MIDTIME + timedelta(hours=number + 1), stores=(part("a"), part("b", method=method), part("c")))
        run.catalog.publish(made)
        run.catalog.make_restorable(made.id, "")
        found[name] = made.id
    return found


def found(run: Run, restore_point: str) -> tuple[State, str]:
    entry = run.catalog.entry(restore_point)
    assert entry
    return entry.state, entry.reason


def test_once_it_is_in_place(run: Run, others: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorldStore, "ends_history", ends)
    assert found(run, others["history"])[0] is State.RESTORABLE
    run.place()
    assert found(run, others["history"]) == (State.INVALID, "store b: its history is gone")
    assert found(run, others["copy"])[0] is State.RESTORABLE
    assert run.world.running


def test_also_where_it_went_back_if_the_store_says_so(run: Run, others: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is as it was may have been made anew for that."""
    monkeypatch.setattr(WorldStore, "ends_history", ends)
    run.world.failing = {"place c": 9}
    with pytest.raises(Exception, match="everything is as it was"):
        run.place()
    assert found(run, others["history"]) == (State.INVALID, "store b: its history is gone")
    assert run.world.running


def test_not_where_a_store_says_nothing(run: Run, others: dict[str, str]) -> None:
    run.place()
    assert found(run, others["history"])[0] is State.RESTORABLE


def test_also_where_the_placing_died_behind_it(run: Run, others: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorldStore, "ends_history", ends)
    run.world.failing = {"start": 1}
    with pytest.raises(Exception, match="start fails"):
        run.place()
    run.release()
    assert found(run, others["history"])[0] is State.INVALID
