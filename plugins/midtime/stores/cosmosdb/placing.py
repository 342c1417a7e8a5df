"""What becomes of the account that was made: ready for products, or what it was before that, or nothing any more."""

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
from midtime.stores.base import Target, Waiting
from midtime.stores.cosmosdb.azure import Azure
from midtime.stores.cosmosdb.comparing import setting_differences
from midtime.stores.cosmosdb.copied import read_copy
from midtime.stores.cosmosdb.notes import Copy, Notes
from midtime.stores.cosmosdb.putting import tag_changes, ttl_changes
from midtime.stores.cosmosdb.standing import Standing, standing, unsettled
from midtime.stores.cosmosdb.targets import require_free
from midtime.stores.looks import waiting
from midtime.stores.naming import PLACED

log = logging.getLogger(__name__)


def place(topology: Topology, azure: Azure, target: Target) -> None:
    """Times to live as marked; and from then on it is nobody's to remove. A drill's account is not placed.

    :raises RestoreFailedError: it is gone
    """
    if target.final == target.working:
        return
    note = _known(topology, azure, target)
    _to_the_end(topology, azure, target, note, lambda _: ttl_changes(azure, note, read_copy(azure, note)))
    _to_the_end(topology, azure, target, note, lambda found: tag_changes(azure, note, found, PLACED + note.working))
    for said in setting_differences(azure, note, read_copy(azure, note), placed=True):
        log.warning("Not as in the mark: %s", said)
    log.info(
        "Account %s, %s. Its key is in nobody's log: `midtime hand-over %s %s %s --conn-id ...` makes a connection of it",
        note.account, _ours(azure, note).endpoint, topology.name, target.store, note.account,
    )  # fmt: skip


def put_back(topology: Topology, azure: Azure, target: Target) -> None:
    """It is the run's again, to be discarded."""
    note = Notes(topology, target).copy()
    if note and target.final != target.working and standing(azure, note.resource_group, note.account).copies(note):
        _to_the_end(topology, azure, target, note, lambda found: tag_changes(azure, note, found, note.working))


def discard(topology: Topology, azure: Azure, target: Target) -> None:
    """Remove the account that is provably this run's: by what the service says of its making, by its name in the note, and by its tag.

    :raises StoreUnreachableError: it cannot go yet
    """
    notes = Notes(topology, target)
    if not (note := notes.copy()):
        return
    remove(azure, f"account {note.account}", lambda: _leaving(azure, notes, note))
    notes.end()


def _leaving(azure: Azure, notes: Notes, note: Copy) -> str:
    """One step towards its end: why it is there yet; empty once it is gone, or was never ours to remove."""
    found = standing(azure, note.resource_group, note.account)
    if not found.said:
        return on_its_way(azure, notes, lambda: require_free(azure, note.account))
    if not found.copies(note) or found.placed:
        return ""
    notes.see()
    if found.state == "Deleting":
        return DELETING
    call = azure.arm.database_accounts.begin_delete
    return operations.begin(azure, f"deletion of {note.account}", call, note.resource_group, note.account)[1] or DELETING


def _known(topology: Topology, azure: Azure, target: Target) -> Copy:
    if note := Notes(topology, target).copy():
        _ours(azure, note)
        return note
    raise RestoreFailedError(f"store {azure.store}: the run's note about account {target.final} is gone", fix="start a new run")


def _ours(azure: Azure, note: Copy) -> Standing:
    found = standing(azure, note.resource_group, note.account)
    if not found.copies(note):
        raise RestoreFailedError(f"store {azure.store}: account {note.account} is gone, or somebody else's now", fix="start a new run")
    return found


def _to_the_end(topology: Topology, azure: Azure, target: Target, note: Copy, changes: Callable[[Standing], Iterable[Change]]) -> None:
    putting, began = Putting(azure, Notes(topology, target)), utc_now()

    def look() -> Waiting | None:
        left = putting.under_way()
        if not left:
            found = _ours(azure, note)
            left = unsettled(found) or putting.make(changes(found))
        return waiting(azure.store, left, began, azure.spec.restore_timeout) if left else None

    looks.to_the_end(look, log.info)
    putting.forget()
