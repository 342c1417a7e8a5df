"""In place, and back, without a moment in which a table is nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from midtime.errors import MidtimeError
from tests.unit.stores.dynamodb.memory import RICH
from tests.unit.stores.dynamodb.restores import NAMES, POINT, RICH_TABLE, Account
from tests.unit.stores.dynamodb.swaps import (
    LIVE,
    SCALED,
    THEN,
    half_placed,
    live,
    one_is_new,
    require_safe,
    scaled,
    settings,
)


def test_placed_with_its_settings_and_what_was_live_is_kept(account: Account) -> None:
    target = account.restore(account.target(in_place=True))
    require_safe(account)
    assert live(account) == LIVE
    billed: list[Any] = []
    account.memory.before_each = lambda operation, asked: billed.append(asked) if "BillingMode" in asked else None
    account.store.place(account.backup, target)
    assert live(account) == THEN
    assert settings(account, RICH_TABLE) == RICH
    assert scaled(account, RICH_TABLE) == (SCALED, SCALED)
    assert billed == [], "the restore itself brings billing and capacity: of each table no more is changed than must be"
    account.store.discard(target)
    account.memory.after_each = lambda: None
    assert sorted(account.contents()) == sorted(NAMES)
    kept = {each.of.content for each in account.memory.backups.values()}
    assert kept == set(LIVE.values())
    assert {each.name for each in account.memory.backups.values()} == {target.aside}


def test_back_again_nothing_is_left_of_it(account: Account) -> None:
    target = account.restore(account.target(in_place=True))
    require_safe(account)
    account.store.place(account.backup, target)
    account.store.put_back(account.backup, target)
    assert live(account) == LIVE
    assert settings(account, RICH_TABLE) == RICH
    assert scaled(account, RICH_TABLE) == (SCALED, SCALED)
    assert {each.name for each in account.memory.backups.values()} == {target.working}
    account.store.put_back(account.backup, target)
    account.store.place(account.backup, target)  # the same run's, once more
    assert live(account) == THEN
    account.store.put_back(account.backup, target)
    account.store.discard(target)
    assert account.contents() == LIVE
    assert account.memory.backups == {}


def test_what_placed_nothing_changes_nothing(account: Account) -> None:
    target = account.restore(account.target(in_place=True))
    ids = {name: table.id for name, table in account.memory.tables.items()}
    account.store.put_back(account.backup, target)
    assert {name: table.id for name, table in account.memory.tables.items()} == ids
    account.store.discard(target)
    account.store.discard(target)
    assert account.contents() == LIVE


def test_nothing_is_deleted_before_everything_is_saved(account: Account) -> None:
    target = account.restore(account.target(in_place=True))

    def require_backups(operation: str, asked: Any) -> None:
        if operation == "delete_table":
            ready = {each.of.content for each in account.memory.backups.values() if each.ready_at <= account.memory.now}
            assert ready == {*LIVE.values(), *THEN.values()}

    account.memory.before_each = require_backups
    account.store.place(account.backup, target)
    assert live(account) == THEN


def test_so_few_are_gone_at_once_as_are_restored_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account(tmp_path, monkeypatch, parallel_restores=2).fill((*NAMES, *(f"bank.t{number}" for number in range(6)))).mark()
    target = account.restore(account.target(in_place=True))
    names = [name for name in account.memory.tables if not name.startswith("midtime")]
    worst = 0

    def count() -> None:
        nonlocal worst
        there = [account.memory.tables.get(name) for name in names]
        worst = max(worst, sum(each is None or each.gone_at is not None or each.ready_at > account.memory.now for each in there))

    account.memory.after_each = count
    account.store.place(account.backup, target)
    assert worst == 2


def test_without_its_notes_nothing_is_touched(account: Account) -> None:
    target = half_placed(account, one_is_new(account))
    (Path(account.catalog.root.path) / ".copies" / f"{target.working}.json").unlink()
    for act in (account.store.place, account.store.put_back):
        with pytest.raises(MidtimeError, match="notes"):
            act(account.backup, target)


def test_notes_lie_beside_the_restore_points_and_not_among_them(account: Account) -> None:
    half_placed(account, one_is_new(account))
    assert account.catalog.folders() == [POINT]
