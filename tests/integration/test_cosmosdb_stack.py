"""The double of Azure and Cosmos DB is what the other tests take it for; asked through Azure's own SDKs and Airflow's hooks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests
from airflow.providers.microsoft.azure.hooks.base_azure import AzureBaseHook
from airflow.providers.microsoft.azure.hooks.cosmos import AzureCosmosDBHook
from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.cosmos.exceptions import CosmosHttpResponseError
from azure.mgmt.cosmosdb import CosmosDBManagementClient

from tests.stack.cosmosdb import CosmosDB
from tests.stack.cosmosdb_bank import ScalarBank

pytestmark = pytest.mark.integration

START = 1_790_000_000
SHOP = {"shop": ["orders", "stock"]}
QUICK = {"create": 0, "delete": 0, "restore": 0, "retry_after": 0.01, "lag": 0.0}
READER = "00000000-0000-0000-0000-000000000001"


@pytest.fixture
def server(cosmosdb_server: CosmosDB) -> Iterator[CosmosDB]:
    """Its clock stands still."""
    cosmosdb_server.reset()
    cosmosdb_server.settings(stopped_at=START, **QUICK)
    yield cosmosdb_server
    cosmosdb_server.reset()


@pytest.fixture
def shop(server: CosmosDB) -> CosmosDB:
    """With the account ``shop``."""
    server.make_account("shop", SHOP)
    return server


def put(server: CosmosDB, name: str, value: int, at: float | None = None, container: str = "orders", **more: Any) -> None:
    if at is not None:
        server.settings(stopped_at=at)
    server.container("shop", "shop", container).upsert_item({"id": name, "concatenatedPartitionKey": name, "values": {"n": value}, **more})


def values(server: CosmosDB, account: str = "shop", container: str = "orders") -> dict[str, int]:
    return {item["id"]: item["values"]["n"] for item in server.items(account, "shop", container)}


class refused:  # noqa: N801 - reads as a word
    """A call that Azure does not let pass."""

    def __init__(self, status: int, *said: str) -> None:
        self.status, self.said = status, said

    def __enter__(self) -> None:
        self._raises = pytest.raises(HttpResponseError)
        self._error = self._raises.__enter__()

    def __exit__(self, *raised: Any) -> bool:
        passed = bool(self._raises.__exit__(*raised))
        error: HttpResponseError = self._error.value
        assert error.status_code == self.status, error
        assert all(each in str(error) for each in self.said), error
        return passed


def raw(server: CosmosDB, method: str, path: str, **options: Any) -> requests.Response:
    """Without an SDK, to see headers."""
    token = server.arm._config.credential.get_token("https://management.azure.com/.default").token
    url = path if path.startswith("https:") else f"https://management.azure.com{path}"
    options = {"params": {"api-version": "2026-03-15"}, **options} if "api-version" not in url else options
    headers = {"Authorization": f"Bearer {token}"}
    return requests.request(method, url, headers=headers, proxies={"https": server.proxy}, verify=server.authority, timeout=10, **options)


def path_of(server: CosmosDB, account: str) -> str:
    group = f"/subscriptions/{server.SUBSCRIPTION}/resourceGroups/{server.GROUP}"
    return f"{group}/providers/Microsoft.DocumentDB/databaseAccounts/{account}"


class TestReached:
    @pytest.mark.parametrize("kind", ["conn", "conn_identity"])
    def test_by_airflow(self, shop: CosmosDB, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in shop.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", getattr(shop, kind)())
        credential = AzureBaseHook(conn_id="shop_db").get_credential()
        for url in (None, shop.url):  # under its real name, and under its address
            client = CosmosDBManagementClient(credential, shop.SUBSCRIPTION, url)
            assert client.database_accounts.get(shop.GROUP, "shop").provisioning_state == "Succeeded"
        monkeypatch.setenv("AIRFLOW_CONN_SHOP_DATA", shop.data_conn("shop", key=True))
        hook = AzureCosmosDBHook("shop_data")
        assert hook.test_connection()[0]
        assert [hook.does_collection_exist(name, "shop") for name in ("orders", "none")] == [True, False]

    def test_nothing_else_is_reached(self, server: CosmosDB) -> None:
        with pytest.raises(requests.exceptions.ProxyError, match="502"):
            requests.get("https://www.example.com/", proxies={"https": server.proxy}, timeout=10)

    def test_a_wrong_secret(self, server: CosmosDB) -> None:
        with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
            server.credential("wrong").get_token("https://management.azure.com/.default")

    def test_a_token_ends(self, server: CosmosDB) -> None:
        server.settings(token_life=1)
        token = requests.get(f"{server.proxy}/msi/token", headers={"X-IDENTITY-HEADER": server.SECRET}, timeout=10).json()["access_token"]

        def ask() -> requests.Response:
            url, headers = f"{server.url}{path_of(server, 'none')}?api-version=1", {"Authorization": f"Bearer {token}"}
            return requests.get(url, headers=headers, verify=server.authority, timeout=10)

        assert ask().status_code == 404
        time.sleep(1.05)
        assert (ask().status_code, ask().json()["error"]["code"]) == (401, "ExpiredAuthenticationToken")


class TestResourceManager:
    def test_an_operation_is_looked_at_until_it_is_over(self, server: CosmosDB) -> None:
        server.settings(create=10, retry_after=3)
        begun = raw(server, "PUT", path_of(server, "shop"), json=server.account_body())
        assert (begun.status_code, begun.json()["properties"]["provisioningState"]) == (200, "Creating")
        assert begun.headers["Retry-After"] == "3"
        status, result = begun.headers["Azure-AsyncOperation"], begun.headers["Location"]
        assert "/locations/japaneast/operationsStatus/" in status
        assert (raw(server, "GET", status).json(), raw(server, "GET", result).status_code) == ({"status": "Dequeued"}, 202)
        assert "documentEndpoint" not in raw(server, "GET", path_of(server, "shop")).json()["properties"]
        server.settings(stopped_at=START + 10)
        assert (raw(server, "GET", status).json(), raw(server, "GET", result).status_code) == ({"status": "Succeeded"}, 204)
        made = raw(server, "GET", path_of(server, "shop")).json()["properties"]
        assert (made["provisioningState"], made["documentEndpoint"]) == ("Succeeded", "https://shop.documents.azure.com:443/")

    def test_an_operation_fails(self, server: CosmosDB) -> None:
        server.faults({"kind": "failed", "operations": ["DatabaseAccounts_CreateOrUpdate"], "times": 1})
        with pytest.raises(HttpResponseError, match="The operation failed"):
            server.make_account("shop")
        assert server.state("shop") == "Failed"
        with pytest.raises(CosmosHttpResponseError, match="does not exist"):
            server.data("shop", credential="a2V5")

    def test_what_is_not_there(self, server: CosmosDB) -> None:
        with refused(404, "ResourceNotFound", "under resource group"):
            server.arm.database_accounts.get(server.GROUP, "none")
        with refused(404, "ResourceGroupNotFound"):
            server.arm.database_accounts.get("elsewhere", "none")
        other = CosmosDBManagementClient(server.credential(), "11111111-1111-1111-1111-111111111111", **server.transport)
        with refused(404, "SubscriptionNotFound"):
            other.database_accounts.get(server.GROUP, "none")
        answered = raw(server, "GET", path_of(server, "none"), params={})
        assert answered.json()["error"]["code"] == "MissingApiVersionParameter"
        assert raw(server, "GET", f"{path_of(server, 'none')}/metrics").status_code == 501

    def test_roles_allow(self, shop: CosmosDB) -> None:
        wanted = [
            {
                "actions": ["Microsoft.DocumentDB/databaseAccounts/*"],
                "notActions": ["*/listKeys/action"],
                "dataActions": [],
                "notDataActions": [],
            }
        ]
        shop.settings(permissions=wanted)
        listed = raw(shop, "GET", f"{path_of(shop, 'shop')}/providers/Microsoft.Authorization/permissions")
        assert listed.json()["value"] == wanted
        assert shop.state("shop") == "Succeeded"
        with refused(403, "AuthorizationFailed", "Microsoft.DocumentDB/databaseAccounts/listKeys/action"):
            shop.key("shop")
        with refused(403, "AuthorizationFailed"):
            list(shop.arm.restorable_database_accounts.list())

    def test_the_sdk_waits_when_it_is_throttled(self, shop: CosmosDB) -> None:
        patient = CosmosDBManagementClient(shop.credential(), shop.SUBSCRIPTION, **shop.transport)
        shop.settings(retry_after=1)
        shop.faults({"kind": "throttling", "operations": ["DatabaseAccounts_Get"], "times": 2})
        begun = time.monotonic()
        assert patient.database_accounts.get(shop.GROUP, "shop").name == "shop"
        assert time.monotonic() - begun > 1.9
        assert shop.hits() == 2
        shop.faults({"kind": "throttling"})
        with refused(429, "TooManyRequests"):
            shop.arm.database_accounts.get(shop.GROUP, "shop")

    @pytest.mark.parametrize(
        ("kind", "status"), [("error", 500), ("unavailable", 503), ("timeout", 504), ("denied", 403), ("exclusive", 412)]
    )
    def test_refusals(self, shop: CosmosDB, kind: str, status: int) -> None:
        shop.faults({"kind": kind, "operations": ["control"]})
        with refused(status):
            shop.arm.database_accounts.get(shop.GROUP, "shop")

    def test_done_and_not_said(self, server: CosmosDB) -> None:
        server.faults({"kind": "error", "operations": ["DatabaseAccounts_CreateOrUpdate"], "after": True})
        with refused(500):
            server.make_account("shop")
        assert server.state("shop") == "Succeeded"

    def test_no_answer(self, shop: CosmosDB) -> None:
        shop.faults({"kind": "hang", "operations": ["DatabaseAccounts_Get"], "times": 1})
        with ThreadPoolExecutor() as pool:
            hung = pool.submit(shop.arm.database_accounts.get, shop.GROUP, "shop")
            shop.wait_hit()
            assert shop.accounts() == ["shop"]  # nobody else waits for it
            assert not hung.done()
            shop.faults()
            assert isinstance(hung.exception(10), AzureError)

    def test_calls_are_told(self, shop: CosmosDB) -> None:
        shop.forget_calls()
        put(shop, "x", 1)
        shop.restore("shop", "copy", START)
        shop.arm.database_accounts.begin_delete(shop.GROUP, "copy").result()
        calls = shop.calls()
        assert calls["counts"]["UpsertItem"] == 1
        assert calls["counts"]["Operations_Get"] >= 2
        assert calls["most_restoring"] == 1
        told = [(each["operation"], each["on"], each["status"]) for each in calls["control"]]
        assert ("DatabaseAccounts_CreateOrUpdate", "databaseAccounts/copy", 200) in told
        assert told[-1] == ("DatabaseAccounts_Delete", "databaseAccounts/copy", 202)

    def test_every_answer_says_what_its_clock_says(self, shop: CosmosDB) -> None:
        shop.settings(date_offsets=[-2.0], clock_offset=7.5)
        client = shop.data("shop")
        client.get_database_client("shop").read()
        data = client.client_connection.last_response_headers["Date"]
        control = raw(shop, "GET", path_of(shop, "shop")).headers["Date"]
        assert [parsedate_to_datetime(each).timestamp() for each in (control, data)] == [START + 5] * 2


class TestAccounts:
    def test_names_are_the_worlds(self, shop: CosmosDB) -> None:
        shop.settings(taken=["elsewhere"], groups=["midtime", "other"])
        exists = shop.arm.database_accounts.check_name_exists
        assert [exists(name) for name in ("shop", "elsewhere", "free")] == [True, True, False]
        for group, name in (("midtime", "elsewhere"), ("other", "shop")):
            with refused(400, "BadRequest", "is already taken"):
                shop.arm.database_accounts.begin_create_or_update(group, name, shop.account_body())
        with refused(400, "already exists"):
            shop.restore("shop", "shop", START)

    def test_one_change_at_a_time(self, shop: CosmosDB) -> None:
        shop.settings(update=5)
        accounts = shop.arm.database_accounts
        changing = accounts.begin_update(shop.GROUP, "shop", {"tags": {"a": "b"}}, polling=False)
        with refused(412, "exclusive lock"):
            accounts.begin_update(shop.GROUP, "shop", {"tags": {}})
        with refused(412, "exclusive lock"):
            accounts.begin_delete(shop.GROUP, "shop")
        shop.settings(stopped_at=START + 5)
        assert changing.done()
        assert accounts.get(shop.GROUP, "shop").tags == {"a": "b"}

    def test_backups_become_continuous(self, server: CosmosDB) -> None:
        server.make_account("shop", SHOP, backupPolicy={"type": "Periodic"})
        accounts = server.arm.database_accounts
        assert list(server.arm.restorable_database_accounts.list()) == []
        with refused(400, "Continuous backup is not enabled"):
            server.arm.sql_resources.begin_retrieve_continuous_backup_information(
                server.GROUP, "shop", "shop", "orders", {"location": server.REGION}
            )
        server.settings(stopped_at=START + 100)
        continuous = {"type": "Continuous", "continuousModeProperties": {"tier": "Continuous30Days"}}
        accounts.begin_update(server.GROUP, "shop", {"properties": {"backupPolicy": continuous}}).result()
        assert accounts.get(server.GROUP, "shop").backup_policy.continuous_mode_properties.tier == "Continuous30Days"
        assert server.instance("shop").properties.creation_time.timestamp() == START + 100
        with refused(400, "cannot be disabled"):
            accounts.begin_update(server.GROUP, "shop", {"properties": {"backupPolicy": {"type": "Periodic"}}})

    def test_it_is_deleted(self, shop: CosmosDB) -> None:
        shop.settings(delete=5)
        accounts = shop.arm.database_accounts
        gone = accounts.begin_delete(shop.GROUP, "shop", polling=False)
        assert shop.state("shop") == "Deleting"
        shop.settings(stopped_at=START + 5)
        assert gone.done()
        assert shop.state("shop") == ""
        accounts.begin_delete(shop.GROUP, "shop").result()  # the second time is no error
        shop.make_account("shop")

    def test_keys(self, shop: CosmosDB) -> None:
        keys = shop.arm.database_accounts.list_keys(shop.GROUP, "shop")
        read_only = shop.arm.database_accounts.list_read_only_keys(shop.GROUP, "shop").primary_readonly_master_key
        assert read_only == keys.primary_readonly_master_key
        reader = shop.data("shop", read_only).get_database_client("shop").get_container_client("orders")
        assert list(reader.read_all_items()) == []
        with refused(403, "read-only key"):
            reader.upsert_item({"id": "x", "concatenatedPartitionKey": "x"})
        shop.make_account("other")
        with refused(401, "The wrong key is being used"):
            shop.data("shop", shop.key("other"))

    def test_throughput(self, shop: CosmosDB) -> None:
        resources = shop.arm.sql_resources
        where = (shop.GROUP, "shop", "shop", "orders")
        wanted = {"properties": {"resource": {"throughput": 700}}}
        resources.begin_update_sql_container_throughput(*where, wanted).result()
        assert shop.container("shop", "shop", "orders").get_throughput().offer_throughput == 700
        resources.begin_migrate_sql_container_to_autoscale(*where).result()
        assert resources.get_sql_container_throughput(*where).properties.resource.autoscale_settings.max_throughput == 1000
        with refused(400, "migrating"):
            resources.begin_update_sql_container_throughput(*where, wanted)
        with refused(404):
            resources.get_sql_database_throughput(*where[:3])


def latest(server: CosmosDB, container: str = "orders") -> str:
    begin = server.arm.sql_resources.begin_retrieve_continuous_backup_information
    information = begin(server.GROUP, "shop", "shop", container, {"location": server.REGION}).result()
    return str(information.continuous_backup_information.latest_restorable_timestamp)


class TestRestorable:
    def test_how_far_backups_are(self, shop: CosmosDB) -> None:
        """Worded as the service words it; START is 1:33:20 PM of a day in September."""
        shop.settings(lag=80.0, backup_information=5, retry_after=None)
        begun = raw(shop, "POST", f"{path_of(shop, 'shop')}/sqlDatabases/shop/containers/orders/retrieveContinuousBackupInformation",
                    json={"location": "japaneast"})  # fmt: skip
        assert (begun.status_code, "Retry-After" in begun.headers, "Azure-AsyncOperation" in begun.headers) == (202, False, False)
        assert raw(shop, "GET", begun.headers["Location"]).status_code == 202
        shop.settings(stopped_at=START + 80, retry_after=0.01, backup_information=0)
        assert raw(shop, "GET", begun.headers["Location"]).json() == {
            "continuousBackupInformation": {"latestRestorableTimestamp": "9/21/2026 2:13:20 PM"}
        }
        shop.settings(backed_up={"shop/orders": START - 3600.0, "*": START - 43200.0})
        assert [latest(shop), latest(shop, "stock")] == ["9/21/2026 1:13:20 PM", "9/21/2026 2:13:20 AM"]

    def test_what_was_there_when(self, shop: CosmosDB) -> None:
        client = shop.data("shop").get_database_client("shop")
        shop.settings(stopped_at=START + 10)
        client.delete_container("stock")
        shop.settings(stopped_at=START + 20)
        client.create_container("late", {"paths": ["/id"], "kind": "Hash"})
        source = shop.instance("shop")
        at = ("japaneast", source.name)

        def there(second: int) -> list[str]:
            listed = shop.arm.restorable_sql_resources.list(
                *at, restore_location="japaneast", restore_timestamp_in_utc=f"2026-09-21T14:13:{second:02}Z"
            )
            return [name for each in listed for name in each.collection_names]

        assert [there(second) for second in (20, 29, 30, 39, 40)] == [["orders", "stock"]] * 2 + [["orders"]] * 2 + [["orders", "late"]]
        with refused(400, "after the account has been created"):
            there(19)
        (database,) = shop.arm.restorable_sql_databases.list(*at)
        rid = database.properties.resource.owner_resource_id
        events = [each.properties.resource for each in shop.arm.restorable_sql_containers.list(*at, restorable_sql_database_rid=rid)]
        told = [(each.owner_id, each.operation_type, each.event_timestamp[17:19]) for each in events]
        assert told == [("orders", "Create", "20"), ("stock", "Create", "20"), ("stock", "Delete", "30"), ("late", "Create", "40")]

    def test_accounts_are_kept_for_their_tier(self, shop: CosmosDB) -> None:
        shop.settings(stopped_at=START + 100)
        shop.arm.database_accounts.begin_delete(shop.GROUP, "shop").result()

        def known() -> list[tuple[float, float]]:
            found = [each.properties for each in shop.arm.restorable_database_accounts.list()]
            return [(each.oldest_restorable_time.timestamp(), each.deletion_time.timestamp()) for each in found]

        assert known() == [(START, START + 100)]
        source, week = shop.arm.restorable_database_accounts.list().next().id, 7 * 24 * 3600
        shop.settings(stopped_at=START + week + 99)
        assert known() == [(START + 99, START + 100)]
        shop.settings(stopped_at=START + week + 100)
        assert known() == []
        with refused(404, "does not exist"):
            shop.arm.database_accounts.begin_create_or_update(shop.GROUP, "copy", shop.restore_body(source, START + 100))


class TestRestore:
    @pytest.mark.parametrize(("included", "expected"), [(False, {"x": 1}), (True, {"x": 2})])
    def test_to_a_second(self, shop: CosmosDB, included: bool, expected: dict[str, int]) -> None:
        shop.settings(includes_second=included)
        for at, value in ((10.0, 1), (10.7, 2), (11.0, 3)):
            put(shop, "x", value, START + at)
        shop.settings(stopped_at=START + 60)
        shop.restore("shop", "copy", START + 10)
        assert values(shop, "copy") == expected
        assert shop.items("copy", "shop", "orders")[0]["_ts"] == START + 10

    def test_what_was_deleted_comes_back(self, shop: CosmosDB) -> None:
        put(shop, "x", 1, START + 10)
        shop.settings(stopped_at=START + 20)
        shop.container("shop", "shop", "orders").delete_item("x", "x")
        shop.settings(stopped_at=START + 30)
        shop.data("shop").delete_database("shop")
        shop.settings(stopped_at=START + 60)
        source = shop.instance("shop").id
        shop.arm.database_accounts.begin_delete(shop.GROUP, "shop").result()
        begin = shop.arm.database_accounts.begin_create_or_update
        for name, second in (("before", 19), ("after", 25)):
            begin(shop.GROUP, name, shop.restore_body(source, START + second)).result()
        assert [values(shop, name) for name in ("before", "after")] == [{"x": 1}, {}]
        with refused(400, "nothing to restore"):
            begin(shop.GROUP, "none", shop.restore_body(source, START + 40))

    def test_some_of_it(self, shop: CosmosDB) -> None:
        shop.settings(stopped_at=START + 60)
        shop.restore("shop", "copy", START + 10, {"shop": ["stock"]})
        client = shop.data("copy")
        assert [each["id"] for each in client.get_database_client("shop").list_containers()] == ["stock"]
        parameters = shop.arm.database_accounts.get(shop.GROUP, "copy").restore_parameters
        assert parameters.restore_timestamp_in_utc.timestamp() == START + 10

    def test_what_is_lost_and_what_is_kept(self, shop: CosmosDB) -> None:
        arm, group = shop.arm, shop.GROUP
        arm.sql_resources.begin_create_update_sql_role_assignment(
            READER, group, "shop", {"properties": {"roleDefinitionId": "x", "scope": "/", "principalId": "somebody"}}
        ).result()
        body = {"properties": {"resource": {"id": "mutate.js", "body": "function () {}"}}}
        arm.sql_resources.begin_create_update_sql_stored_procedure(group, "shop", "shop", "orders", "mutate.js", body).result()
        places = [{"locationName": name, "failoverPriority": number} for number, name in enumerate(("Japan East", "Japan West"))]
        firewall = {"ipRules": [{"ipAddressOrRange": "127.0.0.0/8"}], "isVirtualNetworkFilterEnabled": True, "locations": places}
        arm.database_accounts.begin_update(group, "shop", {"tags": {"team": "a"}, "properties": firewall}).result()
        arm.private_endpoint_connections.begin_create_or_update(group, "shop", "own", {"properties": {}}).result()
        body = shop.restore_body(shop.instance("shop").id, START)
        body["properties"] |= {key: value for key, value in firewall.items() if key != "locations"}  # in vain
        arm.database_accounts.begin_create_or_update(group, "copy", body).result()

        def kept(account: str) -> dict[str, Any]:
            found = arm.database_accounts.get(group, account)
            return {
                "roles": len(list(arm.sql_resources.list_sql_role_assignments(group, account))),
                "scripts": len(list(arm.sql_resources.list_sql_stored_procedures(group, account, "shop", "orders"))),
                "places": len(found.locations), "rules": len(found.ip_rules), "filter": found.is_virtual_network_filter_enabled,
                "endpoints": len(found.private_endpoint_connections or []), "tags": found.tags,
                "consistency": found.consistency_policy.default_consistency_level,
                "tier": found.backup_policy.continuous_mode_properties.tier,
                "throughput": shop.container(account, "shop", "orders").get_throughput().offer_throughput,
            }  # fmt: skip

        both = {"consistency": "Strong", "throughput": 400, "tier": "Continuous7Days"}
        assert kept("shop") == {
            **both,
            "roles": 1,
            "scripts": 1,
            "places": 2,
            "rules": 1,
            "filter": True,
            "endpoints": 1,
            "tags": {"team": "a"},
        }
        assert kept("copy") == {**both, "roles": 0, "scripts": 0, "places": 1, "rules": 0, "filter": False, "endpoints": 0, "tags": {}}
        shop.settings(restored_consistency="Session")
        shop.restore("shop", "other", START)
        assert kept("other")["consistency"] == "Session"

    @pytest.mark.parametrize(("disabled", "expected"), [(False, {}), (True, {"x": 1})])
    def test_time_to_live(self, shop: CosmosDB, disabled: bool, expected: dict[str, int]) -> None:
        client = shop.data("shop").get_database_client("shop")
        client.replace_container("orders", {"paths": ["/concatenatedPartitionKey"], "kind": "Hash"}, default_ttl=100)
        put(shop, "x", 1, START + 10)
        assert values(shop) == {"x": 1}
        shop.settings(stopped_at=START + 111)
        assert values(shop) == {}
        shop.restore("shop", "copy", START + 50, restoreWithTtlDisabled=disabled)
        assert values(shop, "copy") == expected

    def test_seconds_to_which_it_cannot_go(self, shop: CosmosDB) -> None:
        shop.settings(stopped_at=START + 1000, lag=100.0)
        for second, said in (
            (START - 1, "after the account has been created"),
            (START + 1001, "not in the future"),
            (START + 901, "after the latest"),
        ):
            with refused(400, "Invalid restore timestamp", said):
                shop.restore("shop", "copy", second)
        shop.settings(backed_up={"shop/stock": float(START + 5)})
        with refused(400, "the collection shop/stock"):
            shop.restore("shop", "copy", START + 10)
        week = 7 * 24 * 3600
        shop.settings(stopped_at=START + 1000 + week, backed_up={})
        with refused(400, "before the oldest"):
            shop.restore("shop", "copy", START + 999)
        assert shop.accounts() == ["shop"]

    def test_what_was_not_there(self, shop: CosmosDB) -> None:
        with refused(404, "Database none does not exist at the restore timestamp"):
            shop.restore("shop", "copy", START, {"none": []})
        with refused(404, "Collection none of database shop does not exist at the restore timestamp"):
            shop.restore("shop", "copy", START, {"shop": ["none"]})
        body = shop.restore_body(
            "/subscriptions/x/providers/Microsoft.DocumentDB/locations/japaneast/restorableDatabaseAccounts/none", START
        )
        with refused(404, "does not exist"):
            shop.arm.database_accounts.begin_create_or_update(shop.GROUP, "copy", body)
        body = shop.restore_body(shop.instance("shop").id, START)
        body["properties"]["locations"] = [{"locationName": "East US", "failoverPriority": 0}]
        with refused(400, "restored into one region"):
            shop.arm.database_accounts.begin_create_or_update(shop.GROUP, "copy", body)

    def test_it_takes_its_time(self, shop: CosmosDB) -> None:
        shop.settings(restore=100, restore_per_item=10, reindexing=40)
        put(shop, "x", 1)
        body = shop.restore_body(shop.instance("shop").id, START)
        begin: Callable[..., Any] = shop.arm.database_accounts.begin_create_or_update
        restoring = begin(shop.GROUP, "copy", body, polling=False)
        with refused(412, "exclusive lock"):
            begin(shop.GROUP, "copy", body)
        shop.settings(stopped_at=START + 109)
        assert (shop.state("copy"), shop.calls()["most_restoring"]) == ("Creating", 1)
        with refused(403, "does not exist"):
            shop.data("copy", "a2V5")
        assert len(list(shop.arm.restorable_database_accounts.list())) == 1
        progress = []
        for second in (110, 130, 150):
            shop.settings(stopped_at=START + second)
            client = shop.data("copy")
            client.get_database_client("shop").get_container_client("orders").read()
            progress.append(client.client_connection.last_response_headers["x-ms-documentdb-collection-index-transformation-progress"])
        assert restoring.done()
        assert progress == ["0", "50", "100"]
        assert shop.instance("copy").properties.creation_time.timestamp() == START + 110


class TestData:
    def test_pages(self, shop: CosmosDB) -> None:
        container = shop.container("shop", "shop", "orders")
        for number in range(20):
            put(shop, str(number), number)
        query = {"query": "SELECT * FROM c WHERE c.values.n >= @n", "parameters": [{"name": "@n", "value": 5}]}
        pages = container.query_items(**query, enable_cross_partition_query=True, max_item_count=4).by_page()
        first = [item["id"] for item in next(pages)]
        again = container.query_items(**query, enable_cross_partition_query=True, max_item_count=4).by_page(pages.continuation_token)
        rest = [item["id"] for page in again for item in page]
        assert len(first) == 4
        assert sorted([*first, *rest], key=int) == [str(number) for number in range(5, 20)]

    def test_parts(self, shop: CosmosDB) -> None:
        container = shop.container("shop", "shop", "orders")
        for number in range(20):
            put(shop, str(number), number)
        ranges = list(container.read_feed_ranges())
        found = [[item["id"] for item in container.query_items("SELECT * FROM c", feed_range=each, max_item_count=3)] for each in ranges]
        assert all(found)
        assert sorted([name for part in found for name in part], key=int) == [str(number) for number in range(20)]
        assert list(container.query_items("SELECT VALUE COUNT(1) FROM c WHERE c.values.n < 7", enable_cross_partition_query=True)) == [7]
        assert list(container.query_items("SELECT c.id FROM c", partition_key="3")) == [{"id": "3"}]
        assert {each["id"] for each in container.read_items([("1", "1"), ("7", "7"), ("none", "none")])} == {"1", "7"}
        with refused(400, "Cross partition query is required but disabled"):
            list(container.query_items("SELECT * FROM c"))

    @pytest.mark.parametrize(
        "query",
        [
            "SELECT c.id FROM c ORDER BY c.id",
            "SELECT TOP 1 * FROM c",
            "SELECT * FROM c WHERE CONTAINS(c.id, 'x')",
            "SELECT MAX(c._ts) FROM c",
        ],
    )
    def test_queries_that_it_does_not_know(self, shop: CosmosDB, query: str) -> None:
        with refused(501, "does not know this query"):
            list(shop.container("shop", "shop", "orders").query_items(query, enable_cross_partition_query=True))

    def test_items(self, shop: CosmosDB) -> None:
        container = shop.container("shop", "shop", "orders")
        item = {"id": "x", "concatenatedPartitionKey": "k", "n": 1}
        made = container.create_item(item)
        assert made["_ts"] == START
        with refused(409, "already exists"):
            container.create_item(item)
        container.create_item({**item, "concatenatedPartitionKey": "other"})  # the id is one of its partition key only
        container.replace_item("x", {**item, "n": 2})
        with refused(412):
            container.upsert_item({**item, "n": 3}, etag=made["_etag"], match_condition=MatchConditions.IfNotModified)
        assert container.read_item("x", "k")["n"] == 2
        container.delete_item("x", "k")
        with refused(404, "NotFound"):
            container.read_item("x", "k")

    def test_it_is_throttled(self, shop: CosmosDB) -> None:
        shop.settings(retry_after=0.3)
        client = shop.data("shop")
        shop.faults({"kind": "throttling", "operations": ["UpsertItem"], "times": 2})
        begun = time.monotonic()
        container = client.get_database_client("shop").get_container_client("orders")
        container.upsert_item({"id": "x", "concatenatedPartitionKey": "x"})
        assert time.monotonic() - begun > 0.55
        assert (shop.hits(), shop.calls()["counts"]["UpsertItem"]) == (2, 3)
        headers = container.client_connection.last_response_headers
        assert (headers["x-ms-request-charge"], headers["x-ms-session-token"]) == ("1", "0:-1#1")

    def test_tokens_need_a_role(self, shop: CosmosDB) -> None:
        def read() -> list[Any]:
            client = shop.data("shop", shop.credential())
            return list(client.get_database_client("shop").get_container_client("orders").read_all_items())

        with refused(403, "does not have required RBAC permissions"):
            read()
        role = {"properties": {"roleDefinitionId": READER, "scope": "/", "principalId": "6b1f3c0e-3f1d-4e0f-9a41-0a9a5f8b7c11"}}
        shop.arm.sql_resources.begin_create_update_sql_role_assignment(READER, shop.GROUP, "shop", role).result()
        assert read() == []
        shop.faults({"kind": "expired", "operations": ["data"]})
        with refused(401, "expired"):
            read()

    @pytest.mark.parametrize("wanted", [{"ipRules": [{"ipAddressOrRange": "203.0.113.7"}]}, {"publicNetworkAccess": "Disabled"}])
    def test_the_firewall(self, shop: CosmosDB, wanted: dict[str, Any]) -> None:
        shop.arm.database_accounts.begin_update(shop.GROUP, "shop", {"properties": wanted}).result()
        with refused(403, "firewall"):
            shop.data("shop").get_database_client("shop").read()

    def test_scripts(self, shop: CosmosDB) -> None:
        scripts = shop.container("shop", "shop", "orders").scripts
        scripts.create_stored_procedure({"id": "mutate.js", "body": "function () {}"})
        assert [each["id"] for each in scripts.list_stored_procedures()] == ["mutate.js"]
        assert scripts.get_stored_procedure("mutate.js")["body"] == "function () {}"
        scripts.create_stored_procedure({"id": "other.js", "body": "function () {}"})
        with refused(501, "runs mutate.js only"):
            scripts.execute_stored_procedure("other.js", "x", [])
        for call in (scripts.get_stored_procedure, lambda name: scripts.execute_stored_procedure(name, "x", [])):
            with refused(404):
                call("none.js")

    def test_mutations_of_scalardb(self, shop: CosmosDB) -> None:
        """All of a call or none."""
        container = shop.container("shop", "shop", "orders")
        container.scripts.create_stored_procedure({"id": "mutate.js", "body": "function () {}"})

        def mutate(*mutations: tuple[int, dict[str, Any], str]) -> None:
            arguments = [len(mutations), *(each[part] for part in range(3) for each in mutations)]
            container.scripts.execute_stored_procedure("mutate.js", "k", arguments)

        def record(name: str, **of: Any) -> dict[str, Any]:
            return {"id": name, "concatenatedPartitionKey": "k", "values": of}

        def there() -> dict[str, Any]:
            return {item["id"]: item["values"] for item in container.read_all_items()}

        put, if_not_there, if_there, delete = range(4)
        where = "select * from Record r where (r.id = '{}' and r.values[\"n\"] = {})"
        mutate((put, record("a", n=1, gone=None), where.format("a", 1)), (if_not_there, record("b", n=2), where.format("b", 2)))
        assert there() == {"a": {"n": 1}, "b": {"n": 2}}
        with refused(400, "no mutation"):
            mutate((delete, {}, where.format("a", 1)), (if_not_there, record("b", n=3), where.format("b", 2)))
        mutate((if_there, record("a", m=5), where.format("a", 1)), (delete, {}, where.format("b", 2)))
        assert there() == {"a": {"n": 1, "m": 5}}

    def test_a_container_that_was_made_anew(self, shop: CosmosDB) -> None:
        """A client's cached resource id is no longer good, and the SDK finds out."""
        client = shop.data("shop").get_database_client("shop")
        container = client.get_container_client("orders")
        container.upsert_item({"id": "x", "concatenatedPartitionKey": "x"})
        client.delete_container("orders")
        client.create_container("orders", {"paths": ["/concatenatedPartitionKey"], "kind": "Hash"})
        container.upsert_item({"id": "y", "concatenatedPartitionKey": "y"})
        assert [each["id"] for each in container.read_all_items()] == ["y"]


class TestScalarBank:
    def test_restored_between_two_transfers_it_is_whole(self, server: CosmosDB) -> None:
        server.settings(stopped_at=None, lag=0.0)
        server.make_account("bank")
        bank = ScalarBank(server, "bank").load()
        bank.start()
        with bank.paused():
            time.sleep(1 - time.time() % 1)
            second = int(server.now())
            time.sleep(1.05)
        bank.stop()
        server.restore("bank", "copy", second)
        assert bank.commits > 0
        assert (bank.total("copy"), bank.in_flight("copy")) == (bank.expected_total, 0)
        assert bank.total() == bank.expected_total
        read = server.container("copy", "scalardb", "metadata").read_item("bank.savings", "bank.savings")
        assert (read["partitionKeyNames"], read["columns"]["before_tx_id"]) == (["customer"], "text")

    def test_restored_in_the_middle_of_one_it_is_not(self, server: CosmosDB) -> None:
        server.make_account("bank")
        bank = ScalarBank(server, "bank").load()
        steps = bank.transfer()
        seen = []
        for second in range(1, 6):
            server.settings(stopped_at=START + 10 * second)
            seen.append(next(steps))
        server.settings(stopped_at=START + 100)
        states = []
        for second in range(1, 6):
            server.restore("bank", f"copy{second}", START + 10 * second + 5)
            rows = len(server.items(f"copy{second}", "coordinator", "state"))
            states.append((bank.in_flight(f"copy{second}"), rows - 2 * bank.customers, bank.total(f"copy{second}") == bank.expected_total))
        assert seen == ["prepared", "prepared", "decided", "committed", "committed"]
        assert states == [(1, 0, False), (2, 0, True), (2, 1, True), (1, 1, True), (0, 1, True)]
