"""Names, what is refused, and which class a drill gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from midtime.errors import NotRestorableError, RequestError, StoreAccessError
from midtime.stores.rds.classes import fitting, smallest_class
from midtime.stores.rds.settings import MarkedServer
from tests.unit.stores.rds.memory import START
from tests.unit.stores.rds.restores import LIVE, OFFERED, Account


def test_in_place_is_refused_with_the_way_there(account: Account) -> None:
    with pytest.raises(RequestError, match="a new instance or cluster only") as caught:
        account.target(in_place=True)
    assert "rename" in caught.value.fix
    assert "docs/runbooks/rds-cut-over.md" in caught.value.fix


@pytest.mark.parametrize("key", ["database", "prefix"])
def test_what_belongs_to_dumps(account: Account, key: str) -> None:
    with pytest.raises(RequestError, match="its databases keep their names"):
        account.target(**{key: "x"})


@pytest.mark.parametrize("name", ["1bank", "bank_new", "bank--new", "bank-", "b" * 61, LIVE, LIVE.upper()])
def test_names_that_are_none(account: Account, name: str) -> None:
    with pytest.raises(RequestError, match=r"is no name|is the live one"):
        account.target(to=name)


@pytest.mark.parametrize(
    ("wish", "drill", "final"),
    [
        ({}, False, f"restored-abc123-{LIVE}"),
        ({"to": "Bank-New"}, False, "bank-new"),
        ({"name": "drills"}, True, "drills-abc123"),
        ({"name": "d" * 63}, True, "d" * 53 + "-abc123"),
    ],
)
def test_names(account: Account, wish: dict[str, Any], drill: bool, final: str) -> None:
    target = account.target(drill=drill, **wish)
    assert target.final == final
    assert target.working.startswith("midtime-tmp-abc123-") or drill


def test_what_is_answered_before_a_restore(account: Account) -> None:
    said = account.answers(account.target(to="bank-new"))
    assert said["will be"].startswith("new ")
    assert "`bank-new` in eu-west-1" in said["will be"]
    assert "points_db" in said["can be read afterwards"]
    assert account.answers(account.target(drill=True))["gets its settings back"].startswith("those of the network")


def test_another_region(account: Account) -> None:
    account.backup = account.backup.model_copy(update={"details": {**account.backup.details, "region": "us-east-1"}})
    with pytest.raises(StoreAccessError, match="was marked in us-east-1"):
        account.answers(account.target())


def test_another_account(account: Account) -> None:
    account.backup = account.backup.model_copy(update={"details": {**account.backup.details, "account": "999999999999"}})
    with pytest.raises(StoreAccessError, match="was marked in account 999999999999"):
        account.answers(account.target())


def test_not_yet(account: Account) -> None:
    account.memory.now = 700.0
    with pytest.raises(NotRestorableError, match="does not reach"):
        account.answers(account.target())


def test_a_drills_own_class_and_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wish = {"instance_class": "db.t3.small", "subnet_group": "drills"}
    account = Account("rds", tmp_path, monkeypatch, drill=wish).fill().mark()
    account.restore(account.target(drill=True))
    (asked,) = account.memory.requests("restore_db_instance_to_point_in_time")
    assert (asked["DBInstanceClass"], asked["DBSubnetGroupName"]) == ("db.t3.small", "drills")
    assert not account.memory.counts["describe_orderable_db_instance_options"]
    name = next(name for name in account.copies() if name.startswith("midtime-tmp"))
    assert account.memory.instances[name].said["DBInstanceClass"] == "db.t3.small"


def test_the_class_is_chosen_once(rds: Account) -> None:
    target = rds.target(drill=True)
    rds.look(target)
    rds.memory.offered = []
    rds.restore(target)


def marked(**changes: Any) -> MarkedServer:
    common: dict[str, Any] = {
        "store": "points", "instant": START, "region": "eu-west-1", "account": "1", "name": "n", "resource_id": "r", "engine": "postgres",
        "engine_version": "16", "days": 7, "allocated": 50, "settings": {"StorageType": "gp3"},
    }  # fmt: skip
    return MarkedServer(**{**common, **changes})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "db.t3.micro"),
        ({"allocated": 500}, "db.t2.small"),
        ({"allocated": 500, "encrypted": True}, "db.t3.medium"),
        ({"allocated": 60000, "encrypted": True}, "db.m5.large"),
        ({"settings": {"StorageType": "io1"}}, "db.t4g.medium"),
    ],
)
def test_the_smallest_class_that_holds_it(rds: Account, changes: dict[str, Any], expected: str) -> None:
    assert smallest_class(rds.store.aws, marked(**changes)) == expected


def test_no_class_at_all(rds: Account) -> None:
    rds.memory.offered = []
    with pytest.raises(StoreAccessError, match="offers no class") as caught:
        smallest_class(rds.store.aws, marked())
    assert "instance_class" in caught.value.fix


def test_what_has_no_size_is_not_offered() -> None:
    assert "db.serverless" not in {each["DBInstanceClass"] for each in fitting(OFFERED, marked())}


def test_a_cluster_that_scales_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account("aurora", tmp_path, monkeypatch).fill()
    for each in account.memory.instances.values():
        each.said["DBInstanceClass"] = "db.serverless"
    account.memory.clusters[LIVE].said["ServerlessV2ScalingConfiguration"] = {"MinCapacity": 0.5, "MaxCapacity": 4}
    target = account.mark().restore(account.target(drill=True))
    assert account.memory.instances[f"{target.working}-1"].said["DBInstanceClass"] == "db.serverless"
    assert account.memory.clusters[target.working].said["ServerlessV2ScalingConfiguration"]


def test_whether_it_can_be_drilled_is_asked_beforehand(account: Account) -> None:
    ((question, answer),) = account.store.drill_questions()
    assert question == "can be drilled"
    assert "db.t3.medium" in answer()
