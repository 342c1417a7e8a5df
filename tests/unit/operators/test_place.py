"""What was stopped for a restore in place is started again, whatever happens between."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from midtime import products
from midtime.errors import MidtimeError, ProductRunningError
from midtime.model.instants import utc_now
from midtime.operators.base import run_name
from midtime.operators.release import ReleaseRestoreOperator
from midtime.operators.restore import PlaceOperator
from midtime.restoring import PRODUCTS_STOPPED, Plan, reserve
from midtime.stores.base import Target
from tests.unit.builders import point, topology
from tests.unit.fakes import FakeStore

STARTED = datetime(2026, 11, 21, 3, 0, 0, 123456, tzinfo=UTC)


def context(started: datetime = STARTED) -> Any:
    run = SimpleNamespace(start_date=started, run_after=started)
    return {"dag": SimpleNamespace(dag_id="bank__restore"), "run_id": "manual__1", "dag_run": run}


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happened to the products, in order."""
    seen: list[str] = []
    FakeStore.install(monkeypatch)
    monkeypatch.setattr(products, "stop_all", lambda _: seen.append("stop"))
    monkeypatch.setattr(products, "start_all", lambda _: seen.append("start"))
    monkeypatch.setattr(FakeStore, "place", lambda *_: seen.append("place"))
    return seen


@pytest.fixture
def place(tmp_path: Path, events: list[str]) -> PlaceOperator:
    """A planned restore in place of one published restore point."""
    bank = topology(destination=f"file://{tmp_path}")
    manifest = point()
    plan = Plan(
        "restore", manifest.id, manifest.midtime, utc_now(), True, (Target("accounts", "own", "tmp", "live", "before"),), "restore-1"
    )
    operator = PlaceOperator(task_id="place", topology=bank, plan=plan.to_dict())
    operator.catalog.publish(manifest)
    reserve(operator.catalog, plan, run_name(context()))
    return operator


def lease(place: PlaceOperator) -> Any:
    return place.catalog.leases.current("restore-1")


def test_in_order(place: PlaceOperator, events: list[str]) -> None:
    assert place.work(context()) == {"accounts": "live"}
    assert events == ["stop", "place", "start"]
    assert PRODUCTS_STOPPED not in lease(place).details


def test_a_product_that_does_not_stop(place: PlaceOperator, events: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Those before it were stopped already."""

    def stop(_: Any) -> None:
        events.append("stop")
        raise ProductRunningError("still answers", fix="stop it")

    monkeypatch.setattr(products, "stop_all", stop)
    with pytest.raises(ProductRunningError):
        place.work(context())
    assert events == ["stop", "start"]


def test_a_rename_that_fails(place: PlaceOperator, events: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(*_: Any) -> None:
        raise MidtimeError("in use", fix="")

    monkeypatch.setattr(FakeStore, "place", rename)
    with pytest.raises(MidtimeError, match="in use"):
        place.work(context())
    assert events == ["stop", "start"]


def test_a_process_that_dies_between_stop_and_start(place: PlaceOperator, events: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of `finally` runs after kill -9: the lease says it, and the teardown starts them."""

    class Killed(BaseException):
        pass

    def die(_: Any) -> None:
        raise Killed

    monkeypatch.setattr(products, "stop_all", die)
    monkeypatch.setattr(products, "start_all", lambda _: None)
    with pytest.raises(Killed):
        place.work(context())
    assert lease(place).details[PRODUCTS_STOPPED] is True
    monkeypatch.setattr(products, "start_all", lambda _: events.append("start"))
    release = ReleaseRestoreOperator(task_id="release", topology=place.topology, kind="restore")
    monkeypatch.setattr("midtime.operators.release.run_suffix", lambda _: "1")
    release.work(context())
    assert events == ["start"]
    assert lease(place).released


def test_two_installations_are_two_runs() -> None:
    """Both call their scheduled run of one instant the same."""
    assert run_name(context()) == run_name(context())
    assert run_name(context()) != run_name(context(STARTED.replace(microsecond=123457)))
