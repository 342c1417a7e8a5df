"""The service refuses a restore, or a part of it: an error, a wait, or a difference that is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from midtime.errors import (
    RestoreFailedError,
    StoreAccessError,
    StoreStatementError,
)  # fmt: skip
from tests.unit.stores.azure.service import refusal
from tests.unit.stores.cosmosdb.restores import Subscription, require_whole
from tests.unit.stores.cosmosdb.service import LIVE, OPEN


def test_a_restore_that_is_refused_leaves_nothing_to_wait_for(subscription: Subscription) -> None:
    target, now = subscription.target(drill=True), subscription.memory.now
    with subscription.refusing(403, "AuthorizationFailed", "AuthorizationFailed", of="begin_create_or_update"):
        for _ in range(2):
            with pytest.raises(StoreAccessError, match="access denied"):
                subscription.look(target)
        subscription.store.discard(target)
    assert subscription.memory.now == now


def test_the_operation_failed(subscription: Subscription) -> None:
    subscription.memory.failing["begin_create_or_update"] = "no capacity in Japan East"
    target = subscription.target(drill=True)
    for _ in range(2):
        with pytest.raises(RestoreFailedError, match="InternalServerError: no capacity in Japan East"):
            subscription.restore(target)
    assert subscription.memory.counts["begin_create_or_update"] == 1
    subscription.store.discard(target)
    assert list(subscription.memory.accounts) == [LIVE]


def test_a_change_failed_and_is_tried_again(subscription: Subscription) -> None:
    subscription.memory.failing["begin_update"] = "busy network"
    target = subscription.target(drill=True)
    with pytest.raises(RestoreFailedError, match=r"ipRules.*InternalServerError: busy network"):
        subscription.restore(target)
    subscription.restore(target)
    require_whole(subscription, target)


def test_deleted_meanwhile(subscription: Subscription) -> None:
    target = subscription.target(drill=True)
    while (waiting := subscription.look(target)) and "stored procedure" not in waiting.detail:
        subscription.memory.sleep(10)
    subscription.memory.delete(target.final)
    with pytest.raises(RestoreFailedError, match="was there, and somebody has deleted it"):
        subscription.restore(target)
    assert subscription.memory.counts["begin_create_or_update"] == 1


def test_too_long(subscription: Subscription) -> None:
    subscription.memory.seconds = 1e6
    with pytest.raises(RestoreFailedError, match=r"restore of bank-prod to 2026-11-21T02:05:00Z, after"):
        subscription.restore(subscription.target(drill=True))


def test_expired_in_the_middle(subscription: Subscription) -> None:
    target = subscription.target(drill=True)
    subscription.look(target)
    expired = subscription.refusing(401, "ExpiredAuthenticationToken", "ExpiredAuthenticationToken")
    with expired, pytest.raises(StoreAccessError, match="credentials have expired"):
        subscription.look(target)
    subscription.restore(target)
    require_whole(subscription, target)


def test_a_network_that_does_not_let_the_worker_in(subscription: Subscription) -> None:
    target, memory = subscription.target(drill=True), subscription.memory
    with subscription.refusing(403, "blocked by your Cosmos DB account firewall settings", of="read_container"):
        for _ in range(12):
            waiting = subscription.look(target)
            assert waiting
            memory.sleep(20)
    assert "does not let this worker in: give it a private endpoint" in waiting.detail
    assert subscription.look(target) is None


def test_an_open_account_that_refuses_for_long_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortly after it was opened it may."""
    subscription = Subscription(tmp_path, monkeypatch).fill(**OPEN).mark()
    target, memory = subscription.target(drill=True), subscription.memory
    with subscription.refusing(403, of="read_container"):
        while (waiting := subscription.look(target)) and "does not let this worker in" not in waiting.detail:
            memory.sleep(20)
        memory.sleep(14 * 60)
        assert subscription.look(target)
        memory.sleep(2 * 60)
        with pytest.raises(StoreAccessError):
            subscription.look(target)
    subscription.restore(target)


@pytest.mark.parametrize("properties", [{}, OPEN])
def test_a_key_that_the_account_does_not_take_is_not_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, properties: dict[str, Any]
) -> None:
    """A policy of the company's may have switched keys off; no network rule does that."""
    subscription = Subscription(tmp_path, monkeypatch).fill(**properties).mark()
    target, began = subscription.target(drill=True), subscription.memory.now
    with subscription.refusing(401, of="read_container"), pytest.raises(StoreAccessError):
        subscription.restore(target)
    assert 15 * 60 < subscription.memory.now - began < 20 * 60


@pytest.mark.parametrize("properties", [{}, OPEN])
def test_a_container_that_is_lost_while_indexes_are_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, properties: dict[str, Any]
) -> None:
    subscription = Subscription(tmp_path, monkeypatch).fill(**properties).mark()
    target = subscription.building_indexes()
    del subscription.copy(target).databases["bank"]["accounts"]
    with (
        subscription.refusing(404, "Resource Not Found", of="read_container"),
        pytest.raises(RestoreFailedError, match="bank/accounts is not in"),
    ):
        subscription.look(target)


def test_rules_that_were_set_once_more_have_their_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subscription = Subscription(tmp_path, monkeypatch).fill(**OPEN).mark()
    target, memory = subscription.building_indexes(), subscription.memory
    memory.sleep(3600)
    subscription.copy(target).properties["publicNetworkAccess"] = "Disabled"
    assert subscription.look(target)
    memory.sleep(30)
    with subscription.refusing(403, of="read_container"):
        assert subscription.look(target)
        memory.sleep(16 * 60)
        with pytest.raises(StoreAccessError):
            subscription.look(target)


def test_a_login_that_gets_no_key_is_not_waited_for(subscription: Subscription) -> None:
    """Whatever the account's network rules are."""
    with (
        subscription.refusing(403, "AuthorizationFailed", "AuthorizationFailed", of="list_keys"),
        pytest.raises(StoreAccessError, match="access denied"),
    ):
        subscription.restore(subscription.target(drill=True))


def test_throughput_that_is_refused_is_said_and_left(subscription: Subscription) -> None:
    with subscription.refusing(400, "more than your quota", "BadRequest", of="begin_update_sql_container_throughput"):
        target = subscription.restore(subscription.target(drill=True))
    assert subscription.copy(target).throughputs["bank"] == {"throughput": 800}
    with subscription.store.restored(subscription.backup, target) as restored:
        assert restored.schema_differences() == []
        assert "bank/accounts: throughput was 4000 RU/s, autoscaled, is 1000 RU/s, autoscaled" in restored.setting_differences()


def test_a_procedure_that_is_refused_fails_the_restore(subscription: Subscription) -> None:
    refused = subscription.refusing(400, "no such syntax", "BadRequest", of="begin_create_update_sql_stored_procedure")
    with refused, pytest.raises(StoreStatementError, match="no such syntax"):
        subscription.restore(subscription.target(drill=True))


def test_one_that_is_taken_and_does_not_show(subscription: Subscription, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = subscription.memory
    monkeypatch.setattr(memory, "_script", lambda kind, said, asked: memory._begin(kind, 1, lambda: None, asked))
    with pytest.raises(RestoreFailedError, match=r"stored procedure mutate.js of .*: the service took it 3 times, and it does not show"):
        subscription.restore(subscription.target(drill=True))


def test_triggers_that_the_service_refuses_spoil_nothing(subscription: Subscription) -> None:
    with subscription.refusing(400, code="BadRequest", of="begin_create_update_sql_trigger"):
        target = subscription.restore(subscription.target(drill=True))
    with subscription.store.restored(subscription.backup, target) as restored:
        assert restored.schema_differences() == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_the_service_answers_no_more_now(subscription: Subscription, status: int) -> None:
    target = subscription.target(drill=True)
    subscription.look(target)
    with subscription.refusing(status, "not now"):
        waiting = subscription.look(target)
    assert waiting
    assert "the service does not answer now" in waiting.detail
    subscription.restore(target)
    require_whole(subscription, target)


def test_the_service_takes_no_more_now(subscription: Subscription) -> None:
    refused = iter([429, 503, 412] * 3)

    def refuse(operation: str) -> None:
        if operation.startswith("begin_") and "retrieve" not in operation and (status := next(refused, 0)):
            raise refusal(status, "not now")

    subscription.memory.before_each = refuse
    target = subscription.restore(subscription.target(drill=True))
    require_whole(subscription, target)
