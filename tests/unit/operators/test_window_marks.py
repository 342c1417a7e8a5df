"""Windows over managed stores: their fence rows, the order of their instants among each other and with captures, and their marks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from midtime import stores, window_fences
from midtime.catalog import Catalog
from midtime.errors import CatalogError, NotRestorableError, StoreAccessError, StoreUnreachableError, WindowVoidError
from midtime.model.instants import from_rfc3339, restore_point_id
from midtime.model.restore_point import State
from midtime.model.window import Window
from midtime.operators.base import run_name
from midtime.operators.release import ReleaseBackupOperator
from midtime.scalar.double import Double
from tests.unit.operators.marking import MANAGED, MarkableStore, bank, find_midtime, mark, pause_and_capture, publish
from tests.unit.operators.tasks import ArmableStore, Hub

GONE = StoreUnreachableError("it is gone", fix="look")


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for engine, store in ((("postgresql", "dump"), ArmableStore), (("dynamodb", "pitr"), MarkableStore)):
        monkeypatch.setitem(stores.ENGINES, engine, f"{store.__module__}:{store.__name__}")
    ArmableStore.reset()
    MarkableStore.reset()
    yield
    MarkableStore.released.set()


@pytest.fixture
def double() -> Iterator[Double]:
    with Double() as made:
        yield made


def instants(hub: Hub) -> dict[str, datetime]:
    return {store: from_rfc3339(said) for store, said in hub.results["pause"]["choice"]["instants"].items()}


def outage(double: Double) -> float:
    return float(double.calls("unpause")[0]["at"] - double.calls("pause")[0]["at"])


class TestAllAreManaged:
    def test_from_the_pause_to_the_restore_point(self, double: Double, tmp_path: Path) -> None:
        """Nothing is captured: the restore point's name comes from the midtime and the run, and every part is a mark."""
        MarkableStore.offsets = {"accounts": -2.5, "points": 3.7}
        hub = bank(double, tmp_path)
        pause_and_capture(hub)
        assert hub.errors == {}
        window = Window.from_dict(hub.results["pause"]["window"])
        midtime = find_midtime(hub)
        assert from_rfc3339(midtime).microsecond == 0
        assert window.start <= from_rfc3339(midtime) <= window.end
        marks = [mark(hub, store, midtime) for store in MANAGED]
        point = publish(hub, midtime, marks)
        assert point == restore_point_id(from_rfc3339(midtime), run_name(hub.context("publish")))
        entry = Catalog(hub.topology.destination, "bank").newest(1)[0]
        assert entry.state is State.MARKED
        assert entry.restore_point
        for backup in entry.restore_point.stores:
            assert backup.midtime == instants(hub)[backup.store]
            assert set(backup.fence) == {"namespace", "before", "after", "why"}
            assert backup.fence["before"] < backup.fence["after"]
            assert backup.quiesced

    def test_the_coordinators_instant_is_not_later(self, double: Double, tmp_path: Path) -> None:
        MarkableStore.offsets = {"accounts": -2.5, "points": 3.7}
        hub = bank(double, tmp_path, coordinator="points")
        pause_and_capture(hub)
        lead = instants(hub)["accounts"] - timedelta(seconds=-2.5) - (instants(hub)["points"] - timedelta(seconds=3.7))
        assert lead >= timedelta(0)
        assert hub.results["pause"]["choice"]["coordinator_lead_seconds"] >= 0

    def test_rows_around_the_instants(self, double: Double, tmp_path: Path) -> None:
        """A good restore has the first and lacks the second, on each store's own clock."""
        MarkableStore.offsets = {"points": -4.2}
        hub = bank(double, tmp_path)
        pause_and_capture(hub)
        paused, unpaused = double.calls("pause")[-1]["at"], double.calls("unpause")[-1]["at"]
        for store, instant in instants(hub).items():
            (before, first), (after, second) = MarkableStore.row(store, "before"), MarkableStore.row(store, "after")
            assert paused < first < unpaused < second
            assert before <= instant
            assert instant + timedelta(seconds=1) < after

    def test_nobody_is_asked_how_nobody_is(self, double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from midtime.operators.meeting import Meeting

        monkeypatch.setattr(Meeting, "states", lambda *_: pytest.fail("asked"))
        hub = bank(double, tmp_path)
        pause_and_capture(hub)
        assert hub.errors == {}


class TestFenceRows:
    @pytest.mark.fault("A managed store takes its time for the fence row", "its instant lies behind the row; the window is held longer")
    def test_a_row_that_takes_long(self, double: Double, tmp_path: Path) -> None:
        MarkableStore.delays = {"points/before": 1.7}
        hub = bank(double, tmp_path)
        pause_and_capture(hub)
        assert hub.errors == {}
        assert MarkableStore.row("points", "before")[0] <= instants(hub)["points"]
        window = Window.from_dict(hub.results["pause"]["window"])
        assert from_rfc3339(hub.results["pause"]["span"]["start"]) >= window.start + timedelta(seconds=1.7)

    @pytest.mark.fault("A managed store hangs when the fence row is written", "unpaused seconds later; no restore point")
    def test_a_row_that_never_comes(self, double: Double, tmp_path: Path) -> None:
        MarkableStore.delays = {"points/before": 60.0}
        hub = bank(double, tmp_path, pause={"deadline": "20s"})
        pause_and_capture(hub)
        with pytest.raises(WindowVoidError, match="store points did not take its fence row within 3 s"):
            raise hub.errors["pause"]
        assert not double.paused
        assert window_fences.LIMIT < outage(double) < window_fences.LIMIT + 3

    def test_a_row_that_fails(self, double: Double, tmp_path: Path) -> None:
        MarkableStore.failing = {"points/before": GONE}
        hub = bank(double, tmp_path)
        pause_and_capture(hub)
        with pytest.raises(WindowVoidError, match="it is gone"):
            raise hub.errors["pause"]
        assert not double.paused
        assert outage(double) < 2

    def test_nothing_is_paused_where_there_can_be_no_row(self, double: Double, tmp_path: Path) -> None:
        MarkableStore.failing = {"points/prepare": StoreAccessError("no right to make tables", fix="grant it")}
        hub = bank(double, tmp_path)
        pause_and_capture(hub)
        assert hub.errors["pause"] is MarkableStore.failing["points/prepare"]
        assert double.calls("pause") == []

    def test_the_row_afterwards_is_needed_as_well(self, double: Double, tmp_path: Path) -> None:
        MarkableStore.failing = {"points/after": GONE}
        hub = bank(double, tmp_path)
        pause_and_capture(hub)
        assert hub.errors["pause"] is GONE
        assert not double.paused

    def test_declined(self, double: Double, tmp_path: Path) -> None:
        MarkableStore.failing = {"points/prepare": GONE, "points/before": GONE}
        hub = bank(double, tmp_path, store={"fence": False})
        pause_and_capture(hub)
        assert hub.errors == {}
        assert MarkableStore.rows == []
        assert "fence: false" in hub.results["pause"]["fences"]["points"]["why"]


class TestBesideCaptures:
    def test_the_instant_is_behind_the_coordinators_capture(self, double: Double, tmp_path: Path) -> None:
        hub = bank(double, tmp_path, managed=["points"])
        ArmableStore.slow = {"accounts": 1.2}
        pause_and_capture(hub)
        assert hub.errors == {}
        captured = hub.results["pause"]["captures"]["dump_accounts"]
        assert from_rfc3339(captured["begun"]) + timedelta(seconds=captured["seconds"]) <= instants(hub)["points"]

    def test_other_captures_wait_for_the_coordinators_instant(self, double: Double, tmp_path: Path) -> None:
        """With the second that a service may include; and the window ends as soon as they have reported."""
        hub = bank(double, tmp_path, managed=["accounts"])
        pause_and_capture(hub, points=["pause"])
        assert hub.errors == {}
        begun = from_rfc3339(hub.results["pause"]["captures"]["dump_points"]["begun"])
        assert instants(hub)["accounts"] + timedelta(seconds=1) <= begun
        assert from_rfc3339(hub.results["pause"]["span"]["end"]) <= begun
        window = Window.from_dict(hub.results["pause"]["window"])
        assert window.end - begun < timedelta(seconds=1)

    def test_one_managed_and_one_dumped(self, double: Double, tmp_path: Path) -> None:
        hub = bank(double, tmp_path, managed=["points"])
        pause_and_capture(hub)
        midtime = find_midtime(hub)
        point = publish(hub, midtime, [hub.results["dump_accounts"], mark(hub, "points", midtime)])
        parts = Catalog(hub.topology.destination, "bank").load(point).stores
        assert [(part.store, part.method) for part in parts] == [("accounts", "dump"), ("points", "pitr")]


class TestMarks:
    @pytest.fixture
    def hub(self, double: Double, tmp_path: Path) -> Hub:
        made = bank(double, tmp_path)
        pause_and_capture(made)
        return made

    def test_marked_twice(self, hub: Hub) -> None:
        midtime = find_midtime(hub)
        assert mark(hub, "points", midtime) == mark(hub, "points", midtime)

    def test_no_mark_no_restore_point(self, hub: Hub) -> None:
        midtime = find_midtime(hub)
        made = mark(hub, "accounts", midtime)
        with pytest.raises(CatalogError, match="the part of store 'points' is missing"):
            publish(hub, midtime, [made])

    def test_a_mark_of_another_window(self, hub: Hub) -> None:
        midtime = find_midtime(hub)
        with pytest.raises(WindowVoidError, match=r"proves .* for accounts, points, not 2026-01-01T00:00:00Z for points"):
            mark(hub, "points", "2026-01-01T00:00:00Z")
        marks = [mark(hub, store, midtime) for store in MANAGED]
        marks[1] = {**marks[1], "capture": "an older window"}
        with pytest.raises(WindowVoidError, match="points: another try"):
            publish(hub, midtime, marks)

    def test_a_name_that_changes_hands_after_the_window(self, double: Double, tmp_path: Path) -> None:
        """Whoever has it now was not paused over, however far back his history goes."""
        MarkableStore.bearers = {"points": "db-BLUE"}
        hub = bank(double, tmp_path)
        pause_and_capture(hub)
        midtime = find_midtime(hub)
        mark(hub, "points", midtime)
        MarkableStore.bearers = {"points": "db-GREEN"}
        with pytest.raises(NotRestorableError, match="its name was db-BLUE's in the window, and is db-GREEN's now"):
            mark(hub, "points", midtime)
        mark(hub, "accounts", midtime)

    def test_what_a_failed_run_has_marked_goes(self, hub: Hub) -> None:
        midtime = find_midtime(hub)
        made = mark(hub, "accounts", midtime)
        MarkableStore.failing = {"points/mark": NotRestorableError("its recovery is off", fix="switch it on")}
        with pytest.raises(NotRestorableError):
            mark(hub, "points", midtime)
        catalog = Catalog(hub.topology.destination, "bank")
        assert catalog.half_written() == [made["restore_point"]]
        ReleaseBackupOperator(task_id="release", topology=hub.topology).work(hub.context("release"))
        assert catalog.half_written(thorough=True) == []


def test_the_window_is_not_held_for_the_api(double: Double, tmp_path: Path) -> None:
    """What hangs in Airflow hangs no row: it is written by a thread of its own, and the guard ends at the deadline."""
    hub = bank(double, tmp_path, managed=["points"], pause={"deadline": "4s"})
    from tests.unit.operators.tasks import dump_task, pause_task, wait_until

    hub.start(pause_task(hub.topology))
    hub.start(dump_task(hub.topology, "accounts"))
    wait_until(lambda: double.paused)
    hub.answers.clear()
    began = time.monotonic()
    wait_until(lambda: not double.paused)
    assert time.monotonic() - began < 5
    wait_until(lambda: MarkableStore.row("points", "before"))
    hub.answers.set()
    hub.join()
    assert "pause" in hub.errors
