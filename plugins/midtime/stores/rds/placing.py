"""What becomes of the copy: kept for good, or what it was before that, or nothing any more."""

from __future__ import annotations

import logging
from datetime import datetime

from midtime.errors import RestoreFailedError, StoreError, StoreUnreachableError
from midtime.model.instants import utc_now
from midtime.model.topology import Topology
from midtime.stores import looks
from midtime.stores.base import Target, Waiting
from midtime.stores.naming import COPY_TAG, PLACED
from midtime.stores.rds.clients import RdsClients
from midtime.stores.rds.comparing import setting_differences
from midtime.stores.rds.notes import Copy, Notes
from midtime.stores.rds.refusals import NOT_THERE, passes, refused_with
from midtime.stores.rds.restoring import UNSEEN
from midtime.stores.rds.servers import INSTANCES, Server, flavour_of, members_of
from midtime.stores.rds.standing import is_ours, is_placed

log = logging.getLogger(__name__)

REMOVED_WITHIN = 240.0
"""Seconds in which a deletion is taken; what takes longer is the sweeper's."""
LOOK = 5.0


def place(topology: Topology, aws: RdsClients, target: Target) -> None:
    """Protected as marked; and from then on it is nobody's to remove. A drill's is not placed.

    :raises RestoreFailedError: it is gone
    """
    if target.final == target.working:
        return
    began = utc_now()
    looks.to_the_end(lambda: _protect(topology, aws, target, began), log.info)
    note, found = _known(topology, aws, target)
    _tag(aws, found, PLACED + note.working)
    _tag_members(aws, note, found, PLACED + note.working)
    for said in setting_differences(aws, note, found, placed=False):
        log.warning("Not as in the mark: %s", said)
    log.info(
        "%s %s is at %s:%s. `midtime hand-over %s %s %s --conn-id ...` makes a connection to it",
        flavour_of(aws.spec).noun.capitalize(), found.name, found.address, found.port, topology.name, target.store, found.name,
    )  # fmt: skip


def _protect(topology: Topology, aws: RdsClients, target: Target, began: datetime) -> Waiting | None:
    """Ask for it as soon as it takes changes: right after a restore it may be at its first backup."""
    note, found = _known(topology, aws, target)
    if not note.marked.settings.get("DeletionProtection") or found.said.get("DeletionProtection"):
        return None
    if not found.ready:
        return looks.waiting(aws.store, f"{found.name} is {found.status}", began, aws.spec.restore_timeout)
    flavour_of(aws.spec).modify(aws, found.name, DeletionProtection=True)
    return None


def put_back(topology: Topology, aws: RdsClients, target: Target) -> None:
    """It is the run's again, to be discarded."""
    notes = Notes(topology, target)
    if not (note := notes.copy()):
        return
    found = flavour_of(aws.spec).find(aws, note.name)
    if found and is_ours(note, notes.progress(), found):
        _tag_members(aws, note, found, note.working)
        _tag(aws, found, note.working)


def discard(topology: Topology, aws: RdsClients, target: Target) -> None:
    """Remove what is provably this run's: by its tags, its name in the note, and its resource id. Without a final snapshot.

    :raises StoreUnreachableError: it cannot go yet
    """
    notes = Notes(topology, target)
    if not (note := notes.copy()):
        return
    left = REMOVED_WITHIN
    while why := _leaving(aws, notes, note):
        left -= LOOK
        if left < 0:
            raise StoreUnreachableError(
                f"store {aws.store}: {flavour_of(aws.spec).noun} {note.name} cannot be removed yet: {why}",
                fix="nothing, if it is being restored or changed: midtime__sweep tries again every minute",
            )
        looks.sleep(LOOK)
    notes.end()


def _leaving(aws: RdsClients, notes: Notes, note: Copy) -> str:
    """One step towards its end: why it is there yet; empty once it goes for good, is gone, or was never ours to remove."""
    flavour, progress = flavour_of(aws.spec), notes.progress()
    found = flavour.find(aws, note.name)
    if found is None:
        waited = progress and not progress.seen and utc_now() - progress.asked_at < UNSEEN
        return "it was asked for a moment ago" if waited else ""
    if not is_ours(note, progress, found) or is_placed(found) or found.status == "deleting":
        return ""
    try:
        if found.said.get("DeletionProtection"):
            flavour.modify(aws, found.name, DeletionProtection=False)
            return "its protection is being taken off"
        if why := _members_leaving(aws, note, found):
            return why
        flavour.delete(aws, found.name, DeleteAutomatedBackups=True)
    except StoreError as error:
        if refused_with(error) in NOT_THERE:
            return "it is just gone"
        if passes(error):
            return f"it is {found.status} ({error.message})"
        raise
    return "its deletion was asked for"


def _members_leaving(aws: RdsClients, note: Copy, cluster: Server) -> str:
    """A cluster goes once its instances go; those of somebody else's stay, and it with them."""
    going = [each for each in members_of(aws, cluster) if each.status != "deleting"]
    if foreign := [each.name for each in going if not is_ours(note, None, each)]:
        return f"instance {', '.join(foreign)} in it is none of Midtime's: delete it yourself"
    for each in going:
        INSTANCES.delete(aws, each.name)
    return ""


def _tag_members(aws: RdsClients, note: Copy, cluster: Server, owner: str) -> None:
    """A login's rights may go by the tag, and its instances are as good as the cluster."""
    for each in members_of(aws, cluster):
        if is_ours(note, None, each):
            _tag(aws, each, owner)


def _tag(aws: RdsClients, found: Server, owner: str) -> None:
    if found.tags.get(COPY_TAG) != owner:
        with aws.errors(aws.store):
            aws.paced.add_tags_to_resource(ResourceName=found.arn, Tags=[{"Key": COPY_TAG, "Value": owner}])


def _known(topology: Topology, aws: RdsClients, target: Target) -> tuple[Copy, Server]:
    notes, noun = Notes(topology, target), flavour_of(aws.spec).noun
    if not (note := notes.copy()):
        raise RestoreFailedError(f"store {aws.store}: the run's note about {noun} {target.final} is gone", fix="start a new run")
    found = flavour_of(aws.spec).find(aws, note.name)
    if not found or found.status == "deleting" or not is_ours(note, notes.progress(), found):
        raise RestoreFailedError(f"store {aws.store}: {noun} {note.name} is gone, or somebody else's now", fix="start a new run")
    return note, found
