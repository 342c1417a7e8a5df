"""The mark, and whether what it claims has come true, whatever became of the names since."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from midtime.errors import NotRestorableError, StoreAccessError
from midtime.stores.marks import FILE
from midtime.stores.rds.settings import MarkedServer
from tests.unit.stores.rds.memory import START, refusal
from tests.unit.stores.rds.restores import LIVE, Account, copy_of


def noted(account: Account) -> MarkedServer:
    path = account.shelf.folder / "points" / FILE
    return MarkedServer.unseal(path.read_bytes(), where=str(path))


def test_an_instance_with_all_that_a_restore_loses(rds: Account) -> None:
    said = noted(rds)
    assert rds.backup.details == {
        "region": "eu-west-1", "account": "123456789012", "name": LIVE, "resource_id": said.resource_id, "settings": f"points/{FILE}",
        "restorable_until": rds.backup.details["restorable_until"],
        "groups": {"DBSubnetGroupName": ["private"], "DBParameterGroupName": ["tuned"], "OptionGroupName": ["options"]},
    }  # fmt: skip
    assert rds.backup.restorable_until == rds.backup.midtime + timedelta(days=7)
    assert (said.name, said.engine, said.engine_version, said.days, said.allocated, said.encrypted) == (
        LIVE,
        "postgres",
        "16.3",
        7,
        500,
        True,
    )
    assert said.earliest
    assert said.latest
    assert said.tags == {"team": "bank"}, "Amazon's own tags cannot be given"
    assert said.roles == ("arn:role/s3 (s3Import)",)
    assert said.settings == {
        "AutoMinorVersionUpgrade": True, "BackupRetentionPeriod": 7, "CACertificateIdentifier": "rds-ca-rsa2048-g1", "CopyTagsToSnapshot": True,
        "DBInstanceClass": "db.r6g.2xlarge", "DBParameterGroupName": "tuned", "DBSubnetGroupName": "private", "DeletionProtection": True,
        "EnableCloudwatchLogsExports": ["postgresql"], "EnableIAMDatabaseAuthentication": True, "EnablePerformanceInsights": True, "Iops": 12000,
        "LicenseModel": "postgresql-license", "MaxAllocatedStorage": 1000, "MonitoringInterval": 60, "MonitoringRoleArn": "arn:role/m",
        "MultiAZ": True, "NetworkType": "IPV4", "OptionGroupName": "options", "PerformanceInsightsRetentionPeriod": 7, "Port": 5433,
        "PreferredBackupWindow": "01:00-01:30", "PreferredMaintenanceWindow": "sun:03:00-sun:03:30", "PubliclyAccessible": False,
        "StorageThroughput": 500, "StorageType": "gp3", "VpcSecurityGroupIds": ["sg-1", "sg-2"],
    }  # fmt: skip


def test_a_cluster_with_its_instances_and_endpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account("aurora", tmp_path, monkeypatch).fill()
    account.memory.endpoints = [{"DBClusterEndpointIdentifier": "reports", "CustomEndpointType": "READER", "StaticMembers": [f"{LIVE}-r"]}]
    said = noted(account.mark())
    assert [(each.name, each.writer, each.settings["DBInstanceClass"]) for each in said.members] == [
        (f"{LIVE}-w", True, "db.r6g.2xlarge"),
        (f"{LIVE}-r", False, "db.r6g.large"),
    ]
    assert said.endpoints == tuple(account.memory.endpoints)
    assert said.settings["DBClusterParameterGroupName"] == "tuned-cluster"
    assert said.settings["DBSubnetGroupName"] == "private"
    assert said.settings["EnableHttpEndpoint"] is True


def test_small_gp3_volumes_take_no_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account("rds", tmp_path, monkeypatch)
    account.memory.make(LIVE, "live", Iops=3000, StorageThroughput=125, AllocatedStorage=20)
    assert not {"Iops", "StorageThroughput"} & noted(account.mark()).settings.keys()


@pytest.mark.parametrize(("speed", "noted_"), [({"Iops": 2000, "StorageThroughput": 0}, {"Iops": 2000}), ({"Iops": 0}, {})])
def test_other_volumes_have_what_they_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speed: Any, noted_: Any) -> None:
    account = Account("rds", tmp_path, monkeypatch)
    account.memory.make(LIVE, "live", StorageType="io1", **{"StorageThroughput": 0, **speed})
    settings = noted(account.mark()).settings
    assert {key: settings[key] for key in ("Iops", "StorageThroughput") if key in settings} == noted_


def test_an_instance_without_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account("rds", tmp_path, monkeypatch).fill()
    account.memory.instances[LIVE].ready_at = 1e9
    assert "Port" not in noted(account.mark()).settings


def test_what_a_restore_takes_no_request_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Aurora PostgreSQL has no backtracking, and says so by a zero."""
    account = Account("aurora", tmp_path, monkeypatch).fill()
    account.memory.clusters[LIVE].said["BacktrackWindow"] = 0
    assert "BacktrackWindow" not in noted(account.mark()).settings


def test_only_what_somebody_chose_of_its_endpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account("aurora", tmp_path, monkeypatch).fill()
    account.memory.endpoints = [
        {"EndpointType": "WRITER", "Endpoint": "w"},
        {"DBClusterEndpointIdentifier": "reports", "CustomEndpointType": "READER", "StaticMembers": [], "ExcludedMembers": ["a"]},
    ]
    own = {"DBClusterEndpointIdentifier": "reports", "CustomEndpointType": "READER", "ExcludedMembers": ["a"]}
    assert noted(account.mark()).endpoints == (own,)


def test_marked_again_it_is_the_first_one(account: Account) -> None:
    for things in (account.memory.instances, account.memory.clusters):
        for each in things.values():
            each.tags["later"] = "1"
    again = account.store.mark(account.backup.midtime, account.shelf, lambda _: None)
    assert (again.artifacts, again.details) == (account.backup.artifacts, account.backup.details)


@pytest.mark.parametrize("what", ["off", "young", "gone"])
def test_no_mark_where_it_can_never_be_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    account = Account("rds", tmp_path, monkeypatch)
    if what != "gone":
        live = account.memory.make(LIVE, "live", BackupRetentionPeriod=0 if what == "off" else 7)
        account.memory.kept[live.resource_id]["earliest"] = 550.0
    words = {"off": "switched off", "young": "begins at 2026-11-21T02:09:10Z, behind", "gone": "was deleted, or never was"}[what]
    with pytest.raises(NotRestorableError, match=words):
        account.mark()
    assert not (account.shelf.folder / "points").exists()


def test_nothing_secret_in_it(account: Account) -> None:
    path = account.shelf.folder / "points" / FILE
    assert "assword" not in json.dumps(json.loads(path.read_bytes()))


class TestRestorable:
    def test_once_the_latest_lies_behind_it(self, account: Account) -> None:
        account.memory.now, account.memory.lag = 800.0, 300.0
        said = account.store.restorable(account.backup)
        assert not said.ready, "it must lie before the latest restorable time"
        noun = "instance" if account.kind == "rds" else "cluster"
        assert said.detail == f"{noun} {LIVE} reaches 2026-11-21T02:08:20Z, 2026-11-21T02:08:20Z is wanted"
        account.memory.now += 1
        assert account.store.restorable(account.backup).ready

    def test_latest_that_never_advances_is_told_with_the_state(self, account: Account) -> None:
        for things in (account.memory.instances, account.memory.clusters):
            for each in things.values():
                each.broken = "storage-full"
        account.memory.kept[account.backup.details["resource_id"]]["latest"] = 400.0
        said = account.store.restorable(account.backup)
        assert not said.ready
        assert "it is storage-full" in said.detail

    @pytest.mark.parametrize("after", [1, 2])
    def test_sql_server_needs_a_second_more(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        account = Account("rds", tmp_path, monkeypatch, dialect="sqlserver")
        account.memory.make(LIVE, "live", Engine="sqlserver-se")
        account.mark()
        account.memory.now = 500.0 + account.memory.lag + after
        said = account.store.restorable(account.backup)
        assert said.ready is (after == 2)
        assert said.ready or "OFFLINE" in said.detail
        assert account.store.fleet
        assert account.store.early == timedelta(seconds=1)

    @pytest.mark.parametrize("after", [1, 2])
    def test_a_sql_server_that_was_deleted_too_early_for_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        """It is told: nothing comes any more."""
        account = Account("rds", tmp_path, monkeypatch, dialect="sqlserver")
        account.memory.make(LIVE, "live", Engine="sqlserver-se")
        account.mark()
        account.memory.lose(LIVE, retained=True)
        account.memory.kept[account.backup.details["resource_id"]]["latest"] = 500.0 + after
        if after == 2:
            assert account.store.restorable(account.backup).ready
        else:
            with pytest.raises(NotRestorableError, match="kept of it end at 2026-11-21T02:08:21Z"):
                account.store.restorable(account.backup)

    def test_no_second_more_for_the_others(self, account: Account) -> None:
        assert not account.store.fleet
        assert not account.store.early

    def test_who_bears_the_name(self, account: Account) -> None:
        """Which a switchover changes: a window notes it, and its mark asks again."""
        assert account.store.bearer() == noted(account).resource_id
        account.memory.rename(LIVE, "bank-old")
        assert account.store.bearer() == ""
        made = account.memory.make(LIVE, "green", cluster=account.store.aws.spec.engine == "aurora")
        assert account.store.bearer() == made.resource_id != noted(account).resource_id

    def test_renamed(self, account: Account) -> None:
        account.memory.rename(LIVE, "bank-old")
        said = account.store.restorable(account.backup)
        assert said.ready
        assert "called bank-old now" in said.detail

    def test_deleted_with_its_backups_kept(self, account: Account) -> None:
        account.memory.lose(LIVE, retained=True)
        said = account.store.restorable(account.backup)
        assert said.ready
        assert "deleted since" in said.detail

    def test_being_deleted(self, account: Account) -> None:
        """It is listed for as long as that takes, but its history has ended."""
        copy_of(account, LIVE).gone_at = 1e9
        account.memory.kept[account.backup.details["resource_id"]]["latest"] = 550.0
        said = account.store.restorable(account.backup)
        assert said.ready
        assert "deleted since" in said.detail
        with pytest.raises(NotRestorableError, match="was deleted, or never was"):
            account.mark_anew()

    @pytest.mark.parametrize(("latest", "said"), [(490.0, "2026-11-21T02:08:10Z"), (500.0, "2026-11-21T02:08:20Z")])
    def test_deleted_before_the_backups_came_so_far(self, account: Account, latest: float, said: str) -> None:
        account.memory.lose(LIVE, retained=True)
        account.memory.kept[account.backup.details["resource_id"]]["latest"] = latest
        with pytest.raises(NotRestorableError, match=f"was deleted, and the automated backups that are kept of it end at {said}"):
            account.store.restorable(account.backup)

    def test_deleted_and_nobody_knows_when_its_backups_end(self, rds: Account) -> None:
        kept = {"DbiResourceId": rds.backup.details["resource_id"], "Status": "retained"}
        rds.memory.lose(LIVE, retained=True)
        rds.memory.describe_db_instance_automated_backups = lambda **_: {"DBInstanceAutomatedBackups": [kept]}  # type: ignore[method-assign]
        with pytest.raises(NotRestorableError, match="end at an unknown time"):
            rds.store.restorable(rds.backup)

    def test_to_the_very_beginning_of_its_history(self, account: Account) -> None:
        account.memory.kept[account.backup.details["resource_id"]]["earliest"] = 500.0
        assert account.store.restorable(account.backup).ready

    def test_a_cluster_says_itself_when_its_history_begins(self, aurora: Account) -> None:
        aurora.memory.kept[aurora.backup.details["resource_id"]]["earliest"] = 501.0
        aurora.memory.describe_db_cluster_automated_backups = lambda **_: {"DBClusterAutomatedBackups": []}  # type: ignore[method-assign]
        with pytest.raises(NotRestorableError, match="has a history that begins at 2026-11-21T02:08:21Z, behind 2026-11-21T02:08:20Z"):
            aurora.store.restorable(aurora.backup)

    def test_nobody_knows_when_its_history_begins(self, rds: Account) -> None:
        rds.memory.describe_db_instance_automated_backups = lambda **_: {"DBInstanceAutomatedBackups": []}  # type: ignore[method-assign]
        assert rds.store.restorable(rds.backup).ready

    def test_a_history_that_has_not_begun(self, rds: Account) -> None:
        rds.memory._latest = lambda _: None  # type: ignore[assignment,method-assign,return-value]
        said = rds.store.restorable(rds.backup)
        assert not said.ready
        assert "reaches nothing yet" in said.detail

    def test_a_service_that_does_not_know_the_filters(self, account: Account) -> None:
        """An emulator answers with all that there is: the one that was marked is none of these."""
        memory = account.memory
        memory.lose(LIVE, retained=False)
        other = memory.make("another", "another", cluster=account.kind == "aurora")
        memory._found = lambda things, *_: list(things.values())  # type: ignore[method-assign,assignment]
        plain = memory._backups
        memory._backups = lambda _, key, missing: plain(other.resource_id, key, missing)  # type: ignore[method-assign,assignment]
        with pytest.raises(NotRestorableError, match="was deleted, and its automated backups with it"):
            account.store.restorable(account.backup)

    @pytest.mark.parametrize("anew", [True, False])
    def test_deleted_and_made_anew(self, account: Account, anew: bool) -> None:
        account.memory.lose(LIVE, retained=False)
        if anew:
            account.memory.make(LIVE, "another", cluster=account.kind == "aurora")
        with pytest.raises(NotRestorableError, match="was deleted, and its automated backups with it"):
            account.store.restorable(account.backup)

    def test_its_backups_were_switched_off(self, rds: Account) -> None:
        rds.memory.instances[LIVE].said["BackupRetentionPeriod"] = 0
        with pytest.raises(NotRestorableError, match="switched off"):
            rds.store.restorable(rds.backup)

    def test_a_login_that_may_not(self, account: Account) -> None:
        def refuse(*_: object) -> None:
            raise refusal("AccessDenied", status=403)

        account.memory.before_each = refuse
        with pytest.raises(StoreAccessError, match="access denied") as caught:
            account.store.restorable(account.backup)
        assert "docs/rds.md" in caught.value.fix


def test_the_instant_is_the_stores_own(account: Account) -> None:
    assert account.backup.midtime == START + timedelta(seconds=500)
    assert (account.backup.method, account.backup.engine) == ("pitr", account.kind)
