"""The double of Cosmos DB with a clock that stands still, empty, or with a shop in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.cosmosdb_stack.asking import SHOP, START
from tests.stack.cosmosdb import CosmosDB

QUICK = {"create": 0, "delete": 0, "restore": 0, "retry_after": 0.01, "lag": 0.0}


@pytest.fixture
def server(cosmosdb_server: CosmosDB) -> Iterator[CosmosDB]:
    """Its clock stands still."""
    cosmosdb_server.reset()
    cosmosdb_server.settings(stopped_at=START, **QUICK)
    yield cosmosdb_server
    cosmosdb_server.reset()


@pytest.fixture
def shop(server: CosmosDB) -> CosmosDB:
    """With the account ``shop``."""
    server.make_account("shop", SHOP)
    return server
