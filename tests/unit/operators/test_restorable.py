"""The wait until a restore point can be restored: looked at from a worker, deferred in between, given up in the end."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from hypothesis import given
from hypothesis import strategies as st

from midtime import stores
from midtime.catalog import Catalog
from midtime.dag_parts import restore_points
from midtime.errors import ManifestError, NotRestorableError, RestorePointNotFoundError, StoreUnreachableError
from midtime.model.instants import utc_now
from midtime.model.restore_point import RestorePoint, State, StoreBackup
from midtime.model.topology import Topology
from midtime.operators.restorable import LATEST, SOONEST, RestorableOperator, next_look
from midtime.stores.base import Restorable
from tests.unit.builders import MIDTIME, days_later, part, point, topology
from tests.unit.fakes import FakeStore


class Archived(FakeStore):
    """A store whose history reaches as far as the test says."""

    said: ClassVar[dict[str, Restorable | Exception]] = {}
    handed: ClassVar[dict[str, tuple[str, ...]]] = {}
    """What need not be asked again, as it was told at the last look."""

    def restorable(self, backup: StoreBackup, passed: Collection[str] = ()) -> Restorable:
        self.handed[backup.store] = tuple(passed)
        said = self.said[backup.store]
        if isinstance(said, Exception):
            raise said
        return said


READY, NOT_YET = Restorable(True, "WAL up to 0/3000000"), Restorable(False, "segment 000000010000000000000003 is missing")


@pytest.fixture
def bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Topology:
    monkeypatch.setitem(stores.ENGINES, ("postgresql", "pitr"), f"{__name__}:{Archived.__name__}")
    body = topology("accounts", "points", destination=f"file://{tmp_path}").model_dump(mode="json", exclude_defaults=True)
    body["stores"][1] |= {"method": "pitr", "wal": {"archive": "file:///wal"}}
    return Topology.model_validate(body)


@pytest.fixture
def catalog(bank: Topology) -> Catalog:
    return Catalog(bank.destination, bank.name)


def publish(catalog: Catalog, *, minutes_ago: int = 0, seconds: int = 0) -> RestorePoint:
    made = point(
        MIDTIME + timedelta(seconds=seconds),
        stores=(part("accounts"), part("points", method="pitr")),
        finished_at=utc_now() - timedelta(minutes=minutes_ago),
    )
    catalog.publish(made)
    return made


def look(bank: Topology, restore_point: str) -> tuple[Any, dict[Any, Any]]:
    task = RestorableOperator(task_id="restorable", topology=bank, restore_point=restore_point, asset=restore_points(bank))
    events: dict[Any, Any] = {task.asset: SimpleNamespace(extra=None)}
    context: Any = {"outlet_events": events}
    return task.execute(context), {key: event.extra for key, event in events.items()}


def test_marked_until_it_is_restorable(bank: Topology, catalog: Catalog) -> None:
    made = publish(catalog)
    assert catalog.newest(1)[0].state is State.MARKED
    with pytest.raises(ManifestError, match="MARKED only"):
        catalog.resolve(made.id)
    with pytest.raises(RestorePointNotFoundError):
        catalog.resolve("latest")
    with pytest.raises(RestorePointNotFoundError):
        catalog.resolve("latest", at=utc_now() + timedelta(days=1))
    Archived.said = {"points": READY}
    returned, (event,) = (lambda found: (found[0], found[1].values()))(look(bank, made.id))
    assert returned == {"points": READY.detail}
    assert event == {"topology": "bank", "restore_point": made.id}
    assert catalog.newest(1)[0].state is State.RESTORABLE
    assert catalog.resolve("latest") == catalog.resolve(made.id) == made
    look(bank, made.id)  # a second try says the same


def test_it_defers_and_looks_again(bank: Topology, catalog: Catalog) -> None:
    made = publish(catalog)
    Archived.said = {"points": NOT_YET}
    with pytest.raises(TaskDeferred) as deferred:
        look(bank, made.id)
    assert deferred.value.method_name == "resume"
    assert deferred.value.trigger.serialize()[1]
    assert catalog.newest(1)[0].state is State.MARKED


def test_it_gives_up(bank: Topology, catalog: Catalog) -> None:
    made = publish(catalog, minutes_ago=61)
    Archived.said = {"points": NOT_YET}
    with pytest.raises(AirflowFailException, match="segment 000000010000000000000003 is missing") as caught:
        look(bank, made.id)
    assert "clear this task" in str(caught.value)
    entry = catalog.newest(1)[0]
    assert entry.state is State.MARKED
    assert "segment 000000010000000000000003 is missing" in entry.reason


def test_the_listing_says_why_nobody_waits_any_more(bank: Topology, catalog: Catalog) -> None:
    """The last reason; cleared and restorable, there is none."""
    made = publish(catalog)
    for why in ("bank.x was deleted", "its recovery is off"):
        Archived.said = {"points": NotRestorableError(why, fix="run the backup again")}
        with pytest.raises(AirflowFailException):
            look(bank, made.id)
        entry = catalog.newest(1)[0]
        assert (entry.state, entry.reason) == (State.MARKED, f"points: {why}")
    Archived.said = {"points": NOT_YET}
    with pytest.raises(TaskDeferred):
        look(bank, made.id)
    Archived.said = {"points": READY}
    look(bank, made.id)
    assert (catalog.newest(1)[0].state, catalog.newest(1)[0].reason) == (State.RESTORABLE, "")


def test_a_store_that_does_not_answer_is_asked_again(bank: Topology, catalog: Catalog) -> None:
    """A wait of an hour outlives a service that is away for a minute; if it stays away, that is what is said in the end."""
    made = publish(catalog)
    Archived.said = {"points": StoreUnreachableError("away", fix="wait")}
    with pytest.raises(TaskDeferred):
        look(bank, made.id)
    late = publish(catalog, minutes_ago=61, seconds=1)
    with pytest.raises(AirflowFailException, match="points: it does not say: away"):
        look(bank, late.id)


def test_what_has_passed_is_not_asked_again(bank: Topology, catalog: Catalog) -> None:
    """Through the deferral, which another process ends; also where a look in between had no answer."""
    made = publish(catalog)
    task = RestorableOperator(task_id="restorable", topology=bank, restore_point=made.id, asset=restore_points(bank))
    context: Any = {"outlet_events": {task.asset: SimpleNamespace(extra=None)}}
    Archived.said = {"points": Restorable(False, "one of two", ("bank/accounts",))}
    with pytest.raises(TaskDeferred) as first:
        task.execute(context)
    assert Archived.handed == {"points": ()}
    Archived.said = {"points": StoreUnreachableError("away", fix="wait")}
    with pytest.raises(TaskDeferred) as second:
        task.resume(context, **json.loads(json.dumps(first.value.kwargs)))
    assert Archived.handed == {"points": ("bank/accounts",)}
    Archived.said = {"points": READY}
    task.resume(context, **json.loads(json.dumps(second.value.kwargs)))
    assert Archived.handed == {"points": ("bank/accounts",)}


class TestSeveral:
    """Every managed store is looked at, whatever the others say."""

    @pytest.fixture
    def three(self, bank: Topology, monkeypatch: pytest.MonkeyPatch) -> Topology:
        monkeypatch.setitem(stores.ENGINES, ("dynamodb", "pitr"), f"{__name__}:{Archived.__name__}")
        body = bank.model_dump(mode="json", exclude_defaults=True)
        body["stores"] += [
            {"name": name, "engine": "dynamodb", "region": region, "namespaces": ["bank"], "restorable_timeout": timeout}
            for name, region, timeout in (("east", "us-east-1", "10m"), ("west", "us-west-1", "2h"))
        ]
        return Topology.model_validate(body)

    def marked(self, catalog: Catalog, minutes_ago: int = 0) -> RestorePoint:
        parts = [part("accounts"), *(part(name, method="pitr") for name in ("points", "east", "west"))]
        made = point(stores=tuple(parts), finished_at=utc_now() - timedelta(minutes=minutes_ago))
        catalog.publish(made)
        return made

    def test_all_of_them(self, three: Topology, catalog: Catalog) -> None:
        made = self.marked(catalog)
        Archived.said = {"points": READY, "east": READY, "west": NOT_YET}
        with pytest.raises(TaskDeferred):
            look(three, made.id)
        assert catalog.newest(1)[0].state is State.MARKED
        Archived.said["west"] = READY
        assert set(look(three, made.id)[0]) == {"points", "east", "west"}
        assert catalog.newest(1)[0].state is State.RESTORABLE

    def test_each_has_its_own_time(self, three: Topology, catalog: Catalog) -> None:
        """A store whose time is over is not waited for because another one may take longer."""
        made = self.marked(catalog, minutes_ago=30)
        Archived.said = {"points": READY, "east": READY, "west": NOT_YET}
        with pytest.raises(TaskDeferred):
            look(three, made.id)
        Archived.said = {"points": READY, "east": NOT_YET, "west": NOT_YET}
        with pytest.raises(AirflowFailException, match=r"east: .*30m.* after .*waited for are 10m \(east\)") as caught:
            look(three, made.id)
        assert "west" not in str(caught.value)

    def test_all_that_is_lost_is_named(self, three: Topology, catalog: Catalog) -> None:
        made = self.marked(catalog)
        lost = NotRestorableError("bank.x was deleted", fix="run the backup again")
        Archived.said = {"points": lost, "east": READY, "west": NotRestorableError("its recovery is off", fix="switch it on")}
        with pytest.raises(AirflowFailException, match=r"points: bank\.x was deleted; west: its recovery is off"):
            look(three, made.id)


@given(st.timedeltas(timedelta(0), timedelta(days=2)))
def test_the_next_look(waited: timedelta) -> None:
    now = utc_now()
    assert SOONEST <= next_look(now - waited, now) <= LATEST


class TestNobodyCanBeAsked:
    """Then it stays MARKED: whatever the topology says today, nobody has seen that history reach its midtime."""

    @pytest.mark.parametrize("change", ["dump", "gone"])
    def test_the_topology_has_changed(self, bank: Topology, catalog: Catalog, change: str) -> None:
        made = publish(catalog)
        body = bank.model_dump(mode="json", exclude_defaults=True)
        if change == "dump":
            del body["stores"][1]["method"], body["stores"][1]["wal"]
        else:
            del body["stores"][1]
        with pytest.raises(AirflowFailException, match="is no point-in-time store of bank any more"):
            look(Topology.model_validate(body), made.id)
        assert catalog.newest(1)[0].state is State.MARKED

    def test_it_is_invalid(self, bank: Topology, catalog: Catalog) -> None:
        made = publish(catalog)
        catalog.invalidate(made.id, "swept")
        Archived.said = {"points": READY}
        with pytest.raises(AirflowFailException, match="is INVALID: swept"):
            look(bank, made.id)

    def test_it_is_gone(self, bank: Topology) -> None:
        with pytest.raises(AirflowFailException, match="is gone"):
            look(bank, point().id)


def test_what_was_newest_at_a_date(catalog: Catalog) -> None:
    """One that waits does not stand in for an older one, nor does one that was not restorable by then."""
    older = days_later(-1, finished_at=utc_now() - timedelta(hours=2))
    catalog.publish(older)
    waiting = publish(catalog, minutes_ago=60)
    assert catalog.resolve("latest", at=utc_now()) == older
    catalog.make_restorable(waiting.id, "reached")
    assert catalog.resolve("latest", at=utc_now() - timedelta(minutes=30)) == older
    assert catalog.resolve("latest", at=utc_now() + timedelta(minutes=1)) == waiting
