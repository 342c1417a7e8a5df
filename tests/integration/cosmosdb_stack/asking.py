"""What the tests of the double ask of it, and how Azure refuses."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from azure.core.exceptions import HttpResponseError

from tests.stack.cosmosdb import CosmosDB

START = 1_790_000_000
SHOP = {"shop": ["orders", "stock"]}
READER = "00000000-0000-0000-0000-000000000001"
"""A role that every account has."""


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
