"""What a restore of the double of Cosmos DB brings, and what it loses."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.cosmosdb_stack.asking import READER, START, put, refused, values
from tests.stack.cosmosdb import CosmosDB
from tests.stack.cosmosdb_bank import ScalarBank

pytestmark = pytest.mark.integration


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
        shop.arm.database_accounts.begin_create_or_update(shop.GROUP, "copy", shop.account_body()).result()
        copied = shop.arm.database_accounts.get(shop.GROUP, "copy")
        assert copied.create_mode == "Restore"
        parameters = copied.restore_parameters
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
