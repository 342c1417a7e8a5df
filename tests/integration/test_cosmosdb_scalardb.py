"""ScalarDB itself over the double of Cosmos DB, with its own adapter and Azure's Java client: what it writes is restored, and it can go on with it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.stack.bank import START_BALANCE, Bank, tables_of
from tests.stack.cosmosdb import CosmosDB
from tests.stack.stack import COSMOS_ACCOUNT, IN_COSMOS, Stack

pytestmark = [pytest.mark.integration, pytest.mark.long]

COPY = "bank-copy"
VALUES = {"owner", "balance", "tx_id", "tx_state", "tx_version", "tx_prepared_at", "tx_committed_at"}


@pytest.fixture
def second(stack: Stack, cosmos_bank: Bank) -> Iterator[int]:
    """In which nothing was written; transfers followed, and a copy of the account as it was then is there."""
    server = stack.bank_cosmosdb
    at_rest = _wait(server)
    cosmos_bank.start(threads=1)
    time.sleep(3)
    cosmos_bank.stop()
    assert cosmos_bank.commits
    server.wait_restorable(at_rest)
    server.restore(COSMOS_ACCOUNT, COPY, at_rest)
    yield at_rest
    server.arm.database_accounts.begin_delete(server.GROUP, COPY).result()


def _wait(server: CosmosDB) -> int:
    time.sleep(1 - server.now() % 1)
    second = int(server.now())
    time.sleep(1.05)
    return second


def test_what_it_writes_is_as_it_was(stack: Stack, cosmos_bank: Bank, second: int) -> None:
    server = stack.bank_cosmosdb
    records = server.items(COPY, IN_COSMOS, "acct")
    assert {tuple(record) for record in records} == {("id", "concatenatedPartitionKey", "partitionKey", "clusteringKey", "values", "_ts")}
    assert all(set(record["values"]) >= VALUES for record in records)
    assert {record["values"]["balance"] for record in records} == {START_BALANCE}
    assert {record["values"]["balance"] for record in server.items(COSMOS_ACCOUNT, IN_COSMOS, "acct")} != {START_BALANCE}
    rows = [{row["id"] for row in server.items(account, "coordinator", "state")} for account in (COPY, COSMOS_ACCOUNT)]
    assert {record["values"]["tx_id"] for record in records} <= rows[0]
    assert rows[0] < rows[1]
    assert cosmos_bank.total() == cosmos_bank.expected_total


def test_it_goes_on_once_it_is_repaired(stack: Stack, cosmos_bank: Bank, second: int) -> None:
    container = stack.bank_cosmosdb.container(COPY, IN_COSMOS, "acct")
    assert not list(container.scripts.list_stored_procedures())
    scalardb = stack.scalardb_over_cosmos(COPY, "--repair-all")
    bank = Bank(scalardb.address, cosmos_bank.size, tables_of([IN_COSMOS]))
    try:
        bank.start(threads=1)
        time.sleep(2)
        bank.stop()
        assert bank.commits
        assert bank.total() == bank.expected_total
    finally:
        bank.close()
        scalardb.close()
