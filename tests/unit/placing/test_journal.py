"""The journal of a placing, damaged, lost, or of somebody else."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from midtime.catalog import Catalog, objects
from midtime.catalog.placings import PlacingJournal, State, journal_of
from midtime.errors import (
    CatalogError,
    DestinationError,
    LeaseHeldError,
    MidtimeError,
    RestoreFailedError,
)
from midtime.sweeping import sweep
from tests.unit.placing_world import LEASE, NEW, OLD, Run, World, states


class TestJournal:
    def test_written_before_each_act(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[tuple[str, str]] = []
        real = World.act

        def look(world: World, what: str, *args: Any) -> Any:
            seen.append((what, (states(run) or ["-"])[-1]))
            return real(world, what, *args)

        monkeypatch.setattr(World, "act", look)
        run.world.failing["place c"] = 1
        with suppress(MidtimeError):
            run.place()
        assert seen[3:] == [
            ("stop", "stopping"),
            ("place a", "placing a"),
            ("place b", "placing a b"),
            ("place c", "placing a b c"),
            ("back c", "putting back a b c"),
            ("back b", "putting back a b"),
            ("back a", "putting back a"),
            ("start", "put back"),
            ("look", "put back"),
        ]

    def test_it_cannot_be_written(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing is done that it does not say; when it answers again, the retry goes on."""
        real = objects.create

        def fail(path: Any, content: bytes) -> None:
            if b"placing" in content and b'"b"' in content:
                raise DestinationError("down")
            if b"putting back" in content:
                raise DestinationError("down")
            real(path, content)

        with monkeypatch.context() as patch:
            patch.setattr(objects, "create", fail)
            with pytest.raises(RestoreFailedError, match="down; then down"):
                run.place()
        assert run.acts.endswith("stop, place a")
        assert states(run)[-1] == "placing a"
        run.place()
        assert (run.world.whole(), run.world.running) == (NEW, True)

    def test_an_answer_that_was_lost(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """The entry is there, and we were told that it is not: it is ours all the same."""
        real, lost = objects.create, []

        def lose(path: Any, content: bytes) -> None:
            real(path, content)
            if b'"b"' in content and not lost:
                lost.append(path)
                raise DestinationError("no answer")

        monkeypatch.setattr(objects, "create", lose)
        with pytest.raises(DestinationError, match="everything is as it was"):
            run.place()
        assert (run.world.whole(), run.world.running) == (OLD, True)

    def test_a_repeated_request(self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        journal = journal_of(catalog, "restore-1")
        real = objects.create

        def twice(path: Any, content: bytes) -> None:
            real(path, content)
            real(path, content)

        monkeypatch.setattr(objects, "create", twice)
        journal.write(State.STOPPING)
        journal.write(State.PLACING, ("a",))
        assert journal_of(catalog, "restore-1").entry.begun == ("a",)

    def test_only_one_of_two_writes(self, any_catalog: Catalog) -> None:
        one, other = (PlacingJournal(any_catalog.root / ".placings" / "restore-1") for _ in range(2))
        one.write(State.STOPPING, known := (), {"ledger": ("a:1",)})
        with pytest.raises(LeaseHeldError, match="somebody else goes on"):
            other.write(State.PLACED)
        with pytest.raises(LeaseHeldError):
            other.require_newest()
        one.require_newest()
        assert journal_of(any_catalog, "restore-1").entry.addresses == {"ledger": ("a:1",)}
        assert known == ()

    def test_an_unreadable_entry_stops_everybody(self, run: Run) -> None:
        with suppress(MidtimeError):
            run.world.failing["start"] = 1
            run.place()
        objects.create(run.catalog.root / ".placings" / LEASE / "99.json", b"{")
        for who in (run.place, run.release, run.sweep):
            with pytest.raises(CatalogError, match=r"99\.json is unreadable"):
                who()
        assert run.acts.endswith("place c, start")

    def test_it_goes_with_its_lease(self, run: Run) -> None:
        run.place()
        run.release()
        run.sweep()
        assert states(run)
        lease = run.lease
        old = type(lease)(lease.name, lease.generation, lease.holder, lease.expires_at - timedelta(days=2), lease.details, released=True)
        objects.replace(run.catalog.leases.folder / f"{LEASE}.{lease.generation}.json", old.encode())
        list(sweep(run.topology))
        assert states(run) == []
        assert run.catalog.leases.current(LEASE) is None
