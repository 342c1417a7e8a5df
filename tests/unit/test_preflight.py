"""Preflight: every bad answer is told, with the error of the first, and nothing is changed."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from midtime import preflight, stores
from midtime.catalog import Catalog, objects
from midtime.catalog.placings import State, journal_of
from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.errors import CatalogError, DestinationError, LeaseHeldError, MidtimeError, StoreAccessError, StoreUnreachableError, ToolError
from midtime.model.clock_readings import ClockReading
from midtime.model.instants import utc_now
from midtime.preflight import backup_checks, drill_checks, require, restore_checks, snapshot_checks, window_checks
from midtime.stores.base import Check, Target
from tests.unit.builders import LEDGER, part, point, topology
from tests.unit.fakes import FakeManagedStore, FakeStore

GOOD = Check("accounts", "is reachable", True, "yes")


def bad(subject: str, error: MidtimeError | None) -> Check:
    return Check(subject, "is reachable", False, str(error) if error else "no", error)


@pytest.fixture(autouse=True)
def fake_store(monkeypatch: pytest.MonkeyPatch) -> type[FakeStore]:
    monkeypatch.setattr(preflight, "window_checks", lambda _: iter(()))  # test_preflight_window.py asks real endpoints
    return FakeStore.install(monkeypatch)


class TestRequire:
    def test_good(self) -> None:
        assert require(iter([GOOD, GOOD])) == [GOOD, GOOD]
        assert require([]) == []

    @pytest.mark.parametrize("kind", [StoreUnreachableError, ToolError, DestinationError])
    def test_the_first_bad_answer_decides_what_is_raised(self, kind: type[MidtimeError]) -> None:
        error = kind("it is gone", fix="bring it back")
        with pytest.raises(kind) as caught:
            require([GOOD, bad("points", error), GOOD])
        assert (caught.value.message, caught.value.fix, caught.value.__cause__) == ("points: it is gone", "bring it back", error)
        assert caught.value.retryable == kind.retryable

    def test_all_bad_answers_are_told(self) -> None:
        answers = [bad("a", StoreUnreachableError("one")), GOOD, bad("b", ToolError("two", fix="do")), bad("c", None)]
        with pytest.raises(StoreUnreachableError) as caught:
            require(answers)
        assert caught.value.message == "a: one\nb is reachable: two — do\nc is reachable: no"

    def test_a_bad_answer_without_an_error(self) -> None:
        with pytest.raises(MidtimeError, match=r"^c: no$"):
            require([bad("c", None)])

    def test_everything_is_asked_before_anything_is_raised(self) -> None:
        asked: list[str] = []

        def answers() -> object:
            for name in "abc":
                asked.append(name)
                yield bad(name, ToolError(name))

        with pytest.raises(ToolError):
            require(answers())  # type: ignore[arg-type]
        assert asked == ["a", "b", "c"]


class TestBackup:
    def test_good(self, catalog: Catalog) -> None:
        answers = require(backup_checks(topology("accounts", "points"), catalog))
        assert [(each.subject, each.question) for each in answers] == [
            ("destination", "can be written"),
            ("destination", "is in use by"),
            ("destination", "what it holds is replaced"),
            ("accounts", "is fenced"),
            ("accounts", "is reachable"),
            ("accounts", "has client tools"),
            ("points", "is fenced"),
            ("points", "is reachable"),
            ("points", "has client tools"),
        ]

    def test_leaves_nothing(self, any_catalog: Catalog) -> None:
        require(backup_checks(topology(), any_catalog))
        assert objects.names(any_catalog.leases.folder) == []
        assert any_catalog.leases.names() == []
        assert any_catalog.newest(1) == []

    @pytest.mark.parametrize("state", [State.PLACING, State.PUTTING_BACK])
    def test_not_while_a_restore_replaces_the_stores(self, catalog: Catalog, state: State) -> None:
        """A node that was swapped and is not repaired yet is up, and lives in the past; and nobody is writing."""
        journal = journal_of(catalog, "restore_node-abc")
        journal.write(state, ["points"])
        with pytest.raises(LeaseHeldError, match=rf"lease restore_node-abc is {state} points"):
            require(backup_checks(topology(), catalog))
        with pytest.raises(LeaseHeldError):
            require(snapshot_checks(topology(), catalog, stopped=False))
        journal.write(State.PLACED)
        require(backup_checks(topology(), catalog))

    def test_while_a_restore_beside_goes_on(self, catalog: Catalog) -> None:
        """It replaces nothing that is backed up."""
        target = Target("points", "points_db", "midtime_tmp_abc", "points_abc")
        catalog.leases.acquire("restore-abc", "run", details={"targets": [target.to_dict()]})
        journal_of(catalog, "restore-abc").write(State.PLACING, ["points"])
        require(backup_checks(topology(), catalog))
        replacing = replace(target, aside="points_before")
        catalog.leases.acquire("restore-abc", "run", details={"targets": [replacing.to_dict()]})
        with pytest.raises(LeaseHeldError):
            require(backup_checks(topology(), catalog))

    def test_one_bad_store_hides_no_other(self, catalog: Catalog) -> None:
        FakeStore.failures = {"accounts": StoreUnreachableError("down"), "points": StoreAccessError("denied")}
        with pytest.raises(StoreUnreachableError, match=r"accounts: down\npoints is reachable: denied"):
            require(backup_checks(topology("accounts", "points"), catalog))

    def test_a_destination_that_is_full(self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(DestinationError, match="destination: cannot write"):
            require(backup_checks(topology(), catalog))

    def test_a_destination_that_cannot_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        for url in (f"file://{tmp_path}/file/below", "nosuchscheme://bucket"):
            answers = list(backup_checks(topology(), Catalog(url, "bank")))
            assert [(each.subject, each.ok) for each in answers] == [("destination", False), ("accounts", True), ("accounts", True)]

    def test_says_who_is_at_work(self, catalog: Catalog) -> None:
        catalog.leases.acquire(BACKUP_LEASE, "somebody")
        answers = require(backup_checks(topology(), catalog))
        assert "somebody, until" in answers[1].detail
        catalog.leases.release(BACKUP_LEASE, "somebody")
        assert require(backup_checks(topology(), catalog))[1].detail == "nobody"

    def test_an_unreadable_lease(self, catalog: Catalog) -> None:
        objects.create(catalog.leases.folder / f"{BACKUP_LEASE}.1.json", b"")
        with pytest.raises(CatalogError, match="destination: lease file"):
            require(backup_checks(topology(), catalog))


def test_restore_asks_every_target() -> None:
    targets = {name: Target(name, "db", f"w_{name}", f"f_{name}") for name in ("accounts", "points")}
    both = point(stores=(part("accounts"), part("points")))
    answers = require(restore_checks(topology("accounts", "points"), both, targets))
    assert [(each.subject, each.detail) for each in answers] == [("accounts", "w_accounts for accounts"), ("points", "w_points for points")]


class TimedStore(FakeManagedStore):
    """Its clock is two seconds ahead."""

    def read_clock(self) -> ClockReading:
        ahead = timedelta(seconds=2)
        return ClockReading(ahead, ahead + timedelta(milliseconds=20), utc_now())


def test_a_managed_store_tells_its_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only where a window will stand on it, and behind the store's own questions."""
    monkeypatch.setitem(stores.ENGINES, ("dynamodb", "pitr"), f"{__name__}:{TimedStore.__name__}")
    spec = {"name": "points", "engine": "dynamodb", "region": "eu-west-1", "namespaces": ["bank"]}
    bank = topology(destination=f"file://{tmp_path}", stores=[spec], products=[LEDGER])
    asked = [check for check in backup_checks(bank, Catalog(bank.destination, bank.name)) if check.subject == "points"]
    assert [check.question for check in asked] == ["is fenced", "is reachable", "has client tools", "tells its time"]
    assert asked[-1].detail == "its clock is +2.000 s to +2.020 s from this worker's"


@pytest.mark.parametrize(
    ("engine", "keys", "target", "said"),
    [
        ("dynamodb", {"region": "eu-west-1"}, {"region": "us-east-1"}, "another region"),
        ("dynamodb", {"region": "eu-west-1"}, {"prefix": "bank."}, "would count as live ones"),
    ],
)
def test_a_drill_target_that_cannot_be_is_told(engine: str, keys: dict[str, Any], target: dict[str, Any], said: str) -> None:
    spec = {"name": "points", "engine": engine, "namespaces": ["bank"], **keys}
    bank = topology(stores=[spec], products=[LEDGER], drill={"targets": {"points": target}})
    ((subject, question, ok, detail),) = [(each.subject, each.question, each.ok, each.detail) for each in drill_checks(bank)]
    assert (subject, question, ok) == ("points", "can be drilled", False)
    assert said in detail


@pytest.mark.parametrize(("hold", "said"), [("12s", "held for 12s, longer if"), ("auto", "or for as long as the stores' clocks need")])
def test_the_outage_that_is_told_is_the_one_that_was_asked_for(hold: str, said: str) -> None:
    spec = {"name": "points", "engine": "dynamodb", "region": "eu-west-1", "namespaces": ["bank"]}
    lasts = next(window_checks(topology(stores=[spec], products=[LEDGER], pause={"hold": hold, "deadline": "40s"})))
    assert (lasts.question, lasts.ok) == ("lasts", True)
    assert said in lasts.detail
