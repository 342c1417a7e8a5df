"""Backups in the making, and what is left of those that never ended.

A folder without a manifest is invisible to everybody, and swept. Whoever writes one announces it first, in
``<destination>/<topology>/.writing/<id>``, so that the sweeper need not look into every folder.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import ValidationError

from midtime.catalog import artifacts, objects
from midtime.catalog.folders import EXPIRED, INVALID, MANIFEST, Folders
from midtime.catalog.leases import WORKING, Lease
from midtime.errors import CatalogError, DestinationError, LeaseHeldError
from midtime.model.instants import RESTORE_POINT_ID, to_rfc3339, utc_now
from midtime.model.restore_point import StoreBackup

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

BACKUP_LEASE = "backup"
SWEEPER = "midtime__sweep"
UNTOUCHED = timedelta(days=1)
"""From when on a folder that nobody announced is taken for left behind."""


class HalfWritten(Folders):
    """What has no manifest yet, or will never have one."""

    def begin(self, restore_point: str) -> None:
        """Announce, before the first artifact, that this restore point is being written; harmless when that is done already.

        :raises CatalogError: that is no restore point's id
        """
        self._require_id(restore_point)
        with suppress(FileExistsError):
            objects.create(self._writing / restore_point, json.dumps({"at": to_rfc3339(utc_now())}).encode() + b"\n")

    def end(self, restore_point: str) -> None:
        """Take the announcement back."""
        objects.remove_tree(self._writing / restore_point)

    def add_part(self, restore_point: str, part: StoreBackup) -> None:
        """Keep one store's part until all parts make the manifest."""
        path = self.folder(restore_point) / "parts" / f"{part.store}.json"
        objects.replace(path, part.model_dump_json(indent=2).encode() + b"\n")

    def parts(self, restore_point: str, stores: Iterable[str]) -> tuple[StoreBackup, ...]:
        """The parts of these stores, their artifacts looked at once more.

        :raises CatalogError: a part is missing
        :raises ArtifactError: an artifact is missing or has another size
        """
        parts = tuple(self._part(restore_point, store) for store in stores)
        artifacts.check_sizes((artifact for part in parts for artifact in part.artifacts), self.folder(restore_point))
        return parts

    def _part(self, restore_point: str, store: str) -> StoreBackup:
        path = self.folder(restore_point) / "parts" / f"{store}.json"
        try:
            return StoreBackup.model_validate_json(objects.read(path))
        except (FileNotFoundError, ValidationError) as error:
            raise CatalogError(f"{path}: the part of store {store!r} is missing or unreadable", fix="start a new run") from error

    def half_written(self, *, suffix: str = "", thorough: bool = False) -> list[str]:
        """Ids of what was begun and has no manifest, newest first; costs nothing of what is published.

        What a publisher that died right after its manifest left announced is taken back on the way.

        :param suffix: only ids that end so
        :param thorough: look into every folder, for those that nobody announced; slow
        """
        announced = {name for name in objects.names(self._writing) if RESTORE_POINT_ID.fullmatch(name)}
        found = []
        for name in sorted(announced.union(self.folders() if thorough else ()), reverse=True):
            if not name.endswith(suffix):
                continue
            if MANIFEST not in objects.names(self.folder(name)):
                found.append(name)
            elif name in announced:
                self.end(name)
        return found

    def left_behind(self) -> list[str]:
        """Ids of folders without a manifest, announced or not, in which nothing was written for a day, newest first.

        Looks into every folder and changes nothing. None while a backup of this topology lives; not what retention is removing.
        """
        if self._backup_lives(besides=""):
            return []
        return [name for name in self.folders() if not {MANIFEST, EXPIRED} & {*objects.names(self.folder(name))} and self._untouched(name)]

    def _untouched(self, restore_point: str) -> bool:
        return utc_now().timestamp() - _last_written(self.folder(restore_point)) > UNTOUCHED.total_seconds()

    def sweep_half_written(self, *, holder: str = "", thorough: bool = False) -> list[str]:
        """Remove what dead backups left; nothing while a backup of this topology lives.

        Whoever asks without holding the backup lease takes it for as long as that lasts: a run that was only slow finds it lost, and
        does not publish what is being removed.

        :param holder: the run that holds the backup lease, if it is the one that asks and has not begun to write
        :param thorough: what :meth:`left_behind` finds instead of what was announced
        :return: the ids that were removed
        :raises LeaseHeldError: the lease was lost meanwhile
        """
        look = self.left_behind if thorough else self.half_written
        if self._backup_lives(besides=holder) or not (found := look()):
            return []
        if holder:
            return [] if self._backup_lives(besides=holder) else self._discard_all(found)
        try:
            lease = self.leases.acquire(BACKUP_LEASE, f"{SWEEPER}/{uuid.uuid4().hex[:6]}", ttl=WORKING)
        except LeaseHeldError:
            return []  # a backup, or another sweeper, began while we looked
        with self.given_back(lease):
            # Again: a slow run may have published until the lease was ours.
            found = [name for name in found if MANIFEST not in objects.names(self.folder(name))] if thorough else self.half_written()
            self.leases.renew(lease, WORKING)  # and nobody has begun to write since
            return self._discard_all(found)

    @contextmanager
    def given_back(self, lease: Lease) -> Iterator[None]:
        """Renew a lease of ours while the block lasts, then give it back."""
        try:
            with self.leases.held(lease.name, lease.holder):
                yield
        finally:
            self.leases.release(lease.name, lease.holder)

    def _discard_all(self, restore_points: list[str]) -> list[str]:
        for name in restore_points:
            self.discard_half_written(name)
        return restore_points

    def _backup_lives(self, *, besides: str) -> bool:
        lease = self.leases.current(BACKUP_LEASE)
        if lease is None or lease.released or lease.holder == besides:
            return False
        # Who holds the lease by now may clear up at once; a sweeper waits until nothing of the old run can come back.
        return lease.live(utc_now()) if besides else not lease.abandoned(utc_now())

    def discard_half_written(self, restore_point: str) -> None:
        """Remove a folder that never got its manifest; a published restore point is never touched.

        It is marked invalid first and looked at again then, and a publisher looks for the mark once its manifest is there: however long
        one of the two stood still in between, no restore point without artifacts looks good.

        :raises CatalogError: it has a manifest, or is no restore point's folder
        """
        self._require_id(restore_point)
        self._require_no_manifest(restore_point)
        ours = False
        with suppress(DestinationError):  # the disk is full: nobody's manifest would find room either, and only removing helps
            ours = self.mark(restore_point, INVALID, "its run was taken for dead, and what it had written was removed")
        try:
            self._require_no_manifest(restore_point)
        except CatalogError:
            if ours:
                self.unmark(restore_point, INVALID)
            raise
        self.remove_all_but(restore_point, INVALID)
        objects.remove_tree(self.folder(restore_point))
        self.end(restore_point)

    def _require_no_manifest(self, restore_point: str) -> None:
        if MANIFEST in objects.names(self.folder(restore_point)):
            raise CatalogError(f"{restore_point} is a published restore point", fix="leave its removal to retention")

    def _require_id(self, restore_point: str) -> None:
        if not RESTORE_POINT_ID.fullmatch(restore_point):
            raise CatalogError(f"{restore_point!r} is not a restore point id", fix=self.how_to_list)

    def remove_all_but(self, restore_point: str, *kept: str) -> None:
        """Empty a restore point's folder, what is directly in it under these names excepted."""
        folder = self.folder(restore_point)
        for name in objects.names(folder):
            if name not in kept:
                objects.remove_tree(folder / name)

    def remove_litter(self) -> list[str]:
        """Remove the probes and drafts that killed processes left among the leases and announcements.

        :return: the names that were removed
        """
        return [*objects.remove_litter(self.leases.folder), *objects.remove_litter(self._writing)]

    @property
    def _writing(self) -> ObjectStoragePath:
        return self.root / ".writing"


def _last_written(path: ObjectStoragePath) -> float:
    """When something below a path was last written, in seconds since 1970; never so long ago where the store does not tell."""
    below = objects.names(path)
    if below and below != [path.name]:  # some stores list an object as its own content
        return max(_last_written(path / name) for name in below)
    try:
        changed = objects.look(path).changed
    except FileNotFoundError:
        return math.inf
    if local := objects.local_path(path):
        changed = max(changed, local.lstat().st_ctime)  # somebody may be copying to here, and no tool sets that back
    return changed or math.inf
