"""The DynamoDB of the tests behaves as Amazon's where restores depend on it, and ScalarDB's bank runs over it."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from botocore.exceptions import ClientError, HTTPClientError

from tests.integration.dynamodb_tables import INDEX, Customer, make, put, refused, restore, restored, rich, settings_of, values
from tests.integration.sets import busy
from tests.stack.bank import Bank, tables_of
from tests.stack.dynamodb import DynamoDB
from tests.stack.scalardb import Place
from tests.stack.stack import BESIDE_DYNAMO, IN_DYNAMO, Stack

pytestmark = pytest.mark.integration
START = 1_900_000_000
QUICK: dict[str, Any] = {"stopped_at": START, "lag": 0.0, "delete": 0.0, "backup": 0.0, "restore": 0.0}
"""Its clock stands still where a test puts it, so that nothing has to be waited for."""
BANK_TABLES = (f"{IN_DYNAMO}.acct", "coordinator.state", "scalardb.metadata")


@pytest.fixture
def server(spare_dynamodb: DynamoDB) -> DynamoDB:
    """Empty."""
    spare_dynamodb.reset()
    spare_dynamodb.settings(**QUICK)
    return spare_dynamodb


class TestTimeTravel:
    @pytest.mark.parametrize("includes_second", [False, True])
    @pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2))])
    def test_a_restore_brings_what_was_there(self, server: DynamoDB, seed: int, includes_second: bool) -> None:
        server.settings(includes_second=includes_second)
        chance, table = random.Random(seed), make(server, "history")
        customer, now, seen = Customer(server, table, chance), float(START), [(float(START), dict[str, int]())]
        for _ in range(120):
            now += chance.choice([0.0, 0.25, 0.5, 0.75, 1.0, 1.5])
            server.settings(stopped_at=now)
            customer.act()
            seen.append((now, dict(customer.items)))
        server.settings(stopped_at=now + 2)
        assert values(server, table) == customer.items
        for second in chance.sample(range(START, int(now) + 1), 12):
            kept = [items for at, items in seen if (at < second + 1 if includes_second else at <= second)]
            assert restored(server, table, second) == kept[-1], second - START

    def test_the_second_that_follows_is_in_it_or_not(self, server: DynamoDB) -> None:
        table = make(server, "edge")
        for value, at in enumerate((0, 0.001, 0.999, 1.0)):
            server.settings(stopped_at=START + 5 + at)
            put(server, table, "x", value)
        server.settings(stopped_at=START + 10)
        assert restored(server, table, START + 5) == {"x": 0}
        server.settings(includes_second=True)
        assert restored(server, table, START + 5) == {"x": 2}
        assert restored(server, table, START + 4) == {}

    def test_by_a_clock_that_goes(self, server: DynamoDB) -> None:
        server.settings(stopped_at=None, lag=0.5)
        table = make(server, "real")
        before = int(server.now()) + 1
        while server.now() < before + 0.1:
            time.sleep(0.05)
        put(server, table, "x", 1)
        server.wait_restorable(before)
        assert restored(server, table, before) == {}
        assert restored(server, table, before + 1) == {"x": 1}

    def test_only_between_the_earliest_and_the_latest(self, server: DynamoDB) -> None:
        table = make(server, "range")
        server.settings(stopped_at=START + 600, lag=300.0)
        described = server.tables.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
        described = described["PointInTimeRecoveryDescription"]
        assert described["EarliestRestorableDateTime"].timestamp() == START
        assert described["LatestRestorableDateTime"].timestamp() == START + 300
        assert described["RecoveryPeriodInDays"] == 35
        for second in (START - 1, START + 301):
            with refused("InvalidRestoreTimeException"):
                restore(server, table, "target", second)
        answer = server.tables.restore_table_to_point_in_time(SourceTableName=table, TargetTableName="target", UseLatestRestorableTime=True)
        assert answer["TableDescription"]["RestoreSummary"]["RestoreDateTime"].timestamp() == START + 300

    def test_history_begins_anew_with_the_recovery(self, server: DynamoDB) -> None:
        table = make(server, "switched")
        put(server, table, "x", 1)
        server.tables.update_continuous_backups(TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False})
        with refused("PointInTimeRecoveryUnavailableException"):
            restore(server, table, "target", START)
        server.settings(stopped_at=START + 10)
        server.protect(table)
        with refused("InvalidRestoreTimeException"):
            restore(server, table, "target", START + 9)
        assert restored(server, table, START + 10) == {"x": 1}

    def test_a_table_made_again_is_another_one(self, server: DynamoDB) -> None:
        table = make(server, "again")
        put(server, table, "x", 1)
        identity = server.tables.describe_table(TableName=table)["Table"]["TableId"]
        server.tables.delete_table(TableName=table)
        server.settings(stopped_at=START + 10)
        make(server, table)
        assert server.tables.describe_table(TableName=table)["Table"]["TableId"] != identity
        with refused("InvalidRestoreTimeException"):
            restore(server, table, "target", START + 5)
        (left,) = server.tables.list_backups(TableName=table, BackupType="SYSTEM")["BackupSummaries"]
        assert (left["BackupName"], left["TableId"]) == (f"{table}$DeletedTableBackup", identity)
        server.tables.restore_table_from_backup(TargetTableName="back", BackupArn=left["BackupArn"])
        assert values(server, "back") == {"x": 1}


class TestRestoredTable:
    def test_what_it_keeps_and_what_it_loses(self, server: DynamoDB) -> None:
        source = rich(server, "rich")
        kept = ("KeySchema", "BillingModeSummary", "TableClassSummary", "SSEDescription", "ProvisionedThroughput")
        before, after = server.tables.describe_table(TableName=source)["Table"], restore(server, source, "copy", START)
        assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
        assert [index["ProvisionedThroughput"]["ReadCapacityUnits"] for index in after["GlobalSecondaryIndexes"]] == [3]
        numbers = {"tags": 1, "scaled": 2, "scheduled": 1}
        switched = {"ttl": "ENABLED", "pitr": "ENABLED", "stream": True, "protected": True}
        assert settings_of(server, source) == {**numbers, **switched}
        lost = {"ttl": "DISABLED", "pitr": "DISABLED", "stream": False, "protected": False}
        assert settings_of(server, "copy") == {**dict.fromkeys(numbers, 0), **lost}
        with refused("PolicyNotFoundException"):
            server.tables.get_resource_policy(ResourceArn=after["TableArn"])

    def test_limits_of_tables_and_indexes_on_demand_are_kept(self, server: DynamoDB) -> None:
        limits: dict[str, Any] = {"OnDemandThroughput": {"MaxReadRequestUnits": 7, "MaxWriteRequestUnits": 8}}
        index = {**{key: INDEX[key] for key in ("IndexName", "KeySchema", "Projection")}, **limits}
        attributes = [{"AttributeName": key, "AttributeType": "S"} for key in ("id", "owner")]
        table = make(server, "demand", AttributeDefinitions=attributes, GlobalSecondaryIndexes=[index], **limits)
        copy = restore(server, table, "copy", START)
        assert copy["OnDemandThroughput"] == copy["GlobalSecondaryIndexes"][0]["OnDemandThroughput"] == limits["OnDemandThroughput"]

    def test_overrides(self, server: DynamoDB) -> None:
        asked: dict[str, Any] = {"BillingModeOverride": "PAY_PER_REQUEST", "GlobalSecondaryIndexOverride": []}
        copy = restore(server, rich(server, "rich"), "copy", START, **asked)
        assert copy["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
        assert not copy.get("GlobalSecondaryIndexes")
        assert [each["AttributeName"] for each in copy["AttributeDefinitions"]] == ["id"]

    def test_it_takes_its_time(self, server: DynamoDB) -> None:
        table = make(server, "slow")
        put(server, table, "x", 1)
        server.settings(restore=[100.0, 200.0], seed=1)
        copy = restore(server, table, "copy", START)
        assert (copy["TableStatus"], copy["RestoreSummary"]["RestoreInProgress"], copy["ItemCount"]) == ("CREATING", True, 0)
        with refused("ResourceNotFoundException"):
            server.items("copy")
        with refused("ResourceInUseException"):
            server.tables.delete_table(TableName="copy")
        with refused("TableInUseException"):
            restore(server, table, "copy", START)
        with refused("ContinuousBackupsUnavailableException"):
            server.protect("copy")
        server.settings(stopped_at=START + 200)
        copy = server.tables.describe_table(TableName="copy")["Table"]
        assert (copy["TableStatus"], copy["RestoreSummary"]["RestoreInProgress"], copy["ItemCount"]) == ("ACTIVE", False, 1)
        with refused("TableAlreadyExistsException"):
            restore(server, table, "copy", START)

    def test_fifty_at_once(self, server: DynamoDB) -> None:
        table = make(server, "many")
        server.settings(restore=[60.0, 3600.0])
        for number in range(50):
            restore(server, table, f"copy{number}", START)
        with refused("LimitExceededException"):
            restore(server, table, "one-more", START)
        statuses = {}
        for later in (60, 1800, 3600):
            server.settings(stopped_at=START + later)
            statuses[later] = sum(server.status(f"copy{number}") == "ACTIVE" for number in range(50))
        assert 0 <= statuses[60] < statuses[1800] < statuses[3600] == 50
        restore(server, table, "one-more", START)
        assert server.calls()["most_restoring"] == 50


class TestBackupsAndDeletion:
    def test_a_backup_is_of_its_instant(self, server: DynamoDB) -> None:
        table = make(server, "saved", protected=False)
        put(server, table, "x", 1)
        server.settings(backup=60.0)
        arn = server.tables.create_backup(TableName=table, BackupName="mine")["BackupDetails"]["BackupArn"]
        put(server, table, "x", 2)
        for call in (server.tables.delete_backup, lambda **arn: server.tables.restore_table_from_backup(TargetTableName="target", **arn)):
            with refused("BackupInUseException"):
                call(BackupArn=arn)
        with refused("ResourceInUseException"):
            server.tables.delete_table(TableName=table)
        assert [each["BackupStatus"] for each in server.tables.list_backups(TableName=table)["BackupSummaries"]] == ["CREATING"]
        server.settings(stopped_at=START + 60)
        assert server.tables.describe_backup(BackupArn=arn)["BackupDescription"]["BackupDetails"]["BackupStatus"] == "AVAILABLE"
        server.tables.delete_table(TableName=table)
        server.tables.restore_table_from_backup(TargetTableName=table, BackupArn=arn)
        assert values(server, table) == {"x": 1}
        server.tables.delete_backup(BackupArn=arn)
        with refused("BackupNotFoundException"):
            server.tables.describe_backup(BackupArn=arn)

    def test_a_table_goes_with_all_that_hung_on_it(self, server: DynamoDB) -> None:
        table = rich(server, "rich")
        arn = server.tables.describe_table(TableName=table)["Table"]["TableArn"]
        with refused("ValidationException"):
            server.tables.delete_table(TableName=table)
        server.settings(delete=30.0)
        server.tables.update_table(TableName=table, DeletionProtectionEnabled=False)
        for _ in range(2):  # the second time is no error
            assert server.tables.delete_table(TableName=table)["TableDescription"]["TableStatus"] == "DELETING"
        with refused("ResourceInUseException"):
            make(server, table)
        server.settings(stopped_at=START + 30)
        assert server.status(table) == ""
        make(server, table)
        assert not any(settings_of(server, table)[key] for key in ("scaled", "scheduled", "tags"))
        assert not server.sdk("cloudwatch").describe_alarms()["MetricAlarms"]
        with refused("PolicyNotFoundException"):
            server.tables.get_resource_policy(ResourceArn=arn)

    def test_settings_change_one_after_the_other(self, server: DynamoDB) -> None:
        table = make(server, "changing")
        server.settings(update=5.0)
        server.tables.update_table(TableName=table, TableClass="STANDARD_INFREQUENT_ACCESS")
        put(server, table, "x", 1)
        with refused("ResourceInUseException"):
            server.tables.update_table(TableName=table, DeletionProtectionEnabled=True)
        server.settings(stopped_at=START + 5)
        server.tables.update_table(TableName=table, DeletionProtectionEnabled=True)
        described = server.tables.describe_table(TableName=table)["Table"]
        assert (described["TableClassSummary"]["TableClass"], described["TableStatus"]) == ("STANDARD_INFREQUENT_ACCESS", "UPDATING")
        server.settings(stopped_at=START + 10)


class TestClockAndFaults:
    def test_every_answer_says_what_its_clock_says(self, server: DynamoDB) -> None:
        server.settings(clock_offset=7.5)
        dates = []
        for _ in range(2):
            dates.append(parsedate_to_datetime(server.tables.list_tables()["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp())
            server.settings(date_offsets=[-2.0])
        assert dates == [START + 7, START + 5]
        server.faults({"kind": "throttling"})
        with pytest.raises(ClientError) as failed:
            server.tables.list_tables()
        assert "date" in failed.value.response["ResponseMetadata"]["HTTPHeaders"]

    def test_every_third_call(self, server: DynamoDB) -> None:
        server.faults({"kind": "throttling", "operations": ["ListTables"], "every": 3})
        for _ in range(2):
            server.tables.list_tables()
            server.tables.describe_limits()
            server.tables.list_tables()
            with refused("ThrottlingException"):
                server.tables.list_tables()
        server.faults({"kind": "capacity", "operations": ["data"], "times": 1})
        table = make(server, "slowed")
        with refused("ProvisionedThroughputExceededException"):
            put(server, table, "x", 1)
        put(server, table, "x", 1)

    def test_done_and_not_said(self, server: DynamoDB) -> None:
        table = make(server, "lost")
        server.faults({"kind": "error", "operations": ["RestoreTableToPointInTime"], "after": True})
        with refused("InternalServerError"):
            restore(server, table, "copy", START)
        assert server.status("copy") == "ACTIVE"

    def test_credentials_end(self, server: DynamoDB) -> None:
        server.faults({"kind": "expired", "since": START + 10})
        server.tables.list_tables()
        server.settings(stopped_at=START + 10)
        for call in (server.tables.list_tables, lambda: server.scaling.describe_scalable_targets(ServiceNamespace="dynamodb")):
            with refused("ExpiredTokenException"):
                call()

    def test_no_answer(self, server: DynamoDB) -> None:
        server.faults({"kind": "drop", "times": 1})
        with pytest.raises(HTTPClientError):
            server.tables.list_tables()
        server.faults({"kind": "hang", "operations": ["control"], "skip": 2, "times": 1})
        with ThreadPoolExecutor() as pool:
            hung = pool.submit(lambda: [server.status("x") for _ in range(3)])
            server.wait_hit()
            server.tables.list_tables()  # nobody else waits for it
            assert not hung.done()
            server.faults()
            with pytest.raises(HTTPClientError):
                hung.result(10)

    def test_calls_are_told(self, server: DynamoDB) -> None:
        table = make(server, "called")
        put(server, table, "x", 1)
        with refused("ResourceNotFoundException"):
            server.tables.describe_table(TableName="none")
        calls = server.calls()
        assert calls["counts"] == {"CreateTable": 1, "UpdateContinuousBackups": 1, "PutItem": 1, "DescribeTable": 1}
        assert [(each["operation"], each["on"], each["code"]) for each in calls["control"]] == [
            ("CreateTable", table, ""),
            ("UpdateContinuousBackups", table, ""),
            ("DescribeTable", "none", "ResourceNotFoundException"),
        ]


@pytest.mark.parametrize("service", ["dynamodb", "application-autoscaling", "sts"])
def test_airflow_reaches_it(server: DynamoDB, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SEEN_DB", server.conn())
    client = AwsBaseHook(aws_conn_id="seen_db", client_type=service).get_conn()
    ask = {"dynamodb": "list_tables", "sts": "get_caller_identity"}.get(service, "describe_scalable_targets")
    answer = getattr(client, ask)(**({"ServiceNamespace": "dynamodb"} if ask == "describe_scalable_targets" else {}))
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert client.meta.region_name == server.REGION


@pytest.mark.long
class TestPrefix:
    def test_restored_under_another_prefix_it_is_whole_once_its_metadata_are_repaired(self, stack: Stack, server: DynamoDB) -> None:
        """ScalarDB's metadata hold the tables' whole names."""
        server.settings(stopped_at=None)
        tables = ("bank_own.acct", "coordinator.state", "scalardb.metadata")
        total = whole(stack, Place(server, "own_"))
        assert server.names() == [f"own_{table}" for table in tables]
        at_rest = int(server.now()) + 1
        server.wait_restorable(at_rest)
        for table in tables:
            server.restore(f"own_{table}", f"drill_{table}", at_rest)
            server.tables.delete_table(TableName=f"own_{table}")
        assert whole(stack, Place(server, "drill_"), "--repair-all") == total
        assert server.names() == [f"drill_{table}" for table in tables]


def whole(stack: Stack, place: Place, *repair: str) -> int:
    """The sum of a bank that has just been made, or of one that was restored and is repaired."""
    places = {"bank_own": place}
    scalardb = stack.scalardb_over(places, f"scalardb-{place.database}", loader_options=["--no-scaling", *repair])
    bank = Bank(scalardb.address, 5, tables_of(places))
    try:
        return (bank if repair else bank.load()).total()
    finally:
        bank.close()
        scalardb.close()


@pytest.mark.long  # CI has a bank over it in Airflow
class TestBank:
    def test_no_money_is_lost_between_the_databases(self, stack: Stack, dynamo_bank: Bank) -> None:
        sums = "SELECT sum(balance) FROM {}.acct"
        places = stack.dynamo_places
        before = [int(places[name].execute(sums.format(name))[0][0]) for name in (IN_DYNAMO, BESIDE_DYNAMO)]
        with busy(dynamo_bank):
            pass
        after = [int(places[name].execute(sums.format(name))[0][0]) for name in (IN_DYNAMO, BESIDE_DYNAMO)]
        assert dynamo_bank.total() == dynamo_bank.expected_total == sum(before)
        assert after != before

    def test_its_tables_are_protected_and_scaled(self, dynamodb_server: DynamoDB, dynamo_bank: Bank) -> None:
        assert set(BANK_TABLES) <= set(dynamodb_server.names())
        settings = [settings_of(dynamodb_server, table) for table in BANK_TABLES]
        assert [each["pitr"] for each in settings] == ["ENABLED"] * 3
        assert [each["scaled"] for each in settings] == [2, 2, 0]

    def test_restored_at_rest_it_is_whole(self, dynamodb_server: DynamoDB, dynamo_bank: Bank) -> None:
        assert dynamo_bank.total() == dynamo_bank.expected_total  # and nothing is half done
        at_rest = int(dynamodb_server.now()) + 1
        dynamodb_server.wait_restorable(at_rest)
        with busy(dynamo_bank):
            pass
        for table in BANK_TABLES:
            dynamodb_server.restore(table, f"drill_{table}", at_rest)
        records = [len(dynamodb_server.items(f"drill_{table}")) for table in BANK_TABLES]
        assert records[0] == dynamo_bank.size
        assert records[1] < len(dynamodb_server.items("coordinator.state"))
        states = {state for (state,) in dynamodb_server.execute(f"SELECT tx_state FROM {IN_DYNAMO}.acct", "drill_")}
        for table in BANK_TABLES:
            dynamodb_server.tables.delete_table(TableName=f"drill_{table}")
            dynamodb_server.wait_gone(f"drill_{table}")
        assert states == {3}
