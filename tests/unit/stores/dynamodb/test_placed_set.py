"""A restore in place from the plan to its end, by the operators: killed at any call, then ended by the teardown or gone on with by a retry."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from midtime import products
from midtime.catalog import objects
from midtime.model.restore_point import RestorePoint, State
from midtime.operators.base import run_name
from midtime.operators.release import ReleaseRestoreOperator
from midtime.operators.restore import PlaceOperator, RestoreOperator
from midtime.restoring import Plan, RestoreRequest, make_plan, reserve
from midtime.stores.dynamodb.store import DynamodbStore
from tests.unit.builders import point
from tests.unit.placing_world import CONTEXT
from tests.unit.stores.dynamodb.memory import LeftError
from tests.unit.stores.dynamodb.restores import POINT, Account
from tests.unit.stores.dynamodb.swaps import LIVE, THEN, left_at_each, live, require_safe


class Products:
    """They run, or they are stopped."""

    def __init__(self, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        self.running, self.account = True, account
        monkeypatch.setattr(products, "find_all", lambda _: {"ledger": ("a:1",)})
        monkeypatch.setattr(products, "stop_all", self.stop)
        monkeypatch.setattr(products, "start_all", self.start)
        monkeypatch.setattr(products, "require_serving", lambda _: iter(()))

    def stop(self, *_: Any, again: bool) -> None:
        self.running = False

    def start(self, _: Any) -> None:
        assert live(self.account) in (LIVE, THEN), "started on a mixed set"
        self.running = True


@pytest.fixture
def serving(account: Account, monkeypatch: pytest.MonkeyPatch) -> Products:
    monkeypatch.setattr("midtime.placing.open_store", lambda *_: account.store)
    monkeypatch.setattr("midtime.operators.restore.open_store", lambda *_: account.store)
    monkeypatch.setattr("midtime.operators.release.open_store", lambda *_: account.store)
    monkeypatch.setattr(DynamodbStore, "drill_questions", lambda _: iter(()))
    return Products(account, monkeypatch)


@pytest.fixture
def published(account: Account) -> RestorePoint:
    manifest = point(account.backup.midtime, stores=(account.backup,), topology=account.topology.name).model_copy(update={"id": POINT})
    account.catalog.publish(manifest)
    account.catalog.make_restorable(POINT, "")
    return manifest


@pytest.fixture
def plan(account: Account, published: RestorePoint, serving: Products, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Restored, and verified."""
    monkeypatch.setattr("midtime.restoring.open_store", lambda *_: account.store)
    made = make_plan(account.topology, RestoreRequest(in_place=True), published, kind="restore", run=run_name(CONTEXT))
    reserve(account.catalog, made, run_name(CONTEXT))
    account.restore(made.targets[0])
    require_safe(account)
    return made


def place(account: Account, plan: Plan) -> None:
    PlaceOperator(task_id="place", topology=account.topology, plan=plan.to_dict()).work(CONTEXT)


def release(account: Account) -> None:
    ReleaseRestoreOperator(task_id="release", topology=account.topology, kind="restore").work(CONTEXT)


def state(account: Account) -> State:
    entry = account.catalog.entry(POINT)
    assert entry
    return entry.state


def test_to_the_end(account: Account, plan: Plan, serving: Products) -> None:
    place(account, plan)
    assert (live(account), serving.running, state(account)) == (THEN, True, State.INVALID)
    account.memory.after_each = lambda: None
    release(account)
    assert account.contents() == THEN
    assert {each.name for each in account.memory.backups.values()} == {plan.targets[0].aside}


def test_the_restoring_task_is_deferred(account: Account, plan: Plan) -> None:
    account.memory.after_each = lambda: None
    account.store.discard(plan.targets[0])
    operator = RestoreOperator(task_id="restore_points", topology=account.topology, store="points", plan=plan.to_dict())
    looks = []
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(CONTEXT)
    while not looks or looks[-1] is None:
        account.memory.sleep(10)
        try:
            looks.append(operator.resume(CONTEXT, None, **deferred.value.kwargs))
        except TaskDeferred:
            looks.append(None)
    assert len(looks) > 1
    assert looks[-1]["store"] == "points"


@pytest.mark.parametrize("retried", [True, False])
def test_killed_at_any_call(account: Account, plan: Plan, serving: Products, retried: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes, states = set(), set()

    def go_on(number: int) -> None:
        if retried:
            place(account, plan)
        check, account.memory.after_each = account.memory.after_each, lambda: None
        release(account)
        account.memory.after_each = check
        outcome = account.contents()
        assert outcome in ((THEN,) if retried else (LIVE, THEN)), number
        assert serving.running, number
        same = {name: account.memory.tables[name].id for name in LIVE} == account.backup.details["tables"]
        assert state(account) is (State.RESTORABLE if same else State.INVALID), number
        states.add(state(account))
        left = {each.name for each in account.memory.backups.values()}
        assert left == ({plan.targets[0].aside} if outcome == THEN else set()), number
        outcomes.add(outcome == THEN)

    def begin() -> None:
        serving.running = True
        place(account, plan)

    for name in ("create", "replace"):
        real = getattr(objects, name)

        def alive(path: Any, content: bytes, real: Any = real) -> None:
            if account.memory.left:
                raise LeftError
            real(path, content)

        monkeypatch.setattr(objects, name, alive)
    assert left_at_each(account, begin, go_on, every=7) > 100
    assert outcomes == ({True} if retried else {True, False}), "what was in place already when it died stays there"
    assert states == ({State.INVALID} if retried else {State.INVALID, State.RESTORABLE}), "what goes back may be made anew for that"
