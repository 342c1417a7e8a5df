"""The account that one run made, open for verification."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from midtime.errors import RequestError, RestoreFailedError
from midtime.model.restore_point import TableContent
from midtime.model.topology import Topology
from midtime.stores.azure.refusals import azure_errors
from midtime.stores.base import Target
from midtime.stores.cosmosdb.azure import Azure
from midtime.stores.cosmosdb.comparing import schema_differences, setting_differences
from midtime.stores.cosmosdb.containers import METADATA
from midtime.stores.cosmosdb.copied import Copied, read_copy
from midtime.stores.cosmosdb.notes import Copy, Notes
from midtime.stores.cosmosdb.records import CosmosdbCoordinator, CosmosdbRecords, Shape, shapes
from midtime.stores.cosmosdb.standing import require_ours, standing
from midtime.stores.fences import Place
from midtime.stores.marks import unmarked
from midtime.stores.scalardb_records import Table
from midtime.verify.records import FENCE_TABLE


class RestoredAccount:
    """A restored account. It is read only, and strongly consistent."""

    def __init__(self, topology: Topology, azure: Azure, note: Copy, copied: Copied, *, placed: bool) -> None:
        self.topology, self.azure, self.note, self.copied, self.placed = topology, azure, note, copied, placed
        self.data = azure.data_of(note.resource_group, note.account)
        self.tables: frozenset[Table] = frozenset((each.database, each.name) for each in copied.containers)

    def content(self) -> tuple[TableContent, ...]:
        """Nothing: a mark counts nothing, and what it stands for is the service's own history."""
        return ()

    def schema_differences(self) -> Sequence[str]:
        """Containers, keys, indexes, stored procedures and consistency that are not as they must be."""
        return [
            *schema_differences(self.azure, self.note, self.copied),
            *unmarked(self._unmarked()),
        ]

    def _unmarked(self) -> Iterator[str]:
        """Tables of the namespaces that were marked, which ScalarDB had at the instant."""
        own = {each.name for each in self.note.marked.databases}
        yield from ("/".join(table) for table in sorted(self._shapes) if table[0] in own and table not in self.tables)

    def setting_differences(self) -> Sequence[str]:
        """What else is not as it was marked: for people to put back."""
        return list(setting_differences(self.azure, self.note, self.copied, placed=self.placed))

    def records(self) -> CosmosdbRecords:
        """The records."""
        skip = [(namespace, "state") for namespace in self._coordinator_namespaces]
        return CosmosdbRecords(self.azure.store, self.data, self.tables, self._shapes, skip=skip)

    def coordinators(self) -> list[CosmosdbCoordinator]:
        """The Coordinators that the topology puts into this store."""
        return [CosmosdbCoordinator(self.azure.store, self.data, namespace, self.tables) for namespace in self._coordinator_namespaces]

    def scalar(self, query: str) -> Any:
        """Nothing: a query of Cosmos DB's is about one container, not about a database."""
        raise RequestError(
            f"store {self.azure.store} is Cosmos DB, which answers no SQL of databases: {query!r}",
            fix="take the check out of the topology file",
        )

    def fences(self, window: str, namespace: str) -> frozenset[str]:
        """Which fence rows of a window are there."""
        if (namespace, FENCE_TABLE) not in self.tables:
            return frozenset()
        places: tuple[Place, ...] = ("before", "after")
        return frozenset(place for place in places if self._fenced(namespace, window, place))

    def _fenced(self, namespace: str, window: str, place: Place) -> bool:
        with azure_errors(self.azure.store):
            container = self.data.get_database_client(namespace).get_container_client(FENCE_TABLE)
            try:
                return bool(container.read_item(f"{window}-{place}", window)["place"] == place)
            except ResourceNotFoundError:
                return False

    @cached_property
    def _shapes(self) -> dict[Table, Shape]:
        return shapes(self.azure.store, self.data, (self.topology.scalardb.metadata_namespace, METADATA))

    @property
    def _coordinator_namespaces(self) -> tuple[str, ...]:
        return self.topology.coordinator_namespaces(self.azure.store)


@contextmanager
def open_restored(topology: Topology, azure: Azure, target: Target) -> Iterator[RestoredAccount]:
    """What was restored, under its working name.

    :raises RestoreFailedError: it is not all there
    """
    note = Notes(topology, target).copy()
    if note is None:
        raise RestoreFailedError(f"store {azure.store}: nothing was restored as {target.working}", fix="start a new run")
    found = standing(azure, note.resource_group, note.account)
    require_ours(azure, note, found)
    if found.state != "Succeeded":
        raise RestoreFailedError(f"store {azure.store}: account {note.account} is in state {found.state}", fix="run it again")
    yield RestoredAccount(topology, azure, note, read_copy(azure, note), placed=found.placed)
