"""A bank in Cosmos DB, as ScalarDB's Cosmos adapter lays it out, without ScalarDB.

A namespace is a database, a table a container with the partition key ``/concatenatedPartitionKey`` and the stored procedure ``mutate.js``; a
record is ``{id, concatenatedPartitionKey, partitionKey, clusteringKey, values}``, and what Consensus Commit keeps is among its values, columns
without a value left out; ScalarDB's own adapter writes the same (``tests/integration/test_cosmosdb_scalardb.py``), but takes long to start. Money goes
between two tables in two phases: both records are prepared, the Coordinator's row decides, both are committed::

    bank = ScalarBank(server, "bank").load()
    bank.start()                      # transfers, one after the other, in a thread
    with bank.paused():               # between two of them
        ...
    bank.stop()
    steps = bank.transfer()           # or by hand, write by write: "prepared", "prepared", "decided", "committed", "committed"
    next(steps)
"""

from __future__ import annotations

import itertools
import random
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from tests.stack.cosmosdb import PATH, CosmosDB

PREPARED, COMMITTED = 1, 3
START_BALANCE = 1000
TABLES = ("checking", "savings")
TRANSACTION = {"tx_id": "text", "tx_state": "int", "tx_version": "int", "tx_prepared_at": "bigint", "tx_committed_at": "bigint"}
OWN = {"customer": "text", "kind": "int", "balance": "int"}
"""The customer is the partition key, the kind the clustering key."""
BEFORE = {f"before_{name}": kind for name, kind in {**TRANSACTION, "balance": "int"}.items()}
STATE = {"tx_id": "text", "tx_state": "int", "tx_created_at": "bigint"}
INDEXES = {"indexingMode": "consistent", "automatic": True, "includedPaths": [{"path": f"{PATH}/?"}], "excludedPaths": [{"path": "/*"}]}
MUTATE = {"id": "mutate.js", "body": "function mutate() { /* only its being there matters here */ }"}
Document = dict[str, Any]


class ScalarBank:
    """Accounts of customers in two tables of one namespace.

    :param account: of Cosmos DB, which is there
    """

    def __init__(self, server: CosmosDB, account: str, *, namespace: str = "bank", customers: int = 5, throughput: int = 400) -> None:
        self.server, self.account, self.namespace, self.customers, self._throughput = server, account, namespace, customers, throughput
        self.commits = 0
        self._turn, self._stopping = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def expected_total(self) -> int:
        return START_BALANCE * self.customers * len(TABLES)

    @cached_property
    def _client(self) -> Any:
        return self.server.data(self.account)

    def container(self, database: str, name: str) -> Any:
        return self._client.get_database_client(database).get_container_client(name)

    # made, as ScalarDB's Schema Loader makes it

    def load(self) -> ScalarBank:
        for database in (self.namespace, "coordinator", "scalardb"):
            self._client.create_database(database, offer_throughput=self._throughput)
        metadata = self._client.get_database_client("scalardb").create_container(
            "metadata", {"paths": ["/id"], "kind": "Hash", "version": 2}
        )
        for table in TABLES:
            self._make(self.namespace, table, metadata, {**OWN, **TRANSACTION, **BEFORE}, "customer", "kind")
        self._make("coordinator", "state", metadata, STATE, "tx_id")
        for table, number in itertools.product(TABLES, range(self.customers)):
            self._load(table, f"customer {number}")
        return self

    def _make(self, database: str, table: str, metadata: Any, columns: Mapping[str, str], key: str, *clustering: str) -> None:
        made = self._client.get_database_client(database).create_container(
            table, {"paths": [PATH], "kind": "Hash", "version": 2}, indexing_policy=INDEXES
        )
        made.scripts.create_stored_procedure(MUTATE)
        metadata.upsert_item({
            "id": f"{database}.{table}", "partitionKeyNames": [key], "clusteringKeyNames": list(clustering),
            "clusteringOrders": dict.fromkeys(clustering, "ASC"), "secondaryIndexNames": [], "columns": dict(columns),
        })  # fmt: skip

    def _load(self, table: str, customer: str) -> None:
        tx_id, now = str(uuid.uuid4()), _now()
        values = {
            "balance": START_BALANCE,
            "tx_id": tx_id,
            "tx_state": COMMITTED,
            "tx_version": 1,
            "tx_prepared_at": now,
            "tx_committed_at": now,
        }
        self._decide(tx_id)
        self._write(table, customer, values)

    # moved

    def start(self, think: float = 0.0) -> ScalarBank:
        self._stopping.clear()
        self._thread = threading.Thread(target=self._work, args=[think], name="scalar-bank", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Between two transfers."""
        self._stopping.set()
        if self._thread:
            self._thread.join()
            self._thread = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside, nothing is under way."""
        with self._turn:
            yield

    def _work(self, think: float) -> None:
        while not self._stopping.is_set():
            with self._turn:
                for _ in self.transfer():
                    pass
            self._stopping.wait(think)

    def transfer(self) -> Iterator[str]:
        """One, from a table to the other; what has been written stays written if it is not gone on with."""
        halves = list(zip(random.sample(TABLES, 2), random.choices(range(self.customers), k=2), (-1, 1), strict=True))
        tx_id, amount = str(uuid.uuid4()), random.randint(1, 20)
        for table, number, sign in halves:
            self._prepare(table, f"customer {number}", tx_id, sign * amount)
            yield "prepared"
        self._decide(tx_id)
        yield "decided"
        for table, number, _ in halves:
            self._commit(table, f"customer {number}")
            yield "committed"
        self.commits += 1

    def _read(self, table: str, customer: str) -> Document:
        values: Document = self.container(self.namespace, table).read_item(f"{customer}:1", customer)["values"]
        return values

    def _write(self, table: str, customer: str, values: Document) -> None:
        self.container(self.namespace, table).upsert_item({
            "id": f"{customer}:1", "concatenatedPartitionKey": customer, "partitionKey": {"customer": customer},
            "clusteringKey": {"kind": 1}, "values": values,
        })  # fmt: skip

    def _prepare(self, table: str, customer: str, tx_id: str, amount: int) -> None:
        old = self._read(table, customer)
        before = {name: old[name.removeprefix("before_")] for name in BEFORE if name.removeprefix("before_") in old}
        new = {"balance": old["balance"] + amount, "tx_id": tx_id, "tx_state": PREPARED, "tx_version": old["tx_version"] + 1}
        self._write(table, customer, {**new, "tx_prepared_at": _now(), **before})

    def _decide(self, tx_id: str) -> None:
        values = {"tx_state": COMMITTED, "tx_created_at": _now()}
        self.container("coordinator", "state").create_item({
            "id": tx_id, "concatenatedPartitionKey": tx_id, "partitionKey": {"tx_id": tx_id}, "clusteringKey": {}, "values": values,
        })  # fmt: skip

    def _commit(self, table: str, customer: str) -> None:
        self._write(table, customer, {**self._read(table, customer), "tx_state": COMMITTED, "tx_committed_at": _now()})

    # looked at

    def total(self, account: str = "") -> int:
        """The sum over all records as they are written; of a restored account, if one is named."""
        return sum(values["balance"] for values in self.records(account))

    def in_flight(self, account: str = "") -> int:
        """Records that are prepared only."""
        return sum(values["tx_state"] == PREPARED for values in self.records(account))

    def records(self, account: str = "") -> list[Document]:
        found = [self.server.items(account or self.account, self.namespace, table) for table in TABLES]
        return [item["values"] for items in found for item in items]


def _now() -> int:
    """Milliseconds of the product's clock, which is the machine's."""
    return int(time.time() * 1000)
