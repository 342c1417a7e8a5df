"""Restore points in the object store: ``<destination>/<topology>/<id>/manifest.json`` and what lies beside it.

A folder without a manifest is a backup in the making, or what is left of one (:mod:`midtime.catalog.half_written`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from midtime.catalog import artifacts, drill_reports, given_up, history, objects
from midtime.catalog.expiry import Expiring
from midtime.catalog.folders import EXPIRED, INVALID, MANIFEST, RESTORABLE, WAITED
from midtime.catalog.half_written import BACKUP_LEASE, SWEEPER
from midtime.errors import ArtifactError, CatalogError, ForeignManifestError, ManifestError, RestorePointNotFoundError
from midtime.model.instants import RESTORE_POINT_ID, to_rfc3339, utc_now
from midtime.model.restore_point import DrillReport, RestorePoint, State

__all__ = ["BACKUP_LEASE", "EXPIRED", "INVALID", "MANIFEST", "SWEEPER", "Catalog", "Entry"]

NOT_WHOLE = "not whole: snapshots without a pause, only good to bring back one lost node"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing."""

    id: str
    state: State
    reason: str = ""
    """Why, when the state is ``INVALID`` or ``EXPIRED``; or what else one should know before using it."""
    restore_point: RestorePoint | None = None
    """None when its manifest cannot be believed."""
    lapsed: bool = False
    """``EXPIRED`` by itself: a service has dropped the history. Else it is retention that removes it."""

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        point = self.restore_point
        body: dict[str, Any] = {"id": self.id, "state": self.state.value, "reason": self.reason}
        if point:
            body |= {"topology": point.topology, "midtime": to_rfc3339(point.midtime), "bytes": point.size, "whole": point.whole}
            body["restorable_until"] = to_rfc3339(point.restorable_until) if point.restorable_until else None
            body["stores"] = [
                {"store": s.store, "engine": s.engine, "method": s.method, "bytes": s.size, "rows": s.rows} for s in point.stores
            ]
        return body


class Catalog(Expiring):
    """All restore points of one topology.

    :param destination: the topology's ``destination``, any ObjectStoragePath URL
    :param topology: its name
    """

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
        beside = self._beside(restore_point)
        try:
            point, unbelievable = self.load(restore_point), ""
        except RestorePointNotFoundError:
            return None
        except ManifestError as error:
            point, unbelievable = None, error.message
        if EXPIRED in beside:
            return Entry(restore_point, State.EXPIRED, self.reason(restore_point, EXPIRED), point)
        if point is None or INVALID in beside:
            return Entry(restore_point, State.INVALID, unbelievable or self.reason(restore_point, INVALID), point)
        if why := _lapsed(point):
            return Entry(restore_point, State.EXPIRED, why, point, lapsed=True)
        if self._waits(point, beside):
            why = self.reason(restore_point, WAITED) if WAITED in beside else "its stores' history was not seen to reach the midtime yet"
            return Entry(restore_point, State.MARKED, why, point)
        if not point.whole:
            return Entry(restore_point, State.RESTORABLE, NOT_WHOLE, point)
        drills = self.drill_reports(restore_point) if "drills" in beside else []
        state = State.DRILLED if any(report.good for report in drills) else State.RESTORABLE
        return Entry(restore_point, state, "its last drill was not good" if drills and not drills[-1].good else "", point)

    @staticmethod
    def _waits(point: RestorePoint, beside: list[str]) -> bool:
        return point.point_in_time and RESTORABLE not in beside

    def _beside(self, restore_point: str) -> list[str]:
        """What lies in a restore point's folder. To be asked for before its manifest is read: retention removes that first, its mark last."""
        return objects.names(self.folder(restore_point)) if RESTORE_POINT_ID.fullmatch(restore_point) else []

    def load(self, restore_point: str) -> RestorePoint:
        """Read and check one manifest.

        :raises RestorePointNotFoundError: there is none of that id
        :raises ManifestError: it cannot be believed
        """
        path = self.folder(restore_point) / MANIFEST
        if not RESTORE_POINT_ID.fullmatch(restore_point):
            raise RestorePointNotFoundError(f"{restore_point!r} is not a restore point id", fix=self.how_to_list)
        try:
            raw = objects.read(path)
        except FileNotFoundError:
            raise RestorePointNotFoundError(f"{self.topology} has no restore point {restore_point}", fix=self.how_to_list) from None
        point = RestorePoint.unseal(raw, where=str(path))
        if (point.id, point.topology) != (restore_point, self.topology):
            raise ForeignManifestError(
                f"{path} belongs to {point.topology}/{point.id}", fix="put it back to where it was, or use another restore point"
            )
        return point

    def resolve(self, wanted: str, *, at: datetime | None = None, whole: bool = True) -> RestorePoint:
        """The restore point that a person means.

        :param wanted: an id, or ``latest``: the newest restorable one
        :param at: with ``latest``, the newest one that existed then
        :param whole: pass over, or refuse, what is no whole set at one instant
        :raises RestorePointNotFoundError: there is none, or retention is about to remove it
        :raises ManifestError: the named one cannot be restored
        """
        if wanted == "latest":
            return history.newest_at(self, at) if at else self._latest(lambda point: point.whole or not whole)
        beside = self._beside(wanted)
        point = self.load(wanted)
        if EXPIRED in beside:
            raise RestorePointNotFoundError(
                f"restore point {wanted} has expired and is being removed: {self.reason(wanted, EXPIRED)}", fix=self.how_to_list
            )
        if INVALID in beside:
            raise ManifestError(f"restore point {wanted} is invalid: {self.reason(wanted, INVALID)}", fix=self.how_to_list)
        if self._waits(point, beside):
            raise ManifestError(
                f"restore point {wanted} is {State.MARKED} only: its stores' history was not seen to reach its midtime",
                fix="wait for the task `restorable` of its backup; if that failed, mend the archive and clear it",
            )
        if whole and not point.whole:
            raise ManifestError(
                f"restore point {wanted} is {NOT_WHOLE}", fix=f"use it in {self.topology}__restore_node, or another one for the whole set"
            )
        return point

    def resolve_for_node(self, wanted: str, store: str) -> RestorePoint:
        """The restore point from which one lost node of a store comes back, whole or not.

        :param wanted: an id, or ``latest``: the newest that the store has not given up
        :raises RestorePointNotFoundError: there is none, or retention is about to remove it
        :raises ManifestError: the named one cannot be restored, or has been given up by a restore in place
        """
        gone = list(given_up.all_of(self))
        if wanted == "latest":
            return self._latest(lambda point: not any(each.holds(store, point) for each in gone))
        point = self.resolve(wanted, whole=False)
        if held := next((each for each in gone if each.holds(store, point)), None):
            raise given_up.refuse(held, store, point)
        return point

    def _latest(self, accepts: Callable[[RestorePoint], bool]) -> RestorePoint:
        for entry in self.entries():
            point = entry.restore_point
            if point and entry.state in (State.RESTORABLE, State.DRILLED) and accepts(point):
                return point
        raise RestorePointNotFoundError(f"{self.topology} has no restorable restore point", fix=f"run {self.topology}__backup first")

    def publish(self, point: RestorePoint) -> None:
        """Make a finished backup visible: the last write of a backup.

        Looked at once more after that: a publisher that stood still for longer than its lease may have been swept meanwhile. Such a
        restore point says of itself that it is invalid.

        :raises CatalogError: a restore point of that id is there already, or this one is being swept
        :raises ArtifactError: an artifact is missing or has another size
        """
        try:
            objects.create(self.folder(point.id) / MANIFEST, point.seal())
        except FileExistsError:
            raise CatalogError(f"restore point {point.id} is published already", fix="start a new run for a new restore point") from None
        if INVALID in objects.names(self.folder(point.id)):
            raise CatalogError(f"restore point {point.id}: {self.reason(point.id, INVALID)}", fix="start a new run")
        try:
            artifacts.check_sizes(point.artifacts(), self.folder(point.id))
        except ArtifactError as error:
            self.invalidate(point.id, error.message)
            raise
        objects.remove_tree(self.folder(point.id) / "parts")
        self.end(point.id)

    def restorable_since(self, point: RestorePoint) -> datetime | None:
        """When it could be restored first; None where it cannot be yet, or never as a set."""
        if not point.whole:
            return None
        return self.marked_at(point.id, RESTORABLE) if point.point_in_time else point.finished_at

    def wait_ended(self, restore_point: str, reason: str) -> None:
        """Say that nobody waits any more until it can be restored, and why; it stays MARKED."""
        self.unmark(restore_point, WAITED)
        self.mark(restore_point, WAITED, reason)

    def make_restorable(self, restore_point: str, reason: str) -> None:
        """Say for good that all of its stores can be restored to its midtime."""
        self.mark(restore_point, RESTORABLE, reason)

    def invalidate(self, restore_point: str, reason: str) -> None:
        """Say for good that a restore point is not to be used; the first reason stays."""
        self.mark(restore_point, INVALID, reason)

    def add_drill_report(self, report: DrillReport) -> str:
        """Keep what a drill measured beside the manifest; see :mod:`midtime.catalog.drill_reports`."""
        return drill_reports.add(self, report)

    def drill_reports(self, restore_point: str) -> list[DrillReport]:
        """All drills of a restore point, oldest first; an unreadable report counts as none."""
        return drill_reports.of(self, restore_point)


def _lapsed(point: RestorePoint) -> str:
    """Why it cannot be restored any more, by nothing but the time that has passed; empty where it can."""
    until = point.restorable_until
    if until is None or until > utc_now():
        return ""
    first = min((store for store in point.stores if store.restorable_until), key=lambda store: store.restorable_until or until)
    return f"the history of store {first.store} is kept until {to_rfc3339(until)} only"
