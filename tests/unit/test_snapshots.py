"""Snapshots that are left on nodes: the dead's are cleared, the living's are not, and where nothing was noted nobody is asked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from midtime.catalog import Catalog
from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.catalog.snapshot_notes import Note, SnapshotNotes
from midtime.errors import CatalogError, TargetExistsError
from midtime.model.topology import Topology
from midtime.operators.base import run_name
from midtime.operators.preflight import PreflightOperator
from midtime.snapshots import clear_dead, clear_own
from midtime.stores.naming import require_snapshot_tag, snapshot_tag
from midtime.sweeping import sweep
from tests.unit.builders import topology as databases
from tests.unit.operators.tasks import Hub
from tests.unit.snapshot_store import RING, Snapshotted, notes, ring

DEAD = timedelta(minutes=-16)
STALLED = timedelta(minutes=-14)


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> type[Snapshotted]:
    return Snapshotted.install(monkeypatch)


@pytest.fixture
def topology(destination: str) -> Topology:
    return ring(destination)


def left(catalog: Catalog, run: str, store: str = "rows") -> Note:
    """A snapshot that a run has taken."""
    note = SnapshotNotes(catalog).add(store, snapshot_tag("bank", "rows", run), run)
    Snapshotted.standing.add(note.tag)
    return note


class TestSweep:
    def test_a_dead_runs(self, topology: Topology, catalog: Catalog) -> None:
        note = left(catalog, "dead")
        catalog.leases.acquire(BACKUP_LEASE, "dead", ttl=DEAD)
        assert list(sweep(topology)) == [f"cleared snapshot {note.tag} of store rows, taken by dead"]
        assert (Snapshotted.standing, notes(topology)) == (set(), [])

    @pytest.mark.parametrize("ttl", [timedelta(minutes=1), STALLED])
    def test_not_a_living_ones(self, topology: Topology, catalog: Catalog, ttl: timedelta) -> None:
        left(catalog, "living")
        catalog.leases.acquire(BACKUP_LEASE, "living", ttl=ttl)
        assert list(sweep(topology)) == []
        assert Snapshotted.asked == []

    def test_one_whose_lease_was_given_back_or_taken_over(self, topology: Topology, catalog: Catalog) -> None:
        left(catalog, "first")
        catalog.leases.acquire(BACKUP_LEASE, "first")
        catalog.leases.release(BACKUP_LEASE, "first")
        catalog.leases.acquire(BACKUP_LEASE, "second")
        mine = left(catalog, "second")
        assert len(list(sweep(topology))) == 1
        assert notes(topology) == [mine]

    def test_nobody_is_asked_where_nothing_was_noted(self, topology: Topology) -> None:
        Snapshotted.standing.add("midtime-bank-rows-abcdef-0123")
        assert list(sweep(topology)) == []
        assert Snapshotted.asked == []

    def test_a_node_that_does_not_answer_is_named_and_asked_again(self, topology: Topology, catalog: Catalog) -> None:
        """And keeps the sweep green: it may be down for days."""
        note = left(catalog, "dead")
        Snapshotted.down = RING[2]
        for _ in range(2):
            (line,) = sweep(topology)
            assert line.startswith(f"COULD NOT clear snapshot {note.tag} of store rows")
            assert f"node {RING[2]} does not answer" in line
        Snapshotted.down = ""
        assert len(list(sweep(topology))) == 1
        assert notes(topology) == []

    def test_of_a_store_that_is_gone(self, topology: Topology, catalog: Catalog) -> None:
        left(catalog, "dead", store="former")
        (line,) = sweep(topology)
        assert "has no store 'former' any more" in line
        assert len(notes(topology)) == 1

    def test_an_unreadable_note_keeps_nobody_from_the_others(self, topology: Topology, catalog: Catalog) -> None:
        spoilt, whole = left(catalog, "dead"), left(catalog, "dead")
        path: Any = SnapshotNotes(catalog).folder / "rows" / f"{spoilt.tag}.json"
        path.write_text("{")
        told, cleared = sweep(topology)
        assert told.startswith("COULD NOT clear a snapshot: note ")
        assert f"clear snapshot {spoilt.tag} by hand" in told
        assert cleared.startswith(f"cleared snapshot {whole.tag}")
        (again,) = clear_own(topology, catalog, "dead")
        assert again == told

    def test_of_the_last_such_store(self, catalog: Catalog) -> None:
        """The topology has no cluster any more."""
        left(catalog, "dead")
        (line,) = clear_dead(databases("accounts", destination=catalog.destination), catalog)
        assert "has no store 'rows' any more" in line


def test_the_next_backup_clears_what_dead_ones_left(topology: Topology, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    from midtime.operators import preflight

    monkeypatch.setattr(preflight, "backup_checks", lambda *_: iter(()))
    hub = Hub(topology)
    context = hub.context("preflight")
    left(catalog, "dead")
    mine = left(catalog, run_name(context))
    PreflightOperator(task_id="preflight", topology=topology).work(context)
    assert notes(topology) == [mine]
    assert Snapshotted.standing == {mine.tag}


class TestNotes:
    def test_one_of_a_name(self, any_catalog: Catalog) -> None:
        made = SnapshotNotes(any_catalog)
        note = made.add("rows", "t", "run")
        assert made.all() == [note]
        with pytest.raises(CatalogError, match="noted already"):
            made.add("rows", "t", "other")
        made.remove(note)
        made.remove(note)
        assert made.all() == []

    def test_an_unreadable_one_is_told_of(self, catalog: Catalog) -> None:
        made = SnapshotNotes(catalog)
        made.add("rows", "t", "run")
        path: Any = made.folder / "rows" / "t.json"
        path.write_text("{")
        with pytest.raises(CatalogError, match="clear snapshot t by hand"):
            made.all()


@pytest.mark.parametrize(
    "tag",
    [
        "midtime-bank-rows-abcdef",
        "midtime-bank-rows-abcdef-0123-mine",
        "midtime-bank-rows2-abcdef-0123",
        "midtime-bank-2-rows-abcdef-0123",
        "before-upgrade",
        "",
    ],
)
def test_only_our_own_names(tag: str) -> None:
    require_snapshot_tag(snapshot_tag("bank", "rows", "run"), topology="bank", store="rows")
    with pytest.raises(TargetExistsError, match="none that Midtime took"):
        require_snapshot_tag(tag, topology="bank", store="rows")
