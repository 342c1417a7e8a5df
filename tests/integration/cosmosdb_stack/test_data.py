"""The data plane of the double of Cosmos DB, through Azure's own SDK."""

from __future__ import annotations

import time
from typing import Any

import pytest
from azure.core import MatchConditions

from tests.integration.cosmosdb_stack.asking import READER, START, put, refused
from tests.stack.cosmosdb import CosmosDB

pytestmark = [pytest.mark.integration, pytest.mark.long]  # of the double; test_restores.py stays with what a restore of it means


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
        own = container.feed_range_from_partition_key("3")
        assert [item["id"] for item in container.query_items("SELECT * FROM c", feed_range=own)] == ["3"]
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
            "SELECT * FROM c WHERE c.n = 1 ORDER BY c.id",
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
        container = shop.container("shop", "shop", "orders")
        container.upsert_item({"id": "x", "concatenatedPartitionKey": "x"})
        other = shop.data("shop", shop.key("shop")).get_database_client("shop")
        other.delete_container("orders")
        other.create_container("orders", {"paths": ["/concatenatedPartitionKey"], "kind": "Hash"})
        container.upsert_item({"id": "y", "concatenatedPartitionKey": "y"})
        assert [each["id"] for each in container.read_all_items()] == ["y"]
        assert shop.calls()["counts"]["UpsertItem"] == 3  # one was refused
