"""From every call at which a process can die, forward as well as back; and the dead that were only slow."""

from __future__ import annotations

import pytest

from midtime.errors import LeaseHeldError
from midtime.stores import looks
from midtime.stores.dynamodb import swapping
from midtime.stores.dynamodb.notes import Notes
from tests.unit.every_day import EACH
from tests.unit.stores.dynamodb.memory import RICH
from tests.unit.stores.dynamodb.restores import RICH_TABLE, Account
from tests.unit.stores.dynamodb.swaps import (
    LIVE,
    SCALED,
    THEN,
    half_back,
    left_at_each,
    live,
    require_safe,
    scaled,
    settings,
)


@EACH
@pytest.mark.parametrize("wait", [0.0, 1000.0])
def test_left_at_any_call_and_gone_on_with(account: Account, wait: float, every: int) -> None:
    target = account.restore(account.target(in_place=True))
    require_safe(account)

    def go_on(number: int) -> None:
        account.memory.sleep(wait)
        account.store.place(account.backup, target)
        assert live(account) == THEN, number
        assert settings(account, RICH_TABLE) == RICH, number
        assert scaled(account, RICH_TABLE) == (SCALED, SCALED), number

    assert left_at_each(account, lambda: account.store.place(account.backup, target), go_on, every=every) > 100


@EACH
@pytest.mark.parametrize("wait", [0.0, 1000.0])
def test_left_at_any_call_and_gone_back(account: Account, wait: float, every: int) -> None:
    target = account.restore(account.target(in_place=True))
    require_safe(account)

    def go_back(number: int) -> None:
        account.memory.sleep(wait)
        account.store.put_back(account.backup, target)
        assert live(account) == LIVE, number
        assert settings(account, RICH_TABLE) == RICH, number
        assert scaled(account, RICH_TABLE) == (SCALED, SCALED), number
        account.store.discard(target)
        assert (account.contents(), account.memory.backups) == (LIVE, {}), number

    assert left_at_each(account, lambda: account.store.place(account.backup, target), go_back, every=every) > 100


@EACH
def test_left_at_any_call_on_the_way_back(account: Account, every: int) -> None:
    target = account.restore(account.target(in_place=True))
    require_safe(account)
    account.store.place(account.backup, target)

    def again(number: int) -> None:
        account.store.put_back(account.backup, target)
        assert live(account) == LIVE, number
        assert settings(account, RICH_TABLE) == RICH, number
        assert {each.name for each in account.memory.backups.values()} == {target.working}, number

    assert left_at_each(account, lambda: account.store.put_back(account.backup, target), again, every=every) > 100


def test_who_has_begun_to_go_back_ends_it_before_he_goes_forward_again(account: Account) -> None:
    target = half_back(account, "restore_table_from_backup")
    assert Notes(account.topology, target).going_back
    account.store.place(account.backup, target)
    assert live(account) == THEN
    account.store.put_back(account.backup, target)
    assert live(account) == LIVE


def test_left_while_the_kept_backups_are_removed(account: Account) -> None:
    """Of the tables that were put back nobody could tell any more where they are from."""
    target = half_back(account, "delete_backup")
    account.store.put_back(account.backup, target)
    assert live(account) == LIVE
    assert {each.name for each in account.memory.backups.values()} == {target.working}


def test_one_that_stood_still_goes_no_further_once_another_goes_back(account: Account) -> None:
    target = account.restore(account.target(in_place=True))

    def other() -> None:
        if account.memory.counts["delete_table"]:
            account.memory.after_each = lambda: None
            account.store.put_back(account.backup, target)

    account.memory.after_each = other
    with pytest.raises(LeaseHeldError, match="put back by somebody else"):
        account.store.place(account.backup, target)
    account.memory.sleep(100)
    assert live(account) == LIVE


def test_nor_once_another_has_gone_back_and_begun_afresh(account: Account) -> None:
    """What is live by then is not what the first one has seen and saved."""
    target = account.restore(account.target(in_place=True))

    def other() -> None:
        if account.memory.counts["delete_table"]:
            account.memory.after_each = lambda: None
            account.store.put_back(account.backup, target)
            swapping.Swap(account.store.aws, Notes(account.topology, target))._keep()

    account.memory.after_each = other
    with pytest.raises(LeaseHeldError, match="put back by somebody else"):
        account.store.place(account.backup, target)
    account.memory.sleep(100)
    assert live(account) == LIVE


def test_between_two_looks_too(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the one would bring back what the other has just deleted, for ever."""
    target, looked = account.restore(account.target(in_place=True)), list[int]()

    def sleep(seconds: float) -> None:
        account.memory.sleep(seconds)
        if RICH_TABLE not in account.contents():
            Notes(account.topology, target).say_going_back()
            looked.append(len(account.memory.log))

    monkeypatch.setattr(looks, "sleep", sleep)
    with pytest.raises(LeaseHeldError, match="put back by somebody else"):
        account.store.place(account.backup, target)
    (at,) = looked
    assert not [call for call in account.memory.log[at:] if call.startswith(("restore", "delete"))]
