"""In place, and back, while somebody, or the service, does something else."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from midtime.errors import RestoreFailedError, StoreAccessError, StoreStatementError, TargetExistsError
from midtime.stores.base import Target
from midtime.stores.dynamodb import swapping
from tests.unit.stores.dynamodb.memory import RICH, refusal
from tests.unit.stores.dynamodb.restores import RICH_TABLE, Account
from tests.unit.stores.dynamodb.swaps import (
    LIVE,
    THEN,
    half_placed,
    live,
    one_is_going,
    one_is_new,
    require_safe,
    settings,
)


@pytest.mark.parametrize("until", [one_is_new, one_is_going])
def test_a_kept_backup_that_is_gone_moves_nothing(account: Account, until: Callable[[Account], Callable[[Target], bool]]) -> None:
    target = half_placed(account, until(account))
    for arn in [arn for arn, each in account.memory.backups.items() if each.name == target.aside]:
        del account.memory.backups[arn]
    before = account.contents()
    with pytest.raises(RestoreFailedError, match="nothing was moved"):
        account.store.put_back(account.backup, target)
    assert account.contents() == before


@pytest.mark.parametrize("restored", [None, {"SourceBackupArn": "somebody's, too"}])
def test_a_table_that_somebody_made_meanwhile(account: Account, restored: dict[str, Any] | None) -> None:
    target = half_placed(account, one_is_new(account))
    account.memory.make(RICH_TABLE, "somebody's").restored = restored
    before = account.contents()
    with pytest.raises(TargetExistsError, match="made by somebody else"):
        account.store.place(account.backup, target)
    with pytest.raises(RestoreFailedError, match="nothing was moved"):
        account.store.put_back(account.backup, target)
    assert account.contents() == before


def test_a_table_that_somebody_made_on_the_way_back(account: Account) -> None:
    """While its name is free: it is his, whatever is to come back there."""
    target = half_placed(account, one_is_new(account))
    made: list[str] = []

    def make(operation: str, asked: Any) -> None:
        if operation == "restore_table_from_backup" and not made:
            made.append(asked["TargetTableName"])
            account.memory.make(made[0], "somebody's")

    account.memory.before_each = make
    with pytest.raises(TargetExistsError, match="made by somebody else"):
        account.store.put_back(account.backup, target)
    account.memory.sleep(1000)
    with pytest.raises(RestoreFailedError, match="is somebody else's"):
        account.store.put_back(account.backup, target)
    assert account.contents()[made[0]] == "somebody's"


def test_a_live_table_that_somebody_deletes_before_it_is_saved(account: Account) -> None:
    """There would be no way back."""
    target = account.restore(account.target(in_place=True))

    def delete(operation: str, asked: Any) -> None:
        if operation == "create_backup" and asked["TableName"] == RICH_TABLE:
            account.memory.tables.pop(RICH_TABLE, None)
            raise refusal("TableInUseException")

    account.memory.before_each = delete
    with pytest.raises(RestoreFailedError, match=r"bank\.accounts is gone, and there is no backup of it"):
        account.store.place(account.backup, target)
    assert not account.memory.counts["delete_table"]


def test_a_live_table_that_is_on_its_way_out_when_it_begins(account: Account) -> None:
    target = account.restore(account.target(in_place=True))
    account.memory.tables[RICH_TABLE].gone_at = account.memory.now + 100
    with pytest.raises(StoreStatementError, match=r"bank\.accounts \(DELETING\)") as caught:
        account.store.place(account.backup, target)
    assert caught.value.retryable
    assert not account.memory.counts["delete_table"]


def test_where_there_is_no_way_back_any_more_it_goes_forward(account: Account) -> None:
    """Some are moved already when the kept backup of one that was deleted is gone."""
    target = half_placed(account, lambda _: RICH_TABLE not in account.contents())
    account.memory.sleep(100)
    gone = f"live {RICH_TABLE}"
    account.memory.backups = {arn: each for arn, each in account.memory.backups.items() if each.of.content != gone}
    account.store.place(account.backup, target)
    assert live(account) == THEN


def test_answers_that_lag_behind(account: Account) -> None:
    """What a replica says may be seconds old, and older than what the one before said."""
    target = account.restore(account.target(in_place=True))
    require_safe(account)
    memory, said = account.memory, dict[str, list[tuple[float, Any]]]()
    current, lags = memory.describe_table, itertools.cycle([0.0, 7.0, 3.0, 9.0])

    def lagging(TableName: str) -> Any:  # noqa: N803
        def ask() -> Any:
            try:
                return current(TableName)
            except ClientError as error:
                return error

        past = said.setdefault(TableName, [])
        past.append((memory.now, ask()))
        at = memory.now - next(lags)
        answer = next((each for when, each in reversed(past) if when <= at), past[0][1])
        if isinstance(answer, ClientError):
            raise answer
        return copy.deepcopy(answer)

    memory.describe_table = lagging  # type: ignore[method-assign]
    account.store.place(account.backup, target)
    memory.sleep(100)
    assert live(account) == THEN
    account.store.put_back(account.backup, target)
    memory.sleep(100)
    assert live(account) == LIVE


@pytest.mark.parametrize("whose", ["live", "then"])
def test_nothing_is_deleted_once_one_of_its_two_backups_is_gone(account: Account, whose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody deletes it when all were there already."""
    target = account.restore(account.target(in_place=True))
    real = swapping.Swap._move

    def move(swap: Any, *arguments: Any) -> Any:
        account.memory.backups = {arn: each for arn, each in account.memory.backups.items() if each.of.content != f"{whose} {RICH_TABLE}"}
        return real(swap, *arguments)

    monkeypatch.setattr(swapping.Swap, "_move", move)
    with pytest.raises(RestoreFailedError, match=r"bank\.accounts has no available backup"):
        account.store.place(account.backup, target)
    assert f"delete_table {RICH_TABLE}" not in account.memory.log


def test_a_table_that_may_not_be_deleted_sends_all_of_them_back(account: Account) -> None:
    """By its resource policy, say."""
    target = account.restore(account.target(in_place=True))

    def refuse(operation: str, asked: Any) -> None:
        if operation == "delete_table" and asked["TableName"] == "scalardb.metadata":
            raise refusal("AccessDeniedException")

    account.memory.before_each = refuse
    require_safe(account)
    with pytest.raises(StoreAccessError, match="access denied"):
        account.store.place(account.backup, target)
    account.memory.sleep(100)
    account.store.put_back(account.backup, target)
    assert live(account) == LIVE
    assert settings(account, RICH_TABLE) == RICH


def test_nothing_is_deleted_without_a_copy_to_put_there(account: Account) -> None:
    target = account.restore(account.target(in_place=True))
    arn = next(arn for arn, each in account.memory.backups.items() if each.of.content == THEN[RICH_TABLE])
    del account.memory.backups[arn]
    with pytest.raises(RestoreFailedError, match="nothing was touched"):
        account.store.place(account.backup, target)
    assert live(account) == LIVE
    account.store.put_back(account.backup, target)
    account.store.discard(target)
    assert account.contents() == LIVE


def test_a_table_that_was_dropped_since_is_brought_back_and_goes_again(account: Account) -> None:
    target = account.restore(account.target(in_place=True))
    del account.memory.tables["coordinator.state"]
    account.store.place(account.backup, target)
    assert live(account) == THEN
    account.store.put_back(account.backup, target)
    assert live(account) == {name: content for name, content in LIVE.items() if name != "coordinator.state"}


def test_quotas_and_busy_tables_cost_time_only(account: Account) -> None:
    account.memory.restores = 1
    account.restore(target := account.target(in_place=True))
    turns = iter(range(10**9))

    def now_and_then(operation: str, asked: Any) -> None:
        if not operation.startswith(("describe", "list", "get")) and next(turns) % 3 == 0:
            raise refusal(["ThrottlingException", "LimitExceededException", "ResourceInUseException"][next(turns) % 3])

    account.memory.before_each = now_and_then
    require_safe(account)
    account.store.place(account.backup, target)
    assert live(account) == THEN
    assert settings(account, RICH_TABLE) == RICH
    account.store.put_back(account.backup, target)
    assert live(account) == LIVE
    assert account.memory.most == 1


def test_deleted_and_not_said(account: Account) -> None:
    """The SDK asks again by itself, and there is no such table any more."""
    account.restore(target := account.target(in_place=True))
    plain = account.memory.delete_table

    def forgetful(TableName: str) -> None:  # noqa: N803
        plain(TableName)
        raise refusal("ResourceNotFoundException")

    account.memory.delete_table = forgetful  # type: ignore[method-assign]
    account.store.place(account.backup, target)
    assert live(account) == THEN


@pytest.mark.parametrize("operation", ["put_scaling_policy", "put_resource_policy", "update_time_to_live"])
def test_what_the_login_may_not_put_back_is_said(account: Account, operation: str, caplog: pytest.LogCaptureFixture) -> None:
    target = account.restore(account.target(in_place=True))

    def refuse(called: str, asked: Any) -> None:
        if called == operation:
            raise refusal("AccessDeniedException")

    account.memory.before_each = refuse
    account.store.place(account.backup, target)
    assert live(account) == THEN
    assert "could not be put back" in caplog.text
    assert "Not as in the mark: bank.accounts" in caplog.text
