"""Clients: through the two connections, within time limits, and never with somebody else's login."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from azure.identity import ClientSecretCredential, DefaultAzureCredential

from midtime.errors import StoreAccessError
from midtime.model.topology.cloud import Cosmosdb
from midtime.stores.azure.clients import LONGEST, _Pace
from midtime.stores.cosmosdb.azure import Azure

SPEC = {
    "name": "tickets", "engine": "cosmosdb", "conn_id": "control", "data_conn_id": "data", "resource_group": "bank", "account": "bank-prod",
    "subscription_id": "2f6a9f37-63f8-4a8e-b1f5-6c3b2c0d7a21", "namespaces": ["bank"],
}  # fmt: skip
TENANT = "8a1f6c1e-0d0f-4d2b-9a55-0c1f4b7f9b10"


def azure(**changes: Any) -> Azure:
    return Azure("tickets", Cosmosdb.model_validate({**SPEC, **changes}))


def control(monkeypatch: pytest.MonkeyPatch, *, lacking: tuple[str, ...] = (), **extra: object) -> None:
    whole = {"login": "client", "password": "very-secret", "extra": {"tenantId": TENANT, **extra}}
    said = {"conn_type": "azure", **{key: value for key, value in whole.items() if key not in lacking}}
    monkeypatch.setenv("AIRFLOW_CONN_CONTROL", json.dumps(said))


def data(monkeypatch: pytest.MonkeyPatch, **said: object) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DATA", json.dumps({"conn_type": "azure_cosmos", **said}))


def config(arm: Any) -> Any:
    return arm._config


class TestControl:
    def test_a_service_principal_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Also where the connection does not ask for a credential that today's SDK takes."""
        control(monkeypatch)
        assert isinstance(config(azure().arm).credential, ClientSecretCredential)

    @pytest.mark.parametrize("lacking", [("login", "password"), ("login", "password", "extra")])
    def test_the_workers_identity(self, monkeypatch: pytest.MonkeyPatch, lacking: tuple[str, ...]) -> None:
        control(monkeypatch, lacking=lacking)
        assert isinstance(config(azure().arm).credential, DefaultAzureCredential)

    @pytest.mark.parametrize(("lacking", "named"), [("login", "client id"), ("password", "secret"), ("extra", "`tenantId`")])
    def test_half_a_principal_is_refused(self, monkeypatch: pytest.MonkeyPatch, lacking: str, named: str) -> None:
        """The provider's hook would quietly take the worker's identity for it, which may be somebody with more rights."""
        control(monkeypatch, lacking=(lacking,))
        with pytest.raises(StoreAccessError, match=f"has no {named}, and would be passed over") as caught:
            _ = azure().arm
        assert "very-secret" not in str(caught.value)

    @pytest.mark.parametrize(
        ("said", "address"),
        [("", "https://management.azure.com"), ("AzureUSGovernment", "usgovcloudapi.net"), ("AzureChinaCloud", "chinacloudapi.cn")],
    )
    def test_the_cloud_of_the_connection(self, monkeypatch: pytest.MonkeyPatch, said: str, address: str) -> None:
        control(monkeypatch, cloud_environment=said)
        assert address in config(azure().arm).base_url
        assert all(address in scope for scope in config(azure().arm).credential_scopes)

    def test_an_endpoint_of_the_topology(self, monkeypatch: pytest.MonkeyPatch) -> None:
        control(monkeypatch)
        assert config(azure(endpoint="https://private.example").arm).base_url == "https://private.example"

    @pytest.mark.parametrize("key", ["key_path", "key_json"])
    def test_a_key_file_is_refused(self, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
        """Not passed over: then the worker's own identity would be taken for it."""
        control(monkeypatch, **{key: "/secret.json"})
        with pytest.raises(StoreAccessError, match="key file"):
            _ = azure().arm

    def test_no_tenant(self, monkeypatch: pytest.MonkeyPatch) -> None:
        control(monkeypatch, tenantId="what is this")
        with pytest.raises(StoreAccessError, match="control") as caught:
            _ = azure().arm
        assert "very-secret" not in str(caught.value)

    def test_a_missing_connection(self) -> None:
        with pytest.raises(StoreAccessError, match="elsewhere"):
            _ = azure(conn_id="elsewhere").arm

    def test_every_request_is_not_told(self) -> None:
        logging.getLogger("azure").setLevel(logging.INFO)
        azure()
        assert not logging.getLogger("azure.core.pipeline.policies.http_logging_policy").isEnabledFor(logging.INFO)
        assert not logging.getLogger("azure.cosmos._cosmos_http_logging_policy").isEnabledFor(logging.INFO)


class TestPace:
    """The SDK would sleep for as long as an answer says."""

    @pytest.mark.parametrize(
        ("after", "again"), [(None, True), ("1", True), (str(int(LONGEST)), True), (str(int(LONGEST) + 1), False), ("3600", False)]
    )
    def test_it_does_not_wait_for_ever(self, after: str | None, *, again: bool) -> None:
        pace = _Pace(retry_total=3)
        request = SimpleNamespace(method="POST", body=None)
        headers = {"Retry-After": after} if after else {}
        for status in (429, 503):
            response: Any = SimpleNamespace(http_response=SimpleNamespace(status_code=status, headers=headers), http_request=request)
            assert pace.is_retry(pace.configure_retries({}), response) is again

    @pytest.mark.parametrize("status", [200, 202, 400, 404, 409])
    def test_it_does_not_try_an_answer_again(self, status: int) -> None:
        pace = _Pace(retry_total=3)
        response: Any = SimpleNamespace(
            http_response=SimpleNamespace(status_code=status, headers={}), http_request=SimpleNamespace(method="GET")
        )
        assert not pace.is_retry(pace.configure_retries({}), response)


class TestData:
    def test_where_it_points(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data(monkeypatch, login="https://bank-prod.documents.azure.com:443/", password="a2V5")
        assert azure().data_endpoint == "https://bank-prod.documents.azure.com:443/"

    def test_nowhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data(monkeypatch, password="a2V5")
        with pytest.raises(StoreAccessError, match="connection data names no endpoint"):
            _ = azure().data_endpoint

    def test_a_missing_connection(self) -> None:
        with pytest.raises(StoreAccessError, match="elsewhere"):
            _ = azure(data_conn_id="elsewhere").data
