"""ScalarDB's records and Coordinator rows in restored tables.

ScalarDB keeps each column, those of the keys included, in an attribute of its name, and finds an item by ``concatenatedPartitionKey`` (and
``concatenatedClusteringKey``). Which columns a table has, and which of them are its key, says ``<metadata namespace>.metadata``, by the table's
full name, with the prefix; restored under other names, what it says is about the names that were marked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from midtime.stores.dynamodb.aws import Aws
from midtime.stores.dynamodb.scanning import Item, get_items, patiently, plain, scan
from midtime.stores.scalardb_records import MARKS, ScannedCoordinator, Table, TableRecords, printable

PARTITION_KEY = "concatenatedPartitionKey"
_ROW = ("tx_id", "tx_state", "tx_created_at", "tx_child_ids")
_METADATA = ("table", "partitionKey", "clusteringKey", "columns")


@dataclass(frozen=True, slots=True)
class Shape:
    """What ScalarDB's metadata say of a table."""

    columns: tuple[str, ...] = ()
    key: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Names:
    """The restored tables of one store.

    :param prefix: of the tables that were marked
    :param present: their present names, by those that were marked
    """

    prefix: str
    present: Mapping[str, str]

    def of(self, table: Table) -> str | None:
        """A table's present name; None where it was not marked."""
        return self.present.get(f"{self.prefix}{table[0]}.{table[1]}")

    def tables(self) -> Iterator[tuple[Table, str]]:
        """Each with its present name."""
        for marked, present in self.present.items():
            namespace, _, name = marked.removeprefix(self.prefix).partition(".")
            yield (namespace, name), present

    def known_as(self, said: str) -> Table:
        """What ScalarDB's metadata call it; old versions leave the prefix out."""
        namespace, _, name = (said if said not in self.present else said.removeprefix(self.prefix)).partition(".")
        return namespace, name


def shapes(aws: Aws, names: Names, metadata: Table) -> dict[Table, Shape]:
    """By table, of those that ScalarDB knows."""
    there = names.of(metadata)
    found: dict[Table, Shape] = {}
    for item in (item for page in scan(aws, there, _METADATA) for item in page) if there else ():
        keys = (plain(each) for name in _METADATA[1:3] for each in item.get(name, {}).get("L", ()))
        columns = tuple(item.get("columns", {}).get("M", ()))
        found[names.known_as(str(plain(item["table"])))] = Shape(columns, tuple(keys))
    return found


class DynamodbRecords(TableRecords):
    """The records of one restored store.

    :param shapes: what ScalarDB's metadata say
    :param sizes: of the tables in bytes, by their present names
    """

    def __init__(
        self, aws: Aws, names: Names, shapes: Mapping[Table, Shape], sizes: Mapping[str, int], *, skip: Collection[Table] = ()
    ) -> None:
        super().__init__(aws.store, skip)
        self.aws, self.names, self.shapes, self.sizes = aws, names, shapes, sizes

    def columns(self) -> Mapping[Table, Collection[str]]:
        """The names of the columns of every table; none of one that ScalarDB does not know."""
        return {table: self.shapes.get(table, Shape()).columns for table, _ in self.names.tables()}

    def read(self, table: Table) -> Iterator[Sequence[tuple[Any, ...]]]:
        """(key, marks) of every row."""
        present, key = str(self.names.of(table)), self.shapes[table].key
        for items in scan(self.aws, present, [*MARKS, *(name for name in key if name not in MARKS)], size=self.sizes.get(present, 0)):
            yield [(printable(plain(item.get(name)) for name in key), *(plain(item.get(mark)) for mark in MARKS)) for item in items]


class DynamodbCoordinator(ScannedCoordinator):
    """A restored Coordinator table. It is found by its key; what is asked by time is found by reading all of it."""

    def __init__(self, aws: Aws, names: Names, namespace: str, sizes: Mapping[str, int]) -> None:
        super().__init__(aws.store, namespace)
        self.aws, self.sizes = aws, sizes
        self.present = names.of(self.table)

    def exists(self) -> bool:
        """Whether it was marked, and restored."""
        return self.present is not None

    @cached_property
    def _binary(self) -> bool:
        """Old versions of ScalarDB have texts for keys."""
        described = patiently(self.aws, self.aws.control.describe_table, TableName=self.present)["Table"]
        return any(each["AttributeName"] == PARTITION_KEY and each["AttributeType"] == "B" for each in described["AttributeDefinitions"])

    def lookup_rows(self, tx_ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """The rows of these transactions."""
        if self.present:
            keys = [{PARTITION_KEY: {"B": tx_id.encode() + b"\0"} if self._binary else {"S": tx_id}} for tx_id in dict.fromkeys(tx_ids)]
            yield from map(_row, get_items(self.aws, self.present, keys))

    def pages(self) -> Iterator[Sequence[tuple[Any, ...]]]:
        """All rows, as the service pages them."""
        for items in scan(self.aws, self.present, _ROW, size=self.sizes.get(self.present, 0)) if self.present else ():
            yield list(map(_row, items))


def _row(item: Item) -> tuple[Any, ...]:
    return tuple(plain(item.get(name)) for name in _ROW)
