"""The copies of one run, open for verification."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from midtime.errors import RequestError, RestoreFailedError
from midtime.model.restore_point import TableContent
from midtime.model.topology import Topology
from midtime.model.words import listed
from midtime.stores.base import Target
from midtime.stores.dynamodb.aws import Aws
from midtime.stores.dynamodb.copies import Standing, require_ours, standings
from midtime.stores.dynamodb.notes import Copies, Notes
from midtime.stores.dynamodb.records import DynamodbCoordinator, DynamodbRecords, Names, Shape, shapes
from midtime.stores.dynamodb.scanning import get_items, plain
from midtime.stores.dynamodb.tables import METADATA
from midtime.stores.fences import Place
from midtime.stores.marks import unmarked
from midtime.stores.scalardb_records import Table
from midtime.verify.records import FENCE_TABLE

OWN = "DynamoDB's own"


class RestoredTables:
    """Restored tables. They are read only, with the service's consistent reads."""

    def __init__(self, topology: Topology, aws: Aws, notes: Copies, found: Mapping[str, Standing]) -> None:
        self.topology, self.aws, self.notes, self.found = topology, aws, notes, found
        self.names = Names(notes.marked.prefix, notes.names)
        self._sizes = {name: each.size for name, each in found.items()}

    def content(self) -> tuple[TableContent, ...]:
        """Nothing: a mark counts nothing, and what it stands for is the service's own history."""
        return ()

    def schema_differences(self) -> Sequence[str]:
        """Tables and indexes that were marked and are not there, and what else a restore should have kept."""
        found = [said for marked in self.notes.marked.tables for said in self._differences(marked.name)]
        return [
            *found,
            *unmarked(self._unmarked()),
        ]

    def _unmarked(self) -> Iterator[str]:
        """Tables of the namespaces that were marked, which ScalarDB had at the instant."""
        prefix = self.names.prefix
        begins = tuple({_beginning(each.name, prefix) for each in self.notes.marked.tables})
        for namespace, table in self._shapes:
            spelled = [f"{namespace}.{table}", f"{prefix}{namespace}.{table}"]  # old versions leave the prefix out
            if not any(name in self.names.present for name in spelled):
                yield from [name for name in spelled if name.startswith(begins)][-1:]

    def _differences(self, name: str) -> Iterator[str]:
        marked, now = self.notes.marked.table(name), self.found[self.notes.names[name]].said
        if not now:
            yield f"{name}: missing"
            return
        indexes = {each["IndexName"] for each in now.get("GlobalSecondaryIndexes") or ()}
        for index in marked.indexes:
            if index.name not in indexes:
                yield f"{name}: index {index.name} is missing"
        encryption = now.get("SSEDescription", {}).get("KMSMasterKeyArn")
        if encryption != marked.encryption:
            yield f"{name}: encryption key was {marked.encryption or OWN}, is {encryption or OWN}"

    def records(self) -> DynamodbRecords:
        """The records."""
        skip = [(namespace, "state") for namespace in self._coordinator_namespaces]
        return DynamodbRecords(self.aws, self.names, self._shapes, self._sizes, skip=skip)

    def coordinators(self) -> list[DynamodbCoordinator]:
        """The Coordinators that the topology puts into this store."""
        return [DynamodbCoordinator(self.aws, self.names, namespace, self._sizes) for namespace in self._coordinator_namespaces]

    def scalar(self, query: str) -> Any:
        """Nothing: there is no SQL here."""
        raise RequestError(
            f"store {self.aws.store} is DynamoDB, which answers no SQL: {query!r}", fix="take the check out of the topology file"
        )

    def fences(self, window: str, namespace: str) -> frozenset[str]:
        """Which fence rows of a window are there."""
        present = self.names.of((namespace, FENCE_TABLE))
        if present is None:
            return frozenset()
        places: tuple[Place, ...] = ("before", "after")
        keys = [{"window_id": {"S": window}, "place": {"S": place}} for place in places]
        return frozenset(plain(item["place"]) for item in get_items(self.aws, present, keys))

    @cached_property
    def _shapes(self) -> dict[Table, Shape]:
        return shapes(self.aws, self.names, (self.topology.scalardb.metadata_namespace, METADATA))

    @property
    def _coordinator_namespaces(self) -> tuple[str, ...]:
        return self.topology.coordinator_namespaces(self.aws.store)


def _beginning(name: str, prefix: str) -> str:
    """Of all the names of its namespace."""
    namespace, dot, _ = name.removeprefix(prefix).partition(".")
    return f"{prefix if name.startswith(prefix) else ''}{namespace}{dot}"


@contextmanager
def open_restored(topology: Topology, aws: Aws, target: Target) -> Iterator[RestoredTables]:
    """What was restored, under its working name.

    :raises RestoreFailedError: it is not all there
    """
    notes = Notes(topology, target).copies()
    if notes is None:
        raise RestoreFailedError(f"store {aws.store}: nothing was restored as {target.working}", fix="start a new run")
    found = standings(aws, list(notes.names.values()))
    require_ours(notes, found, aws.store)
    if missing := [name for name, each in found.items() if not each.ready]:
        raise RestoreFailedError(
            f"store {aws.store}: {listed(missing)} {'is' if len(missing) == 1 else 'are'} not there", fix="run it again"
        )
    yield RestoredTables(topology, aws, notes, found)
