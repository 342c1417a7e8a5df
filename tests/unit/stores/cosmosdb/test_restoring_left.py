"""Whoever is killed when, and whatever answer is lost: one restore is asked for, and no account stays behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from midtime.errors import RestoreFailedError, StoreUnreachableError
from midtime.stores.naming import COPY_TAG
from tests.unit.every_day import EACH
from tests.unit.stores.azure.service import refusal
from tests.unit.stores.cosmosdb.restores import Subscription, require_whole
from tests.unit.stores.cosmosdb.service import LIVE


@pytest.mark.parametrize("answer_lost", [False, True])
def test_left_at_any_call_and_gone_on_with(subscription: Subscription, answer_lost: bool) -> None:
    """Killed before a call, or when it has taken effect: one restore is asked for, and everything is there in the end."""
    memory, target, number = subscription.memory, subscription.target(drill=True), 1
    memory.answer_lost = answer_lost
    while True:
        begun = memory.counts["begin_create_or_update"]
        with subscription.leaving(number) as left:
            subscription.restore(target)
        if not left():
            break
        subscription.restore(target)
        require_whole(subscription, target)
        assert memory.counts["begin_create_or_update"] == begun + 1, number
        with subscription.leaving(1 + number % 7):
            subscription.store.discard(target)
        subscription.store.discard(target)
        assert list(memory.accounts) == [LIVE], number
        number += 1 if number < 12 else 4
    assert number > 100


@EACH
@pytest.mark.parametrize("answer_lost", [False, True])
def test_left_while_it_is_placed(subscription: Subscription, answer_lost: bool, every: int) -> None:
    memory, number = subscription.memory, 1
    memory.answer_lost = answer_lost
    while True:
        target = subscription.restore(subscription.target(to="bank-new"))
        with subscription.leaving(number) as left:
            subscription.store.place(subscription.backup, target)
        if not left():
            break
        if number % 2:
            subscription.store.place(subscription.backup, target)
            assert subscription.copy(target).tags[COPY_TAG] == f"placed {target.working}"
            assert subscription.copy(target).databases["bank"]["midtime_fence"].resource["defaultTtl"] == 5184000
        subscription.store.put_back(subscription.backup, target)
        subscription.store.discard(target)
        assert list(memory.accounts) == [LIVE], number
        number += every
    assert number > 20


def test_the_answer_to_the_restore_was_lost(subscription: Subscription, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, target = subscription.memory, subscription.target(drill=True)
    real = memory.begin_create_or_update

    def lost(*said: Any, **asked: Any) -> None:
        real(*said, **asked)
        raise refusal(504, "gateway")

    monkeypatch.setattr(memory, "begin_create_or_update", lost)
    assert subscription.look(target)
    subscription.restore(target)
    require_whole(subscription, target)
    assert memory.counts["begin_create_or_update"] == 1


def test_what_was_asked_for_and_is_not_to_be_seen_is_waited_for(subscription: Subscription, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, target = subscription.memory, subscription.target(drill=True)
    real = memory.begin_create_or_update

    def lost(*said: Any, **asked: Any) -> None:
        raise refusal(504, "gateway")

    monkeypatch.setattr(memory, "begin_create_or_update", lost)
    subscription.look(target)
    memory.sleep(60)
    waiting = subscription.look(target)
    assert waiting
    assert "not to be seen yet" in waiting.detail
    assert memory.counts["begin_create_or_update"] == 1
    monkeypatch.setattr(memory, "begin_create_or_update", real)
    memory.sleep(60)
    subscription.restore(target)
    require_whole(subscription, target)


def test_discarded_before_the_account_is_to_be_seen(subscription: Subscription, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process died with its request on the way: the sweeper must not forget the account that comes of it."""
    memory, target = subscription.memory, subscription.target(drill=True)
    real = memory.begin_create_or_update
    on_its_way: list[Callable[[], None]] = []

    def slow(*said: Any, **asked: Any) -> None:
        on_its_way.append(lambda: real(*said, **asked))
        raise refusal(504, "gateway")

    monkeypatch.setattr(memory, "begin_create_or_update", slow)
    subscription.look(target)
    memory.before_each = lambda operation: on_its_way.pop()() if on_its_way and memory.now > 1230 else None
    subscription.store.discard(target)
    for late in on_its_way:
        late()
    assert list(memory.accounts) == [LIVE]


@pytest.mark.parametrize("seconds", [90, 600])
def test_discarded_when_it_is_made_and_not_to_be_seen_yet(
    subscription: Subscription, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """Whoever forgot it now would have it stay, and cost, for ever: its name says that it is there."""
    memory, target = subscription.memory, subscription.target(drill=True)
    subscription.look(target)
    real, seen_at = memory.get, memory.now + memory.seconds + seconds

    def get(group: str, asked: str) -> Any:
        if asked == target.final and memory.now < seen_at:
            raise refusal(404, f"The Resource {asked} was not found", "ResourceNotFound")
        return real(group, asked)

    monkeypatch.setattr(memory, "get", get)
    memory.sleep(memory.seconds)
    for _ in range(4):
        with suppress(StoreUnreachableError):
            subscription.store.discard(target)
    assert list(memory.accounts) == [LIVE]


def test_the_name_stays_taken_when_the_account_is_deleted(subscription: Subscription) -> None:
    """By an account that was seen nobody is kept: it is gone."""
    memory, target = subscription.memory, subscription.restore(subscription.target(drill=True))
    memory.taken.add(target.final)
    subscription.store.discard(target)
    assert list(memory.accounts) == [LIVE]


def test_one_that_is_being_deleted_is_given_time(subscription: Subscription, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, target = subscription.memory, subscription.restore(subscription.target(drill=True))
    real = memory._begin
    monkeypatch.setattr(memory, "_begin", lambda operation, seconds, *said, **asked: real(operation, 1500, *said, **asked))
    subscription.store.discard(target)
    assert list(memory.accounts) == [LIVE]
    assert memory.counts["begin_delete"] == 1


def test_an_account_that_is_being_restored_goes_later(subscription: Subscription) -> None:
    memory, target = subscription.memory, subscription.target(drill=True)
    memory.seconds = 3600
    subscription.look(target)
    with pytest.raises(StoreUnreachableError, match=r"cannot be removed yet: .*in progress"):
        subscription.store.discard(target)
    memory.sleep(3600)
    subscription.store.discard(target)
    assert list(memory.accounts) == [LIVE]


def test_the_operation_is_forgotten_and_the_restore_fails(subscription: Subscription) -> None:
    """Its containers are there, its data are not."""
    memory, target = subscription.memory, subscription.target(drill=True)
    subscription.look(target)
    copy = subscription.copy(target)
    memory.operations.clear()
    memory.sleep(30)
    assert subscription.look(target)
    live = memory.accounts[LIVE]
    for of in live.databases:
        copy.databases[of] = {name: memory._restored(each, {"restoreWithTtlDisabled": True}) for name, each in live.databases[of].items()}
        copy.throughputs[of] = {"throughput": 400} if live.throughputs[of] else None
    copy.state = "Failed"
    with pytest.raises(RestoreFailedError):
        subscription.restore(target)


def test_the_operation_fails_before_the_account_says_so(subscription: Subscription) -> None:
    """Once the account is gone, nobody asks for a second one."""
    memory, target = subscription.memory, subscription.target(drill=True)
    memory.failing["begin_create_or_update"] = "no capacity"
    memory.seconds = 3
    subscription.look(target)
    copy = subscription.copy(target)
    memory.sleep(10)
    memory._sweep()
    copy.state = "Creating"
    for _ in range(2):
        with pytest.raises(RestoreFailedError, match="no capacity"):
            subscription.look(target)
        memory.accounts.pop(target.final, None)
        memory.sleep(200)
    assert memory.counts["begin_create_or_update"] == 1


@EACH
def test_put_back_while_its_tag_is_on_the_way(subscription: Subscription, every: int) -> None:
    """It would stay, and be charged for, as one that was placed."""
    memory = subscription.memory
    memory.answer_lost = True
    for number in range(1, 400, every):
        target = subscription.restore(subscription.target(to="bank-new"))
        with subscription.leaving(number) as left:
            subscription.store.place(subscription.backup, target)
        if not left():
            break
        subscription.store.put_back(subscription.backup, target)
        subscription.store.discard(target)
        assert list(memory.accounts) == [LIVE], (number, memory.log[-1])
    assert number > 3


@pytest.mark.parametrize("end", ["discarded", "gone on with"])
def test_the_topology_names_another_subscription_meanwhile(subscription: Subscription, end: str) -> None:
    """The account is looked for where it was asked for, not where nobody has it."""
    target = subscription.target(drill=True)
    subscription.look(target)
    subscription.move(subscription_id="00000000-0000-0000-0000-000000000000")
    if end == "gone on with":
        subscription.restore(target)
        require_whole(subscription, target)
        with subscription.store.restored(subscription.backup, target) as restored:
            assert restored.schema_differences() == []
    subscription.memory.sleep(60)
    subscription.store.discard(target)
    assert list(subscription.memory.accounts) == [LIVE]
    assert subscription.memory.counts["begin_create_or_update"] == 1
