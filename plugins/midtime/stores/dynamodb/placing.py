"""What becomes of the copies: in place they take the live tables' names; beside they have theirs already, and get their settings."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from midtime.errors import RestoreFailedError
from midtime.model.instants import utc_now
from midtime.model.topology import Topology
from midtime.model.words import counted, listed
from midtime.stores import looks
from midtime.stores.base import Target, Waiting
from midtime.stores.dynamodb import copies
from midtime.stores.dynamodb.aws import Aws
from midtime.stores.dynamodb.copies import Standing, require_ours, standings, tag, tags_of
from midtime.stores.dynamodb.notes import Copies, Notes
from midtime.stores.dynamodb.putting import Putting
from midtime.stores.dynamodb.swapping import Swap
from midtime.stores.looks import waiting
from midtime.stores.naming import COPY_TAG, PLACED

log = logging.getLogger(__name__)


def place(topology: Topology, aws: Aws, target: Target) -> None:
    """Give the copies their place. A drill's have none.

    :raises RestoreFailedError: some are missing
    """
    notes = Notes(topology, target)
    if target.aside:
        Swap(aws, notes).forward()
    elif target.final != target.working:
        _settle(aws, _known(aws, notes))


def put_back(topology: Topology, aws: Aws, target: Target) -> None:
    """Bring back what was live; beside, the copies are copies again, to be discarded.

    :raises RestoreFailedError: what was live is gone
    """
    notes = Notes(topology, target)
    if target.aside:
        if notes.kept() or notes.going_back:
            Swap(aws, notes).back()
    elif target.final != target.working and (found := notes.copies()):
        _retag(aws, found, found.working, only=PLACED + found.working)


def made_anew(topology: Topology, aws: Aws, target: Target) -> bool:
    """Whether a live table is another one than the one that was marked; the plan has seen that they were the same."""
    found = Notes(topology, target).copies()
    marked = {table.name: table.table_id for table in found.marked.tables} if found else {}
    return any(each.said.get("TableId") != marked[name] for name, each in standings(aws, list(marked)).items())


def discard(topology: Topology, aws: Aws, target: Target) -> None:
    """Remove the copies, and their backups."""
    notes = Notes(topology, target)
    if found := notes.copies():
        copies.discard(aws, found)
        notes.end_copies()


def _known(aws: Aws, notes: Notes) -> Copies:
    if found := notes.copies():
        return found
    raise RestoreFailedError(f"store {aws.store}: the run's notes about its copies {notes.target.working} are gone", fix="start a new run")


def _settle(aws: Aws, found: Copies) -> None:
    """Settings first: what is placed is nobody's to remove."""
    putting, began = Putting(aws, {copy: found.marked.table(source) for source, copy in found.names.items()}), utc_now()

    def look() -> Waiting | None:
        unset = putting.look(_all_there(aws, found))
        return waiting(aws.store, f"settings of {listed(unset)}", began, aws.spec.restore_timeout) if unset else None

    looks.to_the_end(look, log.info)
    for difference in putting.differences():
        log.warning("Not as in the mark: %s", difference)
    _retag(aws, found, PLACED + found.working)


def _all_there(aws: Aws, found: Copies) -> Mapping[str, Standing]:
    there = standings(aws, list(found.names.values()))
    require_ours(found, there, aws.store)
    if missing := [name for name, each in there.items() if not each.ready]:
        raise RestoreFailedError(f"store {aws.store}: {listed(missing)} {'is' if len(missing) == 1 else 'are'} gone", fix="start a new run")
    return there


def _retag(aws: Aws, found: Copies, value: str, *, only: str = "") -> None:
    """Say of all copies whose they are.

    :param only: of those of which that is said now
    """
    there = standings(aws, list(found.names.values()))
    ours = [there[copy] for source, copy in found.names.items() if there[copy].copies(found, source)]
    began = utc_now()

    def look() -> Waiting | None:
        tagged = {each.name: tags_of(aws, each).get(COPY_TAG, "") for each in ours if each.ready}
        wrong = [each for each in ours if each.ready and tagged[each.name] != value and (not only or tagged[each.name] == only)]
        left = [each.name for each in wrong if tag(aws, each, value)]
        return waiting(aws.store, f"{counted(len(left), 'tag')} to be set", began, aws.spec.restore_timeout) if left else None

    looks.to_the_end(look, log.info)
