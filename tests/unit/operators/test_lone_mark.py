"""The mark of a single managed database: at the second at which its run was due, whoever tries how often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from midtime.catalog import Catalog
from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.errors import LeaseHeldError, NotRestorableError
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.operators import mark
from midtime.operators.base import run_name
from midtime.operators.mark import LoneMarkOperator
from tests.unit.builders import part
from tests.unit.builders import topology as build

DUE = datetime(2026, 11, 21, 2, 0, 7, 654321, tzinfo=UTC)
RUN = SimpleNamespace(start_date=DUE + timedelta(seconds=3), run_after=DUE)
CONTEXT: Any = {"dag": SimpleNamespace(dag_id="bank__backup"), "run_id": "scheduled__1", "dag_run": RUN}
SPEC = {
    "name": "accounts", "engine": "rds", "dialect": "postgresql", "region": "eu-west-1", "instance": "bank-prod", "data_conn_id": "bank_db",
    "namespaces": ["bank"],
}  # fmt: skip


class Service:
    """Marks whatever it is asked for."""

    def __init__(self) -> None:
        self.asked: list[datetime] = []
        self.refuses: Exception | None = None

    def mark(self, instant: datetime, *_: Any) -> StoreBackup:
        self.asked.append(instant)
        if self.refuses:
            raise self.refuses
        return part(engine="rds", method="pitr", midtime=instant, tables=())


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    made = Service()
    monkeypatch.setattr(mark, "open_managed", lambda *_: made)
    return made


@pytest.fixture
def bank(destination: str) -> Topology:
    return build(destination=destination, stores=[SPEC], products=[])


@pytest.fixture
def catalog(bank: Topology) -> Catalog:
    made = Catalog(bank.destination, bank.name)
    made.leases.acquire(BACKUP_LEASE, run_name(CONTEXT))
    return made


def marked(bank: Topology) -> dict[str, Any]:
    answer: dict[str, Any] = LoneMarkOperator(task_id="mark_accounts", topology=bank, store="accounts").work(CONTEXT)
    return answer


def test_the_second_at_which_the_run_was_due(bank: Topology, catalog: Catalog, service: Service) -> None:
    """However late it began; a retry marks the same, and says the same."""
    first = marked(bank)
    assert first["midtime"] == "2026-11-21T02:00:07Z"
    assert first["restore_point"].startswith("20261121T020007Z-")
    assert marked(bank) == first
    assert service.asked == [DUE.replace(microsecond=0)] * 2


def test_not_without_the_lease(bank: Topology, service: Service) -> None:
    """Another run may be at work."""
    with pytest.raises(LeaseHeldError):
        marked(bank)
    assert service.asked == []


def test_a_second_that_can_never_be_restored(bank: Topology, catalog: Catalog, service: Service) -> None:
    service.refuses = NotRestorableError("its history begins later", fix="wait")
    with pytest.raises(NotRestorableError):
        marked(bank)
    assert catalog.newest(9) == []
