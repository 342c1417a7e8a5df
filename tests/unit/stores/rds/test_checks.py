"""The preflight of a backup, and what is not as it was marked."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from midtime.errors import NotRestorableError, StoreAccessError, StoreError, StoreStatementError
from midtime.stores.managed_sql import data
from midtime.stores.managed_sql.postgresql import PostgresqlData
from midtime.stores.rds.comparing import setting_differences
from midtime.stores.rds.notes import Notes
from midtime.stores.rds.servers import flavour_of
from midtime.stores.rds.unread import require_nothing_to_judge
from tests.unit.stores.rds.restores import LIVE, Account

ADDRESS = {"rds": f"{LIVE}.x.eu-west-1.rds.amazonaws.com", "aurora": f"{LIVE}.cluster-x.eu-west-1.rds.amazonaws.com"}


@pytest.fixture(autouse=True)
def database(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says itself is asked of real servers."""
    monkeypatch.setattr(PostgresqlData, "check", lambda _: "PostgreSQL 16.3")
    monkeypatch.setattr(data.socket, "getaddrinfo", lambda host, _: [(0, 0, 0, "", (f"address of {host}", 0))])


def leads_to(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_POINTS_DB", json.dumps({"conn_type": "postgres", "host": host, "login": "a", "password": "b"}))


def test_a_connection_of_another_type(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    said = json.dumps({"conn_type": "aws", "login": "a", "password": "b"})
    monkeypatch.setenv("AIRFLOW_CONN_POINTS_DB", said)
    with pytest.raises(StoreAccessError, match="connection points_db is of type aws, not postgres"):
        account.answers()


def test_all_is_well(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    leads_to(monkeypatch, ADDRESS[account.kind].upper())
    said = account.answers()
    assert list(said) == [
        "is reachable",
        "is at rest",
        "keeps a history",
        "may be marked",
        "is what the data connection means",
        "has every namespace",
    ]
    assert said["keeps a history"].startswith("7 days, up to 2026-11-21T02:15:00Z")
    assert "`retention.keep_days` is 30" in said["keeps a history"]
    lost = "; to be put back by hand after a restore: 1 IAM roles" if account.kind == "rds" else ""
    assert said["may be marked"] == f"its settings can be read{lost}"
    assert not {operation for operation, _ in account.memory.asked if not operation.startswith("describe")}


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ({"BackupRetentionPeriod": 0}, StoreAccessError, "keeps no automated backups"),
        ({"Engine": "mysql"}, StoreAccessError, "is mysql, not postgresql"),
        ({"DBClusterIdentifier": "c"}, StoreAccessError, "belongs to cluster c"),
        ({"ReadReplicaSourceDBInstanceIdentifier": "bank-main"}, StoreAccessError, "is a replica of bank-main"),
        ({"ReadReplicaSourceDBClusterIdentifier": "bank-main"}, StoreAccessError, "is a replica of bank-main"),
    ],
)
def test_what_an_instance_must_be(rds: Account, said: dict[str, Any], kind: type[StoreError], words: str) -> None:
    rds.memory.instances[LIVE].said |= said
    with pytest.raises(kind, match=words) as caught:
        rds.answers()
    assert caught.value.fix


def test_a_cluster_that_is_no_aurora(aurora: Account) -> None:
    """Multi-AZ clusters of RDS are described by the same call."""
    aurora.memory.clusters[LIVE].said["Engine"] = "postgres"
    with pytest.raises(StoreAccessError, match="is postgres, not postgresql"):
        aurora.answers()


def test_a_cluster_that_is_a_replica(aurora: Account) -> None:
    aurora.memory.clusters[LIVE].said["ReplicationSourceIdentifier"] = "arn:aws:rds:us-east-1:1:cluster:main"
    with pytest.raises(StoreAccessError, match="is a replica of arn:aws:rds:us-east-1:1:cluster:main") as caught:
        aurora.answers()
    assert caught.value.fix


def test_a_cluster_of_another_dialect_that_begins_alike(aurora: Account) -> None:
    aurora.memory.clusters[LIVE].said["Engine"] = "aurora-postgresql-next"
    with pytest.raises(StoreAccessError, match="is aurora-postgresql-next, not postgresql"):
        aurora.answers()


@pytest.mark.parametrize(("lag", "words"), [(900.0, "02:05:00Z"), (960.0, "02:04:00Z, 16 minutes ago")])
def test_a_history_that_lags(rds: Account, monkeypatch: pytest.MonkeyPatch, lag: float, words: str) -> None:
    leads_to(monkeypatch, ADDRESS["rds"])
    rds.memory.lag = lag
    assert f"7 days, up to 2026-11-21T{words};" in rds.answers()["keeps a history"]


def test_a_history_that_is_kept_as_long_as_the_restore_points(rds: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    leads_to(monkeypatch, ADDRESS["rds"])
    rds.memory.instances[LIVE].said["BackupRetentionPeriod"] = 30
    assert rds.answers()["keeps a history"] == "30 days, up to 2026-11-21T02:15:00Z"


def test_custom_endpoints_are_told_beforehand(aurora: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    leads_to(monkeypatch, ADDRESS["aurora"])
    aurora.memory.endpoints = [{"DBClusterEndpointIdentifier": "reports"}]
    assert aurora.answers()["may be marked"].endswith("to be put back by hand after a restore: 1 custom endpoints")


def test_nothing_of_that_name(account: Account) -> None:
    account.memory.lose(LIVE, retained=True)
    with pytest.raises(StoreAccessError, match=f"there is no .* {LIVE} in eu-west-1"):
        account.answers()


def test_a_history_that_has_not_begun(rds: Account) -> None:
    rds.memory._latest = lambda _: None  # type: ignore[assignment,method-assign,return-value]
    with pytest.raises(NotRestorableError, match="has not begun yet"):
        rds.answers()


@pytest.mark.parametrize("status", ["stopped", "storage-full", "inaccessible-encryption-credentials", "creating"])
def test_not_at_rest(account: Account, status: str) -> None:
    for things in (account.memory.instances, account.memory.clusters):
        for each in things.values():
            each.broken = status
    with pytest.raises(StoreStatementError, match=f"is {status}"):
        account.answers()


@pytest.mark.parametrize("status", ["backing-up", "modifying", "configuring-enhanced-monitoring"])
def test_work_on_it_is_no_obstacle(account: Account, monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    leads_to(monkeypatch, ADDRESS[account.kind])
    for things in (account.memory.instances, account.memory.clusters):
        for each in things.values():
            each.broken = status
    assert account.answers()["is at rest"] == f"it is {status}"


@pytest.mark.parametrize("host", ["another.example.com", "r.cluster-ro-x.rds.amazonaws.com", "R.cluster-RO-x.rds.amazonaws.com"])
def test_a_data_connection_that_leads_elsewhere(aurora: Account, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Also to a reader, though that has the writer's address while it is alone."""
    leads_to(monkeypatch, host)
    if host.lower().startswith("r."):
        monkeypatch.setattr(data.socket, "getaddrinfo", lambda *_: [(0, 0, 0, "", ("10.0.0.1", 0))])
    with pytest.raises(StoreAccessError, match=f"leads to {host.lower()}") as caught:
        aurora.answers()
    assert ADDRESS["aurora"] in caught.value.fix


def test_another_name_of_the_same_address(rds: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    leads_to(monkeypatch, "bank-db.internal")
    monkeypatch.setattr(data.socket, "getaddrinfo", lambda *_: [(0, 0, 0, "", ("10.0.0.1", 0))])
    assert rds.answers()["is what the data connection means"] == ADDRESS["rds"]


class TestWithoutADataConnection:
    """Oracle and SQL Server are marked and restored all the same, where nobody has to be judged."""

    def account(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manager: str) -> Account:
        account = Account("rds", tmp_path, monkeypatch, dialect="sqlserver", data_conn_id=None)
        said = account.topology.scalardb.model_copy(update={"transaction_manager": manager})
        account.topology = account.topology.model_copy(update={"scalardb": said})
        account.memory.make(LIVE, "live", Engine="sqlserver-se")
        return account.mark()

    def test_records_that_nobody_could_judge(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        account = self.account(tmp_path, monkeypatch, "consensus-commit")
        for target in (None, account.target()):
            with pytest.raises(StoreAccessError, match="has no `data_conn_id`") as caught:
                account.answers(target)
            assert "name a connection to SQL Server itself" in caught.value.fix
        for what in (account.store.read_clock, account.store.fence):
            with pytest.raises(StoreAccessError, match="has no `data_conn_id`"):
                what()

    @pytest.mark.parametrize("expected", [{"needs_pause": True}, {"checks": ["SELECT 1"]}, {}])
    def test_others_who_expect_it_to_be_read(self, expected: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        account = self.account(tmp_path, monkeypatch, "single-crud-operation")
        scalardb = SimpleNamespace(transaction_manager="single-crud-operation")
        said: Any = SimpleNamespace(**{"needs_pause": False, "checks": (), "scalardb": scalardb, **expected})
        if expected:
            with pytest.raises(StoreAccessError, match="has no `data_conn_id`"):
                require_nothing_to_judge(said, account.store.aws)
        else:
            assert require_nothing_to_judge(said, account.store.aws)

    def test_its_protection_is_told_once_it_is_placed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        account = self.account(tmp_path, monkeypatch, "single-crud-operation")
        target = account.restore(account.target(to="bank-new"))

        def told() -> str:
            with account.store.restored(account.backup, target) as restored:
                return str(restored.setting_differences())  # type: ignore[attr-defined]

        assert "DeletionProtection" not in told()
        account.store.place(account.backup, target)
        assert "DeletionProtection" not in told()
        account.memory.instances["bank-new"].said["DeletionProtection"] = False
        assert "instance bank-new: DeletionProtection was true, is not there" in told()

    def test_where_there_are_none_it_is_said_that_it_was_not_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        account = self.account(tmp_path, monkeypatch, "single-crud-operation")
        assert account.answers()["can be verified"].startswith("not by Midtime")
        target = account.restore(account.target(drill=True))
        with account.store.restored(account.backup, target) as restored:
            assert restored.content() == ()
            assert restored.setting_differences() == [  # type: ignore[attr-defined]
                "SQL Server: its data were not read, the topology names no `data_conn_id`"
            ]
            for question in (
                restored.records,
                restored.coordinators,
                lambda: restored.scalar("SELECT 1"),
                lambda: restored.fences("w", "n"),
            ):
                with pytest.raises(StoreAccessError, match="by which it could be read"):
                    question()


class TestDifferences:
    def told(self, account: Account, name: str = "bank-new") -> list[str]:
        target = account.restore(account.target(to=name))
        aws = account.store.aws
        note, found = Notes(account.topology, target).copy(), flavour_of(aws.spec).find(aws, name)
        assert note
        assert found
        return list(setting_differences(aws, note, found, placed=False))

    def test_only_what_midtime_does_not_put_back(self, rds: Account) -> None:
        assert self.told(rds) == ["instance bank-new: role arn:role/s3 was arn:role/s3 (s3Import), is not there"]

    def test_what_is_off_is_as_good_as_not_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        account = Account("rds", tmp_path, monkeypatch).fill()
        account.memory.instances[LIVE].said |= {"MonitoringInterval": 0, "AssociatedRoles": [], "MultiAZ": None}
        account.mark()
        target = account.restore(account.target(to="bank-new"))
        account.memory.instances["bank-new"].said |= {"MonitoringInterval": None, "MultiAZ": False}
        aws = account.store.aws
        note, found = Notes(account.topology, target).copy(), flavour_of(aws.spec).find(aws, "bank-new")
        assert note
        assert found
        assert list(setting_differences(aws, note, found, placed=False)) == []

    def test_an_instance_that_is_gone(self, aurora: Account) -> None:
        target = aurora.restore(aurora.target(to="bank-new"))
        del aurora.memory.instances["bank-new-2"]
        aws = aurora.store.aws
        note, found = Notes(aurora.topology, target).copy(), flavour_of(aws.spec).find(aws, "bank-new")
        assert note
        assert found
        assert "cluster bank-new: its instance bank-new-2 (db.r6g.large) is gone" in setting_differences(aws, note, found, placed=False)

    def test_custom_endpoints(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        account = Account("aurora", tmp_path, monkeypatch).fill()
        account.memory.endpoints = [{"DBClusterEndpointIdentifier": "reports", "CustomEndpointType": "READER", "StaticMembers": ["a"]}]
        account.memory.endpoints += [{"DBClusterEndpointIdentifier": "others", "CustomEndpointType": "ANY", "ExcludedMembers": ["b", "c"]}]
        account.mark()
        *_, reports, others = self.told(account)
        assert reports.endswith("custom endpoint reports is not there: it was READER of a")
        assert others.endswith("custom endpoint others is not there: it was ANY without b, c")

    def test_what_the_service_refuses_is_told_and_left(self, rds: Account) -> None:
        plain = rds.memory.modify_db_instance

        def refuse(**asked: Any) -> None:
            if "MonitoringInterval" in asked:
                from tests.unit.stores.rds.memory import refusal

                raise refusal("InvalidParameterCombination")
            plain(**asked)

        rds.memory.modify_db_instance = refuse  # type: ignore[method-assign,assignment]
        told = self.told(rds)
        assert "instance bank-new: MonitoringInterval was 60, is not there" in told
        assert rds.memory.counts["modify_db_instance"] == 1, "it is not asked for again"

    def test_what_is_taken_and_does_not_show(self, rds: Account) -> None:
        rds.memory.modify_db_instance = lambda **_: None  # type: ignore[method-assign,assignment]
        assert "instance bank-new: MonitoringInterval was 60, is not there" in self.told(rds)
        assert rds.memory.counts["modify_db_instance"] == 3

    def test_nothing_of_a_drill(self, account: Account) -> None:
        target = account.restore(account.target(drill=True))
        aws = account.store.aws
        note, found = Notes(account.topology, target).copy(), flavour_of(aws.spec).find(aws, target.final)
        assert note
        assert found
        assert list(setting_differences(aws, note, found, placed=False)) == []
