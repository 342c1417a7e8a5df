"""Restore points in the object store: ``<destination>/<topology>/<id>/manifest.json`` and what lies beside it.

A folder without a manifest is a backup in the making, or what is left of one: invisible to everybody, and swept. Whoever writes one
announces it first, in ``<destination>/<topology>/.writing/<id>``, so that the sweeper need not look into every folder.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from midtime.catalog import artifacts, objects
from midtime.catalog.leases import WORKING, Lease, Leases
from midtime.errors import ArtifactError, CatalogError, LeaseHeldError, ManifestError, RestorePointNotFoundError
from midtime.model.instants import RESTORE_POINT_ID, id_instant, to_rfc3339, utc_now
from midtime.model.restore_point import DrillReport, RestorePoint, State, StoreBackup

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

MANIFEST = "manifest.json"
INVALID = "invalid.json"
BACKUP_LEASE = "backup"
SWEEPER = "midtime__sweep"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing."""

    id: str
    state: State
    reason: str = ""
    """Why, when the state is ``INVALID``; or what else one should know before using it."""
    restore_point: RestorePoint | None = None
    """None when its manifest cannot be believed."""

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        point = self.restore_point
        body: dict[str, Any] = {"id": self.id, "state": self.state.value, "reason": self.reason}
        if point:
            body |= {"topology": point.topology, "midtime": to_rfc3339(point.midtime), "bytes": point.size}
            body["stores"] = [
                {"store": s.store, "engine": s.engine, "method": s.method, "bytes": s.size, "rows": s.rows} for s in point.stores
            ]
        return body


class Catalog:
    """All restore points of one topology.

    :param destination: the topology's ``destination``, any ObjectStoragePath URL
    :param topology: its name
    """

    def __init__(self, destination: str, topology: str) -> None:
        self.destination = destination
        self.topology = topology

    @cached_property
    def root(self) -> ObjectStoragePath:
        """``<destination>/<topology>``."""
        return objects.open_destination(self.destination) / self.topology

    @cached_property
    def leases(self) -> Leases:
        """Who works on this topology."""
        return Leases(self.root / ".leases")

    def folder(self, restore_point: str) -> ObjectStoragePath:
        """Where a restore point's manifest and artifacts lie."""
        return self.root / restore_point

    def folders(self) -> list[str]:
        """Ids of all folders, newest first: finished, half-written and broken ones alike."""
        return sorted((name for name in objects.names(self.root) if RESTORE_POINT_ID.fullmatch(name)), reverse=True)

    def entries(self) -> Iterator[Entry]:
        """Restore points, newest first; a manifest is only read when its entry is taken, so the newest cost nothing of the rest."""
        for name in self.folders():
            entry = self.entry(name)
            if entry:
                yield entry

    def newest(self, limit: int) -> list[Entry]:
        """The newest ``limit`` restore points."""
        return list(islice(self.entries(), limit))

    def entry(self, restore_point: str) -> Entry | None:
        """One restore point with its state; None when it has no manifest."""
        try:
            point = self.load(restore_point)
        except RestorePointNotFoundError:
            return None
        except ManifestError as error:
            return Entry(restore_point, State.INVALID, error.message)
        beside = objects.names(self.folder(restore_point))
        if INVALID in beside:
            return Entry(restore_point, State.INVALID, self._invalid_reason(restore_point), point)
        drills = self.drill_reports(restore_point) if "drills" in beside else []
        state = State.DRILLED if any(report.good for report in drills) else State.RESTORABLE
        return Entry(restore_point, state, "its last drill was not good" if drills and not drills[-1].good else "", point)

    def load(self, restore_point: str) -> RestorePoint:
        """Read and check one manifest.

        :raises RestorePointNotFoundError: there is none of that id
        :raises ManifestError: it cannot be believed
        """
        path = self.folder(restore_point) / MANIFEST
        if not RESTORE_POINT_ID.fullmatch(restore_point):
            raise RestorePointNotFoundError(f"{restore_point!r} is not a restore point id", fix=self._how_to_list)
        try:
            raw = objects.read(path)
        except FileNotFoundError:
            raise RestorePointNotFoundError(f"{self.topology} has no restore point {restore_point}", fix=self._how_to_list) from None
        point = RestorePoint.unseal(raw, where=str(path))
        if (point.id, point.topology) != (restore_point, self.topology):
            raise ManifestError(
                f"{path} belongs to {point.topology}/{point.id}", fix="put it back to where it was, or use another restore point"
            )
        return point

    def resolve(self, wanted: str, *, at: datetime | None = None) -> RestorePoint:
        """The restore point that a person means.

        :param wanted: an id, or ``latest``: the newest restorable one
        :param at: with ``latest``, the newest one that existed then
        :raises RestorePointNotFoundError: there is none
        :raises ManifestError: the named one cannot be restored
        """
        if wanted == "latest":
            return self._latest(at)
        point = self.load(wanted)
        if INVALID in objects.names(self.folder(wanted)):
            raise ManifestError(f"restore point {wanted} is invalid: {self._invalid_reason(wanted)}", fix=self._how_to_list)
        return point

    def _latest(self, at: datetime | None) -> RestorePoint:
        for name in self.folders():
            if at and not _existed(name, at):
                continue
            entry = self.entry(name)
            if entry and entry.restore_point and entry.state in (State.RESTORABLE, State.DRILLED):
                return entry.restore_point
        until = f" at {to_rfc3339(at)}" if at else ""
        raise RestorePointNotFoundError(f"{self.topology} had no restorable restore point{until}", fix=f"run {self.topology}__backup first")

    def begin(self, restore_point: str) -> None:
        """Announce, before the first artifact, that this restore point is being written; harmless when that is done already.

        :raises CatalogError: that is no restore point's id
        """
        if not RESTORE_POINT_ID.fullmatch(restore_point):
            raise CatalogError(f"{restore_point!r} is not a restore point id", fix=self._how_to_list)
        with suppress(FileExistsError):
            objects.create(self._writing / restore_point, json.dumps({"at": to_rfc3339(utc_now())}).encode() + b"\n")

    @property
    def _writing(self) -> ObjectStoragePath:
        return self.root / ".writing"

    def _end(self, restore_point: str) -> None:
        objects.remove_tree(self._writing / restore_point)

    def publish(self, point: RestorePoint) -> None:
        """Make a finished backup visible: the last write of a backup.

        Looked at once more after that: a publisher that stood still for longer than its lease may have been swept meanwhile. Such a
        restore point says of itself that it is invalid.

        :raises CatalogError: a restore point of that id is there already
        :raises ArtifactError: an artifact is missing or has another size
        """
        try:
            objects.create(self.folder(point.id) / MANIFEST, point.seal())
        except FileExistsError:
            raise CatalogError(f"restore point {point.id} is published already", fix="start a new run for a new restore point") from None
        try:
            artifacts.check_sizes(point.artifacts(), self.folder(point.id))
        except ArtifactError as error:
            self.invalidate(point.id, error.message)
            raise
        objects.remove_tree(self.folder(point.id) / "parts")
        self._end(point.id)

    def invalidate(self, restore_point: str, reason: str) -> None:
        """Say for good that a restore point is not to be used; the first reason stays."""
        body = {"reason": reason, "at": to_rfc3339(utc_now())}
        try:
            objects.create(self.folder(restore_point) / INVALID, json.dumps(body, indent=2).encode() + b"\n")
        except FileExistsError:
            return

    def add_drill_report(self, report: DrillReport) -> str:
        """Keep what a drill measured beside the manifest.

        :return: the file's address
        """
        path = self.folder(report.restore_point) / "drills" / f"{to_rfc3339(report.started_at).replace(':', '')}.json"
        objects.replace(path, report.model_dump_json(indent=2).encode() + b"\n")
        return str(path)

    def drill_reports(self, restore_point: str) -> list[DrillReport]:
        """All drills of a restore point, oldest first; an unreadable report counts as none."""
        folder = self.folder(restore_point) / "drills"
        reports = []
        for name in sorted(objects.names(folder)):
            if name.startswith(".") or not name.endswith(".json"):
                continue  # what a killed writer left of a report
            try:
                reports.append(DrillReport.model_validate_json(objects.read(folder / name)))
            except (ValidationError, FileNotFoundError):
                continue
        return reports

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
                self._end(name)
        return found

    def sweep_half_written(self, *, holder: str = "") -> list[str]:
        """Remove what dead backups left; nothing while a backup of this topology lives.

        Whoever asks without holding the backup lease takes it for as long as that lasts: a run that was only slow finds it lost, and
        does not publish what is being removed.

        :param holder: the run that holds the backup lease, if it is the one that asks and has not begun to write
        :return: the ids that were removed
        :raises LeaseHeldError: the lease was lost meanwhile
        """
        if self._backup_lives(besides=holder) or not (found := self.half_written()):
            return []
        if holder:
            return [] if self._backup_lives(besides=holder) else self._discard_all(found)
        try:
            lease = self.leases.acquire(BACKUP_LEASE, f"{SWEEPER}/{uuid.uuid4().hex[:6]}", ttl=WORKING)
        except LeaseHeldError:
            return []  # a backup, or another sweeper, began while we looked
        with self._given_back(lease):
            found = self.half_written()  # again: a slow run may have published until the lease was ours
            self.leases.renew(lease, WORKING)  # and nobody has begun to write since
            return self._discard_all(found)

    @contextmanager
    def _given_back(self, lease: Lease) -> Iterator[None]:
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

        :raises CatalogError: it has a manifest, or is no restore point's folder
        """
        if not RESTORE_POINT_ID.fullmatch(restore_point):
            raise CatalogError(f"{restore_point!r} is not a restore point id", fix=self._how_to_list)
        if MANIFEST in objects.names(self.folder(restore_point)):
            raise CatalogError(f"{restore_point} is a published restore point", fix="leave its removal to retention")
        objects.remove_tree(self.folder(restore_point))
        self._end(restore_point)

    def remove_litter(self) -> list[str]:
        """Remove the probes and drafts that killed processes left among the leases and announcements.

        :return: the names that were removed
        """
        return [*objects.remove_litter(self.leases.folder), *objects.remove_litter(self._writing)]

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

    def _invalid_reason(self, restore_point: str) -> str:
        try:
            return str(json.loads(objects.read(self.folder(restore_point) / INVALID))["reason"])
        except (ValueError, KeyError, TypeError, FileNotFoundError):
            return "its invalid.json is unreadable"

    @property
    def _how_to_list(self) -> str:
        return f"`midtime list {self.topology}` shows those there are"


def _existed(restore_point: str, at: datetime) -> bool:
    try:
        return id_instant(restore_point) <= at
    except ValueError:
        return False  # looks like an id, but there is no such day
