"""Names, what is refused, and which class a drill gets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from midtime.errors import NotRestorableError, RequestError, StoreAccessError
from midtime.stores.naming import working_name
from midtime.stores.rds.classes import fitting, smallest_class
from midtime.stores.rds.settings import MarkedServer, Member
from midtime.stores.rds.targets import aws_of, server_name
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


def test_a_sql_server_not_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its databases come back within a second of each other."""
    account = Account("rds", tmp_path, monkeypatch, dialect="sqlserver")
    account.memory.make(LIVE, "live", Engine="sqlserver-se")
    account.mark()
    account.memory.now = 500.0 + account.memory.lag + 1
    with pytest.raises(NotRestorableError, match="does not reach"):
        account.answers(account.target())


def test_not_yet(account: Account) -> None:
    account.memory.now = 700.0
    with pytest.raises(NotRestorableError, match="does not reach"):
        account.answers(account.target())


def test_an_instances_neighbour_is_no_obstacle(rds: Account) -> None:
    """Only a cluster makes instances of its own."""
    rds.memory.make("bank-new-1", "somebody's")
    assert rds.answers(rds.target(to="bank-new"))["will be"]


@pytest.mark.parametrize(("store", "name"), [("b" * 40 + "-x", LIVE), ("points", "a" * 47 + "-" + "b" * 15)])
def test_names_that_midtime_makes_are_names(store: str, name: str) -> None:
    for text in (working_name(store, "abc123"), f"restored-abc123-{name}", "midtime_tmp__x_"):
        assert re.fullmatch(r"[a-z](-?[a-z0-9])*", server_name(text))
        assert len(server_name(text)) <= 60


@pytest.mark.parametrize("drill", [True, False])
def test_another_connection(account: Account, drill: bool) -> None:
    target = account.target(drill=drill, conn_id="other_aws")
    assert target.conn_id == "other_aws"
    assert account.target(drill=drill).conn_id == "aws"
    assert aws_of(account.topology, target).spec.conn_id == "other_aws"


def test_a_name_that_a_drill_cannot_have(account: Account) -> None:
    with pytest.raises(RequestError, match="is no name"):
        account.target(drill=True, name="1bank")


def test_a_drills_wishes_are_a_drills_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account("rds", tmp_path, monkeypatch, drill={"instance_class": "db.t3.small", "subnet_group": "drills"}).fill().mark()
    account.restore(account.target(to="bank-new"))
    (asked,) = account.memory.requests("restore_db_instance_to_point_in_time")
    assert (asked["DBInstanceClass"], asked["DBSubnetGroupName"]) == ("db.r6g.2xlarge", "private")


def test_a_drills_own_class_and_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wish = {"instance_class": "db.t3.small", "subnet_group": "drills"}
    account = Account("rds", tmp_path, monkeypatch, drill=wish).fill().mark()
    account.restore(account.target(drill=True))
    (asked,) = account.memory.requests("restore_db_instance_to_point_in_time")
    assert (asked["DBInstanceClass"], asked["DBSubnetGroupName"]) == ("db.t3.small", "drills")
    assert not account.memory.counts["describe_orderable_db_instance_options"]
    assert "class db.t3.small" in account.answers(account.target(drill=True))["gets its settings back"]
    ((_, answer),) = account.store.drill_questions()
    assert "class db.t3.small" in answer()
    name = next(name for name in account.copies() if name.startswith("midtime-tmp"))
    assert account.memory.instances[name].said["DBInstanceClass"] == "db.t3.small"


def test_a_drills_own_class_of_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its instance has it: a cluster has none."""
    account = Account("aurora", tmp_path, monkeypatch, drill={"instance_class": "db.t3.small"}).fill().mark()
    target = account.restore(account.target(drill=True))
    assert account.memory.instances[f"{target.working}-1"].said["DBInstanceClass"] == "db.t3.small"
    assert "DBClusterInstanceClass" not in account.memory.requests("restore_db_cluster_to_point_in_time")[0]
    assert "DBInstanceClass" not in account.memory.requests("restore_db_cluster_to_point_in_time")[0]


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
        ({"members": (Member(name="m", settings={}),), "allocated": 1, "settings": {"StorageType": "aurora-iopt1"}}, "db.t3.micro"),
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


def test_what_cannot_hold_it_is_not_offered() -> None:
    """Too small a volume; a login by IAM that it has not."""
    assert not list(fitting(OFFERED, marked(allocated=10)))
    offered = {"DBInstanceClass": "db.t3.micro", "SupportsIAMDatabaseAuthentication": False}
    assert list(fitting([offered], marked()))
    assert not list(fitting([offered], marked(settings={"EnableIAMDatabaseAuthentication": True})))


def test_bigger_ones_are_told_apart_and_newer_ones_come_first(rds: Account) -> None:
    def offer(*names: str) -> str:
        rds.memory.offered = [{"DBInstanceClass": name, "StorageType": "gp3"} for name in names]
        return smallest_class(rds.store.aws, marked(encrypted=True))

    assert offer("db.r6g.16xlarge", "db.r6g.2xlarge", "db.r6g.xlarge") == "db.r6g.xlarge"
    assert offer("db.r6g.16xlarge", "db.r6g.2xlarge") == "db.r6g.2xlarge"
    assert offer("db.m5.large", "db.t2.large", "db.t4g.large", "db.t3.large") == "db.t4g.large"


def test_only_what_its_licence_allows(rds: Account) -> None:
    smallest_class(rds.store.aws, marked(settings={"StorageType": "gp3", "LicenseModel": "bring-your-own-license"}))
    (asked,) = rds.memory.requests("describe_orderable_db_instance_options")
    assert asked["LicenseModel"] == "bring-your-own-license"


def test_a_cluster_of_which_one_instance_scales_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account("aurora", tmp_path, monkeypatch).fill()
    account.memory.instances[f"{LIVE}-r"].said["DBInstanceClass"] = "db.serverless"
    target = account.mark().restore(account.target(drill=True))
    assert account.memory.instances[f"{target.working}-1"].said["DBInstanceClass"] == "db.t3.medium"


def test_nothing_there_to_be_drilled(account: Account) -> None:
    account.memory.lose(LIVE, retained=True)
    ((_, answer),) = account.store.drill_questions()
    with pytest.raises(StoreAccessError, match=f"there is no .* {LIVE} in eu-west-1"):
        answer()


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
