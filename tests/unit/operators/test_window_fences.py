"""Fence rows around a window: one before the capture, inside it; one after it; and what happens where they cannot be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from midtime import stores
from midtime.catalog import Catalog
from midtime.errors import StoreAccessError, StoreUnreachableError
from midtime.preflight import backup_checks
from midtime.scalar.double import Double
from tests.unit.builders import topology as build
from tests.unit.operators.tasks import ArmableStore, Hub, dump_task, pause_task, preflight_done
from tests.unit.operators.test_window import armable, double, hub, run_all, topology  # noqa: F401 - fixtures

NO_RIGHT = StoreAccessError("permission denied for schema bank", fix="grant it")


def places(store: str) -> dict[str, float]:
    return {place: at for name, place, at in ArmableStore.rows if name == store}


def details(hub: Hub, store: str) -> dict[str, Any]:  # noqa: F811
    point = hub.results[f"dump_{store}"]["restore_point"]
    (part,) = Catalog(hub.topology.destination, hub.topology.name).parts(point, [store])
    return part.details


def test_around_every_capture(hub: Hub, double: Double) -> None:  # noqa: F811
    run_all(hub)
    assert hub.errors == {}
    paused = max(call["at"] for call in double.calls("pause"))
    unpaused = max(call["at"] for call in double.calls("unpause"))
    for store in ("accounts", "points"):
        rows = places(store)
        assert paused < rows["before"] < ArmableStore.captured_at[store] < unpaused < rows["after"]
        said = details(hub, store)
        assert said["fence"]["before"] < said["fence"]["after"]
        assert said["fence"]["why"] == ""
        assert said["quiesced"] is True


def test_a_store_that_may_not_be_written_to_is_backed_up_and_says_so(hub: Hub) -> None:  # noqa: F811
    ArmableStore.no_rows = {"points": NO_RIGHT}
    run_all(hub)
    assert hub.errors == {}
    assert details(hub, "points")["fence"] == {"namespace": "bank_points", "before": None, "after": None, "why": str(NO_RIGHT)}
    assert set(places("accounts")) == {"before", "after"}


def test_a_dump_does_not_depend_on_its_rows(hub: Hub) -> None:  # noqa: F811
    """Somebody's lock is in the way, for example: the restore point says what is not proven."""
    ArmableStore.no_rows = {"points/before": StoreUnreachableError("it is locked", fix="look")}
    run_all(hub)
    assert hub.errors == {}
    said = details(hub, "points")["fence"]
    assert (said["before"], said["after"]) == (None, None)
    assert "it is locked" in said["why"]
    assert set(places("points")) == set()


def test_a_row_that_fails_afterwards_is_said(hub: Hub) -> None:  # noqa: F811
    ArmableStore.no_rows = {"points/after": StoreUnreachableError("it is gone", fix="look")}
    run_all(hub)
    assert hub.errors == {}
    said = details(hub, "points")["fence"]
    assert said["before"]
    assert said["after"] is None
    assert "it is gone" in said["why"]


def fenceless(double: Double, folder: Path, points: dict[str, Any]) -> Hub:  # noqa: F811
    products = [{"kind": "scalardb-cluster", "endpoints": {"static": double.addresses}}]
    made = build("accounts", "points", destination=f"file://{folder}/points", products=products, pause={"drain": "1s", "deadline": "4s"})
    body = made.model_dump(mode="json", exclude_defaults=True)
    body["stores"][1] |= points
    made_hub = Hub(type(made).model_validate(body))
    preflight_done(made_hub.topology, made_hub)
    return made_hub


class TestRestoredToAPoint:
    """A restore of such a store can miss the window, so it is not backed up without a fence that nobody declined."""

    WAL = {"method": "pitr", "wal": {"archive": "file:///wal"}}

    @pytest.fixture(autouse=True)
    def by_point(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(stores.ENGINES, ("postgresql", "pitr"), f"{ArmableStore.__module__}:{ArmableStore.__name__}")

    def test_refused_before_anything_is_paused(self, double: Double, tmp_path: Path) -> None:  # noqa: F811
        made = fenceless(double, tmp_path, self.WAL)
        ArmableStore.no_rows = {"points": NO_RIGHT}
        made.start(dump_task(made.topology, "points"))
        made.join()
        assert made.errors["dump_points"] is NO_RIGHT
        assert double.calls("pause") == []

    def test_ends_the_window_when_the_row_inside_it_fails(self, double: Double, tmp_path: Path) -> None:  # noqa: F811
        made = fenceless(double, tmp_path, self.WAL)
        ArmableStore.no_rows = {"points/before": StoreUnreachableError("it is gone", fix="look")}
        run_all(made)
        assert "dump_points could not capture: it is gone" in str(made.errors["pause"])
        assert not double.paused

    def test_needs_the_row_afterwards_as_well(self, double: Double, tmp_path: Path) -> None:  # noqa: F811
        made = fenceless(double, tmp_path, self.WAL)
        ArmableStore.no_rows = {"points/after": StoreUnreachableError("it is gone", fix="look")}
        made.start(pause_task(made.topology))
        made.start(dump_task(made.topology, "accounts"))
        made.start(dump_task(made.topology, "points", after=["dump_accounts"]))
        made.join()
        assert set(made.errors) == {"dump_points"}

    def test_unless_it_was_declined(self, double: Double, tmp_path: Path) -> None:  # noqa: F811
        made = fenceless(double, tmp_path, {**self.WAL, "fence": False})
        ArmableStore.no_rows = {"points": NO_RIGHT}
        run_all(made)
        assert made.errors == {}
        assert "fence: false" in details(made, "points")["fence"]["why"]


def test_the_preflight_says_which_rows(double: Double, tmp_path: Path) -> None:  # noqa: F811
    made = fenceless(double, tmp_path, {"fence": False})
    checks = backup_checks(made.topology, Catalog(made.topology.destination, made.topology.name))
    said = {check.subject: check.detail for check in checks if check.question == "is fenced"}
    assert said["accounts"].startswith("by rows in ")
    assert said["points"].startswith("no, the topology says so")
