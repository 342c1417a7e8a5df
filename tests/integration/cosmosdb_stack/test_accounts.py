"""Accounts of the double of Cosmos DB: made, changed, deleted, and how far back and forth they can be restored."""

from __future__ import annotations

import pytest

from tests.integration.cosmosdb_stack.asking import SHOP, START, path_of, raw, refused
from tests.stack.cosmosdb import CosmosDB

pytestmark = [pytest.mark.integration, pytest.mark.long]  # of the double; test_restores.py stays with what a restore of it means


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
