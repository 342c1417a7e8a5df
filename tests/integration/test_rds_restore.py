"""RDS and Aurora over HTTP, by Amazon's own SDK and Airflow's hooks: drilled, placed, put back, whoever is killed when, whatever the service says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from midtime.dag_parts import restore_points
from midtime.errors import NotRestorableError, RestoreFailedError, StoreAccessError, StoreUnreachableError, TargetExistsError
from midtime.model.instants import utc_now
from midtime.operators.restorable import RestorableOperator
from midtime.preflight import require
from midtime.stores.base import Target, ask
from midtime.stores.rds import restoring
from tests.integration.rds_setting import KINDS, LIVE, RdsShop, shop_of
from tests.stack.processes import poll
from tests.stack.rds import RDS
from tests.unit.builders import point

pytestmark = pytest.mark.integration


@pytest.fixture(params=KINDS)
def shop(request: pytest.FixtureRequest, rds_server: RDS, tmp_path: Path) -> Iterator[RdsShop]:
    with shop_of(rds_server, tmp_path, request.param) as made:
        yield made


def names(shop: RdsShop, name: str, members: int) -> set[str]:
    return {name} | ({f"{name}-{number}" for number in range(1, members + 1)} if shop.kind == "aurora" else set())


def discarded(shop: RdsShop, target: Target) -> None:
    shop.store.discard(target)
    assert shop.made() == set()


def test_a_drill_comes_and_goes(shop: RdsShop) -> None:
    target = shop.target(drill=True)
    said = {check.question: check.detail for check in require(ask("shop", shop.store.restore_questions(target, shop.backup)))}
    assert target.working in said["will be"]
    shop.restore(target)
    assert shop.made() == names(shop, target.working, 1)
    holder = shop.server.instance(target.working + ("-1" if shop.kind == "aurora" else ""))
    assert holder["DBInstanceClass"] == "db.t3.micro"
    assert not shop.copy(target.working)["MultiAZ"]
    discarded(shop, target)
    poll("all of it to be gone", lambda: not shop.copy(target.working) or None, 20)


def test_what_is_placed_stays_as_it_was(shop: RdsShop) -> None:
    target = shop.restore(shop.target(to="shop-new"))
    assert not shop.copy("shop-new")["DeletionProtection"]
    shop.store.place(shop.backup, target)
    shop.store.discard(target)
    assert shop.made() == names(shop, "shop-new", 2)
    was, now = shop.copy(LIVE), shop.copy("shop-new")
    keys = ("DeletionProtection", "BackupRetentionPeriod", "MultiAZ", "MonitoringInterval", "PreferredBackupWindow", "StorageType")
    assert {key: now.get(key) for key in keys} == {key: was.get(key) for key in keys}
    assert {"Key": "team", "Value": "shop"} in now["TagList"]


def test_what_is_put_back_goes(shop: RdsShop) -> None:
    target = shop.restore(shop.target(to="shop-new"))
    shop.store.place(shop.backup, target)
    shop.store.put_back(shop.backup, target)
    discarded(shop, target)


@pytest.mark.parametrize(
    ("kind", "call", "after"),
    [
        ("rds", "RestoreDBInstanceToPointInTime", 0),
        ("rds", "control", 5),
        ("rds", "ModifyDBInstance", 0),
        ("aurora", "CreateDBInstance", 1),
        *(
            pytest.param(*each, marks=pytest.mark.long)
            for each in [
                ("rds", "control", 2),
                ("aurora", "control", 2),
                ("aurora", "RestoreDBClusterToPointInTime", 0),
                ("aurora", "control", 5),
                ("aurora", "CreateDBInstance", 0),
            ]
        ),
    ],
)
@pytest.mark.fault(
    "kill -9 of a restore of an RDS instance or an Aurora cluster, at any of its calls",
    "The next try goes on; the service is asked for each instance once, and all of it can be removed.",
)
def test_killed_and_gone_on_with(
    rds_server: RDS, tmp_path: Path, kind: str, call: str, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that hangs is not carried out: nobody has to wait for what might still come of it."""
    monkeypatch.setattr(restoring, "UNSEEN", timedelta(seconds=1))
    with shop_of(rds_server, tmp_path, kind) as shop:
        target = shop.target(to="shop-new")
        assert shop.killed("restore", target, after, call)
        shop.restore(target)
        assert shop.made() == names(shop, "shop-new", 2)
        assert len(shop.restores()) == 1
        discarded(shop, target)


@pytest.mark.long
def test_killed_with_its_restore_on_the_way(shop: RdsShop) -> None:
    """The service never got it: it is asked for once the time is over in which it might have been seen."""
    target = shop.target(to="shop-new")
    assert shop.killed("restore", target, 0, "RestoreDBInstanceToPointInTime" if shop.kind == "rds" else "RestoreDBClusterToPointInTime")
    waiting = shop.store.restore(shop.backup, shop.shelf, target, print)
    assert "not to be seen yet" in waiting.detail
    assert shop.restores() == []


@pytest.mark.fault(
    "RDS carries out what it was asked for, and its answer is lost",
    "What is there is found; nothing is asked for twice.",
)
def test_an_answer_that_is_lost(shop: RdsShop) -> None:
    operations = ["RestoreDBInstanceToPointInTime", "RestoreDBClusterToPointInTime", "CreateDBInstance"]
    shop.server.faults(
        {"kind": "error", "operations": operations, "after": True, "every": 2},
        {"kind": "drop", "operations": operations, "after": True, "times": 1},
    )
    target = shop.restore(shop.target(to="shop-new"))
    shop.server.faults()
    assert shop.made() == names(shop, "shop-new", 2)
    assert len(shop.restores()) == 1
    discarded(shop, target)


@pytest.mark.fault(
    "RDS throttles, or the quota of instances is full",
    "The restore waits, says so, and goes on when there is room.",
)
def test_a_busy_service_and_a_full_quota(shop: RdsShop) -> None:
    shop.server.faults(
        {"kind": "throttling", "operations": ["*"], "every": 5, "times": 4},
        {"kind": "quota", "operations": ["RestoreDBInstanceToPointInTime", "RestoreDBClusterToPointInTime", "CreateDBInstance"], "times": 2},
    )  # fmt: skip
    said: list[str] = []
    target = shop.target(drill=True)
    store = shop.store
    while waiting := store.restore(shop.backup, shop.shelf, target, print):
        said.append(waiting.detail)
        assert len(said) < 200
    shop.server.faults()
    assert any("InstanceQuotaExceeded" in each for each in said)
    assert len(shop.restores()) == 1
    discarded(shop, target)


def test_what_it_passes_through(shop: RdsShop) -> None:
    """Being created, and at its first backup, it takes no changes."""
    shop.server.settings(restore=1.0, back_up=1.5)
    said: list[str] = []
    target = shop.restore(shop.target(to="shop-new"), said.append)
    told = [next((state for state in ("creating", "backing-up") if f": it is {state}" in each), "") for each in said]
    assert [state for state, before in zip(told, ["", *told], strict=False) if state and state != before] == ["creating", "backing-up"]
    assert shop.copy("shop-new")["DBInstanceStatus" if shop.kind == "rds" else "Status"] == "available"
    discarded(shop, target)


@pytest.mark.parametrize("state", ["incompatible-restore", "storage-full", "failed"])
@pytest.mark.fault(
    "A restored instance ends as `incompatible-restore`, `storage-full` or `failed`",
    "The restore fails with the service's own words, and what was made is removed.",
)
def test_a_restore_that_fails_in_the_services_words(shop: RdsShop, state: str) -> None:
    shop.server.settings(becomes=state)
    target = shop.target(to="shop-new")
    with pytest.raises(RestoreFailedError, match=f"ended as {state}: shop-new was put into {state}"):
        shop.restore(target)
    assert len(shop.restores()) == 1
    discarded(shop, target)


@pytest.mark.parametrize(("fault", "words"), [("expired", "credentials have expired"), ("key", "KMS key"), ("denied", "access denied")])
@pytest.mark.fault(
    "Credentials have expired, the KMS key is gone, or access is denied",
    "The restore fails at once; the next try goes on with what is there.",
)
def test_what_nobody_waits_for(shop: RdsShop, fault: str, words: str) -> None:
    operations = ["RestoreDBInstanceToPointInTime", "RestoreDBClusterToPointInTime"] if fault == "key" else ["*"]
    target = shop.target(to="shop-new")
    shop.server.faults({"kind": fault, "operations": operations})
    with pytest.raises(StoreAccessError, match=words):
        shop.restore(target)
    shop.server.faults()
    shop.restore(target)
    assert len(shop.restores()) == 1
    discarded(shop, target)


@pytest.mark.long
@pytest.mark.fault(
    "Credentials expire while an RDS restore is waited for",
    "The task fails; the next try goes on with the same instance.",
)
def test_credentials_that_expire_while_it_is_waited_for(shop: RdsShop) -> None:
    target = shop.target(drill=True)
    assert shop.store.restore(shop.backup, shop.shelf, target, print)
    shop.server.faults({"kind": "expired"})
    with pytest.raises(StoreAccessError, match="credentials have expired"):
        shop.store.restore(shop.backup, shop.shelf, target, print)
    shop.server.faults()
    shop.restore(target)
    assert len(shop.restores()) == 1
    discarded(shop, target)


@pytest.mark.fault(
    "The name of the new instance or cluster is taken",
    "Refused before anything is asked for; what is there is neither used nor removed.",
)
def test_a_name_that_is_taken(shop: RdsShop) -> None:
    if shop.kind == "rds":
        shop.server.make_instance("shop-new")
    else:
        shop.server.make_cluster("shop-new")
    target = shop.target(to="shop-new")
    with pytest.raises(TargetExistsError, match="shop-new"):
        require(ask("shop", shop.store.restore_questions(target, shop.backup)))
    with pytest.raises(TargetExistsError, match="is somebody else's"):
        shop.restore(target)
    shop.store.discard(target)
    assert shop.made() == {"shop-new"}


@pytest.mark.fault(
    "RDS' latest restorable time never reaches the instant",
    "The wait ends when its time is over, and says how far the history reaches; the restore point stays MARKED.",
)
def test_a_history_that_never_advances(shop: RdsShop) -> None:
    """The wait ends when its time is over, and says how far the history reaches, and what is wanted."""
    shop.server.settings(lag=7200.0)
    published = utc_now() - timedelta(minutes=61)
    marked = shop.backup.model_copy(update={"artifacts": ()})
    made = point(topology="shop", stores=(marked,), midtime=marked.midtime, finished_at=published)
    shop.catalog.publish(made)
    task = RestorableOperator(task_id="restorable", topology=shop.topology, restore_point=made.id, asset=restore_points(shop.topology))
    context: Any = {"outlet_events": {task.asset: SimpleNamespace(extra=None)}}
    with pytest.raises(AirflowFailException, match=rf"{LIVE} reaches .* is wanted, .* after restore point .*; waited for are 1h"):
        task.execute(context)


@pytest.mark.fault(
    "The marked instance or cluster is deleted, and its automated backups with it",
    "Neither restorable nor restored, and the reason is said.",
)
def test_deleted_with_its_backups_between_mark_and_restore(shop: RdsShop) -> None:
    client = shop.server.client
    if shop.kind == "rds":
        client.modify_db_instance(DBInstanceIdentifier=LIVE, DeletionProtection=False, ApplyImmediately=True)
        poll("it to be changed", lambda: shop.server.status(LIVE) == "available" or None, 20)
        client.delete_db_instance(DBInstanceIdentifier=LIVE, SkipFinalSnapshot=True)
    else:
        client.modify_db_cluster(DBClusterIdentifier=LIVE, DeletionProtection=False, ApplyImmediately=True)
        poll("it to be changed", lambda: shop.copy(LIVE)["Status"] == "available" or None, 20)
        for name in (f"{LIVE}-a", f"{LIVE}-b"):
            client.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
        client.delete_db_cluster(DBClusterIdentifier=LIVE, SkipFinalSnapshot=True)
    poll("it to be gone", lambda: not shop.copy(LIVE) or None, 20)
    target = shop.target(to="shop-new")
    for doing in (
        lambda: shop.store.restorable(shop.backup),
        lambda: require(ask("shop", shop.store.restore_questions(target, shop.backup))),
        lambda: shop.restore(target),
    ):
        with pytest.raises(NotRestorableError, match="was deleted, and its automated backups with it"):
            doing()
    assert shop.restores() == []


@pytest.mark.fault(
    "A parameter, option or subnet group is gone",
    "The preflight names all of them; no restore is asked for.",
)
def test_a_group_that_is_gone(rds_server: RDS, tmp_path: Path) -> None:
    """As moto words it, by each of the calls; asked before anything is asked for."""
    tuned = {"Description": "d", "DBParameterGroupFamily": "postgres16"}
    options = {"EngineName": "mysql", "MajorEngineVersion": "5.6", "OptionGroupDescription": "d"}
    with shop_of(rds_server, tmp_path, "rds") as shop:
        rds_server.client.create_db_parameter_group(DBParameterGroupName="tuned", **tuned)
        rds_server.client.create_db_cluster_parameter_group(DBClusterParameterGroupName="tuned-cluster", **tuned)
        rds_server.client.create_option_group(OptionGroupName="options", **options)
        groups = {"DBParameterGroupName": ["tuned"], "DBClusterParameterGroupName": ["tuned-cluster"], "OptionGroupName": ["options"]}
        shop.backup = shop.backup.model_copy(update={"details": {**shop.backup.details, "groups": groups}})
        said = {check.question: check.detail for check in ask("shop", shop.store.restore_questions(shop.target(), shop.backup))}
        assert said["has its groups"] == "parameter group tuned, cluster parameter group tuned-cluster, option group options"
        rds_server.client.delete_db_parameter_group(DBParameterGroupName="tuned")
        rds_server.client.delete_db_cluster_parameter_group(DBClusterParameterGroupName="tuned-cluster")
        rds_server.client.delete_option_group(OptionGroupName="options")
        groups["DBSubnetGroupName"] = ["private"]
        gone = "gone: parameter group tuned, cluster parameter group tuned-cluster, option group options, subnet group private"
        with pytest.raises(StoreAccessError, match=gone):
            require(ask("shop", shop.store.restore_questions(shop.target(), shop.backup)))
        assert shop.restores() == []


@pytest.mark.fault(
    "The marked instance is renamed, and another one has its name now",
    "The marked one is found by its resource id, and restored.",
)
def test_renamed_between_mark_and_restore(rds_server: RDS, tmp_path: Path) -> None:
    with shop_of(rds_server, tmp_path, "rds") as shop:
        rds_server.client.modify_db_instance(DBInstanceIdentifier=LIVE, NewDBInstanceIdentifier=f"{LIVE}-old", ApplyImmediately=True)
        rds_server.make_instance(LIVE, BackupRetentionPeriod=7)
        said = shop.store.restorable(shop.backup)
        assert said.ready
        assert f"called {LIVE}-old now" in said.detail
        target = shop.restore(shop.target(drill=True))
        discarded(shop, target)


@pytest.mark.fault(
    "A copy is to be removed while RDS is making it",
    "It goes when it can; `midtime__sweep` comes again until then.",
)
def test_discarded_while_it_is_made(rds_server: RDS, tmp_path: Path) -> None:
    """Amazon does not delete what is being created; the sweeper comes again."""
    with shop_of(rds_server, tmp_path, "rds", awaited=True) as shop:
        target = shop.target(to="shop-new")
        assert shop.store.restore(shop.backup, shop.shelf, target, print)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("midtime.stores.rds.placing.REMOVED_WITHIN", 1.0)
            with pytest.raises(StoreUnreachableError, match=r"cannot be removed yet: it is creating .*InvalidDBInstanceState"):
                shop.store.discard(target)
        rds_server.settings(endpoints={"shop-new": ["127.0.0.1", 5432]})
        poll("it to be there", lambda: rds_server.status("shop-new") == "available" or None, 20)
        discarded(shop, target)
