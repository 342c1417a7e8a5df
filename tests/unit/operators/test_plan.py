"""The plan of a restore or a drill, when retention removes the chosen restore point in that very moment."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from midtime.catalog import Catalog
from midtime.catalog.restore_points import EXPIRED
from midtime.errors import MidtimeError
from midtime.operators import plan as module
from midtime.operators.plan import PlanDrillOperator, PlanRestoreOperator
from midtime.restoring import Plan, reserve
from tests.unit.fakes import FakeStore
from tests.unit.retention_examples import NOW, add, bank

KINDS = {"restore": PlanRestoreOperator, "drill": PlanDrillOperator}


@pytest.fixture(autouse=True)
def fake_store(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeStore.install(monkeypatch)


def plan(catalog: Catalog, kind: str, wanted: str) -> dict[str, Any]:
    operator = KINDS[kind](task_id="plan", topology=bank(catalog))
    dag_run = SimpleNamespace(conf={"restore_point": wanted}, start_date=NOW, run_after=NOW, run_type="manual", logical_date=None)
    context: Any = {
        "params": {},
        "dag_run": dag_run,
        "run_id": "r",
        "dag": SimpleNamespace(dag_id=f"bank__{kind}"),
        "ti": SimpleNamespace(xcom_push=lambda **_: None),
    }
    result: dict[str, Any] = operator.work(context)
    return result


@pytest.fixture
def raced(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was chosen is marked right before the lease is taken, once."""
    chosen: list[str] = []

    def late(of: Catalog, made: Plan, holder: str) -> Any:
        if not chosen:
            catalog.mark(made.restore_point, EXPIRED, "old")
        chosen.append(made.restore_point)
        return reserve(of, made, holder)

    monkeypatch.setattr(module, "reserve", late)
    return chosen


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_latest_is_chosen_again(catalog: Catalog, raced: list[str], kind: str) -> None:
    older, newer = add(catalog, 1, 2)
    made = plan(catalog, kind, "latest")
    assert (made["restore_point"], raced) == (older, [newer, older])
    lease = catalog.leases.current(made["lease"])
    assert lease
    assert not lease.released
    assert lease.details["restore_point"] == older


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_named_one_is_refused(catalog: Catalog, raced: list[str], kind: str) -> None:
    _, newer = add(catalog, 1, 2)
    with pytest.raises(MidtimeError, match=f"{newer} has expired and is being removed: old"):
        plan(catalog, kind, newer)
    assert raced == [newer]
    assert catalog.reserved() == {}
