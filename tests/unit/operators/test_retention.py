"""The operator of ``midtime__retention``: what it is asked for, for which topologies, and how it fails."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from midtime.catalog import Catalog
from midtime.errors import DestinationError
from midtime.model.topology import Topology
from midtime.operators.retention import RetentionOperator
from midtime.retention import Outcome, Retention
from tests.unit import retention_examples as examples
from tests.unit.builders import days_later, topology
from tests.unit.retention_examples import NOW, add, bank, snapshot

PARAMS = {"dry_run": False, "topology": None}


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    examples.at(monkeypatch)


def run(*topologies: Topology, conf: dict[str, Any] | None = None) -> Any:
    operator = RetentionOperator(task_id="retention", topologies=list(topologies))
    dag_run = SimpleNamespace(conf=conf, start_date=NOW, run_after=NOW)
    context: Any = {"params": PARAMS, "dag_run": dag_run, "run_id": "r", "dag": SimpleNamespace(dag_id="midtime__retention")}
    return operator.execute(context)


def test_what_it_returns(catalog: Catalog) -> None:
    old, _ = add(catalog, 1, 99)
    assert run(bank(catalog)) == {
        "bank": {
            "removed": [old],
            "kept": 1,
            "reasons": {old: "older than 0 days, and not one of the newest 1"},
            "half_written": [],
            "bases": [],
            "content": 0,
            "dry_run": False,
        }
    }


def test_a_dry_run_by_conf(catalog: Catalog) -> None:
    old, _ = add(catalog, 1, 99)
    before = snapshot(catalog)
    said = run(bank(catalog), conf={"dry_run": True})
    assert (said["bank"]["removed"], said["bank"]["dry_run"]) == ([old], True)
    assert snapshot(catalog) == before


def test_one_topology_by_conf(catalog: Catalog, destination: str) -> None:
    add(catalog, 1, 99)
    shop = Catalog(destination, "shop")
    for day in (1, 99):
        shop.publish(days_later(day, topology="shop"))
    other = topology(name="shop", destination=destination, retention={"keep_last": 1, "keep_days": 0})
    assert list(run(bank(catalog), other, conf={"topology": "shop"})) == ["shop"]
    assert (len(catalog.folders()), len(shop.folders())) == (2, 1)


@pytest.mark.parametrize(
    "conf",
    [{"dryrun": True}, {"dry-run": True}, {"dry_run": "true"}, {"dry_run": 1}, {"dry_run": None}, {"topology": "shop"}, {"topology": 3}],
)
def test_what_makes_no_sense_removes_nothing(catalog: Catalog, conf: dict[str, Any]) -> None:
    """A misspelt `dry_run` above all."""
    add(catalog, 1, 99)
    with pytest.raises(AirflowFailException):
        run(bank(catalog), conf=conf)
    assert len(catalog.folders()) == 2


@pytest.mark.parametrize("error", [ValueError("a driver's own"), DestinationError("down", fix="wait")])
def test_one_topology_s_trouble_keeps_no_other_from_being_done(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    done: list[str] = []

    def fake(self: Retention) -> Outcome:
        if self.topology.name == "bank":
            raise error
        done.append(self.topology.name)
        return self.outcome

    monkeypatch.setattr(Retention, "run", fake)
    with pytest.raises(type(error), match=str(error)):
        run(topology(), topology(name="shop"))
    assert done == ["shop"]
