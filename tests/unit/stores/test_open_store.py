"""From a topology's store to the code that knows its engine."""

from __future__ import annotations

from typing import get_args

import pytest

from midtime import stores
from midtime.errors import RequestError
from midtime.model.topology import Target as TargetWish
from midtime.model.topology.cloud import CloudDatabase
from midtime.model.topology.model import AnyStore
from midtime.stores import ENGINES, open_copied, open_managed, open_store
from midtime.stores.base import Check, Target, ask
from midtime.stores.copied import CopiedStore
from midtime.stores.mysql.store import MysqlStore
from midtime.stores.postgresql.store import PostgresqlStore
from tests.unit.builders import LEDGER, topology
from tests.unit.fakes import FakeManagedStore, FakeStore


def test_opens_what_the_table_names(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeStore.install(monkeypatch)
    bank = topology()
    store = open_store(bank, "accounts")
    assert isinstance(store, FakeStore)
    assert (store.topology, store.name) == (bank, "accounts")


@pytest.mark.parametrize("key", sorted(ENGINES))
def test_every_line_of_the_table_exists(key: tuple[str, str]) -> None:
    from importlib import import_module

    module, _, name = ENGINES[key].partition(":")
    assert issubclass(getattr(import_module(module), name), stores.base.Store)


@pytest.mark.parametrize("spec", get_args(AnyStore), ids=lambda spec: spec.__name__)
def test_whatever_a_topology_may_name_has_a_store(spec: type[AnyStore]) -> None:
    (engine,), methods = (get_args(spec.model_fields[key].annotation) for key in ("engine", "method"))
    dumped = {"dump"} if issubclass(spec, CloudDatabase) else set()  # as its dialect's: below
    assert {(engine, method) for method in set(methods) - dumped} == {key for key in ENGINES if key[0] == engine}


SUBSCRIPTION = {"subscription_id": "00000000-0000-0000-0000-000000000000", "resource_group": "g", "server": "s"}
DUMPED = [
    ("rds", {"dialect": "postgresql", "region": "eu-west-1", "instance": "i"}, PostgresqlStore),
    ("rds", {"dialect": "mysql", "region": "eu-west-1", "instance": "i"}, MysqlStore),
    ("aurora", {"dialect": "postgresql", "region": "eu-west-1", "cluster": "c"}, PostgresqlStore),
    ("aurora", {"dialect": "mysql", "region": "eu-west-1", "cluster": "c"}, MysqlStore),
    ("azure_postgresql", SUBSCRIPTION, PostgresqlStore),
    ("azure_mysql", SUBSCRIPTION, MysqlStore),
]


@pytest.mark.parametrize(("engine", "keys", "kind"), DUMPED)
def test_a_managed_database_is_dumped_as_any_other_of_its_dialect(engine: str, keys: dict[str, str], kind: type[CopiedStore]) -> None:
    """Through the connection to its data; the one that governs it is never opened."""
    spec = {
        "name": "accounts",
        "engine": engine,
        "method": "dump",
        "conn_id": "control",
        "data_conn_id": "data",
        "namespaces": ["n"],
        **keys,
    }
    store = open_copied(topology(stores=[spec]), "accounts")
    assert type(store) is kind
    assert store.target(None, run="abc123", drill=True, in_place=False).conn_id == "data"
    assert store.target(TargetWish(data_conn_id="other"), run="abc123", drill=True, in_place=False).conn_id == "other"


def test_two_families(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeStore.install(monkeypatch)
    monkeypatch.setitem(ENGINES, ("dynamodb", "pitr"), f"{FakeManagedStore.__module__}:FakeManagedStore")
    both = topology(
        stores=[
            {"name": "accounts", "engine": "postgresql", "conn_id": "db"},
            {"name": "points", "engine": "dynamodb", "region": "eu-west-1", "namespaces": ["p"]},
        ],
        products=[LEDGER],
        scalardb={"coordinators": [{"store": "points"}]},
    )
    assert isinstance(open_copied(both, "accounts"), FakeStore)
    assert isinstance(open_managed(both, "points"), FakeManagedStore)
    with pytest.raises(RequestError, match="'points' of bank is not copied but marked"):
        open_copied(both, "points")
    with pytest.raises(RequestError, match="'accounts' of bank is not marked but copied"):
        open_managed(both, "accounts")


def test_a_store_that_the_topology_has_no_more() -> None:
    with pytest.raises(RequestError, match="bank has no store 'gone' any more") as caught:
        open_store(topology(), "gone")
    assert "accounts" in caught.value.fix


def test_the_first_bad_answer_ends_the_questions() -> None:
    def bad() -> str:
        raise RequestError("no", fix="do")

    answers = list(ask("s", iter([("a", lambda: "fine"), ("b", bad), ("c", lambda: pytest.fail("asked"))])))
    assert [(each.question, each.ok, each.detail) for each in answers] == [("a", True, "fine"), ("b", False, "no — do")]
    assert isinstance(answers[1].error, RequestError)
    assert answers[1].to_dict() == {"subject": "s", "question": "b", "ok": False, "detail": "no — do"}


def test_what_nobody_foresaw_is_not_an_answer() -> None:
    def broken() -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(ask("s", iter([("a", broken)])))


def test_a_check_is_plain() -> None:
    assert Check("s", "q", True, "d").to_dict() == {"subject": "s", "question": "q", "ok": True, "detail": "d"}


@pytest.mark.parametrize("aside", [None, "bank_before_abcdef"])
def test_a_target_there_and_back(aside: str | None) -> None:
    target = Target("accounts", "db", "working", "final", aside)
    assert Target.from_dict(target.to_dict()) == target
