"""What is asked before a restore, and wishes that make no names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from midtime.errors import (
    MidtimeError,
    NotRestorableError,
    RequestError,
    StoreAccessError,
    StoreStatementError,
    TargetExistsError,
)
from midtime.model.topology import Topology
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores.base import WILL_BE
from tests.unit.stores.dynamodb.restores import NAMES, RICH_TABLE, Account


def test_the_plan_says_what_ends(account: Account) -> None:
    said = account.answers(account.target(in_place=True))
    assert "replacing what is there, which is kept as on-demand backups `midtime_kept_abc123_" in said[WILL_BE]
    assert "**Every restore point made of it before ends" in said[WILL_BE]
    account.memory.make("bank.since", "made since")
    assert "bank.since, made since, stays" in account.answers(account.target(in_place=True))[WILL_BE]


def test_beside_says_where(account: Account) -> None:
    said = account.answers(target := account.target(to="new_"))
    assert said[WILL_BE] == "4 tables `new_*`, in ap-northeast-1"
    account.restore(target)
    assert account.answers(target)[WILL_BE] == said[WILL_BE]  # its own copies are in nobody's way
    account.memory.make("other_bank.accounts", "somebody's")
    with pytest.raises(TargetExistsError, match=r"other_bank.accounts is there already"):
        account.answers(account.target(to="other_"))


def test_its_own_copies_are_in_nobodys_way_but_anothers_in_their_place_are(account: Account) -> None:
    target = account.restore(account.target(to="new_"))
    account.memory.tables[f"new_{RICH_TABLE}"].restored = None
    with pytest.raises(TargetExistsError, match=f"new_{RICH_TABLE} is somebody else's"):
        account.answers(target)


@pytest.mark.parametrize(
    ("said", "kind", "why"),
    [({"Replicas": [{"RegionName": "eu-west-1"}]}, StoreAccessError, "global tables"), ({"TableStatus": "DELETING"}, NotRestorableError, "deleted"),
     ({"TableStatus": "ARCHIVING"}, StoreStatementError, r"bank\.accounts \(ARCHIVING\)")],
)  # fmt: skip
def test_what_cannot_give_way(account: Account, said: dict[str, Any], kind: type[MidtimeError], why: str) -> None:
    plain = account.memory.describe_table

    def describe(TableName: str) -> Any:  # noqa: N803
        return {"Table": {**plain(TableName)["Table"], **(said if TableName == RICH_TABLE else {})}}

    account.memory.describe_table = describe  # type: ignore[method-assign]
    with pytest.raises(kind, match=why):
        account.answers(account.target(in_place=True))


@pytest.mark.parametrize("change", [{"region": "eu-west-1"}, {"prefix": "other_"}])
def test_another_store_than_the_marked_one(account: Account, change: dict[str, str]) -> None:
    details = {**account.backup.details, **change}
    account.backup = account.backup.model_copy(update={"details": details})
    with pytest.raises(StoreAccessError, match="was marked in"):
        account.answers(account.target(drill=True))


def test_another_account(account: Account) -> None:
    account.backup = account.backup.model_copy(update={"details": {**account.backup.details, "account": "999999999999"}})
    with pytest.raises(StoreAccessError, match="another account's"):
        account.answers(account.target(drill=True))


def test_not_reached_yet(account: Account) -> None:
    account.backup = account.backup.model_copy(update={"midtime": account.backup.midtime + timedelta(days=1)})
    with pytest.raises(NotRestorableError, match="does not reach"):
        account.answers(account.target(drill=True))


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (lambda account: account.target(to="a b"), "no prefix"),
        (lambda account: account.target(to="x" * 151), "no prefix"),
        (lambda account: account.target(to=".x"), "no prefix"),
    ],
)
def test_wishes_that_make_no_names(account: Account, wish: Callable[[Account], Any], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        wish(account)


def test_another_region_is_no_target(account: Account) -> None:
    with pytest.raises(RequestError, match=r"another region \(eu-west-1\) is not supported"):
        account.store.target(TargetWish(region="eu-west-1"), run="abc123", drill=False, in_place=False)


def test_the_live_prefix_is_no_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account(tmp_path, monkeypatch, prefix="prod_").fill(prefix="prod_").mark()
    with pytest.raises(RequestError, match="live tables"):
        account.target(to="prod_")
    target = account.restore(account.target(to="new_"))
    assert sorted(name for name in account.contents() if name.startswith("new_")) == sorted(f"new_{name}" for name in NAMES)
    account.store.discard(target)


@pytest.mark.parametrize(("wish", "drill"), [("bank.", False), ("bank.", True), ("coordinator.x", False), ("other_", False)])
def test_no_copy_may_look_like_a_live_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wish: str, drill: bool) -> None:
    """The next backup would take it for one of the store's own, or of another store of the topology."""
    account = Account(tmp_path, monkeypatch)
    body = account.topology.model_dump(mode="json", exclude_unset=True)
    second = {**body["stores"][0], "name": "second", "prefix": "other_"}
    body |= {"stores": [*body["stores"], second], "scalardb": {"coordinators": [{"store": "points"}]}}
    account.topology = Topology.model_validate(body)
    with pytest.raises(RequestError, match="would count as"):
        account.target(to=wish, drill=drill)
    assert account.target(to="fine_", drill=drill)


def test_names_that_are_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account(tmp_path, monkeypatch).fill((*NAMES, "bank." + "x" * 230)).mark()
    with pytest.raises(RequestError, match="too long"):
        account.answers(account.target(drill=True))
