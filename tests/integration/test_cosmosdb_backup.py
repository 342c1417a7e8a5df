"""An account of Cosmos DB is marked through Azure's own SDKs: its clock, its fence rows, its settings, and a whole window."""

from __future__ import annotations

import json
import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from midtime.catalog.artifacts import damaged
from midtime.errors import NotRestorableError, StoreAccessError, StoreError, StoreStatementError, StoreUnreachableError
from midtime.scalar.double import Double
from midtime.stores.base import ask
from midtime.stores.cosmosdb import fences
from midtime.stores.cosmosdb.settings import Throughput
from midtime.stores.cosmosdb.store import CosmosdbStore
from midtime.stores.fences import KEPT_BY_SERVICES
from tests.integration.cosmosdb_marks import ALL, FENCE, LIVE, Bank, log_in
from tests.stack.cosmosdb import PATH
from tests.unit.operators.marking import find_midtime, mark, pause_and_capture, publish
from tests.unit.operators.tasks import Hub, preflight_done

pytestmark = pytest.mark.integration


@pytest.fixture
def bank(still_cosmos_bank: Bank) -> Bank:
    return still_cosmos_bank


class TestClock:
    @pytest.mark.parametrize("offset", [0.0, 7.5, -1.25])
    def test_it_is_the_services(self, bank: Bank, offset: float) -> None:
        bank.server.settings(stopped_at=None, clock_offset=offset)
        reading = bank.store.read_clock()
        assert reading.low <= timedelta(seconds=offset) <= reading.high
        assert reading.width < timedelta(seconds=1), "narrower than one answer by itself"

    @pytest.mark.long
    def test_front_ends_that_disagree(self, bank: Bank) -> None:
        """By more than one clock could, and less than a second: the bounds have both."""
        bank.server.settings(stopped_at=int(time.time()) + 0.5, date_offsets=[0.0, 0.0, 1.6])
        assert timedelta(seconds=0.3) < bank.store.read_clock().width < timedelta(seconds=1.1)

    @pytest.mark.long
    def test_one_that_stands_still(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("midtime.clocks.LIMIT", 1.0)
        monkeypatch.setattr("midtime.clocks.read_http_date.__kwdefaults__", {"fleet": False, "gap": 0.02, "limit": 1.0})
        with pytest.raises(StoreStatementError, match="stands still"):
            bank.store.read_clock()

    @pytest.mark.long
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

    @pytest.mark.long
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

    @pytest.mark.long
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
    @pytest.mark.long
    def test_a_service_that_does_not_take_it_costs_the_window_three_seconds(self, bank: Bank, fault: dict[str, Any]) -> None:
        with bank.store.fence() as fence:
            fence.prepare()
            bank.server.faults({"operations": ["UpsertItem"], **fault})
            began = time.monotonic()
            with pytest.raises(StoreError) as caught:
                fence.write("w1", "before")
        assert time.monotonic() - began < 3.2
        assert caught.value.retryable

    @pytest.mark.long
    def test_a_container_that_cannot_be_made(self, bank: Bank) -> None:
        bank.fail("failed", "SqlResources_CreateUpdateSqlContainer")
        with bank.store.fence() as fence, pytest.raises(StoreError, match="store bank"):
            fence.prepare()

    @pytest.mark.long
    def test_gateways_that_learn_of_it_later(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fences, "find_fence", lambda *_: {"partitionKey": {"paths": ["/window_id"]}})  # ARM knows it already
        later = threading.Timer(1.5, bank.container, [FENCE], {"partitionKey": {"paths": ["/window_id"], "kind": "Hash"}})
        with bank.store.fence() as fence:
            later.start()
            fence.prepare()
            fence.write("w1", "before")
        assert len(self.rows(bank)) == 1

    @pytest.mark.long
    def test_a_key_for_reading_only_is_found_out_before_the_window(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        reading = bank.arm.database_accounts.list_keys(*bank.where).primary_readonly_master_key
        log_in(bank, monkeypatch, password=str(reading))
        with bank.store.fence() as fence, pytest.raises(StoreAccessError, match="key refused") as caught:
            fence.prepare()
        assert "read-write" in caught.value.fix

    @pytest.mark.long
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

    @pytest.mark.long
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

    @pytest.mark.long
    def test_a_serverless_account_has_none(self, empty_cosmos: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        empty_cosmos.make(capabilities=[{"name": "EnableServerless"}])
        log_in(empty_cosmos, monkeypatch)
        empty_cosmos.marked()
        assert {each.throughput for each in (*empty_cosmos.settings().containers, *empty_cosmos.settings().databases)} == {None}

    def test_marked_again_it_is_the_first_one(self, bank: Bank) -> None:
        """The manifest may name it by then."""
        made = bank.marked()
        bank.arm.database_accounts.begin_update(*bank.where, {"tags": {"later": "1"}}).result()
        again = bank.store.mark(made.midtime, bank.shelf, lambda _: None)
        assert (again.artifacts, again.details) == (made.artifacts, made.details)

    @pytest.mark.long
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

    @pytest.mark.long
    def test_without_the_fence_container(self, bank: Bank) -> None:
        with pytest.raises(StoreAccessError, match=FENCE):
            bank.store.mark(bank.instant(), bank.shelf, lambda _: None)
        bank.options = {"fence": False}
        assert sorted(bank.store.mark(bank.instant(), bank.shelf, lambda _: None).details["containers"]) == ALL

    @pytest.mark.long
    def test_an_instant_before_its_history(self, bank: Bank) -> None:
        early = datetime.fromtimestamp(int(bank.server.now()) - 3600, UTC)
        bank.options = {"fence": False}
        with pytest.raises(NotRestorableError, match="account bank-prod has a history that begins at"):
            bank.store.mark(early, bank.shelf, lambda _: None)


class TestWindow:
    """A whole backup, from the pause to the restore point; and what a restore to its instant would bring."""

    @pytest.mark.parametrize("includes_second", [pytest.param(False, marks=pytest.mark.long), True])
    @pytest.mark.parametrize("offset", [pytest.param(0.0, marks=pytest.mark.long), -3.4])
    def test_the_row_before_comes_back_and_the_row_after_does_not(self, bank: Bank, *, includes_second: bool, offset: float) -> None:
        bank.server.settings(stopped_at=None, clock_offset=offset, lag=0.5, includes_second=includes_second)
        with Double() as double:
            bank.products = [{"kind": "scalardb-server", "endpoints": {"static": double.addresses}}]
            hub = Hub(bank.topology)
            preflight_done(hub.topology, hub)
            pause_and_capture(hub)
            assert hub.errors == {}
            midtime = find_midtime(hub)
            publish(hub, midtime, [mark(hub, "bank", midtime)])
        (made,) = bank.catalog.newest(1)[0].restore_point.stores  # type: ignore[union-attr]
        assert made.fence["before"] < made.fence["after"]
        bank.server.wait_restorable(made.midtime.timestamp() + 1)
        assert bank.store.restorable(made).ready
        bank.server.restore(LIVE, "restored", made.midtime.timestamp(), restoreWithTtlDisabled=True)
        rows = bank.server.items("restored", *FENCE.split("/"))
        assert [row["place"] for row in rows if row["window_id"] != "none"] == ["before"]


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
