"""What verification reads of restored tables: items as ScalarDB lays them out, under other names than its metadata have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch
from zlib import crc32

import pytest
from moto import mock_aws
from moto.dynamodb.models.dynamo_type import Item
from moto.dynamodb.models.table import Table

from midtime.errors import RequestError, StoreStatementError
from midtime.stores import looks
from midtime.stores.dynamodb import scanning
from midtime.stores.dynamodb.copies import standings
from midtime.stores.dynamodb.history import histories
from midtime.stores.dynamodb.notes import Copies
from midtime.stores.dynamodb.reading import read_settings
from midtime.stores.dynamodb.records import Names
from midtime.stores.dynamodb.restored import RestoredTables
from midtime.stores.dynamodb.scanning import plain, scan
from midtime.stores.dynamodb.settings import MarkedTables
from midtime.verify.records import Record
from tests.unit.builders import MIDTIME
from tests.unit.stores.dynamodb.world import REGION, World, refusing, with_id

PREFIX = "prod_"
MARKS = {"tx_id": "S", "tx_state": "N", "tx_version": "N", "tx_prepared_at": "N", "tx_committed_at": "N"}
TABLES = ("bank.accounts", "bank.plain", "bank.unknown", "bank.midtime_fence", "coordinator.state", "scalardb.metadata")


def text(value: str) -> dict[str, Any]:
    return {"S": value}


def number(value: int) -> dict[str, Any]:
    return {"N": str(value)}


class Restored:
    """Copies under the names of a run."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.names = {PREFIX + name: f"copy_{PREFIX}{name}" for name in TABLES}
        for name in TABLES:
            keys = {"bank.midtime_fence": ("window_id", "place"), "scalardb.metadata": ("table",)}.get(name, ("concatenatedPartitionKey",))
            kind = "B" if keys == ("concatenatedPartitionKey",) else "S"
            for each in (PREFIX + name, self.names[PREFIX + name]):
                world.client.create_table(
                    TableName=each, BillingMode="PAY_PER_REQUEST",
                    AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key in keys],
                    KeySchema=[{"AttributeName": key, "KeyType": of} for key, of in zip(keys, ("HASH", "RANGE"), strict=False)],
                )  # fmt: skip
        columns = {"owner": "text", "number": "bigint", "balance": "int", **dict.fromkeys(MARKS, "text")}
        self.describe(f"{PREFIX}bank.accounts", ["owner"], ["number"], columns)
        self.describe("bank.plain", ["owner"], [], {"owner": "text"})  # as old versions do

    def describe(self, name: str, partition: list[str], clustering: list[str], columns: dict[str, str]) -> None:
        item = {
            "table": text(name),
            "partitionKey": {"L": [text(each) for each in partition]},
            "clusteringKey": {"L": [text(each) for each in clustering]},
            "columns": {"M": {key: text(kind) for key, kind in columns.items()}},
        }
        self.put("scalardb.metadata", item)

    def put(self, name: str, item: dict[str, Any]) -> None:
        self.world.client.put_item(TableName=self.names[PREFIX + name], Item=item)

    def account(self, owner: str, of: int, tx_id: str | None = "tx", state: int = 3) -> None:
        marks = {"tx_id": text(tx_id) if tx_id else {"NULL": True}, "tx_state": number(state), "tx_version": number(1)}
        stamps = {"tx_prepared_at": number(1_000), "tx_committed_at": number(2_000)}
        key = {"concatenatedPartitionKey": {"B": f"{owner}\0{of}".encode()}, "owner": text(owner), "number": number(of)}
        self.put("bank.accounts", {**key, **marks, **stamps, "balance": number(5)})

    def transaction(self, tx_id: str, created_at: int, children: str = "") -> None:
        more = {"tx_child_ids": text(children)} if children else {}
        key = {"concatenatedPartitionKey": {"B": tx_id.encode() + b"\0"}}
        self.put("coordinator.state", {**key, "tx_id": text(tx_id), "tx_state": number(3), "tx_created_at": number(created_at), **more})

    @property
    def set(self) -> RestoredTables:
        marked = read_settings(self.world.aws, histories(self.world.aws, list(self.names)))
        tables = MarkedTables(store="points", instant=MIDTIME, region=REGION, account="1", prefix=PREFIX, tables=tuple(marked))
        notes = Copies(working="w", began_at=MIDTIME, names=self.names, marked=tables)
        return RestoredTables(self.world.topology, self.world.aws, notes, standings(self.world.aws, list(self.names.values())))


@pytest.fixture
def restored(empty: World) -> Restored:
    return Restored(empty)


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(looks, "sleep", lambda _: None)
    with mock_aws(), patch.object(Table, "describe", with_id):
        yield World(prefix=PREFIX)


def test_records(restored: Restored) -> None:
    restored.account("a/b", 1)
    restored.account("c", 2, tx_id=None, state=1)
    source = restored.set.records()
    assert source.tables() == ["bank.accounts"]
    assert source.non_transactional() == ["bank.midtime_fence", "bank.plain", "bank.unknown", "scalardb.metadata"]
    found = [record for batch in source.records("bank.accounts") for record in batch]
    assert sorted(found, key=lambda record: record.key) == [
        Record("points", "bank.accounts", "a\\/b/1", "tx", 3, 1, 1_000, 2_000),
        Record("points", "bank.accounts", "c/2", None, 1, 1, 1_000, 2_000),
    ]


def test_a_coordinator(restored: Restored) -> None:
    for count in range(130):
        restored.transaction(f"tx{count}", 1_000 + count)
    restored.transaction("group", 5_000, "a,b")
    (coordinator,) = restored.set.coordinators()
    assert (coordinator.name, coordinator.exists()) == ("points/coordinator", True)
    found = coordinator.lookup([*(f"tx{count}" for count in range(130)), "tx0", "group", "nobody", "tx1\0"])
    assert len(found) == 131
    assert (found["group"].child_ids, found["tx7"].created_at, found["tx7"].state) == (("a", "b"), 1_007, 3)
    assert {row.tx_id for row in coordinator.rows_newer_than(1_128)} == {"tx129", "group"}
    assert coordinator.oldest_created_at() == 1_000


def test_an_empty_coordinator(restored: Restored) -> None:
    (coordinator,) = restored.set.coordinators()
    assert (coordinator.lookup(["x"]), coordinator.oldest_created_at()) == ({}, None)


def test_fence_rows(restored: Restored) -> None:
    assert restored.set.fences("w", "bank") == frozenset()
    restored.put("bank.midtime_fence", {"window_id": text("w"), "place": text("before")})
    restored.put("bank.midtime_fence", {"window_id": text("v"), "place": text("after")})
    assert restored.set.fences("w", "bank") == {"before"}
    assert restored.set.fences("w", "other") == frozenset()


def test_no_sql(restored: Restored) -> None:
    with pytest.raises(RequestError, match="answers no SQL"):
        restored.set.scalar("SELECT 1")


def test_schema(restored: Restored) -> None:
    assert restored.set.schema_differences() == []
    assert restored.set.content() == ()
    restored.world.client.delete_table(TableName=restored.names[f"{PREFIX}bank.accounts"])
    assert restored.set.schema_differences() == [f"{PREFIX}bank.accounts: missing"]


@pytest.mark.parametrize("name", [f"{PREFIX}bank.gone", "bank.gone"])
def test_a_table_that_was_there_at_the_instant_and_was_not_marked(restored: Restored, name: str) -> None:
    """Dropped before the mark: only what ScalarDB said at the instant knows of it. Other namespaces are none of this store's."""
    restored.describe(name, ["owner"], [], {})
    restored.describe("elsewhere.gone", ["owner"], [], {})
    (said,) = restored.set.schema_differences()
    assert said.startswith(f"{PREFIX}bank.gone: missing, though ScalarDB's metadata of that instant name it")


def test_a_namespace_that_has_joined_the_topology_since(restored: Restored) -> None:
    """Nobody has marked it, so nothing of it is missing."""
    restored.describe("elsewhere.table", ["owner"], [], {})
    (store,) = restored.world.topology.stores
    store = store.model_copy(update={"namespaces": (*store.namespaces, "elsewhere")})
    restored.world.topology = restored.world.topology.model_copy(update={"stores": (store,)})
    assert restored.set.schema_differences() == []


@pytest.mark.parametrize("size", [0, scanning.SMALL + 1])
def test_a_large_table_is_read_in_parts_and_pages(restored: Restored, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def within(self: Item, segments: tuple[Any, Any]) -> bool:  # moto's own takes no bytes
        return segments == (None, None) or crc32(self.hash_key.value) % segments[1] == segments[0]

    monkeypatch.setattr(Item, "is_within_segment", within)
    name = restored.names[f"{PREFIX}bank.accounts"]
    for count in range(300):
        restored.account("x" * 1000, count)
        restored.world.client.update_item(
            TableName=name, Key={"concatenatedPartitionKey": {"B": f"{'x' * 1000}\0{count}".encode()}},
            UpdateExpression="SET #f = :f", ExpressionAttributeNames={"#f": "fill"}, ExpressionAttributeValues={":f": {"S": "y" * 9000}},
        )  # fmt: skip
    pages = list(scan(restored.world.aws, name, ["number"], size=size))
    assert len(pages) > 1
    assert sorted(int(plain(item["number"])) for page in pages for item in page) == list(range(300))


def test_throttled_it_is_read_all_the_same(restored: Restored) -> None:
    restored.account("a", 1)
    calls = refusing(restored.world.aws.data, "Scan", "ProvisionedThroughputExceededException", times=3)
    name = restored.names[f"{PREFIX}bank.accounts"]
    assert [len(page) for page in scan(restored.world.aws, name, ["number"])] == [1]
    assert calls() > 3


def test_not_for_ever(restored: Restored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "TRIES", 3)
    refusing(restored.world.aws.data, "Scan", "ProvisionedThroughputExceededException")
    with pytest.raises(StoreStatementError, match="throttled"):
        list(scan(restored.world.aws, restored.names[f"{PREFIX}bank.accounts"], ["number"]))


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"N": "-12"}, -12),
        ({"N": "1.5"}, 1.5),
        ({"N": "1E+2"}, 100.0),
        ({"S": "x"}, "x"),
        ({"B": b"a"}, b"a"),
        ({"NULL": True}, None),
        ({"BOOL": False}, False),
        (None, None),
    ],
)
def test_values(said: Any, meant: Any) -> None:
    assert plain(said) == meant


def test_names_without_a_prefix() -> None:
    names = Names("", {"bank.accounts": "copy"})
    assert names.known_as("bank.accounts") == ("bank", "accounts")
    assert names.of(("bank", "accounts")) == "copy"
    assert list(names.tables()) == [(("bank", "accounts"), "copy")]
