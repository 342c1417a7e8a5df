"""ScalarDB itself over Cosmos DB: its records are verified as it wrote them, and it goes on with what Midtime has restored, without any repair."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from midtime.model.topology.targets import Target as TargetWish
from midtime.verify.verdict import Outcome
from tests.integration.cosmosdb_sets import Set
from tests.integration.cosmosdb_setting import login
from tests.stack.bank import Bank, require_moving, tables_of
from tests.stack.stack import COSMOS_ACCOUNT, IN_COSMOS, Stack

pytestmark = [pytest.mark.integration, pytest.mark.long]

COPY = "bank-restored"


@pytest.fixture(scope="module")
def scalardb_set(stack: Stack, cosmos_bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Set]:
    server = stack.bank_cosmosdb
    server.settings(lag=0.5)
    made = Set(server, tmp_path_factory.mktemp("points"), cosmos_bank, IN_COSMOS, COSMOS_ACCOUNT)
    with login(server, COSMOS_ACCOUNT):
        made.back_up()
        yield made


def test_the_verdict(scalardb_set: Set, cosmos_bank: Bank) -> None:
    found = scalardb_set.drilled()
    assert found.good, found.summary()
    assert found.verdict
    assert found.verdict.outcome is Outcome.GOOD
    assert found.verdict.records_read == cosmos_bank.size
    scalardb_set.require_torn_beside_the_window()


def test_it_goes_on_without_a_repair(stack: Stack, scalardb_set: Set, cosmos_bank: Bank) -> None:
    store, server = scalardb_set.shop.store, scalardb_set.server
    part = scalardb_set.point.store("shop")
    target = scalardb_set.restore(store.target(TargetWish(name=COPY), run="abc123", drill=False, in_place=False), part, scalardb_set.shelf)
    store.place(part, target)
    before = {each["id"] for each in server.items(COPY, "coordinator", "state")}
    scalardb = stack.scalardb_over_cosmos(COPY)
    try:
        require_moving(scalardb.address, cosmos_bank.size, tables_of([IN_COSMOS]))
        assert before < {each["id"] for each in server.items(COPY, "coordinator", "state")}
    finally:
        scalardb.close()
        server.arm.database_accounts.begin_delete(server.GROUP, COPY).result()
