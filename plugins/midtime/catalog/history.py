"""What was newest at a date of the past, the restore points that are gone by now included: nobody may be told of another loss."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from midtime.catalog import objects
from midtime.catalog.folders import INVALID
from midtime.errors import ManifestError, RestorePointNotFoundError
from midtime.model.instants import RESTORE_POINT_ID, from_rfc3339, id_instant, to_rfc3339
from midtime.model.restore_point import RestorePoint, State

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from midtime.catalog.restore_points import Catalog

ARCHIVE = ".drills"
"""Where, below a topology's root, what is kept of removed restore points lies: one folder each."""
REMOVED = "removed"
"""Name of the note that there was such a restore point, and since when."""


def newest_at(catalog: Catalog, at: datetime) -> RestorePoint:
    """The newest restorable restore point that had been finished by then.

    :raises RestorePointNotFoundError: there was none, or it is not there any more: an older one does not stand in for it
    """
    names = {*catalog.folders(), *filter(RESTORE_POINT_ID.fullmatch, objects.names(catalog.root / ARCHIVE))}
    for name in sorted((name for name in names if instant(name) <= at), reverse=True):
        entry = catalog.entry(name)
        point = entry.restore_point if entry and (entry.lapsed or entry.state not in (State.INVALID, State.EXPIRED)) else None
        gone = ""
        if entry and point and (since := catalog.restorable_since(point)) and since <= at:
            if not entry.lapsed:
                return point
            gone = f"cannot be restored any more: {entry.reason}"
        elif _removed(catalog, name, at):
            gone = "was removed by retention"
        if gone:
            said = f"{name}, the newest restore point of {catalog.topology} at {to_rfc3339(at)}, {gone}"
            raise RestorePointNotFoundError(said, fix="reports of its own drills are kept: `midtime drills` shows them")
    there = catalog.folders()
    still = f"; the oldest that is there now is {there[-1]}" if there else ""
    said = f"{catalog.topology} had no restorable restore point at {to_rfc3339(at)}{still}"
    raise RestorePointNotFoundError(said, fix="ask for a later date")


def remember(catalog: Catalog, restore_point: str, folder: ObjectStoragePath) -> None:
    """Note, before it is removed, that there was a restore point that could be restored, and from when on; harmless when done already."""
    if since := _since(catalog, restore_point):
        objects.replace(folder / REMOVED, json.dumps({"finished_at": to_rfc3339(since)}).encode() + b"\n")


def _removed(catalog: Catalog, restore_point: str, at: datetime) -> bool:
    try:
        note = json.loads(objects.read(catalog.root / ARCHIVE / restore_point / REMOVED))
        return from_rfc3339(note["finished_at"]) <= at
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        since = _since(catalog, restore_point)  # retention has only just marked it
        return since is not None and since <= at


def _since(catalog: Catalog, restore_point: str) -> datetime | None:
    """From when on it could be restored; None where it cannot be, whatever retention does with it."""
    if INVALID in objects.names(catalog.folder(restore_point)):
        return None
    try:
        return catalog.restorable_since(catalog.load(restore_point))
    except (RestorePointNotFoundError, ManifestError):
        return None


def instant(restore_point: str) -> datetime:
    """What an id says; the end of time for one that only looks like an id, for there is no such day."""
    try:
        return id_instant(restore_point)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)
