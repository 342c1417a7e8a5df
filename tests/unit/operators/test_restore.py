"""A restore that a service carries out: looked at by a worker, deferred in between, and timed from the first look on."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from midtime import stores
from midtime.catalog import Catalog
from midtime.errors import MidtimeError, NotRestorableError, StoreUnreachableError
from midtime.model.instants import from_rfc3339, to_rfc3339, utc_now
from midtime.model.restore_point import StoreBackup
from midtime.operators.base import run_name
from midtime.operators.restore import RestoreOperator
from midtime.restoring import RestoreRequest, make_plan, reserve
from midtime.stores.base import Say, Shelf, Target, Waiting
from tests.unit.builders import point, topology
from tests.unit.fakes import FakeStore
from tests.unit.placing_world import CONTEXT


class Slow(FakeStore):
    """Says what the test says, look after look."""

    looks: ClassVar[list[Waiting | MidtimeError | None]] = []

    def restore(self, backup: StoreBackup, shelf: Shelf, target: Target, say: Say) -> Waiting | None:  # type: ignore[override]
        found = self.looks.pop(0)
        if isinstance(found, MidtimeError):
            raise found
        return found


WAITING = Waiting("1 of 2 tables restored", timedelta(seconds=7))


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RestoreOperator:
    monkeypatch.setitem(stores.ENGINES, ("postgresql", "dump"), f"{__name__}:{Slow.__name__}")
    bank, manifest = topology("accounts", destination=f"file://{tmp_path}"), point()
    catalog = Catalog(bank.destination, bank.name)
    catalog.publish(manifest)
    plan = make_plan(bank, RestoreRequest(), manifest, kind="restore", run=run_name(CONTEXT))
    reserve(catalog, plan, run_name(CONTEXT))
    return RestoreOperator(task_id="restore_accounts", topology=bank, store="accounts", plan=plan.to_dict())


def test_done_at_once(operator: RestoreOperator) -> None:
    Slow.looks = [None]
    done = operator.execute(CONTEXT)
    assert (done["store"], done["seconds"] < 5) == ("accounts", True)


def test_deferred_between_two_looks(operator: RestoreOperator) -> None:
    Slow.looks = [WAITING, WAITING, None]
    with pytest.raises(TaskDeferred) as first:
        operator.execute(CONTEXT)
    assert first.value.method_name == "resume"
    assert from_rfc3339(first.value.trigger.at) - utc_now() <= timedelta(seconds=7)
    kwargs: Any = first.value.kwargs
    with pytest.raises(TaskDeferred) as second:
        operator.resume(CONTEXT, None, **kwargs)
    assert second.value.kwargs == kwargs, "timed from the first look on"
    lease = operator.catalog.leases.current(operator.plan["lease"])
    assert lease
    assert lease.live(utc_now() + timedelta(minutes=10)), "it waits for the next look"
    hours = to_rfc3339(utc_now() - timedelta(hours=3))
    assert operator.resume(CONTEXT, None, began=hours)["seconds"] == pytest.approx(3 * 3600, abs=5)


@pytest.mark.parametrize(
    ("error", "raised"), [(NotRestorableError("gone"), AirflowFailException), (StoreUnreachableError("away"), StoreUnreachableError)]
)
def test_errors_after_a_deferral_are_those_of_any_task(operator: RestoreOperator, error: MidtimeError, raised: type[Exception]) -> None:
    Slow.looks = [error]
    with pytest.raises(raised):
        operator.resume(CONTEXT, None, began=to_rfc3339(utc_now()))
