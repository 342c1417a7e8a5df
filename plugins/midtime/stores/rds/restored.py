"""The copy that one run made, open for verification."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from midtime.errors import RestoreFailedError
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.stores.base import RestoredSet, Target
from midtime.stores.managed_sql.restored import RestoredServer
from midtime.stores.rds.clients import RdsClients
from midtime.stores.rds.comparing import setting_differences
from midtime.stores.rds.dialects import data_of, is_unread
from midtime.stores.rds.notes import Notes
from midtime.stores.rds.servers import flavour_of
from midtime.stores.rds.standing import is_placed, require_ours
from midtime.stores.rds.unread import Unread


@contextmanager
def open_restored(topology: Topology, aws: RdsClients, backup: StoreBackup, target: Target) -> Iterator[RestoredSet]:
    """What was restored, at its new address, by the login of the live one.

    :raises RestoreFailedError: it is not all there
    :raises StoreAccessError: nothing can read it
    """
    flavour, notes = flavour_of(aws.spec), Notes(topology, target)
    if not (note := notes.copy()):
        raise RestoreFailedError(f"store {aws.store}: nothing was restored as {target.working}", fix="start a new run")
    found = flavour.find(aws, note.name)
    if found is None:
        raise RestoreFailedError(f"store {aws.store}: {flavour.noun} {note.name} is gone", fix="start a new run")
    require_ours(aws, note, notes.progress(), found)
    if not found.serves:
        raise RestoreFailedError(f"store {aws.store}: {flavour.noun} {note.name} is {found.status}", fix="run it again")

    def differences() -> list[str]:
        return list(setting_differences(aws, note, found, placed=is_placed(found)))

    if is_unread(aws.spec):
        yield Unread(aws, differences)
        return
    with data_of(topology, aws).restored(backup, (found.address, found.port)) as inner:
        yield RestoredServer(inner, differences)
