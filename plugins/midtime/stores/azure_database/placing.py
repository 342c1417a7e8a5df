"""What becomes of the server that was made: ready for products, or what it was before that, or nothing any more."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from midtime.errors import RestoreFailedError
from midtime.model.instants import utc_now
from midtime.model.topology import Topology
from midtime.stores import looks
from midtime.stores.azure import operations
from midtime.stores.azure.putting import Change, Putting
from midtime.stores.azure.removing import DELETING, on_its_way, remove
from midtime.stores.azure_database.azure import Azure
from midtime.stores.azure_database.comparing import read_copy, setting_differences
from midtime.stores.azure_database.notes import Copy, Notes
from midtime.stores.azure_database.putting import availability_changes, tag_changes
from midtime.stores.azure_database.restoring import ONE
from midtime.stores.azure_database.standing import Standing, standing, unsettled
from midtime.stores.azure_database.targets import require_free
from midtime.stores.base import Target, Waiting
from midtime.stores.looks import waiting
from midtime.stores.naming import PLACED

log = logging.getLogger(__name__)


def place(topology: Topology, azure: Azure, target: Target) -> None:
    """A standby as marked; and from then on it is nobody's to remove. A drill's server is not placed.

    :raises RestoreFailedError: it is gone
    """
    if target.final == target.working:
        return
    note = _known(topology, azure, target)
    _to_the_end(topology, azure, target, note, lambda found: availability_changes(azure, note, read_copy(azure, note, found)))
    _to_the_end(topology, azure, target, note, lambda found: tag_changes(azure, note, found, PLACED + note.working))
    found = _ours(azure, note)
    for said in setting_differences(azure, note, found):
        log.warning("Not as in the mark: %s", said)
    log.info(
        "Server %s, %s: the logins and passwords are those of the instant. `midtime hand-over %s %s %s --conn-id ...` makes a connection to it",
        note.server, found.address, topology.name, target.store, note.server,
    )  # fmt: skip


def put_back(topology: Topology, azure: Azure, target: Target) -> None:
    """It is the run's again, to be discarded."""
    note = Notes(topology, target).copy()
    if note and target.final != target.working and standing(azure, note.resource_group, note.server).copies(note):
        _to_the_end(topology, azure, target, note, lambda found: tag_changes(azure, note, found, note.working))


def discard(topology: Topology, azure: Azure, target: Target) -> None:
    """Remove the server that is provably this run's: by its name in the note, by its tag, and by what the service says of its making.

    :raises StoreUnreachableError: it cannot go yet
    """
    notes = Notes(topology, target)
    if note := notes.copy():
        remove(azure, f"server {note.server}", lambda: _leaving(azure, notes, note))
        notes.end()


def _leaving(azure: Azure, notes: Notes, note: Copy) -> str:
    """One step towards its end: why it is there yet; empty once it is gone, or was never ours to remove."""
    found = standing(azure, note.resource_group, note.server)
    if not found.said:
        return on_its_way(azure, notes, lambda: require_free(azure, note.server))
    if not found.copies(note) or found.placed:
        return ""
    notes.see()
    if found.state == "Dropping":
        return DELETING
    call = azure.arm.servers.begin_delete
    return operations.begin(azure, f"deletion of {note.server}", call, note.resource_group, note.server)[1] or DELETING


def _known(topology: Topology, azure: Azure, target: Target) -> Copy:
    if note := Notes(topology, target).copy():
        _ours(azure, note)
        return note
    raise RestoreFailedError(f"store {azure.store}: the run's note about server {target.final} is gone", fix="start a new run")


def _ours(azure: Azure, note: Copy) -> Standing:
    found = standing(azure, note.resource_group, note.server)
    if not found.copies(note):
        raise RestoreFailedError(f"store {azure.store}: server {note.server} is gone, or somebody else's now", fix="start a new run")
    return found


def _to_the_end(topology: Topology, azure: Azure, target: Target, note: Copy, changes: Callable[[Standing], Iterable[Change]]) -> None:
    putting, began = Putting(azure, Notes(topology, target), ONE), utc_now()

    def look() -> Waiting | None:
        left = putting.under_way()
        if not left:
            found = _ours(azure, note)
            left = unsettled(found) or putting.make(changes(found))
        return waiting(azure.store, left, began, azure.spec.restore_timeout) if left else None

    looks.to_the_end(look, log.info)
    putting.forget()
