"""The end of a copy that Azure keeps: asked for, waited for, and not forgotten where it is only on its way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from midtime.errors import StoreUnreachableError, TargetExistsError
from midtime.model.instants import utc_now
from midtime.stores import looks
from midtime.stores.azure import operations
from midtime.stores.azure.clients import Clients
from midtime.stores.azure.notes import Progress, ProgressNotes

REMOVED_WITHIN, DELETED_WITHIN = 240.0, 1800.0
"""Seconds in which a copy can be deleted, and is then gone; what takes longer is the sweeper's."""
DELETING = "it is being deleted"
LOOK = 5.0
UNSEEN = timedelta(minutes=2)
"""For so long a copy that was asked for may not be seen yet."""
HIDDEN = timedelta(hours=1)
"""For so long ARM may not show what it makes."""


def remove(azure: Clients, what: str, leaving: Callable[[], str]) -> None:
    """Until nothing of ours is left.

    :param leaving: one step towards its end: why it is there yet; empty once it is gone, or was never ours to remove
    :raises StoreUnreachableError: it cannot go yet
    """
    deleting, waiting_for = DELETED_WITHIN, REMOVED_WITHIN
    while why := leaving():
        deleting, waiting_for = (deleting - LOOK, waiting_for) if why == DELETING else (deleting, waiting_for - LOOK)
        if min(deleting, waiting_for) < 0:
            raise StoreUnreachableError(
                f"store {azure.store}: {what} cannot be removed yet: {why}",
                fix="nothing, if it is being restored or deleted: midtime__sweep tries again every minute; remove a lock that is on it",
            )
        looks.sleep(LOOK)


def on_its_way(azure: Clients, notes: ProgressNotes, require_free: Callable[[], None]) -> str:
    """Whether the service makes it yet, though it is not to be seen: whoever asked for it may have died a moment ago.

    :param require_free: raises while its name is taken
    """
    return _being_made(azure, notes) or _hidden(notes, require_free)


def _being_made(azure: Clients, notes: ProgressNotes) -> str:
    if not (progress := notes.progress()) or (progress.there and progress.seen):
        return ""
    if said := [operations.look(azure, each) for each in progress.operations]:
        if any(each.running for each in said):
            return "it is being made"
        if progress.seen or any(each.failed for each in said):
            return ""
        progress = made(progress)
        notes.say(progress)
    return "it was asked for a moment ago" if utc_now() - progress.at < UNSEEN else ""


def _hidden(notes: ProgressNotes, require_free: Callable[[], None]) -> str:
    """It was asked for and never seen, and its name is taken: by it, as likely as not. Whoever forgot it would have it stay."""
    progress = notes.progress()
    if not progress or progress.seen or utc_now() - progress.at > HIDDEN:
        return ""
    try:
        require_free()
    except TargetExistsError:
        return "it was asked for, and its name is taken"
    return ""


def made(progress: Progress) -> Progress:
    """Its operation is over, and ARM may take its time to show what came of it (Azure/azure-rest-api-specs 19546, 21178)."""
    return progress.model_copy(update={"at": utc_now(), "there": True, "operations": ()})
