"""ScalarDB's documents as verification wants them: by feed ranges, page by page, in the order of the schema."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from azure.cosmos.exceptions import CosmosHttpResponseError
from hypothesis import given
from hypothesis import strategies as st

from midtime.errors import StoreStatementError
from midtime.stores.cosmosdb.records import CosmosdbCoordinator, CosmosdbRecords, shapes
from midtime.stores.cosmosdb.scanning import quoted, scan

ACCOUNTS, STATE, METADATA = ("bank", "accounts"), ("coordinator", "state"), ("scalardb", "metadata")
COLUMNS = {"owner": "text", "number": "int", "kind": "text", "balance": "int", "tx_id": "text", "tx_state": "int", "tx_version": "int",
           "tx_prepared_at": "bigint", "tx_committed_at": "bigint"}  # fmt: skip


class Container:
    """Documents in ranges, told in pages; it knows who reads at once."""

    def __init__(self, ranges: Sequence[Sequence[Mapping[str, Any]]], page: int = 2) -> None:
        self.ranges, self.page = ranges, page
        self.queries: list[str] = []
        self.pages = 0
        self.failing: Exception | None = None
        self.together = threading.Barrier(len(ranges)) if len(ranges) > 1 else None

    def read_feed_ranges(self) -> Iterable[dict[str, int]]:
        return [{"range": number} for number in range(len(self.ranges))]

    def query_items(self, *, query: str, feed_range: Mapping[str, int], max_item_count: int) -> Any:
        self.queries.append(query)
        found = self.ranges[feed_range["range"]]
        names = [part.rpartition('["')[2].removesuffix('"]') for part in query.removeprefix("SELECT ").removesuffix(" FROM c").split(", ")]

        def project(document: Mapping[str, Any]) -> dict[str, Any]:
            flat = {**document, **document.get("values", {})}
            return {name: flat[name] for name in names if name in flat}

        def pages() -> Iterator[list[dict[str, Any]]]:
            if self.together:
                self.together.wait(10)
            for start in range(0, len(found), self.page):
                self.pages += 1
                if self.failing:
                    raise self.failing
                yield [project(each) for each in found[start : start + self.page]]

        return SimpleNamespace(by_page=pages)

    def read_items(self, items: Sequence[tuple[str, str]], max_concurrency: int) -> list[Mapping[str, Any]]:
        assert all(number == key for number, key in items)
        assert len(set(items)) == len(items)
        wanted = {number for number, _ in items}
        return [each for of in self.ranges for each in of if each["id"] in wanted]


def data(**containers: Container) -> Any:
    def database(name: str) -> Any:
        return SimpleNamespace(get_container_client=lambda container: containers[f"{name}_{container}"])

    return SimpleNamespace(get_database_client=database)


def document(owner: str, number: int, **values: Any) -> dict[str, Any]:
    keys = {"partitionKey": {"number": number, "owner": owner}, "clusteringKey": {"at": 1, "kind": "x/y"}}
    return {"id": f"{owner}:{number}:x/y", "concatenatedPartitionKey": f"{owner}:{number}", **keys, "values": {"balance": 1, **values}}


def state(tx: str, created_at: int | None, children: str | None = None) -> dict[str, Any]:
    return {"id": tx, "values": {"tx_state": 3, "tx_created_at": created_at, **({"tx_child_ids": children} if children else {})}}


def metadata(page: int = 2) -> Container:
    said = [
        {"id": "bank.accounts", "partitionKeyNames": ["owner", "number"], "clusteringKeyNames": ["kind", "at"], "columns": COLUMNS},
        {"id": "bank.plain.with.dots", "partitionKeyNames": ["id"], "columns": {"id": "int"}},
    ]
    return Container([said], page)


def records(accounts: Container) -> CosmosdbRecords:
    client = data(bank_accounts=accounts, scalardb_metadata=metadata())
    tables = {ACCOUNTS, STATE, METADATA, ("bank", "plain.with.dots")}
    return CosmosdbRecords("points", client, tables, shapes("points", client, METADATA), skip=[STATE])


def test_what_is_transactional_and_what_is_not() -> None:
    found = records(Container([[]]))
    assert found.tables() == ["bank.accounts"]
    assert found.non_transactional() == ["bank.plain.with.dots", "scalardb.metadata"]


def test_records_in_the_order_of_the_schema() -> None:
    marks = {"tx_id": "t1", "tx_state": 3, "tx_version": 2, "tx_prepared_at": 10, "tx_committed_at": 11}
    accounts = Container([[document("ann", 7, **marks), document("bob/2", 8)], [document("eve", 9, **marks)]], page=1)
    found = [record for batch in records(accounts).records("bank.accounts") for record in batch]
    assert sorted((each.key, each.tx_id, each.tx_state, each.committed_at) for each in found) == [
        ("ann/7/x\\/y/1", "t1", 3, 11), ("bob\\/2/8/x\\/y/1", None, None, None), ("eve/9/x\\/y/1", "t1", 3, 11),
    ]  # fmt: skip
    assert 'c["values"]["tx_prepared_at"]' in accounts.queries[0]


@given(st.lists(st.lists(st.integers(0, 99), max_size=9), min_size=1, max_size=6), st.integers(1, 4))
def test_every_document_once_and_ranges_beside_each_other(ranges: list[list[int]], page: int) -> None:
    container = Container([[{"id": f"{of}-{at}"} for at, _ in enumerate(each)] for of, each in enumerate(ranges)], page)
    found = [each["id"] for part in scan("points", container, [quoted("id")]) for each in part]  # type: ignore[arg-type]
    assert sorted(found) == sorted(f"{of}-{at}" for of, each in enumerate(ranges) for at, _ in enumerate(each))


def test_not_more_than_a_page_of_each_range_ahead() -> None:
    container = Container([[{"id": str(number)} for number in range(100)]], page=10)
    pages = scan("points", container, [quoted("id")])  # type: ignore[arg-type]
    next(pages)
    assert container.pages <= 2


def test_a_service_that_refuses() -> None:
    container = Container([[{"id": "1"}]])
    container.failing = CosmosHttpResponseError(429, "busy")
    with pytest.raises(StoreStatementError, match="store points: throttled"):
        list(scan("points", container, [quoted("id")]))  # type: ignore[arg-type]


def test_names_are_quoted() -> None:
    assert quoted("values", 'a"b\\c') == 'c["values"]["a\\"b\\\\c"]'


class TestCoordinator:
    def coordinator(self, *ranges: Sequence[Mapping[str, Any]], there: bool = True) -> CosmosdbCoordinator:
        client = data(coordinator_state=Container(ranges or [[]]))
        return CosmosdbCoordinator("points", client, "coordinator", {STATE} if there else set())

    def test_by_key(self) -> None:
        found = self.coordinator([state("a", 5), state("b", 6, "x,y")], [state("c", 7)]).lookup(["a", "b", "b", "z"])
        assert {tx: (row.state, row.created_at, row.child_ids) for tx, row in found.items()} == {"a": (3, 5, ()), "b": (3, 6, ("x", "y"))}

    def test_by_time_and_the_oldest_on_the_way(self) -> None:
        coordinator = self.coordinator([state("a", 5), state("b", None)], [state("c", 9)])
        assert [row.tx_id for row in coordinator.rows_newer_than(5)] == ["c"]
        assert coordinator.oldest_created_at() == 5

    def test_an_empty_one(self) -> None:
        assert self.coordinator().oldest_created_at() is None

    def test_one_that_is_not_there(self) -> None:
        coordinator = self.coordinator(there=False)
        assert not coordinator.exists()
        assert (coordinator.lookup(["a"]), list(coordinator.rows_newer_than(0)), coordinator.oldest_created_at()) == ({}, [], None)
