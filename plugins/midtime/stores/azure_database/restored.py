"""The server that one run made, open for verification."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from midtime.errors import RestoreFailedError
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.stores.azure_database.azure import Azure
from midtime.stores.azure_database.comparing import setting_differences
from midtime.stores.azure_database.notes import Notes
from midtime.stores.azure_database.servers import READY
from midtime.stores.azure_database.standing import require_ours, standing
from midtime.stores.base import Target
from midtime.stores.managed_sql.data import Data
from midtime.stores.managed_sql.restored import RestoredServer


@contextmanager
def open_restored(topology: Topology, azure: Azure, data: Data, backup: StoreBackup, target: Target) -> Iterator[RestoredServer]:
    """What was restored, under its working name.

    :raises RestoreFailedError: it is not all there
    """
    if not (note := Notes(topology, target).copy()):
        raise RestoreFailedError(f"store {azure.store}: nothing was restored as {target.working}", fix="start a new run")
    found = standing(azure, note.resource_group, note.server)
    require_ours(azure, note, found)
    if found.state != READY:
        raise RestoreFailedError(f"store {azure.store}: server {note.server} is in state {found.state}", fix="run it again")
    with data.restored(backup, (found.address, None)) as inner:
        yield RestoredServer(inner, lambda: list(setting_differences(azure, note, found)))
