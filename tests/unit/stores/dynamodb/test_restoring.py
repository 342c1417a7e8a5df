"""Copies: whose they are, how many are under way, how long all of them take, and that another's table is never touched."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from midtime.errors import (
    NotRestorableError,
    RequestError,
    RestoreFailedError,
    StoreAccessError,
    StoreUnreachableError,
    TargetExistsError,
)
from midtime.stores.base import Target
from midtime.stores.naming import COPY_TAG
from tests.unit.stores.dynamodb.memory import PLAIN, RICH, START, Memory, refusal
from tests.unit.stores.dynamodb.restores import NAMES, RICH_TABLE, Account, shortest
from tests.unit.stores.dynamodb.swaps import LIVE, SCALED, left_at_each, scaled
from tests.unit.stores.dynamodb.swaps import settings as settings_of


def copies(account: Account, target: Target) -> dict[str, str]:
    return {name: content for name, content in account.contents().items() if name not in NAMES}


def test_a_drill(account: Account) -> None:
    target = account.restore(account.target(drill=True, to="drill_"))
    assert target.working.startswith("drill_midtime_tmp_abc123_")
    assert copies(account, target) == {f"{target.working}_{name}": f"then {name}" for name in NAMES}
    for name in copies(account, target):
        copy = account.memory.tables[name].settings
        assert (copy["tags"], copy["billing"], copy["period"], copy["protected"]) == (
            {COPY_TAG: target.working},
            "PAY_PER_REQUEST",
            None,
            False,
        )
    assert not [resource for resource, _ in account.memory.targets if target.working in resource]
    account.store.place(account.backup, target)
    account.store.put_back(account.backup, target)
    account.store.discard(target)
    assert account.contents() == LIVE
    assert account.memory.backups == {}


def test_beside_it_stays_with_its_settings(account: Account) -> None:
    target = account.restore(account.target(to="new_"))
    account.store.place(account.backup, target)
    account.store.place(account.backup, target)
    account.store.discard(target)
    assert copies(account, target) == {f"new_{name}": f"then {name}" for name in NAMES}
    name = f"new_{RICH_TABLE}"
    assert settings_of(account, name) == RICH
    assert scaled(account, name)[0] == [each.replace(RICH_TABLE, name) for each in SCALED]


def test_beside_and_back_the_names_are_free_again(account: Account) -> None:
    target = account.restore(account.target(to="new_"))
    account.store.place(account.backup, target)
    account.store.put_back(account.backup, target)
    account.store.discard(target)
    assert account.contents() == LIVE


def test_beside_without_a_wish(account: Account) -> None:
    assert account.target().final == "restored_abc123_"


def test_in_place_under_other_names(account: Account) -> None:
    """It would be beside, and other stores of the set be replaced."""
    with pytest.raises(RequestError, match="a restore in place takes the live tables' own names, so 'aws_admin' means nothing"):
        account.target(in_place=True, to="aws_admin")


@pytest.mark.parametrize("kind", ["drill", "beside", "in place"])
def test_left_at_any_call_and_looked_at_again(account: Account, kind: str) -> None:
    target = account.target(drill=kind == "drill", in_place=kind == "in place", to="new_" if kind == "beside" else None)

    def again(number: int) -> None:
        account.restore(target)
        assert sorted(copies(account, target).values()) == [f"then {name}" for name in NAMES], number
        account.store.discard(target)
        assert (account.contents(), account.memory.backups) == (LIVE, {}), number

    assert left_at_each(account, lambda: account.restore(target), again) > 20


def test_left_at_any_call_and_discarded(account: Account) -> None:
    """What is still being restored goes at a later try."""
    target = account.target(to="new_")

    def discard(number: int) -> None:
        if any(table.ready_at > account.memory.now for table in account.memory.tables.values()):
            with pytest.raises(StoreUnreachableError, match="cannot be removed yet"):
                account.store.discard(target)
            account.memory.sleep(60)
        account.store.discard(target)
        assert account.contents() == LIVE, number

    assert left_at_each(account, lambda: account.restore(target), discard) > 20


def test_left_at_any_call_of_a_discard(account: Account) -> None:
    target = account.restore(account.target(in_place=True))

    def again(number: int) -> None:
        account.store.discard(target)
        assert (account.contents(), account.memory.backups) == (LIVE, {}), number

    assert left_at_each(account, lambda: account.store.discard(target), again) > 10


def test_backups_that_are_listed_for_a_while_after_they_were_deleted(account: Account) -> None:
    target = account.restore(account.target(in_place=True))
    memory, gone = account.memory, list[tuple[float, Any]]()
    plain = memory.list_backups

    def lagging(**asked: Any) -> Any:
        said = plain(**asked)["BackupSummaries"]
        there = [each for each in said if each["BackupArn"] not in [known["BackupArn"] for _, known in gone]]
        gone.extend((memory.now, each) for each in there)
        late = [each for when, each in gone if memory.now < when + 30]
        ended = [{**each, "BackupStatus": "DELETED"} for _, each in gone]  # which the service lists, too
        return {"BackupSummaries": [*late, *ended]}

    memory.list_backups = lagging  # type: ignore[method-assign]
    memory.counts.clear()
    account.store.discard(target)
    assert memory.counts["list_backups"] < 30
    assert memory.backups == {}


def test_done_and_not_said(account: Account) -> None:
    """An answer is lost, the table is being made."""
    memory, lost = account.memory, set[str]()
    plain = memory.restore_table_to_point_in_time

    def forgetful(**asked: Any) -> None:
        plain(**asked)
        if asked["TargetTableName"] not in lost:
            lost.add(asked["TargetTableName"])
            raise refusal("InternalServerError")

    memory.restore_table_to_point_in_time = forgetful  # type: ignore[method-assign]
    target = account.restore(account.target(drill=True))
    assert len(copies(account, target)) == len(lost) == len(NAMES)


def test_a_name_that_is_taken(account: Account) -> None:
    account.memory.make(f"new_{RICH_TABLE}", "somebody's")
    target = account.target(to="new_")
    with pytest.raises(TargetExistsError, match="there already"):
        account.look(target)
    account.store.discard(target)
    assert account.contents()[f"new_{RICH_TABLE}"] == "somebody's"


@pytest.mark.parametrize(
    "restored",
    [
        None,
        {"RestoreDateTime": START + timedelta(seconds=301)},
        {"SourceTableArn": "arn:aws:dynamodb:ap-northeast-1:123456789012:table/bank.other"},
        {"SourceBackupArn": "somebody's"},
    ],
)
def test_nothing_but_its_own_is_discarded(account: Account, restored: dict[str, Any] | None) -> None:
    """Under the copies' own names: made, or restored to another instant, of another table, from a backup."""
    target = account.restore(account.target(to="new_"))
    table = account.memory.tables[f"new_{RICH_TABLE}"]
    table.restored = restored and {**(table.restored or {}), **restored}
    account.store.discard(target)
    assert list(copies(account, target)) == [table.name]


@pytest.mark.parametrize("said", ["midtime_tmp_ffffff", "placed {}"])
def test_nor_what_is_another_runs_or_placed(account: Account, said: str) -> None:
    target = account.restore(account.target(to="new_"))
    table = account.memory.tables[f"new_{RICH_TABLE}"]
    table.settings["tags"][COPY_TAG] = said.format(target.working)
    account.store.discard(target)
    assert list(copies(account, target)) == [table.name]


def test_another_table_came_to_stand_there(account: Account) -> None:
    account.memory.restores = 1
    target = account.target(drill=True)
    assert account.look(target)
    missing = next(name for name in (f"{target.working}_{each}" for each in NAMES) if name not in account.memory.tables)
    account.memory.make(missing, "somebody's")
    with pytest.raises(TargetExistsError, match="somebody else's"):
        account.look(target)
    account.memory.sleep(100)
    account.store.discard(target)
    assert list(copies(account, target)) == [missing]


def test_one_that_is_put_off_keeps_no_other_waiting(account: Account) -> None:
    """The largest is asked for first; that it is busy says nothing of the others, as a full quota would."""

    def refuse(operation: str, asked: Any) -> None:
        if operation.startswith("restore") and asked["SourceTableName"] == RICH_TABLE and account.memory.now < 2000:
            raise refusal("TableInUseException")

    account.memory.tables[RICH_TABLE].size = 10**9
    account.memory.before_each = refuse
    target = account.target(drill=True)
    assert account.look(target)
    assert next(call for call in account.memory.log if call.startswith("restore")).endswith(RICH_TABLE)
    assert len(copies(account, target)) == len(NAMES) - 1
    account.restore(target)
    assert len(copies(account, target)) == len(NAMES)


def test_two_runs_that_came_to_the_same_names_are_told_apart(account: Account) -> None:
    """Restored from the same table to the same second: only the tag says whose it is."""
    target, name = account.target(to="new_"), f"new_{RICH_TABLE}"
    assert account.look(target)
    account.memory.sleep(60)
    account.memory.tables[name].settings["tags"][COPY_TAG] = "placed midtime_tmp_ffffff"
    with pytest.raises(TargetExistsError, match=f"{name} is somebody else's"):
        account.look(target)
    account.store.discard(target)
    assert list(copies(account, target)) == [name]


@pytest.mark.parametrize("left", [True, False])
def test_a_login_that_expires_while_it_is_waited_for(account: Account, left: bool) -> None:
    """It is said, nothing is lost, and once it is renewed the same run goes on, or ends."""
    expired = True

    def refuse(operation: str, asked: Any) -> None:
        if expired:
            raise refusal("ExpiredTokenException")

    target = account.target(drill=True)
    assert account.look(target)
    account.memory.before_each = refuse
    with pytest.raises(StoreAccessError, match="credentials have expired") as caught:
        account.look(target)
    assert not caught.value.retryable
    expired = False
    account.memory.sleep(60)
    if left:
        account.store.discard(target)
        assert account.contents() == LIVE
    else:
        assert sorted(copies(account, account.restore(target)).values()) == [f"then {name}" for name in NAMES]


@pytest.mark.parametrize("what", ["deleted", "made anew", "switched off"])
def test_a_history_that_is_gone(account: Account, what: str) -> None:
    memory, target = account.memory, account.target(drill=True)
    if what == "switched off":
        memory.tables[RICH_TABLE].settings["period"] = None
    else:
        del memory.tables[RICH_TABLE]
        if what == "made anew":
            memory.make(RICH_TABLE, "another", PLAIN)
    for ask_or_do in (Account.answers, Account.look):
        with pytest.raises(NotRestorableError, match=f"{RICH_TABLE} (was deleted|is another table|has its point-in-time recovery)"):
            ask_or_do(account, target)
    assert copies(account, target) == {}


def test_what_is_waited_for_is_said(account: Account) -> None:
    account.memory.restores = 2
    target = account.target(drill=True)
    first = account.look(target)
    assert first
    assert first.detail.startswith("0 of 4 tables restored, 2 under way; the service takes no more now")
    assert "LimitExceededException" in first.detail
    assert account.memory.counts["restore_table_to_point_in_time"] == 3, "nobody else is asked for once the quota is full"
    assert first.look_again == timedelta(seconds=5)
    account.memory.sleep(30)
    second = account.look(target)
    assert second
    assert second.detail == "2 of 4 tables restored, 2 under way"


def test_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account(tmp_path, monkeypatch, restore_timeout="1s").fill().mark()
    target = account.target(drill=True)
    account.memory.before_each = lambda operation, asked: account.memory.sleep(1)
    with pytest.raises(RestoreFailedError, match=r"4 under way.*, after"):
        account.look(target)


def test_access_denied_is_no_quota(account: Account) -> None:
    def refuse(operation: str, asked: Any) -> None:
        if operation.startswith("restore"):
            raise refusal("AccessDeniedException")

    account.memory.before_each = refuse
    with pytest.raises(StoreAccessError, match="access denied"):
        account.look(account.target(drill=True))


@settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_many_tables_in_nearly_the_shortest_time(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """Minutes to hours; sizes say roughly how long. With 200 tables: the benchmark."""
    tables, slots = 60, 15
    kinds = st.sampled_from([600.0, 900.0, 1800.0, 3600.0, 7200.0])
    seconds = data.draw(st.lists(st.one_of(kinds, st.floats(600, 7200)), min_size=tables, max_size=tables))
    with pytest.MonkeyPatch.context() as patch:
        names = [*NAMES[1:], *(f"bank.t{number}" for number in range(tables - len(NAMES) + 1))]
        durations = dict(zip(names, seconds, strict=True))
        memory = Memory(seconds=lambda name: durations[name.split("_points_", 1)[1]])
        account = Account(tmp_path_factory.mktemp("pace"), patch, memory, parallel_restores=slots)
        for name in names:
            memory.make(name, f"live {name}", size=int(durations[name] * 1000))
        account.mark()
        began = memory.now
        account.restore(account.target(drill=True))
        assert memory.now - began <= 1.2 * shortest(seconds, slots)
        assert memory.most == slots
