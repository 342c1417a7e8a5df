"""Whose it is that stands under the name of a run's copy: said by the tags that came with the restore, and by the run's note."""

from __future__ import annotations

from midtime.errors import TargetExistsError
from midtime.stores.marks import with_room
from midtime.stores.naming import COPY_TAG, PLACED, SOURCE_TAG, TOPOLOGY_TAG
from midtime.stores.rds.clients import RdsClients
from midtime.stores.rds.notes import Copy, Progress
from midtime.stores.rds.servers import Server, flavour_of


def tags_of(note: Copy) -> dict[str, str]:
    """All of a copy's; a drill has none of the marked ones, by which costs and backups are told apart."""
    own = {COPY_TAG: note.working, TOPOLOGY_TAG: note.topology, SOURCE_TAG: note.source}
    return own if note.drill else with_room(own, note.marked.tags)


def is_ours(note: Copy, progress: Progress | None, found: Server) -> bool:
    """Whether it is this run's: its tags say so, and it is the one that was seen before. Amazon does not say of what it was restored."""
    return (
        found.tags.get(COPY_TAG, "").removeprefix(PLACED) == note.working
        and found.tags.get(SOURCE_TAG) == note.source
        and found.tags.get(TOPOLOGY_TAG) == note.topology
        and (not progress or progress.seen in ("", found.resource_id))
    )


def is_placed(found: Server) -> bool:
    """Whether it is nobody's to remove any more."""
    return found.tags.get(COPY_TAG, "").startswith(PLACED)


def require_ours(aws: RdsClients, note: Copy, progress: Progress | None, found: Server) -> None:
    """Nothing else may stand under the copy's name.

    :raises TargetExistsError: something of somebody else's does
    """
    if not is_ours(note, progress, found):
        noun = flavour_of(aws.spec).noun
        raise TargetExistsError(
            f"store {aws.store}: {noun} {found.name} is somebody else's: it was not restored by this run", fix="choose another name"
        )
