"""ScalarDB's records and Coordinator rows in a restored account.

ScalarDB keeps a record as ``{id, concatenatedPartitionKey, partitionKey, clusteringKey, values}``; the columns of Consensus Commit are among the
values. Which columns a table has, and which of them are its key, says the container ``metadata`` of its metadata database, by ``namespace.table``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from azure.cosmos import CosmosClient

from midtime.stores.cosmosdb.scanning import Document, quoted, read_documents, scan
from midtime.stores.scalardb_records import MARKS, ScannedCoordinator, Table, TableRecords, printable

_ROW = ("tx_state", "tx_created_at", "tx_child_ids")
_METADATA = ("id", "partitionKeyNames", "clusteringKeyNames", "columns")


@dataclass(frozen=True, slots=True)
class Shape:
    """What ScalarDB's metadata say of a table."""

    columns: tuple[str, ...] = ()
    partition_key: tuple[str, ...] = ()
    clustering_key: tuple[str, ...] = ()


def shapes(store: str, data: CosmosClient, metadata: Table) -> dict[Table, Shape]:
    """By table, of those that ScalarDB knows."""
    found: dict[Table, Shape] = {}
    for page in scan(store, _container(data, metadata), [quoted(each) for each in _METADATA]):
        for said in page:
            namespace, _, name = str(said["id"]).partition(".")
            keys = (tuple(said.get(each) or ()) for each in _METADATA[1:3])
            found[namespace, name] = Shape(tuple(said.get("columns") or ()), *keys)
    return found


class CosmosdbRecords(TableRecords):
    """The records of one restored account.

    :param tables: its containers
    :param shapes: what ScalarDB's metadata say
    """

    def __init__(
        self, store: str, data: CosmosClient, tables: Collection[Table], shapes: Mapping[Table, Shape], *, skip: Collection[Table] = ()
    ) -> None:
        super().__init__(store, skip)
        self.data, self.all_tables, self.shapes = data, tables, shapes

    def columns(self) -> Mapping[Table, Collection[str]]:
        """The names of the columns of every table; none of one that ScalarDB does not know."""
        return {table: self.shapes.get(table, Shape()).columns for table in self.all_tables}

    def read(self, table: Table) -> Iterator[Sequence[tuple[Any, ...]]]:
        """(key, marks) of every row."""
        shape = self.shapes[table]
        wanted = [quoted("partitionKey"), quoted("clusteringKey"), *(quoted("values", mark) for mark in MARKS)]
        for page in scan(self.store, _container(self.data, table), wanted):
            yield [(_key(each, shape), *(each.get(mark) for mark in MARKS)) for each in page]


class CosmosdbCoordinator(ScannedCoordinator):
    """A restored Coordinator table. It is found by its key; what is asked by time is found by reading all of it."""

    def __init__(self, store: str, data: CosmosClient, namespace: str, tables: Collection[Table]) -> None:
        super().__init__(store, namespace)
        self.store, self.data, self.there = store, data, self.table in tables

    def exists(self) -> bool:
        """Whether it was marked, and restored."""
        return self.there

    def lookup_rows(self, tx_ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """The rows of these transactions."""
        for document in read_documents(self.store, _container(self.data, self.table), tx_ids) if self.there else ():
            yield _row(document["id"], document.get("values") or {})

    def pages(self) -> Iterator[Sequence[tuple[Any, ...]]]:
        """All rows, as the service pages them."""
        wanted = [quoted("id"), *(quoted("values", name) for name in _ROW)]
        for page in scan(self.store, _container(self.data, self.table), wanted) if self.there else ():
            yield [_row(each["id"], each) for each in page]


def _container(data: CosmosClient, table: Table) -> Any:
    return data.get_database_client(table[0]).get_container_client(table[1])


def _row(tx_id: str, values: Document) -> tuple[Any, ...]:
    return (tx_id, *(values.get(name) for name in _ROW))


def _key(document: Document, shape: Shape) -> str:
    """In the order of the schema, not in that of the document."""
    partition, clustering = document.get("partitionKey") or {}, document.get("clusteringKey") or {}
    return printable([*map(partition.get, shape.partition_key), *map(clustering.get, shape.clustering_key)])
