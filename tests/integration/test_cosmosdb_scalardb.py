"""ScalarDB itself over the double of Cosmos DB, with its own adapter and Azure's Java client: what it writes is restored, and it can go on with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.stack.bank import Bank, require_moving, tables_of
from tests.stack.cosmosdb import CosmosDB
from tests.stack.stack import COSMOS_ACCOUNT, IN_COSMOS, Stack

pytestmark = [pytest.mark.integration, pytest.mark.long]

COPY = "bank-copy"
VALUES = {"owner", "balance", "tx_id", "tx_state", "tx_version", "tx_prepared_at", "tx_committed_at"}


@pytest.fixture
def then(stack: Stack, cosmos_bank: Bank) -> Iterator[list[dict[str, Any]]]:
    """The accounts at a second in which nothing was written; transfers followed, and a copy of all as it was then is there."""
    server = stack.bank_cosmosdb
    at_rest, found = _wait(server), server.items(COSMOS_ACCOUNT, IN_COSMOS, "acct")
    cosmos_bank.start(threads=1)
    time.sleep(3)
    cosmos_bank.stop()
    assert cosmos_bank.commits
    server.wait_restorable(at_rest)
    server.restore(COSMOS_ACCOUNT, COPY, at_rest)
    yield found
    server.arm.database_accounts.begin_delete(server.GROUP, COPY).result()


def _wait(server: CosmosDB) -> int:
    time.sleep(1 - server.now() % 1)
    second = int(server.now())
    time.sleep(1.05)
    return second


def test_what_it_writes_is_as_it_was(stack: Stack, cosmos_bank: Bank, then: list[dict[str, Any]]) -> None:
    server = stack.bank_cosmosdb
    records = server.items(COPY, IN_COSMOS, "acct")
    assert {tuple(record) for record in records} == {("id", "concatenatedPartitionKey", "partitionKey", "clusteringKey", "values", "_ts")}
    assert all(set(record["values"]) >= VALUES for record in records)
    balances = [
        {each["id"]: each["values"]["balance"] for each in found}
        for found in (records, then, server.items(COSMOS_ACCOUNT, IN_COSMOS, "acct"))
    ]
    assert balances[0] == balances[1] != balances[2]
    rows = [{row["id"] for row in server.items(account, "coordinator", "state")} for account in (COPY, COSMOS_ACCOUNT)]
    assert {record["values"]["tx_id"] for record in records} <= rows[0]
    assert rows[0] < rows[1]
    assert cosmos_bank.total() == cosmos_bank.expected_total


def test_it_goes_on_once_it_is_repaired(stack: Stack, cosmos_bank: Bank, then: list[dict[str, Any]]) -> None:
    container = stack.bank_cosmosdb.container(COPY, IN_COSMOS, "acct")
    assert not list(container.scripts.list_stored_procedures())
    with closing(stack.scalardb_over_cosmos(COPY, "--repair-all")) as scalardb:
        require_moving(scalardb.address, cosmos_bank.size, tables_of([IN_COSMOS]))
