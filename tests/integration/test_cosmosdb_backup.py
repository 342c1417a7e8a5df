"""An account of Cosmos DB is marked, and known to be restorable, through Azure's own SDKs; or it is said at once, and clearly, why not."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from azure.core.exceptions import ResourceNotFoundError

from midtime.catalog import Catalog
from midtime.catalog.artifacts import damaged
from midtime.dag_parts import restore_points
from midtime.errors import NotRestorableError, StoreAccessError, StoreError, StoreStatementError, StoreUnreachableError
from midtime.model.instants import utc_now
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.operators.restorable import RestorableOperator
from midtime.stores import open_managed
from midtime.stores.base import Restorable, Shelf, ask
from midtime.stores.cosmosdb import backups, fences, restorable
from midtime.stores.cosmosdb.settings import MarkedAccount, Throughput
from midtime.stores.cosmosdb.store import CosmosdbStore
from midtime.stores.fences import KEPT_BY_SERVICES
from midtime.stores.marks import FILE
from tests.stack.cosmosdb import PATH, CosmosDB
from tests.stack.stack import Stack
from tests.unit.builders import LEDGER, point, topology

pytestmark = pytest.mark.integration

LIVE, POINT, FENCE = "bank-prod", point().id, "bank/midtime_fence"
TABLES = {"bank": ("accounts", "owners"), "coordinator": ("state",), "scalardb": ("metadata", "namespaces")}
ALL = sorted(f"{database}/{name}" for database, names in TABLES.items() for name in names)
LAG = 5.0
ASKED = "SqlResources_RetrieveContinuousBackupInformation"


class Bank:
    """An account with ScalarDB's containers, and the store that is to be marked."""

    def __init__(self, server: CosmosDB, folder: Path, **store: Any) -> None:
        self.server, self.folder, self.options = server, folder, store
        self.arm, self.where = server.arm, (server.GROUP, LIVE)

    @property
    def topology(self) -> Topology:
        spec = {"subscription_id": self.server.SUBSCRIPTION, "data_conn_id": "bank_data", **self.options}
        wanted = self.server.topology_store("bank", spec.pop("namespaces", ["bank"]), spec.pop("account", LIVE), **spec)
        return topology(name="bank", destination=f"file://{self.folder}/points", products=[LEDGER], stores=[wanted])

    @property
    def store(self) -> CosmosdbStore:
        """As another process would open it."""
        store = open_managed(self.topology, "bank")
        assert isinstance(store, CosmosdbStore)
        return store

    @property
    def catalog(self) -> Catalog:
        return Catalog(f"file://{self.folder}/points", "bank")

    @property
    def shelf(self) -> Shelf:
        return Shelf(self.catalog.folder(POINT), "bank")

    @property
    def file(self) -> Path:
        return Path(str(self.shelf.folder / "bank" / FILE).removeprefix("file://"))

    def settings(self) -> MarkedAccount:
        return MarkedAccount.unseal(self.file.read_bytes(), where="here")

    # what is in the account

    def make(self, **properties: Any) -> None:
        self.server.make_account(LIVE, {name: each for name, each in TABLES.items() if name != "scalardb"}, **properties)
        made = self.server.data(LIVE).create_database("scalardb")
        for name in TABLES["scalardb"]:
            made.create_container(name, {"paths": ["/id"], "kind": "Hash", "version": 2})
        for name in ("bank.accounts", "bank.owners", "coordinator.state", "another.table"):
            self.know(name)

    def know(self, table: str) -> None:
        """As ScalarDB does, in its metadata."""
        self.server.container(LIVE, "scalardb", "metadata").upsert_item({"id": table, "columns": {}})

    def container(self, full_name: str, **resource: Any) -> None:
        database, _, name = full_name.partition("/")
        wanted = {"id": name, "partitionKey": {"paths": [PATH], "kind": "Hash"}, **resource}
        body = {"properties": {"resource": wanted, "options": {}}}
        self.arm.sql_resources.begin_create_update_sql_container(*self.where, database, name, body).result()

    def drop(self, full_name: str) -> None:
        self.arm.sql_resources.begin_delete_sql_container(*self.where, *full_name.split("/")).result()

    def change(self, **properties: Any) -> None:
        self.arm.database_accounts.begin_update(*self.where, {"properties": properties}).result()

    def remake(self) -> None:
        self.arm.database_accounts.begin_delete(*self.where).result()
        self.make()

    def later(self, seconds: float) -> None:
        """The service's clock goes on by so much, and stands still again."""
        self.server.settings(stopped_at=self.server.now() + seconds)

    def instant(self) -> datetime:
        """A second behind all that was done so far; :data:`LAG` later the backups reach it."""
        self.later(2)
        found = datetime.fromtimestamp(int(self.server.now()), UTC)
        self.later(1)
        return found

    def marked(self) -> StoreBackup:
        """With its fence container, as a backup leaves it."""
        with self.store.fence() as fence:
            fence.prepare()
        return self.store.mark(self.instant(), self.shelf, lambda _: None)

    # what the service does

    def count(self, operation: str = ASKED) -> int:
        return int(self.server.calls()["counts"].get(operation, 0))

    def fail(self, kind: str, *operations: str, **fault: Any) -> None:
        self.server.faults({"kind": kind, "operations": list(operations), **fault})


@pytest.fixture(scope="module")
def own_server(stack: Stack) -> Iterator[CosmosDB]:
    server = CosmosDB(stack.processes, "cosmosdb-backups")
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def bare(own_server: CosmosDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bank]:
    """No account yet; a clock that stands still unless it is moved."""
    own_server.reset()
    own_server.settings(stopped_at=time.time(), lag=LAG, create=0, delete=0)
    for name, value in {**own_server.environment(), "AIRFLOW_CONN_BANK_DB": own_server.conn()}.items():
        monkeypatch.setenv(name, value)
    yield Bank(own_server, tmp_path)
    own_server.faults()


@pytest.fixture
def bank(bare: Bank, monkeypatch: pytest.MonkeyPatch) -> Bank:
    bare.make()
    log_in(bare, monkeypatch)
    return bare


def log_in(bank: Bank, monkeypatch: pytest.MonkeyPatch, **said: str) -> None:
    whole = {"conn_type": "azure_cosmos", "login": bank.server.endpoint(LIVE), "password": bank.server.key(LIVE), **said}
    monkeypatch.setenv("AIRFLOW_CONN_BANK_DATA", json.dumps(whole))


def answers(bank: Bank) -> dict[str, str]:
    """Of the preflight, all good."""
    checks = list(ask("bank", bank.store.questions()))
    assert all(check.ok for check in checks), checks[-1].detail
    return {check.question: check.detail for check in checks}


def refusal(bank: Bank) -> StoreError:
    """What the preflight ends with."""
    last = list(ask("bank", bank.store.questions()))[-1]
    assert isinstance(last.error, StoreError), last.detail
    assert last.error.fix
    return last.error


class TestPreflight:
    def test_what_it_says(self, bank: Bank) -> None:
        said = answers(bank)
        assert said["is reachable"] == f"https://{LIVE}.documents.azure.com:443/, written in Japan East"
        assert said["is consistent"] == "Strong"
        assert said["has its containers"] == f"{len(ALL)} containers"
        assert said["may be marked"] == "the login has every right that a backup needs"
        assert said["reaches"].startswith("bank/accounts can be restored up to 20")
        assert said["has a fence container"].startswith(
            f"{FENCE} is not there: the next backup makes it before its pause, with the 400 RU/s"
        )
        assert "`retention.keep_days` is 30, but what is older than 7 days cannot be restored" in said["keeps a history"]

    def test_nothing_is_changed(self, bank: Bank) -> None:
        before = bank.server.calls()["control"]
        answers(bank)
        seen = {call["operation"] for call in bank.server.calls()["control"][len(before) :]}
        assert not [name for name in seen if "Create" in name or "Update" in name or "Delete" in name], seen

    def test_the_longer_tier_keeps_what_retention_keeps(self, bare: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        bare.make(backupPolicy={"type": "Continuous", "continuousModeProperties": {"tier": "Continuous30Days"}})
        log_in(bare, monkeypatch)
        said = answers(bare)["keeps a history"]
        assert said.startswith("continuous, 30 days")
        assert "retention" not in said

    @pytest.mark.parametrize(
        ("properties", "kind", "said"),
        [
            ({"backupPolicy": {"type": "Periodic"}}, StoreAccessError, "periodic backups"),
            (
                {"consistencyPolicy": {"defaultConsistencyLevel": "Session"}},
                StoreAccessError,
                "consistency of account bank-prod is Session",
            ),
            ({"consistencyPolicy": {"defaultConsistencyLevel": "Eventual"}}, StoreAccessError, "is Eventual"),
            ({"capabilities": [{"name": "EnableGremlin"}]}, StoreAccessError, "API for Gremlin"),
            ({"disableLocalAuth": True}, StoreAccessError, "disableLocalAuth"),
            (
                {
                    "enableMultipleWriteLocations": True,
                    "locations": [
                        {"locationName": "Japan East", "failoverPriority": 0},
                        {"locationName": "Japan West", "failoverPriority": 1},
                    ],
                },
                StoreAccessError,
                "written in several regions",
            ),
        ],
    )
    def test_an_account_that_cannot_be_backed_up(self, bank: Bank, properties: dict[str, Any], kind: type[StoreError], said: str) -> None:
        bank.server.arm.database_accounts.begin_delete(*bank.where).result()
        bank.server.make_account(LIVE, **properties)
        error = refusal(bank)
        assert (type(error), said in error.message) == (kind, True), error

    def test_bounded_staleness_is_scalardbs_second_choice(self, bank: Bank) -> None:
        bank.change(consistencyPolicy={"defaultConsistencyLevel": "BoundedStaleness", "maxStalenessPrefix": 100, "maxIntervalInSeconds": 5})
        assert "scalar.db.cosmos.consistency_level=BOUNDED_STALENESS" in answers(bank)["is consistent"]

    @pytest.mark.parametrize(
        ("store", "said"),
        [
            ({"account": "bank-test"}, "there is no account bank-test in resource group midtime"),
            ({"resource_group": "elsewhere"}, "ResourceGroupNotFound"),
            ({"subscription_id": "00000000-0000-0000-0000-000000000000"}, "SubscriptionNotFound"),
            ({"namespaces": ["bank", "shop"]}, "any container of shop"),
        ],
    )
    def test_what_the_topology_says_wrongly(self, bank: Bank, store: dict[str, Any], said: str) -> None:
        bank.options = store
        error = refusal(bank)
        assert type(error) is StoreAccessError
        assert said in error.message

    def test_two_connections_that_mean_two_accounts(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        bank.server.make_account("bank-test")
        log_in(bank, monkeypatch, login=bank.server.endpoint("bank-test"))
        assert "points at https://bank-test.documents.azure.com:443/, and account bank-prod is" in refusal(bank).message

    @pytest.mark.parametrize("written", ["https://BANK-PROD.documents.azure.com", "https://bank-prod-japaneast.documents.azure.com:443/"])
    def test_one_account_written_in_another_way(self, bank: Bank, monkeypatch: pytest.MonkeyPatch, written: str) -> None:
        log_in(bank, monkeypatch, login=written)
        assert "is reachable" in answers(bank)

    def test_a_key_that_is_not_the_accounts(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        log_in(bank, monkeypatch, password="bm90IHRoZSBrZXk=")
        error = refusal(bank)
        assert (type(error), "key refused" in error.message) == (StoreAccessError, True), error
        assert "bm90" not in str(error)

    def test_a_login_that_is_none(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_BANK_DB", bank.server.conn(secret="not-the-secret"))
        error = refusal(bank)
        assert (type(error), "AADSTS7000215" in error.message, "not-the-secret" in str(error)) == (StoreAccessError, True, False), error

    def test_another_tenant(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_BANK_DB", bank.server.conn(tenantId="11111111-0d0f-4d2b-9a55-0c1f4b7f9b10"))
        error = refusal(bank)
        assert (type(error), "tenantId" in error.fix) == (StoreAccessError, True), error

    def test_a_managed_identity(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_BANK_DB", bank.server.conn_identity())
        assert "is reachable" in answers(bank)

    def test_a_key_that_only_azure_knows(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        """A connection without one: the control plane is asked for it."""
        log_in(bank, monkeypatch, password="")
        assert "has its containers" in answers(bank)

    def test_a_table_that_scalardb_knows_and_nobody_has(self, bank: Bank) -> None:
        bank.know("bank.cards")
        assert "ScalarDB's metadata names bank/cards, which is not there" in refusal(bank).message

    @pytest.mark.parametrize("missing", ["coordinator/state", "scalardb/metadata"])
    def test_a_container_that_must_be(self, bank: Bank, missing: str) -> None:
        bank.drop(missing)
        assert f"{missing} is not in account bank-prod" in refusal(bank).message

    def test_an_account_that_somebody_changes(self, bank: Bank) -> None:
        """To add a region takes hours."""
        bank.server.settings(update=60)
        bank.arm.database_accounts.begin_update(*bank.where, {"tags": {"a": "b"}}, polling=False)
        assert answers(bank)["is at rest"] == "its state is Updating"

    def test_an_account_that_somebody_deletes(self, bank: Bank) -> None:
        bank.server.settings(delete=60)
        bank.arm.database_accounts.begin_delete(*bank.where, polling=False)
        error = refusal(bank)
        assert (type(error), "state Deleting" in error.message) == (StoreStatementError, True), error

    @pytest.mark.parametrize(
        "lacking",
        [
            "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/retrieveContinuousBackupInformation/action",
            "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/write",
            "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/triggers/read",
            "Microsoft.DocumentDB/locations/restorableDatabaseAccounts/read",
        ],
    )
    def test_a_right_that_is_lacking(self, bank: Bank, lacking: str) -> None:
        bank.server.settings(permissions=[{"actions": ["*"], "notActions": [lacking], "dataActions": [], "notDataActions": []}])
        error = refusal(bank)
        assert (type(error), lacking in error.message) == (StoreAccessError, True), error

    def test_a_container_that_is_there_needs_not_be_made(self, bank: Bank) -> None:
        bank.container(FENCE, partitionKey={"paths": ["/window_id"], "kind": "Hash"})
        write = "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/write"
        bank.server.settings(permissions=[{"actions": ["*"], "notActions": [write], "dataActions": [], "notDataActions": []}])
        assert answers(bank)["has a fence container"] == f"{FENCE} is there"

    def test_a_login_that_may_not_list_its_rights(self, bank: Bank) -> None:
        bank.fail("denied", "Permissions_List")
        assert answers(bank)["may be marked"] == "yes, as far as was tried; the login may not list its own rights"

    def test_another_container_of_the_fences_name(self, bank: Bank) -> None:
        bank.container(FENCE)
        assert "another partition key than /window_id" in refusal(bank).message

    def test_a_database_that_shares_its_throughput_shares_it_with_the_fence(self, bank: Bank) -> None:
        bank.server.data(LIVE).create_database("ares", offer_throughput=500).create_container("a", {"paths": [PATH], "kind": "Hash"})
        bank.options = {"namespaces": ["ares", "bank"]}
        assert "on the 500 RU/s that its database shares" in answers(bank)["has a fence container"]
        with bank.store.fence() as fence:
            fence.prepare()
        with pytest.raises(ResourceNotFoundError):
            bank.arm.sql_resources.get_sql_container_throughput(*bank.where, "ares", "midtime_fence")

    def test_a_fence_that_is_declined(self, bank: Bank) -> None:
        bank.options = {"fence": False}
        assert "has a fence container" not in answers(bank)

    def test_reads_that_are_throttled_take_longer(self, bank: Bank) -> None:
        bank.server.faults(
            {"kind": "throttling", "operations": ["control"], "every": 4}, {"kind": "throttling", "operations": ["QueryItems"], "times": 2}
        )
        assert "reaches" in answers(bank)
        assert bank.server.hits() > 5

    def test_a_service_that_is_away(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("azure.core.pipeline.transport.RequestsTransport.sleep", lambda *_: None)
        bank.fail("unavailable", "DatabaseAccounts_Get")
        error = refusal(bank)
        assert (type(error), error.retryable) == (StoreUnreachableError, True)
        assert bank.server.hits() == 6  # tried again five times


class TestClock:
    @pytest.mark.parametrize("offset", [0.0, 7.5, -1.25])
    def test_it_is_the_services(self, bank: Bank, offset: float) -> None:
        bank.server.settings(stopped_at=None, clock_offset=offset)
        reading = bank.store.read_clock()
        assert reading.low <= timedelta(seconds=offset) <= reading.high
        assert reading.width < timedelta(seconds=0.5)

    def test_front_ends_that_disagree(self, bank: Bank) -> None:
        """By more than one clock could, and less than a second: the bounds have both."""
        bank.server.settings(stopped_at=int(time.time()) + 0.5, date_offsets=[0.0, 0.0, 1.6])
        assert timedelta(seconds=0.3) < bank.store.read_clock().width < timedelta(seconds=1.1)

    def test_one_that_stands_still(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("midtime.clocks.LIMIT", 1.0)
        monkeypatch.setattr("midtime.clocks.read_http_date.__kwdefaults__", {"fleet": False, "gap": 0.02, "limit": 1.0})
        with pytest.raises(StoreStatementError, match="stands still"):
            bank.store.read_clock()

    def test_one_that_does_not_answer(self, bank: Bank) -> None:
        bank.server.settings(stopped_at=None)
        client = bank.store
        _ = client.azure.hurried
        bank.fail("hang", "ReadAccount", seconds=30)
        began = time.monotonic()
        with pytest.raises(StoreUnreachableError):
            client.read_clock()
        assert time.monotonic() - began < 7


class TestFence:
    def rows(self, bank: Bank) -> list[dict[str, Any]]:
        """Without that of no window."""
        return [row for row in bank.server.items(LIVE, "bank", "midtime_fence") if row["window_id"] != "none"]

    def test_rows(self, bank: Bank) -> None:
        with bank.store.fence() as fence:
            fence.prepare()
            fence.write("w1", "before")
            fence.write("w1", "before")  # whoever lost the answer writes it again
            fence.write("w1", "after")
        rows = self.rows(bank)
        assert {(row["window_id"], row["place"]) for row in rows} == {("w1", "before"), ("w1", "after")}
        assert all(abs(row["written_at"] - time.time() * 1000) < 60_000 for row in rows)

    def test_they_end_by_themselves(self, bank: Bank) -> None:
        with bank.store.fence() as fence:
            fence.prepare()
            fence.write("w1", "before")
        bank.later(KEPT_BY_SERVICES.total_seconds() - 60)
        assert len(self.rows(bank)) == 1
        bank.later(120)
        assert self.rows(bank) == []

    def test_the_row_in_the_window_is_one_call(self, bank: Bank) -> None:
        """All that a client must learn before, it has learned."""
        with bank.store.fence() as fence:
            fence.prepare()
            before = bank.server.calls()["counts"]
            fence.write("w1", "before")
            after = bank.server.calls()["counts"]
        assert {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)} == {"UpsertItem": 1}

    def test_two_that_prepare_at_once(self, bank: Bank) -> None:
        bank.server.settings(resource=0.3, stopped_at=None)
        stores, errors = [bank.store, bank.store], []

        def prepare(store: CosmosdbStore) -> None:
            try:
                with store.fence() as fence:
                    fence.prepare()
            except StoreError as error:
                errors.append(error)

        threads = [threading.Thread(target=prepare, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []

    @pytest.mark.parametrize("fault", [{"kind": "hang", "seconds": 30}, {"kind": "drop"}, {"kind": "throttling"}, {"kind": "unavailable"}])
    def test_a_service_that_does_not_take_it_costs_the_window_three_seconds(self, bank: Bank, fault: dict[str, Any]) -> None:
        with bank.store.fence() as fence:
            fence.prepare()
            bank.server.faults({"operations": ["UpsertItem"], **fault})
            began = time.monotonic()
            with pytest.raises(StoreError) as caught:
                fence.write("w1", "before")
        assert time.monotonic() - began < 3.2
        assert caught.value.retryable

    def test_a_container_that_cannot_be_made(self, bank: Bank) -> None:
        bank.fail("failed", "SqlResources_CreateUpdateSqlContainer")
        with bank.store.fence() as fence, pytest.raises(StoreError, match="store bank"):
            fence.prepare()

    def test_gateways_that_learn_of_it_later(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fences, "find_fence", lambda *_: {"partitionKey": {"paths": ["/window_id"]}})  # ARM knows it already
        later = threading.Timer(1.5, bank.container, [FENCE], {"partitionKey": {"paths": ["/window_id"], "kind": "Hash"}})
        later.start()
        with bank.store.fence() as fence:
            fence.prepare()
            fence.write("w1", "before")
        assert len(self.rows(bank)) == 1

    def test_a_key_for_reading_only_is_found_out_before_the_window(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        reading = bank.arm.database_accounts.list_keys(*bank.where).primary_readonly_master_key
        log_in(bank, monkeypatch, password=str(reading))
        with bank.store.fence() as fence, pytest.raises(StoreAccessError, match="key refused") as caught:
            fence.prepare()
        assert "read-write" in caught.value.fix

    def test_somebody_elses_container(self, bank: Bank) -> None:
        bank.container(FENCE)
        with bank.store.fence() as fence, pytest.raises(StoreAccessError, match="another partition key"):
            fence.prepare()


class TestMark:
    def test_everything_with_its_identity(self, bank: Bank) -> None:
        made = bank.marked()
        account = bank.arm.database_accounts.get(*bank.where)
        rids = {
            name: bank.arm.sql_resources.get_sql_container(*bank.where, *name.split("/")).as_dict()["properties"]["resource"]["_rid"]
            for name in [*ALL, FENCE]
        }
        assert made.details["containers"] == rids
        assert (made.details["account"], made.details["instance"], made.details["region"]) == (LIVE, account.instance_id, "Japan East")
        assert (made.engine, made.method, made.tables) == ("cosmosdb", "pitr", ())
        assert list(damaged(made.artifacts, bank.shelf.folder)) == []
        found = bank.settings()
        assert found.instant == made.midtime
        assert found.source == bank.server.instance(LIVE).id
        assert [each.full_name for each in found.containers] == sorted(rids)

    def test_what_a_restore_loses(self, bank: Bank) -> None:
        sql, scope = bank.arm.sql_resources, bank.arm.database_accounts.get(*bank.where).id
        where = (*bank.where, "bank", "accounts")
        indexes = {"indexingMode": "consistent", "includedPaths": [{"path": "/values/by/?"}], "excludedPaths": [{"path": "/*"}]}
        bank.container("bank/accounts", defaultTtl=86400, indexingPolicy=indexes)
        for name, begin, more in (
            ("mutate.js", sql.begin_create_update_sql_stored_procedure, {}),
            ("watch", sql.begin_create_update_sql_trigger, {"triggerType": "Pre", "triggerOperation": "All"}),
            ("plus", sql.begin_create_update_sql_user_defined_function, {}),
        ):
            body = {"id": name, "body": f"function {name[:3]}() {{}}", **more}
            begin(*where, name, {"properties": {"resource": body, "options": {}}}).result()
        role = {"roleName": "teller", "type": "CustomRole", "assignableScopes": [scope], "permissions": [{"dataActions": ["*"]}]}
        definition = "7d1e8f0a-9a51-4a3b-8a83-27a4d5b8b101"
        sql.begin_create_update_sql_role_definition(definition, *bank.where, {"properties": role}).result()
        assigned = {"roleDefinitionId": f"{scope}/sqlRoleDefinitions/{definition}", "scope": scope, "principalId": definition}
        sql.begin_create_update_sql_role_assignment(definition, *bank.where, {"properties": assigned}).result()
        bank.change(ipRules=[{"ipAddressOrRange": "127.0.0.1"}, {"ipAddressOrRange": "10.1.2.0/24"}])
        bank.arm.database_accounts.begin_update(*bank.where, {"tags": {"owner": "bank"}}).result()
        bank.marked()
        found = bank.settings()
        container, account = found.container("bank/accounts"), found.settings
        assert (container.resource["defaultTtl"], container.resource["indexingPolicy"]["includedPaths"]) == (
            86400,
            indexes["includedPaths"],
        )
        assert container.resource["partitionKey"]["paths"] == [PATH]
        assert not [key for key in container.resource if key.startswith("_")]
        assert container.procedures == {"mutate.js": "function mut() {}"}
        assert [(each["id"], each["triggerType"], each["body"]) for each in container.triggers] == [("watch", "Pre", "function wat() {}")]
        assert container.functions == {"plus": "function plu() {}"}
        assert found.container("bank/owners").procedures == {}
        assert [each["roleName"] for each in account.roles] == ["teller"]
        assert [(each["principalId"], each["scope"]) for each in account.assignments] == [(definition, scope)]
        assert account.tags == {"owner": "bank"}
        assert [each["ipAddressOrRange"] for each in account.properties["ipRules"]] == ["127.0.0.1", "10.1.2.0/24"]
        assert account.properties["consistencyPolicy"]["defaultConsistencyLevel"] == "Strong"
        assert account.properties["backupPolicy"]["continuousModeProperties"] == {"tier": "Continuous7Days"}
        assert account.properties["locations"] == [{"locationName": "Japan East", "failoverPriority": 0, "isZoneRedundant": False}]

    def test_throughput_of_each_kind(self, bank: Bank) -> None:
        data, sql = bank.server.data(LIVE), bank.arm.sql_resources
        data.create_database("shared", offer_throughput=500).create_container("a", {"paths": [PATH], "kind": "Hash"})
        body = {"properties": {"resource": {"id": "b", "partitionKey": {"paths": [PATH], "kind": "Hash"}}}}
        body["properties"]["options"] = {"autoscaleSettings": {"maxThroughput": 4000}}  # type: ignore[assignment]
        sql.begin_create_update_sql_container(*bank.where, "bank", "b", body).result()
        bank.options = {"namespaces": ["bank", "shared"]}
        bank.marked()
        found = bank.settings()
        assert found.database("shared").throughput == Throughput(units=500)
        assert found.container("shared/a").throughput is None
        assert found.database("bank").throughput is None
        assert found.container("bank/b").throughput == Throughput(units=4000, autoscale=True)
        assert found.container("bank/accounts").throughput == Throughput(units=400)

    def test_a_serverless_account_has_none(self, bare: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        bare.make(capabilities=[{"name": "EnableServerless"}])
        log_in(bare, monkeypatch)
        bare.marked()
        assert {each.throughput for each in (*bare.settings().containers, *bare.settings().databases)} == {None}

    def test_marked_again_it_is_the_first_one(self, bank: Bank) -> None:
        """The manifest may name it by then."""
        made = bank.marked()
        bank.arm.database_accounts.begin_update(*bank.where, {"tags": {"later": "1"}}).result()
        again = bank.store.mark(made.midtime, bank.shelf, lambda _: None)
        assert (again.artifacts, again.details) == (made.artifacts, made.details)

    def test_a_container_that_was_made_since(self, bank: Bank) -> None:
        """It may have been another one at the instant."""
        bank.options = {"fence": False}
        instant = bank.instant()
        bank.drop("bank/owners")
        bank.container("bank/owners")
        with pytest.raises(NotRestorableError, match="bank/owners was made or changed at") as caught:
            bank.store.mark(instant, bank.shelf, lambda _: None)
        assert not caught.value.retryable
        assert not bank.file.exists()

    def test_without_the_fence_container(self, bank: Bank) -> None:
        with pytest.raises(StoreAccessError, match=FENCE):
            bank.store.mark(bank.instant(), bank.shelf, lambda _: None)
        bank.options = {"fence": False}
        assert sorted(bank.store.mark(bank.instant(), bank.shelf, lambda _: None).details["containers"]) == ALL

    def test_an_instant_before_its_history(self, bank: Bank) -> None:
        early = datetime.fromtimestamp(int(bank.server.now()) - 3600, UTC)
        bank.options = {"fence": False}
        with pytest.raises(NotRestorableError, match="account bank-prod has a history that begins at"):
            bank.store.mark(early, bank.shelf, lambda _: None)


class TestRestorable:
    """Each look is a store of its own, as another process would open it."""

    @pytest.fixture
    def made(self, bank: Bank) -> StoreBackup:
        return bank.marked()

    def look(self, bank: Bank, made: StoreBackup, before: Restorable | None = None) -> Restorable:
        return bank.store.restorable(made, before.passed if before else ())

    def test_it_waits_for_the_last_container(self, bank: Bank, made: StoreBackup) -> None:
        first = self.look(bank, made)
        assert not first.ready
        assert first.detail.startswith(f"{len(ALL) + 1} of {len(ALL) + 1} containers do not reach")
        short = made.midtime.timestamp() - 1
        bank.server.settings(backed_up={"bank/owners": short})
        bank.later(LAG + 1)
        second = self.look(bank, made, first)
        assert not second.ready
        assert second.detail.endswith(f"; bank/owners reaches {datetime.fromtimestamp(short, UTC):%Y-%m-%dT%H:%M:%SZ}")
        assert second.detail.startswith(f"1 of {len(ALL) + 1} containers do not reach")
        bank.server.settings(backed_up={"bank/owners": short + 1})
        assert self.look(bank, made, second).ready

    def test_what_has_passed_is_not_asked_again(self, bank: Bank, made: StoreBackup) -> None:
        bank.server.settings(backed_up={"bank/owners": made.midtime.timestamp() - 1})
        bank.later(LAG + 1)
        first = self.look(bank, made)
        assert set(first.passed) == {*ALL, FENCE} - {"bank/owners"}
        asked = bank.count()
        second = self.look(bank, made, first)
        assert bank.count() == asked + 1
        assert second.passed == first.passed

    def test_a_look_asks_no_more_than_arm_takes(self, bank: Bank, made: StoreBackup, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(restorable, "AT_MOST", 2)
        bank.later(LAG + 1)
        asked, said = bank.count(), None
        for looks in range(1, 4):
            said = self.look(bank, made, said)
            assert said.ready is (looks == 3)
            assert bank.count() == asked + 2 * looks

    @pytest.mark.parametrize(
        ("spoil", "said"),
        [
            (lambda bank: bank.drop("bank/owners"), "bank/owners was deleted"),
            (
                lambda bank: (bank.drop("bank/owners"), bank.later(1), bank.container("bank/owners")),
                "bank/owners is another container of that name",
            ),
            (lambda bank: bank.remake(), "account bank-prod is another account of that name"),
            (lambda bank: bank.arm.database_accounts.begin_delete(*bank.where).result(), "account bank-prod was deleted"),
            (lambda bank: bank.later(9 * 24 * 3600), "account bank-prod has a history that begins at"),
        ],
    )
    def test_it_never_will_be(self, bank: Bank, made: StoreBackup, spoil: Any, said: str) -> None:
        spoil(bank)
        with pytest.raises(NotRestorableError, match=said) as caught:
            self.look(bank, made)
        assert not caught.value.retryable
        assert caught.value.fix

    def test_also_where_the_container_had_passed(self, bank: Bank, made: StoreBackup) -> None:
        bank.later(LAG + 1)
        before = self.look(bank, made)
        assert before.ready
        bank.drop("bank/owners")
        with pytest.raises(NotRestorableError, match="bank/owners was deleted"):
            self.look(bank, made, before)

    @pytest.mark.parametrize("kind", ["throttling", "unavailable", "error", "failed", "conflict"])
    def test_a_container_that_does_not_say_is_asked_again(
        self, bank: Bank, made: StoreBackup, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The others are not, and the wait goes on."""
        monkeypatch.setattr("azure.core.pipeline.transport.RequestsTransport.sleep", lambda *_: None)
        bank.later(LAG + 1)
        monkeypatch.setattr("midtime.stores.each.AT_ONCE", 1)
        bank.fail(kind, ASKED, skip=2, times=6)
        first = self.look(bank, made)
        assert not first.ready
        assert "does not say: store bank: " in first.detail
        bank.server.faults()
        asked = bank.count()
        assert self.look(bank, made, first).ready
        assert bank.count() - asked == len(ALL) + 1 - len(first.passed) <= 5

    def test_one_that_hangs(self, bank: Bank, made: StoreBackup, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backups, "PATIENCE", 0.5)
        bank.server.settings(stopped_at=None, backup_information=600)
        began = time.monotonic()
        said = self.look(bank, made)
        assert not said.ready
        assert "does not say within 0.5 s" in said.detail
        assert time.monotonic() - began < 10

    @pytest.mark.parametrize(("kind", "said"), [("expired", "credentials have expired"), ("denied", "access denied")])
    def test_a_login_that_is_good_no_more(self, bank: Bank, made: StoreBackup, kind: str, said: str) -> None:
        """In the middle of the wait: somebody must mend it, and clear the task."""
        bank.later(LAG + 1)
        bank.fail(kind, ASKED, skip=3)
        with pytest.raises(StoreAccessError, match=said) as caught:
            self.look(bank, made)
        assert not caught.value.retryable


class TestTask:
    """The task that waits, with the store behind it."""

    @contextmanager
    def published(self, bank: Bank, *, minutes_ago: int) -> Iterator[RestorableOperator]:
        made = point(stores=(bank.marked(),), finished_at=utc_now() - timedelta(minutes=minutes_ago))
        bank.catalog.publish(made)
        yield RestorableOperator(task_id="restorable", topology=bank.topology, restore_point=made.id, asset=restore_points(bank.topology))

    def context(self, task: RestorableOperator) -> Any:
        return {"outlet_events": {task.asset: SimpleNamespace(extra=None)}}

    def test_it_ends_where_the_backups_never_advance(self, bank: Bank) -> None:
        with self.published(bank, minutes_ago=61) as task:
            bank.server.settings(backed_up={"bank/owners": bank.server.now() - 600})
            bank.later(LAG + 1)
            with pytest.raises(AirflowFailException) as caught:
                task.execute(self.context(task))
        assert "1 of 6 containers do not reach" in str(caught.value)
        assert "bank/owners reaches" in str(caught.value)
        assert "clear this task" in str(caught.value)

    def test_it_defers_and_goes_on_in_another_process(self, bank: Bank) -> None:
        with self.published(bank, minutes_ago=1) as task:
            bank.server.settings(backed_up={"bank/owners": bank.server.now() - 600})
            bank.later(LAG + 1)
            with pytest.raises(TaskDeferred) as deferred:
                task.execute(self.context(task))
            bank.server.settings(backed_up={})
            asked = bank.count()
            again = RestorableOperator(task_id="restorable", topology=bank.topology, restore_point=task.restore_point, asset=task.asset)
            said = again.resume(self.context(task), **json.loads(json.dumps(deferred.value.kwargs)))
            assert said["bank"].startswith("all of 6 containers reach")
            assert bank.count() == asked + 1


def test_nothing_secret_anywhere(bank: Bank, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the account's key, nor the client's secret, nor a token: not in what is written, returned, raised or logged."""
    caplog.set_level(logging.INFO)
    logging.getLogger("midtime").setLevel(logging.DEBUG)
    key = bank.server.key(LIVE)
    checks = [check.to_dict() for check in ask("bank", bank.store.questions())]
    made = bank.marked()
    bank.server.settings(stopped_at=None)
    bank.store.read_clock()
    said = bank.store.restorable(made)
    bank.fail("denied", "*")
    with pytest.raises(StoreError) as denied:
        bank.store.restorable(made)
    bank.fail("expired", "*")
    with pytest.raises(StoreError) as expired:
        bank.store.restorable(made)
    bank.server.faults()
    everything = [
        json.dumps(checks), made.model_dump_json(), bank.file.read_text(), repr(said), str(denied.value), str(expired.value), caplog.text,
        repr(bank.store.azure.data), repr(vars(bank.store)),
    ]  # fmt: skip
    for text in everything:
        for secret in (key, bank.server.SECRET, "token-", "Bearer "):
            assert secret not in text, text
