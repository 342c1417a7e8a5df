"""ScalarDB itself over the double of Cosmos DB, with its own adapter and Azure's Java client: what it writes is restored, and it can go on with it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.stack.bank import Bank
from tests.stack.cosmosdb import CosmosDB
from tests.stack.cosmosdb_scalardb import ScalarDBOverCosmos
from tests.stack.scalardb import account_schema
from tests.stack.stack import Stack

pytestmark = pytest.mark.integration

ACCOUNTS, TABLE = 5, "bank.acct"
VALUES = {"owner", "balance", "tx_id", "tx_state", "tx_version", "tx_prepared_at", "tx_committed_at"}


@pytest.fixture
def server(cosmosdb_server: CosmosDB) -> Iterator[CosmosDB]:
    cosmosdb_server.reset()
    cosmosdb_server.settings(lag=0.0)
    yield cosmosdb_server
    cosmosdb_server.reset()


def test_the_bank_is_restored_at_rest_and_goes_on_once_it_is_repaired(stack: Stack, server: CosmosDB) -> None:
    server.make_account("live")
    scalardb = ScalarDBOverCosmos(stack.processes, server, "live", account_schema(TABLE)).start()
    bank = Bank(scalardb.address, ACCOUNTS, (TABLE,)).load()
    try:
        second = _at_rest(server)
        bank.start(threads=1)
        time.sleep(3)
        bank.stop()
        assert bank.commits
        assert bank.total() == bank.expected_total
    finally:
        bank.close()
        scalardb.close()
    record = server.items("live", "bank", "acct")[0]
    assert set(record) == {"id", "concatenatedPartitionKey", "partitionKey", "clusteringKey", "values", "_ts"}
    assert set(record["values"]) >= VALUES
    server.restore("live", "copy", second)
    assert {item["values"]["balance"] for item in server.items("copy", "bank", "acct")} == {1000}
    assert not list(server.container("copy", "bank", "acct").scripts.list_stored_procedures())
    _goes_on(stack, server)


def _at_rest(server: CosmosDB) -> int:
    """A second in which nothing is written."""
    time.sleep(1 - time.time() % 1)
    second = int(server.now())
    time.sleep(1.05)
    return second


def _goes_on(stack: Stack, server: CosmosDB) -> None:
    scalardb = ScalarDBOverCosmos(stack.processes, server, "copy", account_schema(TABLE), loader_options=["--repair-all"]).start()
    bank = Bank(scalardb.address, ACCOUNTS, (TABLE,))
    try:
        bank.start(threads=1)
        time.sleep(2)
        bank.stop()
        assert bank.commits
        assert bank.total() == bank.expected_total
    finally:
        bank.close()
        scalardb.close()
