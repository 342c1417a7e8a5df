"""The double of Azure is reached by Azure's own SDKs and Airflow's hooks, and answers as Resource Manager does."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

import pytest
import requests
from airflow.providers.microsoft.azure.hooks.base_azure import AzureBaseHook
from airflow.providers.microsoft.azure.hooks.cosmos import AzureCosmosDBHook
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.cosmos.exceptions import CosmosHttpResponseError
from azure.mgmt.cosmosdb import CosmosDBManagementClient

from tests.integration.cosmosdb_stack.asking import START, path_of, put, raw, refused
from tests.stack.cosmosdb import CosmosDB

pytestmark = [pytest.mark.integration, pytest.mark.long]  # of the double; test_restores.py stays with what a restore of it means


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
