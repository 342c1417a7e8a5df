"""Whoever is killed when, and whatever answer is lost: one restore is asked for, and no server stays behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from midtime.errors import RestoreFailedError, StoreUnreachableError
from midtime.stores.azure_database.notes import Notes
from midtime.stores.naming import COPY_TAG
from tests.unit.stores.azure.service import refusal
from tests.unit.stores.azure_database.memory import LIVE
from tests.unit.stores.azure_database.restores import Subscription, require_whole


@pytest.mark.parametrize("answer_lost", [False, True])
def test_left_at_any_call_and_gone_on_with(subscription: Subscription, answer_lost: bool) -> None:
    """Killed before a call, or when it has taken effect: one restore is asked for, and everything is there in the end."""
    memory, target, number = subscription.memory, subscription.target(drill=True), 1
    memory.answer_lost = memory.keeps_nothing = True
    memory.answer_lost = answer_lost
    while True:
        begun = memory.counts[memory.create]
        with subscription.leaving(number) as left:
            subscription.restore(target)
        if not left():
            break
        subscription.restore(target)
        require_whole(subscription, target)
        assert memory.counts[memory.create] == begun + 1, number
        with subscription.leaving(1 + number % 7):
            subscription.store.discard(target)
        subscription.store.discard(target)
        assert list(memory.servers) == [LIVE], number
        number += 1 if number < 20 else 3
    assert number > 40


@pytest.mark.parametrize("answer_lost", [False, True])
def test_left_while_it_is_placed(subscription: Subscription, answer_lost: bool) -> None:
    memory, number = subscription.memory, 1
    memory.answer_lost = answer_lost
    while True:
        target = subscription.restore(subscription.target(to="claims-new"))
        with subscription.leaving(number) as left:
            subscription.store.place(subscription.backup, target)
        if not left():
            break
        if number % 2:
            subscription.store.place(subscription.backup, target)
            assert subscription.copy(target).tags[COPY_TAG] == f"placed {target.working}"
            assert subscription.copy(target).said["highAvailability"]["mode"] == "ZoneRedundant"
        subscription.store.put_back(subscription.backup, target)
        subscription.store.discard(target)
        assert list(memory.servers) == [LIVE], number
        number += 1
    assert number > 15


def test_the_answer_to_the_restore_was_lost(subscription: Subscription, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, target = subscription.memory, subscription.target(drill=True)
    real = getattr(memory, memory.create)

    def lost(*said: Any, **asked: Any) -> None:
        real(*said, **asked)
        raise refusal(504, "gateway")

    monkeypatch.setattr(memory, memory.create, lost)
    assert subscription.look(target)
    subscription.restore(target)
    require_whole(subscription, target)
    assert memory.counts[memory.create] == 1


def test_what_was_asked_for_and_is_not_to_be_seen_is_waited_for(subscription: Subscription, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, target = subscription.memory, subscription.target(drill=True)
    real = getattr(memory, memory.create)

    def lost(*said: Any, **asked: Any) -> None:
        raise refusal(504, "gateway")

    monkeypatch.setattr(memory, memory.create, lost)
    subscription.look(target)
    memory.sleep(60)
    waiting = subscription.look(target)
    assert waiting
    assert "not to be seen yet" in waiting.detail
    assert memory.counts[memory.create] == 1
    monkeypatch.setattr(memory, memory.create, real)
    memory.sleep(60)
    subscription.restore(target)
    require_whole(subscription, target)


def test_discarded_before_the_server_is_to_be_seen(subscription: Subscription, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process died with its request on the way: the sweeper must not forget the server that comes of it."""
    memory, target = subscription.memory, subscription.target(drill=True)
    real = getattr(memory, memory.create)
    on_its_way: list[Callable[[], None]] = []

    def slow(*said: Any, **asked: Any) -> None:
        on_its_way.append(lambda: real(*said, **asked))
        raise refusal(504, "gateway")

    monkeypatch.setattr(memory, memory.create, slow)
    subscription.look(target)
    comes_at = memory.now + 30
    memory.before_each = lambda operation: on_its_way.pop()() if on_its_way and memory.now > comes_at else None
    subscription.store.discard(target)
    assert on_its_way == []
    assert list(memory.servers) == [LIVE]


def hide(subscription: Subscription, monkeypatch: pytest.MonkeyPatch, name: str, seconds: float) -> None:
    """ARM's own 404, though the operation is over: Azure/azure-rest-api-specs 19546 (PostgreSQL), 21178 (MySQL)."""
    memory = subscription.memory
    real, seen_at = memory.servers_get, memory.now + memory.seconds + seconds

    def get(group: str, asked: str) -> Any:
        if asked == name and memory.now < seen_at:
            raise refusal(404, f"The Resource {name} was not found", "ResourceNotFound")
        return real(group, asked)

    monkeypatch.setattr(memory, "servers_get", get)


def lose_the_answer(subscription: Subscription, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = subscription.memory
    real = getattr(memory, memory.create)

    def lost(*said: Any, **asked: Any) -> None:
        real(*said, **asked)
        raise refusal(504, "gateway")

    monkeypatch.setattr(memory, memory.create, lost)


@pytest.mark.parametrize(("answered", "seconds"), [(True, 90), (False, 300)])
def test_made_and_not_to_be_seen_yet(subscription: Subscription, monkeypatch: pytest.MonkeyPatch, answered: bool, seconds: float) -> None:
    """Neither has somebody deleted it, nor has somebody else its name."""
    memory, target = subscription.memory, subscription.target(drill=True)
    hide(subscription, monkeypatch, target.final, seconds)
    if not answered:
        lose_the_answer(subscription, monkeypatch)
    subscription.restore(target)
    require_whole(subscription, target)
    assert memory.counts[memory.create] == 1


@pytest.mark.parametrize(("answered", "seconds"), [(True, 90), (True, 300), (False, 300)])
def test_discarded_when_it_is_made_and_not_to_be_seen_yet(
    subscription: Subscription, monkeypatch: pytest.MonkeyPatch, answered: bool, seconds: float
) -> None:
    """Whoever forgot it now would have it stay, and cost, for ever."""
    memory, target = subscription.memory, subscription.target(drill=True)
    hide(subscription, monkeypatch, target.final, seconds)
    if not answered:
        lose_the_answer(subscription, monkeypatch)
    subscription.look(target)
    memory.sleep(memory.seconds)
    for _ in range(3):
        with suppress(StoreUnreachableError):
            subscription.store.discard(target)
    assert list(memory.servers) == [LIVE]


@pytest.mark.parametrize("looked", [True, False])
def test_the_name_stays_taken_when_the_server_is_deleted(subscription: Subscription, looked: bool) -> None:
    """By a server that was seen nobody is kept: it is gone."""
    memory, target = subscription.memory, subscription.target(drill=True)
    subscription.look(target)
    if looked:
        subscription.look(target)
    memory.sleep(memory.seconds)
    memory.taken.add(target.final)
    subscription.store.discard(target)
    assert list(memory.servers) == [LIVE]
    assert memory.now < 4260 + 120, "nor was it waited for"


def test_a_name_that_somebody_else_took_is_not_waited_for_without_end(subscription: Subscription, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, target = subscription.memory, subscription.target(drill=True)

    def lost(*said: Any, **asked: Any) -> None:
        raise refusal(504, "gateway")

    monkeypatch.setattr(memory, memory.create, lost)
    subscription.look(target)
    memory.taken.add(target.final)
    with pytest.raises(StoreUnreachableError, match="its name is taken"):
        subscription.store.discard(target)
    memory.sleep(3600)
    subscription.store.discard(target)


def test_the_note_of_what_was_asked_for_is_only_a_hint(subscription: Subscription) -> None:
    memory, target = subscription.memory, subscription.target(drill=True)
    subscription.look(target)
    Notes(subscription.topology, target).forget_progress()
    subscription.restore(target)
    require_whole(subscription, target)
    assert memory.counts[memory.create] == 1


def test_deleted_before_anybody_has_seen_it(subscription: Subscription) -> None:
    """It is not waited for in vain, and not asked for again."""
    memory, target = subscription.memory, subscription.target(drill=True)
    subscription.look(target)
    memory.sleep(60)
    memory._sweep()
    memory.servers.pop(target.final)
    with pytest.raises(RestoreFailedError, match="somebody has deleted it"):
        subscription.restore(target)
    assert memory.counts[memory.create] == 1
    subscription.store.discard(target)


def test_a_server_that_is_being_restored_goes_later(subscription: Subscription) -> None:
    memory, target = subscription.memory, subscription.target(drill=True)
    memory.seconds = 3600
    subscription.look(target)
    with pytest.raises(StoreUnreachableError, match=r"cannot be removed yet: .*in progress"):
        subscription.store.discard(target)
    memory.sleep(3600)
    subscription.store.discard(target)
    assert list(memory.servers) == [LIVE]


@pytest.mark.parametrize("gone", [True, False])
def test_the_operation_fails(subscription: Subscription, gone: bool) -> None:
    """Whether or not a wreck stays: nobody asks for a second one, and nothing is left of it."""
    memory, target = subscription.memory, subscription.target(drill=True)
    memory.failing[memory.create] = "no capacity"
    subscription.look(target)
    memory.sleep(60)
    memory._sweep()
    if gone:
        memory.servers.pop(target.final)
    for _ in range(2):
        with pytest.raises(RestoreFailedError, match="no capacity"):
            subscription.look(target)
    assert memory.counts[memory.create] == 1
    memory.servers.pop(target.final, None)
    memory.sleep(300)
    subscription.store.discard(target)
    assert list(memory.servers) == [LIVE]


def test_somebody_deletes_it_meanwhile(subscription: Subscription) -> None:
    memory, target = subscription.memory, subscription.target(drill=True)
    subscription.look(target)
    subscription.look(target)
    memory.servers.pop(target.final)
    memory.operations.clear()
    with pytest.raises(RestoreFailedError, match="somebody has deleted it"):
        subscription.look(target)
    assert memory.counts[memory.create] == 1


@pytest.mark.parametrize("end", ["discarded", "gone on with"])
def test_the_topology_names_another_subscription_meanwhile(subscription: Subscription, end: str) -> None:
    """The server is looked for where it was asked for, not where nobody has it."""
    target = subscription.target(drill=True)
    subscription.look(target)
    subscription.change(subscription_id="00000000-0000-0000-0000-000000000000")
    if end == "gone on with":
        subscription.restore(target)
        require_whole(subscription, target)
    subscription.memory.sleep(60)
    subscription.store.discard(target)
    assert list(subscription.memory.servers) == [LIVE]
    assert subscription.memory.counts[subscription.memory.create] == 1
