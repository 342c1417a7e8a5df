"""Old restore points, removed: decided by :mod:`midtime.model.retention`, done so that no restore loses what it reads.

``docs/adr/0007-retention-marks-first.md`` tells who sees whom.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from midtime.catalog import Catalog, Entry, Lease, drill_reports, old_bases, old_pool
from midtime.catalog.bases import look_at_artifacts
from midtime.catalog.folders import EXPIRED
from midtime.catalog.leases import WORKING
from midtime.catalog.old_bases import OldBase
from midtime.catalog.old_pool import Unnamed
from midtime.catalog.pool import Pool
from midtime.errors import ArtifactError, ForeignManifestError, LeaseHeldError, ManifestError, MidtimeError
from midtime.model.instants import utc_now
from midtime.model.restore_point import RestorePoint, State
from midtime.model.retention import Decision, Facts, decide
from midtime.model.topology import Topology

log = logging.getLogger(__name__)

RETENTION_LEASE = "retention"
_HALF_REMOVED = "its removal was begun and not ended, its manifest is gone"


@dataclass(slots=True)
class Outcome:
    """What became of one topology's restore points."""

    dry_run: bool = False
    removed: dict[str, str] = field(default_factory=dict)
    """Why, by id; in a dry run what would have been removed."""
    kept: dict[str, str] = field(default_factory=dict)
    swept: list[str] = field(default_factory=list)
    """Half-written backups."""
    bases: list[str] = field(default_factory=list)
    """``store/id`` of those that were removed."""
    content: int = 0
    """Objects of the stores' pools that were removed."""

    def to_dict(self) -> dict[str, Any]:
        """For XCom."""
        body = {
            "removed": list(self.removed),
            "kept": len(self.kept),
            "reasons": self.removed,
            "half_written": self.swept,
            "bases": self.bases,
            "content": self.content,
        }
        return body | {"dry_run": self.dry_run}

    def summary(self) -> str:
        """One line for the log."""
        verb = "would remove" if self.dry_run else "removed"
        return f"{verb} {len(self.removed)} restore points and {len(self.swept)} half-written ones, kept {len(self.kept)}"


class Retention:
    """Retention of one topology.

    :param holder: whatever names this run for ever
    :param dry_run: change nothing, only say what would be done
    """

    def __init__(self, topology: Topology, holder: str, *, dry_run: bool = False) -> None:
        self.topology = topology
        self.holder = holder
        self.catalog = Catalog(topology.destination, topology.name)
        self.outcome = Outcome(dry_run)
        self._points: dict[str, RestorePoint | None] = {}
        self._errors: list[MidtimeError] = []

    def run(self) -> Outcome:
        """Remove what no rule keeps, and say of everything why. Left to whoever else does the same at the moment.

        One restore point's trouble keeps no other from being removed; it is raised when all are done.
        """
        if self.outcome.dry_run:
            self._look()
        elif self.catalog.folders() or old_bases.rooms(self.catalog) or old_pool.rooms(self.catalog):
            try:
                lease = self.catalog.leases.acquire(RETENTION_LEASE, self.holder, ttl=WORKING)
            except LeaseHeldError as error:
                log.warning("%s: left to somebody else: %s", self.topology.name, error)
                return self.outcome
            with self.catalog.given_back(lease):
                self._work(lease)
        log.info("%s: %s", self.topology.name, self.outcome.summary())
        if self._errors:
            raise self._errors[0]
        return self.outcome

    def _look(self) -> None:
        for decision in self._decisions():
            if decision.remove:
                self._removed(decision)
            else:
                self._kept(decision)
        for point in self.catalog.half_removed():
            self._removed(Decision(point, True, _HALF_REMOVED))
        for point in self.catalog.left_behind():
            self._swept(point)
        for old in [*old_bases.half_removed(self.catalog), *old_bases.unnamed(self.catalog, self._old_bases())]:
            self._base_removed(old)
        for pool in old_pool.rooms(self.catalog):
            self._content_removed(old_pool.unnamed(self.catalog, pool, utc_now()))

    def _work(self, lease: Lease) -> None:
        for point in self.catalog.half_removed():
            self._try(partial(self._finish, Decision(point, True, _HALF_REMOVED)))
        for decision in self._decisions():
            if decision.remove:
                self._try(partial(self._remove, decision, lease))
            else:
                self._kept(decision)
        self._try(self._sweep)
        self._try(partial(self._remove_bases, lease))
        for pool in old_pool.rooms(self.catalog):
            self._try(partial(self._remove_content, pool, lease))

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except LeaseHeldError:
            raise  # somebody else works here by now: not one step further
        except MidtimeError as error:
            log.error("%s: could not remove everything, will try again: %s", self.topology.name, error)
            self._errors.append(error)

    def _decisions(self) -> list[Decision]:
        rules, now = self.topology.retention, utc_now()
        return decide(self._facts(now), keep_last=rules.keep_last, keep_days=rules.keep_days, now=now)

    def _facts(self, now: datetime) -> Iterator[Facts]:
        holders = self.catalog.reserved()
        whole, drilled = 0, False
        for entry in self.catalog.entries():
            self._points[entry.id] = entry.restore_point
            hands_off = "" if entry.restore_point else self._foreign(entry.id)
            is_whole = entry.restore_point is None or entry.restore_point.whole
            state = State.INVALID if entry.lapsed else entry.state  # good for nothing any more, but nobody has begun to remove it
            facts = Facts(entry.id, state, entry.reason, holders.get(entry.id, ""), hands_off, is_whole, self._was_drilled(entry))
            proves = entry.state is State.DRILLED and not drilled
            if facts.usable(now) and (proves or whole < self.topology.retention.keep_last):
                # Others go because this one stays: it has to be more than a manifest.
                damage = self._damage(entry)
                facts = replace(facts, hands_off=damage)
                whole, drilled = whole + (not damage), drilled or (proves and not damage)
            yield facts

    def _was_drilled(self, entry: Entry) -> bool:
        return entry.state is State.EXPIRED and any(report.good for report in self.catalog.drill_reports(entry.id))

    def _foreign(self, restore_point: str) -> str:
        try:
            self.catalog.load(restore_point)
        except ForeignManifestError as error:
            return f"not for this Midtime to judge: {error.message}"
        except ManifestError:
            pass
        return ""

    def _damage(self, entry: Entry) -> str:
        try:
            if entry.restore_point:
                look_at_artifacts(self.catalog, entry.restore_point)
        except (ArtifactError, ManifestError) as error:
            return f"damaged, so it does not count: {error.message}"
        return ""

    def _remove(self, decision: Decision, lease: Lease) -> None:
        """Mark first, read the leases then: a restore takes its lease first and looks for the mark then."""
        ours = self.catalog.mark(decision.id, EXPIRED, decision.reason)
        holder = self._holder(decision.id)
        self.catalog.leases.renew(lease, WORKING)  # if it was lost, the next one decides what becomes of the mark
        if not holder:
            self._finish(decision)
            return
        if ours:  # else whoever wrote it may have begun to remove
            self.catalog.unmark(decision.id, EXPIRED)
        self._kept(Decision(decision.id, False, f"{holder} began to work with it"))

    def _holder(self, restore_point: str) -> str:
        try:
            return self.catalog.reserved().get(restore_point, "")
        except MidtimeError as error:
            self._errors.append(error)
            return f"somebody whose lease cannot be read ({error.message}) perhaps"

    def _finish(self, decision: Decision) -> None:
        drill_reports.archive(self.catalog, decision.id)
        self.catalog.remove_expired(decision.id)
        self._removed(decision)

    def _old_bases(self) -> list[OldBase]:
        return old_bases.candidates(self.catalog, {store.name for store in self.topology.stores}, utc_now())

    def _remove_bases(self, lease: Lease) -> None:
        """What no restore point names any longer; see :mod:`midtime.catalog.old_bases`."""
        half = old_bases.half_removed(self.catalog)
        free, why = old_bases.settle(self.catalog, old_bases.unnamed(self.catalog, self._old_bases()))
        log.debug("%s: of other bases, %s", self.topology.name, why)
        for old in [*half, *free]:
            self.catalog.leases.renew(lease, WORKING)
            old.bases.remove_expired(old.id)
            self._base_removed(old)

    def _remove_content(self, pool: Pool, lease: Lease) -> None:
        """What no restore point names any longer; see :mod:`midtime.catalog.old_pool`."""
        still_ours = partial(self.catalog.leases.renew, lease, WORKING)
        self._content_removed(old_pool.collect(self.catalog, pool, utc_now(), still_ours))

    def _content_removed(self, content: Unnamed) -> None:
        if content.sizes:
            verb = "Would remove" if self.outcome.dry_run else "Removed"
            what = f"{len(content.sizes):,} files, {content.size:,} bytes"
            log.warning("%s: %s content of store %s that no restore point needs: %s", self.topology.name, verb, content.pool.store, what)
            self.outcome.content += len(content.sizes)

    def _base_removed(self, old: OldBase) -> None:
        verb = "Would remove" if self.outcome.dry_run else "Removed"
        log.warning("%s: %s base %s, %s", self.topology.name, verb, old.label, old_bases.UNNAMED)
        self.outcome.bases.append(old.label)

    def _sweep(self) -> None:
        for point in self.catalog.sweep_half_written(thorough=True):
            self._swept(point)
        for base in old_bases.sweep_half_written_bases(self.catalog):
            self._swept(f"base {base}")

    def _removed(self, decision: Decision) -> None:
        verb = "Would remove" if self.outcome.dry_run else "Removed"
        point = self._points.get(decision.id)
        what = f"{_age(point.midtime)} old, {point.size:,} bytes: " if point else ""
        log.warning("%s: %s %s, %s%s", self.topology.name, verb, decision.id, what, decision.reason)
        self.outcome.removed[decision.id] = decision.reason

    def _kept(self, decision: Decision) -> None:
        level = logging.WARNING if decision.strange else logging.INFO
        log.log(level, "%s: Kept %s: %s", self.topology.name, decision.id, decision.reason)
        self.outcome.kept[decision.id] = decision.reason

    def _swept(self, point: str) -> None:
        verb = "Would remove" if self.outcome.dry_run else "Removed"
        log.warning("%s: %s %s: a backup that never ended", self.topology.name, verb, point)
        self.outcome.swept.append(point)


def _age(midtime: datetime) -> str:
    age = utc_now() - midtime
    return f"{age.days} d" if age >= timedelta(days=1) else f"{age.seconds // 3600} h"
