"""How the stores' clients are set up: patient, but not for ever, with the connection's own wishes first, and without a memory."""

from __future__ import annotations

import json
from typing import Any

import pytest

from midtime.catalog import objects
from midtime.catalog.backends import azure_blob, backend_of, s3
from midtime.errors import DestinationAccessError

KEY = "bWlkdGltZQ=="
AZURE: dict[str, dict[str, Any]] = {
    "connection string": {
        "connection_string": f"DefaultEndpointsProtocol=https;AccountName=acc;AccountKey={KEY};EndpointSuffix=core.windows.net"
    },
    "key": {"account_name": "acc", "account_key": KEY},
    "sas": {"account_name": "acc", "sas_token": "sv=2024-11-04&sig=abc%3D"},
    "identity": {"account_name": "acc"},
}


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    def connect(conn_type: str, scheme: str, extra: dict[str, Any], **more: str) -> Any:
        conn_id = f"{conn_type}_{abs(hash(request.node.nodeid))}"
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": conn_type, "extra": extra, **more}))
        return objects.open_destination(f"{scheme}://{conn_id}@bucket/x")

    return connect


class TestS3:
    LOGIN = {"login": "key", "password": "secret"}

    @pytest.mark.parametrize("scheme", ["s3", "s3a"])
    def test_defaults(self, connect: Any, scheme: str) -> None:
        path = connect("aws", scheme, {}, **self.LOGIN)
        assert isinstance(backend_of(path), s3.S3Backend)
        config = path.fs.s3.meta.config
        assert (config.connect_timeout, config.read_timeout) == (10, 60)
        assert (config.retries["mode"], config.retries["total_max_attempts"], path.fs.retries) == ("legacy", 8, 3)

    def test_the_connection_has_precedence(self, connect: Any) -> None:
        path = connect("aws", "s3", {"config_kwargs": {"read_timeout": 5, "retries": {"mode": "adaptive"}}}, **self.LOGIN)
        config = path.fs.s3.meta.config
        assert (config.connect_timeout, config.read_timeout, config.retries["mode"]) == (10, 5, "adaptive")

    def test_an_endpoint(self, connect: Any) -> None:
        path = connect("aws", "s3", {"endpoint_url": "https://minio.example:9000"}, **self.LOGIN)
        assert path.fs.s3.meta.endpoint_url == "https://minio.example:9000"


class TestAzure:
    @pytest.mark.parametrize("kind", AZURE)
    def test_the_client_keeps_its_account_and_credentials(self, connect: Any, kind: str) -> None:
        client = connect("wasb", "abfss", AZURE[kind]).fs.service_client
        assert client.url.startswith("https://acc.blob.core.windows.net/")
        assert ("sig=abc%3D" in client.url) == (kind == "sas")
        assert (client.credential is None) == (kind == "sas")

    @pytest.mark.parametrize("scheme", ["abfs", "abfss", "adl"])
    def test_defaults(self, connect: Any, scheme: str) -> None:
        path = connect("wasb", scheme, AZURE["key"])
        assert isinstance(backend_of(path), azure_blob.AzureBlobBackend)
        client = path.fs.service_client
        assert client._config.max_single_put_size == azure_blob.ONE_REQUEST
        assert client._config.retry_policy.total_retries == 5
        assert sum(client._config.retry_policy.get_backoff_time({"count": number}) for number in range(1, 6)) < 70
        assert timeouts(client) == (10, 60)
        assert path.fs.service_client is objects.open_destination(str(path)).fs.service_client, "made once"

    def test_the_connection_has_precedence(self, connect: Any) -> None:
        other = {**AZURE["key"], "account_name": "other"}  # adlfs has one object for all connections with one login
        client = connect("wasb", "abfss", {**other, "config_kwargs": {"retry_total": 1, "read_timeout": 5}}).fs.service_client
        assert client._config.retry_policy.total_retries == 1
        assert timeouts(client) == (10, 5)


def timeouts(client: Any) -> tuple[float, float]:
    config = client._pipeline._transport.connection_config
    return config.timeout, config.read_timeout


def test_nothing_is_remembered(connect: Any) -> None:
    fs = connect("aws", "s3", {}, login="key", password="secret").fs
    fs.dircache["bucket/x"] = [{"name": "bucket/x/old", "size": 1, "type": "file"}]
    assert list(fs.dircache) == []


@pytest.mark.parametrize("url", ["s3://nobody_made_it@bucket/x", "abfss://nobody_made_it@container/x"])
def test_a_connection_that_is_not_there(url: str) -> None:
    """The Amazon provider would go on with whatever credentials the machine has."""
    with pytest.raises(DestinationAccessError, match="no such connection"):
        objects.open_destination(url)
