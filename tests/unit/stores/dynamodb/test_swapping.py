"""In place, and back: from every call at which a process can die, forward as well as back, without a moment in which a table is nowhere."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from midtime.errors import LeaseHeldError, MidtimeError, RestoreFailedError, StoreAccessError, StoreStatementError, TargetExistsError
from midtime.stores import looks
from midtime.stores.base import Target
from midtime.stores.dynamodb import swapping
from midtime.stores.dynamodb.notes import Notes
from tests.unit.stores.dynamodb.memory import RICH, LeftError, refusal
from tests.unit.stores.dynamodb.restores import NAMES, POINT, RICH_TABLE, Account, account

__all__ = ["account"]

LIVE, THEN = {name: f"live {name}" for name in NAMES}, {name: f"then {name}" for name in NAMES}


def settings(account: Account, name: str) -> dict[str, Any]:
    table = account.memory.tables[name]
    return {**table.settings, "tags": {key: value for key, value in table.settings["tags"].items() if not key.startswith("midtime")}}


def scaled(account: Account, name: str) -> tuple[list[str], list[str]]:
    memory = account.memory
    return (
        sorted(r for r, _ in memory.targets if r.split("/")[1] == name),
        sorted(r for r, _, _ in memory.policies if r.split("/")[1] == name),
    )


SCALED = [f"table/{RICH_TABLE}", f"table/{RICH_TABLE}/index/by_owner"]


def require_safe(account: Account) -> None:
    """At each moment."""

    def check() -> None:
        lost = set(LIVE.values()) - account.memory.safe()
        assert not lost, (lost, account.memory.log[-5:])

    account.memory.after_each = check


def live(account: Account) -> dict[str, str]:
    return {name: content for name, content in account.contents().items() if name in NAMES}


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


def test_nothing_is_deleted_before_everything_is_saved(account: Account) -> None:
    target = account.restore(account.target(in_place=True))

    def require_backups(operation: str, asked: Any) -> None:
        if operation == "delete_table":
            ready = {each.of.content for each in account.memory.backups.values() if each.ready_at <= account.memory.now}
            assert ready == {*LIVE.values(), *THEN.values()}

    account.memory.before_each = require_backups
    account.store.place(account.backup, target)
    assert live(account) == THEN


@pytest.mark.parametrize("wait", [0.0, 1000.0])
def test_left_at_any_call_and_gone_on_with(account: Account, wait: float) -> None:
    target = account.restore(account.target(in_place=True))
    require_safe(account)

    def go_on(number: int) -> None:
        account.memory.sleep(wait)
        account.store.place(account.backup, target)
        assert live(account) == THEN, number
        assert settings(account, RICH_TABLE) == RICH, number
        assert scaled(account, RICH_TABLE) == (SCALED, SCALED), number

    assert left_at_each(account, lambda: account.store.place(account.backup, target), go_on, every=2 if wait else 1) > 100


@pytest.mark.parametrize("wait", [0.0, 1000.0])
def test_left_at_any_call_and_gone_back(account: Account, wait: float) -> None:
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

    assert left_at_each(account, lambda: account.store.place(account.backup, target), go_back, every=2 if wait else 1) > 100


def test_left_at_any_call_on_the_way_back(account: Account) -> None:
    target = account.restore(account.target(in_place=True))
    require_safe(account)
    account.store.place(account.backup, target)

    def again(number: int) -> None:
        account.store.put_back(account.backup, target)
        assert live(account) == LIVE, number
        assert settings(account, RICH_TABLE) == RICH, number
        assert {each.name for each in account.memory.backups.values()} == {target.working}, number

    assert left_at_each(account, lambda: account.store.put_back(account.backup, target), again) > 100


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


def one_is_going(account: Account) -> Callable[[Target], bool]:
    return lambda _: any(table.gone_at is not None for table in account.memory.tables.values())


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


def test_without_its_notes_nothing_is_touched(account: Account) -> None:
    target = half_placed(account, one_is_new(account))
    (Path(account.catalog.root.path) / ".copies" / f"{target.working}.json").unlink()
    for act in (account.store.place, account.store.put_back):
        with pytest.raises(MidtimeError, match="notes"):
            act(account.backup, target)


def test_notes_lie_beside_the_restore_points_and_not_among_them(account: Account) -> None:
    half_placed(account, one_is_new(account))
    assert account.catalog.folders() == [POINT]
