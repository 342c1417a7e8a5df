"""What tests of the way into place and back share: what is live, and how to be left in the middle."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midtime.stores.base import Target
from tests.unit.stores.dynamodb.memory import LeftError
from tests.unit.stores.dynamodb.restores import NAMES, RICH_TABLE, Account

LIVE, THEN = {name: f"live {name}" for name in NAMES}, {name: f"then {name}" for name in NAMES}
SCALED = [f"table/{RICH_TABLE}", f"table/{RICH_TABLE}/index/by_owner"]


def settings(account: Account, name: str) -> dict[str, Any]:
    table = account.memory.tables[name]
    return {**table.settings, "tags": {key: value for key, value in table.settings["tags"].items() if not key.startswith("midtime")}}


def scaled(account: Account, name: str) -> tuple[list[str], list[str]]:
    memory = account.memory
    return (
        sorted(r for r, _ in memory.targets if r.split("/")[1] == name),
        sorted(r for r, _, _ in memory.policies if r.split("/")[1] == name),
    )


def require_safe(account: Account) -> None:
    """At each moment."""

    def check() -> None:
        lost = set(LIVE.values()) - account.memory.safe()
        assert not lost, (lost, account.memory.log[-5:])

    account.memory.after_each = check


def live(account: Account) -> dict[str, str]:
    return {name: content for name, content in account.contents().items() if name in NAMES}


def left_at_each(account: Account, begin: Callable[[], None], check: Callable[[int], None], *, every: int = 1) -> int:
    """Begin again and again from the same state, to be left at the first call, at the second, ...

    :return: how many calls there were
    """
    memory, folder = account.memory, Path(account.catalog.root.path)
    objects = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    before = copy.deepcopy((memory.tables, memory.backups, memory.targets, memory.policies, memory.now, memory.leaving))
    number = 0
    while True:
        memory.tables, memory.backups, memory.targets, memory.policies, memory.now, memory.leaving = copy.deepcopy(before)
        for path in [path for path in folder.rglob("*") if path.is_file() and path not in objects]:
            path.unlink()
        for path, content in objects.items():
            path.write_bytes(content)
        memory.counts.clear()
        memory.leave_at = number
        try:
            begin()
        except LeftError:
            memory.leave_at = None
            check(number)
            number += every
            continue
        memory.leave_at = None
        return memory.counts.total()


def half_placed(account: Account, until: Callable[[Target], bool]) -> Target:
    """Left as soon as it has come so far."""
    target = account.restore(account.target(in_place=True))

    def leave(operation: str, asked: Any) -> None:
        if until(target):
            raise LeftError

    account.memory.before_each = leave
    with pytest.raises(LeftError):
        account.store.place(account.backup, target)
    account.memory.before_each = lambda operation, asked: None
    return target


def one_is_new(account: Account) -> Callable[[Target], bool]:
    return lambda _: any(
        table.content.startswith("then") and name in NAMES and table.ready_at <= account.memory.now
        for name, table in account.memory.tables.items()
    )


def one_is_going(account: Account) -> Callable[[Target], bool]:
    return lambda _: any(table.gone_at is not None for table in account.memory.tables.values())


def half_back(account: Account, operation: str) -> Target:
    """In place, and left on the way back at the second call of that kind."""
    target = account.restore(account.target(in_place=True))
    account.store.place(account.backup, target)
    account.memory.counts.clear()

    def leave(called: str, asked: Any) -> None:
        if called == operation and account.memory.counts[operation] == 2:
            raise LeftError

    account.memory.before_each = leave
    with pytest.raises(LeftError):
        account.store.put_back(account.backup, target)
    account.memory.before_each = lambda operation, asked: None
    account.memory.sleep(100)
    return target
