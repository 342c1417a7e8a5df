"""Whether an account of Cosmos DB can be backed up, asked through Azure's own SDKs before anything is paused; or clearly why not."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError

from midtime.errors import StoreAccessError, StoreError, StoreStatementError, StoreUnreachableError
from midtime.stores.base import ask
from tests.integration.cosmosdb_marks import ALL, FENCE, LIVE, Bank, log_in
from tests.stack.cosmosdb import PATH

pytestmark = pytest.mark.integration


@pytest.fixture
def bank(still_cosmos_bank: Bank) -> Bank:
    return still_cosmos_bank


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

    @pytest.mark.long
    def test_the_longer_tier_keeps_what_retention_keeps(self, empty_cosmos: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        empty_cosmos.make(backupPolicy={"type": "Continuous", "continuousModeProperties": {"tier": "Continuous30Days"}})
        log_in(empty_cosmos, monkeypatch)
        said = answers(empty_cosmos)["keeps a history"]
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

    @pytest.mark.long
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
    @pytest.mark.long
    def test_what_the_topology_says_wrongly(self, bank: Bank, store: dict[str, Any], said: str) -> None:
        bank.options = store
        error = refusal(bank)
        assert type(error) is StoreAccessError
        assert said in error.message

    @pytest.mark.long
    def test_two_connections_that_mean_two_accounts(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        bank.server.make_account("bank-test")
        log_in(bank, monkeypatch, login=bank.server.endpoint("bank-test"))
        assert "points at https://bank-test.documents.azure.com:443/, and account bank-prod is" in refusal(bank).message

    @pytest.mark.parametrize("written", ["https://BANK-PROD.documents.azure.com", "https://bank-prod-japaneast.documents.azure.com:443/"])
    @pytest.mark.long
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

    @pytest.mark.long
    def test_another_tenant(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_BANK_DB", bank.server.conn(tenantId="11111111-0d0f-4d2b-9a55-0c1f4b7f9b10"))
        error = refusal(bank)
        assert (type(error), "tenantId" in error.fix) == (StoreAccessError, True), error

    @pytest.mark.long
    def test_a_managed_identity(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_BANK_DB", bank.server.conn_identity())
        assert "is reachable" in answers(bank)

    @pytest.mark.long
    def test_a_key_that_only_azure_knows(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        """A connection without one: the control plane is asked for it."""
        log_in(bank, monkeypatch, password="")
        assert "has its containers" in answers(bank)

    @pytest.mark.long
    def test_a_table_that_scalardb_knows_and_nobody_has(self, bank: Bank) -> None:
        bank.know("bank.cards")
        assert "ScalarDB's metadata names bank/cards, which is not there" in refusal(bank).message

    @pytest.mark.parametrize("missing", ["coordinator/state", "scalardb/metadata"])
    @pytest.mark.long
    def test_a_container_that_must_be(self, bank: Bank, missing: str) -> None:
        bank.drop(missing)
        assert f"{missing} is not in account bank-prod" in refusal(bank).message

    @pytest.mark.long
    def test_an_account_that_somebody_changes(self, bank: Bank) -> None:
        """To add a region takes hours."""
        bank.server.settings(update=60)
        bank.arm.database_accounts.begin_update(*bank.where, {"tags": {"a": "b"}}, polling=False)
        assert answers(bank)["is at rest"] == "its state is Updating"

    @pytest.mark.long
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

    @pytest.mark.long
    def test_a_container_that_is_there_needs_not_be_made(self, bank: Bank) -> None:
        bank.container(FENCE, partitionKey={"paths": ["/window_id"], "kind": "Hash"})
        write = "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/write"
        bank.server.settings(permissions=[{"actions": ["*"], "notActions": [write], "dataActions": [], "notDataActions": []}])
        assert answers(bank)["has a fence container"] == f"{FENCE} is there"

    @pytest.mark.long
    def test_a_login_that_may_not_list_its_rights(self, bank: Bank) -> None:
        bank.fail("denied", "Permissions_List")
        assert answers(bank)["may be marked"] == "yes, as far as was tried; the login may not list its own rights"

    @pytest.mark.long
    def test_another_container_of_the_fences_name(self, bank: Bank) -> None:
        bank.container(FENCE)
        assert "another partition key than /window_id" in refusal(bank).message

    @pytest.mark.long
    def test_a_database_that_shares_its_throughput_shares_it_with_the_fence(self, bank: Bank) -> None:
        bank.server.data(LIVE).create_database("ares", offer_throughput=500).create_container("a", {"paths": [PATH], "kind": "Hash"})
        bank.options = {"namespaces": ["ares", "bank"]}
        assert "on the 500 RU/s that its database shares" in answers(bank)["has a fence container"]
        with bank.store.fence() as fence:
            fence.prepare()
        with pytest.raises(ResourceNotFoundError):
            bank.arm.sql_resources.get_sql_container_throughput(*bank.where, "ares", "midtime_fence")

    @pytest.mark.long
    def test_a_fence_that_is_declined(self, bank: Bank) -> None:
        bank.options = {"fence": False}
        assert "has a fence container" not in answers(bank)

    @pytest.mark.long
    def test_reads_that_are_throttled_take_longer(self, bank: Bank) -> None:
        bank.server.faults(
            {"kind": "throttling", "operations": ["control"], "every": 4}, {"kind": "throttling", "operations": ["QueryItems"], "times": 2}
        )
        assert "reaches" in answers(bank)
        assert bank.server.hits() > 5

    @pytest.mark.long
    def test_a_service_that_is_away(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("azure.core.pipeline.transport.RequestsTransport.sleep", lambda *_: None)
        bank.fail("unavailable", "DatabaseAccounts_Get")
        error = refusal(bank)
        assert (type(error), error.retryable) == (StoreUnreachableError, True)
        assert bank.server.hits() == 6  # tried again five times
