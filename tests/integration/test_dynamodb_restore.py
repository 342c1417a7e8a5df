"""DynamoDB's tables come back to the marked second: beside, in place and back, whoever is killed when; and ScalarDB's records with them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from midtime.errors import NotRestorableError, StoreError
from midtime.fencing import fenced
from midtime.model.instants import restore_point_id
from midtime.model.restore_point import Origin, RestorePoint, StoreBackup
from midtime.model.topology import Topology
from midtime.model.window import Window
from midtime.preflight import require
from midtime.stores import open_store
from midtime.stores.base import Shelf, Target, ask
from midtime.verification import Verification, verify
from midtime.verify.verdict import Outcome
from tests.integration.dynamodb_setting import NAMES, ORDERS, Shop, shop_of
from tests.integration.dynamodb_tables import make
from tests.integration.marked_shop import SHORTLY
from tests.integration.sets import busy, connected
from tests.stack.bank import Bank
from tests.stack.dynamodb import DynamoDB
from tests.stack.processes import poll
from tests.stack.stack import BESIDE_DYNAMO, IN_DYNAMO, Stack

pytestmark = pytest.mark.integration

THEN, LIVE = dict.fromkeys(NAMES[:3], 1), dict.fromkeys(NAMES[:3], 2)
KEPT = {"tags": 1, "ttl": "ENABLED", "pitr": "ENABLED", "stream": True, "protected": True, "scaled": 2, "scheduled": 1}


@pytest.fixture
def shop(spare_dynamodb: DynamoDB, tmp_path: Path) -> Iterator[Shop]:
    with shop_of(spare_dynamodb, tmp_path) as made:
        yield made


def mostly_long(*first: int, then: tuple[int, ...]) -> list[Any]:
    """CI takes the first; that any call will do is proven without a server."""
    return [*first, *(pytest.param(each, marks=pytest.mark.long) for each in then)]


def asked(shop: Shop, target: Target) -> dict[str, str]:
    return {check.question: check.detail for check in require(ask("shop", shop.store.restore_questions(target, shop.backup)))}


class TestBeside:
    def test_a_drill_comes_and_goes(self, shop: Shop) -> None:
        target = shop.target(drill=True, to="drill_")
        assert asked(shop, target)
        shop.restore(target)
        assert shop.values(f"{target.working}_") == THEN
        with shop.store.restored(shop.backup, target) as restored:
            assert restored.schema_differences() == []
        shop.store.discard(target)
        assert shop.server.names() == sorted(NAMES)
        assert shop.values() == LIVE

    def test_what_is_placed_stays_with_its_settings(self, shop: Shop) -> None:
        target = shop.restore(shop.target(to="new_"))
        shop.store.place(shop.backup, target)
        shop.store.discard(target)
        assert (shop.values("new_"), shop.values()) == (THEN, LIVE)
        assert shop.settings(f"new_{ORDERS}") == KEPT
        before, after = (shop.server.tables.describe_table(TableName=name)["Table"] for name in (ORDERS, f"new_{ORDERS}"))
        for key in ("BillingModeSummary", "TableClassSummary", "KeySchema"):
            assert after[key] == before[key]
        assert after["ProvisionedThroughput"]["ReadCapacityUnits"] == 5
        assert after["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"]["WriteCapacityUnits"] == 4

    @pytest.mark.long
    @pytest.mark.fault(
        "A table of the new name is there already",
        "Refused before anything is asked for; it is neither used nor removed.",
    )
    def test_somebody_elses_table_is_left_alone(self, shop: Shop) -> None:
        make(shop.server, f"new_{ORDERS}")
        target = shop.target(to="new_")
        with pytest.raises(StoreError, match="there already"):
            asked(shop, target)
        with pytest.raises(StoreError, match="there already"):
            shop.restore(target)
        shop.store.discard(target)
        assert f"new_{ORDERS}" in shop.server.names()

    @pytest.mark.long
    def test_the_second_that_follows_makes_no_difference(self, spare_dynamodb: DynamoDB, tmp_path: Path) -> None:
        """In all the others it is not in it."""
        with shop_of(spare_dynamodb, tmp_path, includes_second=True) as shop:
            target = shop.restore(shop.target(drill=True))
            assert shop.values(f"{target.working}_") == THEN
            shop.store.discard(target)

    @pytest.mark.long
    @pytest.mark.fault(
        "DynamoDB throttles, or its limit of restores is reached",
        "The restore goes on when there is room.",
    )
    def test_two_at_once_and_a_busy_service(self, shop: Shop) -> None:
        shop.server.settings(restores=2, restore=[0.2, 1.0])
        shop.server.faults(
            {"kind": "throttling", "operations": ["control"], "every": 7, "times": 4}, {"kind": "limit", "operations": ["RestoreTableToPointInTime"], "every": 3},
            {"kind": "error", "operations": ["RestoreTableToPointInTime"], "every": 4, "after": True},
            {"kind": "capacity", "operations": ["Scan"], "every": 2},
        )  # fmt: skip
        target = shop.restore(shop.target(drill=True))
        shop.server.faults()
        assert shop.values(f"{target.working}_") == THEN
        assert 1 <= shop.server.calls()["most_restoring"] <= 2
        shop.store.discard(target)

    @pytest.mark.parametrize("after", mostly_long(17, then=(3, 22, 26)))
    @pytest.mark.fault(
        "kill -9 of a restore of DynamoDB tables, at any of its calls",
        "The next try goes on; all of it can be removed.",
    )
    def test_killed_and_gone_on_with(self, shop: Shop, after: int) -> None:
        target = shop.target(to="new_")
        assert shop.killed("restore", target, after)
        shop.restore(target)
        assert shop.values("new_") == THEN
        shop.store.discard(target)
        assert shop.server.names() == sorted(NAMES)

    @pytest.mark.long
    @pytest.mark.fault(
        "Credentials of DynamoDB have expired",
        "The restore fails, and no table of it is left.",
    )
    def test_expired_credentials(self, shop: Shop) -> None:
        target = shop.target(drill=True)
        shop.server.faults({"kind": "expired"})
        with pytest.raises(StoreError, match="credentials have expired"):
            shop.restore(target)
        shop.server.faults()
        assert shop.server.names() == sorted(NAMES)


class TestInPlace:
    def test_there_and_back(self, shop: Shop) -> None:
        target = shop.restore(shop.target(in_place=True))
        assert "replacing what is there" in asked(shop, target)["will be"]
        shop.store.place(shop.backup, target)
        assert (shop.values(), shop.settings()) == (THEN, KEPT)
        shop.store.put_back(shop.backup, target)
        assert (shop.values(), shop.settings()) == (LIVE, KEPT)
        assert shop.backups() == {target.working}
        shop.store.place(shop.backup, target)
        assert shop.values() == THEN
        shop.store.discard(target)
        assert (shop.server.names(), shop.backups()) == (sorted(NAMES), {target.aside})
        with pytest.raises(NotRestorableError, match="is another table of that name"):
            asked(shop, shop.target(drill=True))

    @pytest.mark.parametrize("after", mostly_long(60, then=(10, 40, 80, 110)))
    @pytest.mark.parametrize("forward", [True, False])
    @pytest.mark.fault(
        "kill -9 while restored tables take the place of the live ones, forward or back, at any call",
        "The next try ends it: the tables are all as restored, or all as they were.",
    )
    def test_killed(self, shop: Shop, after: int, forward: bool) -> None:
        target = shop.restore(shop.target(in_place=True))
        came = shop.killed("place", target, after)
        if forward:
            shop.store.place(shop.backup, target)
        else:
            shop.store.put_back(shop.backup, target)
        assert came or after > 100
        assert (shop.values(), shop.settings()) == (THEN if forward else LIVE, KEPT)

    @pytest.mark.long
    def test_killed_on_the_way_back(self, shop: Shop) -> None:
        target = shop.restore(shop.target(in_place=True))
        shop.store.place(shop.backup, target)
        assert shop.killed("put_back", target, 50)
        shop.store.put_back(shop.backup, target)
        assert (shop.values(), shop.settings()) == (LIVE, KEPT)

    @pytest.mark.long
    def test_slow_tables_and_a_busy_service(self, shop: Shop) -> None:
        shop.server.settings(restores=2, restore=[0.2, 0.8], delete=[0.1, 0.5], backup=[0.1, 0.5], update=0.3, enabling=0.3)
        shop.server.faults(
            {"kind": "throttling", "operations": ["control"], "every": 9, "times": 4},
            {"kind": "error", "operations": ["DeleteTable", "RestoreTableFromBackup", "CreateBackup"], "every": 3, "after": True},
        )
        target = shop.restore(shop.target(in_place=True))
        shop.store.place(shop.backup, target)
        shop.server.faults()
        assert (shop.values(), shop.settings()) == (THEN, KEPT)


@dataclass(frozen=True)
class Set:
    """A bank over DynamoDB and PostgreSQL at rest, as a window would find it."""

    topology: Topology
    point: RestorePoint
    window: Window
    folder: Any

    def restored(self, moved: timedelta = timedelta()) -> Verification:
        """As a drill does it, with DynamoDB's store at another second than the rest."""
        targets, run = [], f"{int(time.time() * 1000) % 0xFFFFFF:06x}"
        try:
            for part in self.point.stores:
                store = open_store(self.topology, part.store)
                target = store.target(None, run=run, drill=True, in_place=False)
                targets.append(target)
                shelf = Shelf(self.folder, part.store)
                if part.engine == "dynamodb" and moved:
                    part = self._moved(store, part, moved)
                    shelf = Shelf(self.folder / "moved", part.store)
                while store.restore(part, shelf, target, print):
                    time.sleep(SHORTLY)
            return verify(self.topology, self.point, targets)
        finally:
            for target in targets:
                open_store(self.topology, target.store).discard(target)

    def _moved(self, store: Any, part: StoreBackup, moved: timedelta) -> StoreBackup:
        marked: StoreBackup = store.mark(part.midtime + moved, Shelf(self.folder / "moved", part.store), print)
        return marked


@pytest.fixture
def bank_set(stack: Stack, dynamodb_server: DynamoDB, dynamo_bank: Bank, tmp_path: Path) -> Iterator[Set]:
    """Busy, at rest with fence rows around it, busy again."""
    places = {BESIDE_DYNAMO: stack.dynamo_places[BESIDE_DYNAMO]}
    products = [{"kind": "scalardb-server", "endpoints": {"static": [stack.dynamo_scalardb.address]}}]
    stores = [place.store(name) for name, place in stack.dynamo_places.items()]
    declared = {"coordinators": [{"store": IN_DYNAMO}], "clock_bound": "0s"}
    body = {"name": "proof", "destination": f"file://{tmp_path}/points", "products": products, "stores": stores, "scalardb": declared}
    topology = Topology.model_validate(body)
    from midtime.catalog import Catalog

    catalog, window_id = Catalog(topology.destination, topology.name), "0123456789ab"
    with connected(tmp_path, places), pytest.MonkeyPatch.context() as patch:
        patch.setenv(f"AIRFLOW_CONN_{IN_DYNAMO.upper()}_DB", dynamodb_server.conn())
        marking, copying = open_store(topology, IN_DYNAMO), open_store(topology, BESIDE_DYNAMO)
        with fenced(marking) as first, fenced(copying) as second:
            with busy(dynamo_bank):
                pass
            assert dynamo_bank.total() == dynamo_bank.expected_total  # whatever was left half done
            time.sleep(7)  # for a restore to five seconds before
            for fence in (first, second):
                fence.connect()
            start = datetime.now(UTC)
            for fence in (first, second):
                fence.write(window_id, "before")
            point_id = restore_point_id(start, window_id)
            with copying.capture() as capture:  # type: ignore[attr-defined]
                instant = int(dynamodb_server.now()) + 2
                poll("the hold", lambda: dynamodb_server.now() > instant + 2 or None, 30)
                end = datetime.now(UTC)
                for fence in (first, second):
                    fence.write(window_id, "after")
                with busy(dynamo_bank, seconds=6):
                    pass
                copied = copying.copy(capture, Shelf(catalog.folder(point_id), BESIDE_DYNAMO), print)  # type: ignore[attr-defined]
            dynamodb_server.wait_restorable(instant + 10)
            at = datetime.fromtimestamp(instant, UTC)
            marked = marking.mark(at, Shelf(catalog.folder(point_id), IN_DYNAMO), print)  # type: ignore[attr-defined]
            parts = tuple(
                part.model_copy(update={"details": {**part.details, "fence": fence.to_dict(), "quiesced": True}})
                for part, fence in ((marked, first), (copied, second))
            )
        window = Window(start, end)
        manifest = RestorePoint(
            id=point_id, topology="proof", topology_digest=topology.digest, midtime=at, started_at=start, finished_at=end, stores=parts,
            evidence={"id": window_id, "window": window.to_dict()}, origin=Origin(midtime_version="0", dag_id="d", run_id="r", host="h"),
        )  # fmt: skip
        yield Set(topology, manifest, window, catalog.folder(point_id))
    for name in dynamodb_server.names():
        if name.endswith("midtime_fence"):
            dynamodb_server.tables.delete_table(TableName=name)


@pytest.mark.long
class TestBank:
    def test_the_verdict(self, bank_set: Set, dynamodb_server: DynamoDB) -> None:
        for includes_second in (True, False):
            dynamodb_server.settings(includes_second=includes_second)
            found = bank_set.restored()
            assert found.good, found.summary()
            assert found.verdict
            assert found.verdict.outcome is Outcome.GOOD
        early, late = bank_set.restored(-timedelta(seconds=5)), bank_set.restored(timedelta(seconds=5))
        for each in (early, late):
            assert each.verdict
            assert each.verdict.outcome is Outcome.TORN, each.summary()
