"""The server that one run made, open for verification."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from midtime.errors import RequestError, RestoreFailedError
from midtime.model.restore_point import StoreBackup, TableContent
from midtime.model.topology import Topology
from midtime.stores.azure_database.azure import Azure
from midtime.stores.azure_database.comparing import setting_differences
from midtime.stores.azure_database.data import Data
from midtime.stores.azure_database.notes import Copy, Notes
from midtime.stores.azure_database.servers import READY
from midtime.stores.azure_database.standing import Standing, require_ours, standing
from midtime.stores.base import RestoredSet, Target
from midtime.verify.records import Coordinator, RecordSource


class RestoredServer:
    """A restored server: its data as the project reads any of its dialect, and its settings."""

    def __init__(self, azure: Azure, note: Copy, found: Standing, inner: RestoredSet) -> None:
        self.azure, self.note, self.found, self.inner = azure, note, found, inner

    def content(self) -> Sequence[TableContent]:
        """Nothing: a mark counts nothing, and what it stands for is the service's own history."""
        return self.inner.content()

    def schema_differences(self) -> Sequence[str]:
        """Namespaces that are not there."""
        return self.inner.schema_differences()

    def setting_differences(self) -> Sequence[str]:
        """What is not as it was marked: for people to put back."""
        return list(setting_differences(self.azure, self.note, self.found))

    def records(self) -> RecordSource:
        """ScalarDB's records."""
        return self.inner.records()

    def coordinators(self) -> Sequence[Coordinator]:
        """The Coordinators that the topology puts into this store."""
        return self.inner.coordinators()

    def scalar(self, query: str) -> Any:
        """The one value that a user's check returns."""
        return self.inner.scalar(query)

    def fences(self, window: str, namespace: str) -> frozenset[str]:
        """Which fence rows of a window are there."""
        return self.inner.fences(window, namespace)


@contextmanager
def open_restored(topology: Topology, azure: Azure, data: Data | None, backup: StoreBackup, target: Target) -> Iterator[RestoredServer]:
    """What was restored, under its working name.

    :raises RestoreFailedError: it is not all there
    :raises RequestError: nobody has said how its data are reached
    """
    if not (note := Notes(topology, target).copy()):
        raise RestoreFailedError(f"store {azure.store}: nothing was restored as {target.working}", fix="start a new run")
    found = standing(azure, note.resource_group, note.server)
    require_ours(azure, note, found)
    if found.state != READY:
        raise RestoreFailedError(f"store {azure.store}: server {note.server} is in state {found.state}", fix="run it again")
    if data is None:
        raise RequestError(
            f"store {azure.store} has no `data_conn_id`, so nobody can read what was restored",
            fix="add it to the topology; then clear this task",
        )
    with data.restored(backup, found.address) as inner:
        yield RestoredServer(azure, note, found, inner)
