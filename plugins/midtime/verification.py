"""Is a restored set what was backed up? Schema, counts, digests, ScalarDB's records and the user's own questions, in one answer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from midtime.errors import ContentError, MidtimeError, TornError, VerificationError
from midtime.model.restore_point import RestorePoint, StoreBackup
from midtime.model.topology import Topology
from midtime.model.window import Window
from midtime.model.words import counted
from midtime.stores import open_store
from midtime.stores.base import ComparesSettings, RestoredSet, Target
from midtime.stores.managed import ManagedStore
from midtime.verify.content import compare
from midtime.verify.facts import Bounds, TopologyFacts
from midtime.verify.judge import judge
from midtime.verify.records import FenceObservation
from midtime.verify.verdict import Outcome, Verdict

FILES_OF = "tables"
"""The detail of a backup made of files that names the tables."""
CONTAINERS_OF = "containers"
"""The same of a service that has containers."""
SHOWN = 20
"""Differences that a message spells out; the count is exact."""


@dataclass(frozen=True, slots=True)
class Verification:
    """Everything that was found out about a restored set."""

    verdict: Verdict | None
    """What the records say; None where ScalarDB's transaction manager leaves none."""
    differences: tuple[str, ...] = ()
    """Schema, counts, digests."""
    failed_checks: tuple[str, ...] = ()
    """The user's questions that got another answer."""
    tables: int = 0
    rows: int = 0
    checks: int = field(default=0)
    in_files: int = 0
    """Tables of which nothing was counted: that their files are as captured was seen when they were restored."""
    marked: int = 0
    """Tables of which nothing was counted: a service has restored them from its own history."""
    settings: tuple[str, ...] = ()
    """What of a service's settings is not as it was marked: it is no data, and people put it back."""
    later: tuple[str, ...] = ()
    """Stores that are verified once they are in place, and with them the records and the user's questions."""

    @property
    def good(self) -> bool:
        """Whether the set may be put in place."""
        return not self.differences and not self.failed_checks and (self.verdict is None or self.verdict.passed)

    def summary(self) -> str:
        """A few words for people."""
        if self.good:
            uncounted = self.in_files or self.marked
            parts = [f"{counted(self.tables, 'table')} and {counted(self.rows, 'row')} as captured"] if self.tables or not uncounted else []
            parts += [f"{counted(self.in_files, 'table')} whose files are as captured"] if self.in_files else []
            parts += [f"{counted(self.marked, 'table')} as the service's history has them"] if self.marked else []
            parts += [f"ScalarDB's records {self.verdict.summary()}"] if self.verdict else []
            parts += [f"{counted(self.checks, 'check')} passed"] if self.checks else []
            parts += [f"{counted(len(self.settings), 'setting')} not as marked (listed)"] if self.settings else []
            parts += (
                [f"{', '.join(self.later)} will be verified in place, and the whole set with it, before the products start"]
                if self.later
                else []
            )
            return "good: " + "; ".join(parts)
        parts = [*self.differences[:3], *self.failed_checks[:3]]
        if self.verdict and not self.verdict.passed:
            parts.append(self.verdict.summary())
        return "not good: " + "; ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """For reports and XCom."""
        return {
            "good": self.good,
            "summary": self.summary(),
            "differences": list(self.differences[:SHOWN]),
            "difference_count": len(self.differences),
            "failed_checks": list(self.failed_checks),
            "settings": list(self.settings[:SHOWN]),
            "tables": self.tables,
            "rows": self.rows,
            "tables_in_files": self.in_files,
            "tables_marked": self.marked,
            "records": self.verdict.to_dict() if self.verdict else None,
        }

    def error(self) -> VerificationError | None:
        """The error that a set like this deserves; None when it is good."""
        if self.good:
            return None
        if not self.differences and (self.verdict is None or self.verdict.passed):
            return ContentError(self.summary(), fix="see whether the check or the data is wrong, then restore or drill again")
        torn = self.verdict is not None and self.verdict.outcome is Outcome.TORN
        kind = TornError if torn else ContentError
        return kind(self.summary(), fix="do not use this set; drill an older restore point and find out what happened to this one")


def verify(topology: Topology, point: RestorePoint, targets: Iterable[Target]) -> Verification:
    """Read a restored set from end to end. Runs before any ScalarDB process touches it.

    :param targets: where the stores were restored to, under their working names
    :raises StoreError: a restored store does not answer
    """
    with ExitStack() as stack:
        sets: dict[str, RestoredSet] = {
            target.store: stack.enter_context(open_store(topology, target.store).restored(point.store(target.store), target))
            for target in targets
        }
        with ThreadPoolExecutor(len(sets), thread_name_prefix="content") as pool:
            found = pool.map(lambda each: _differences(point, *each), sets.items())
            differences = [f"{store}: {said}" for store, said_all in zip(sets, found, strict=True) for said in said_all]
        return Verification(
            verdict=_judge(topology, point, sets),
            differences=tuple(differences),
            failed_checks=tuple(_failed_checks(topology, sets)),
            tables=sum(len(backup.tables) for backup in point.stores),
            rows=sum(backup.rows for backup in point.stores),
            checks=len(topology.checks),
            in_files=sum(_in_files(topology, backup) for backup in point.stores if not _is_marked(topology, backup)),
            marked=sum(len(_marked(backup)) for backup in point.stores if _is_marked(topology, backup)),
            settings=tuple(_settings(sets)),
        )


def verify_beforehand(topology: Topology, point: RestorePoint, targets: Iterable[Target]) -> Verification:
    """Verify what can be before anything is placed: the whole set, or, where a store can only be read in place, the other stores' contents."""
    wanted = list(targets)
    later = tuple(target.store for target in wanted if open_store(topology, target.store).verified_in_place(target))
    if not later:
        return verify(topology, point, wanted)
    now = [target for target in wanted if target.store not in later]
    differences = []
    for target in now:
        with open_store(topology, target.store).restored(point.store(target.store), target) as restored:
            differences += [f"{target.store}: {said}" for said in _differences(point, target.store, restored)]
    parts = [point.store(target.store) for target in now]
    tables, rows = sum(len(part.tables) for part in parts), sum(part.rows for part in parts)
    return Verification(verdict=None, differences=tuple(differences), tables=tables, rows=rows, later=later)


def _differences(point: RestorePoint, store: str, restored: RestoredSet) -> list[str]:
    return [*map(str, compare(point.store(store).tables, restored.content())), *restored.schema_differences()]


def _settings(sets: Mapping[str, RestoredSet]) -> Iterator[str]:
    for store, restored in sets.items():
        if isinstance(restored, ComparesSettings):
            yield from (f"{store}: {said}" for said in restored.setting_differences())


def _in_files(topology: Topology, backup: StoreBackup) -> int:
    """The user's tables of a store whose backup are files: how many rows they have nobody knows."""
    if backup.tables:
        return 0
    ours = topology.all_namespaces(backup.store)
    return sum(table.partition(".")[0] in ours for table in backup.details.get(FILES_OF, ()))


def _marked(backup: StoreBackup) -> Collection[str]:
    """Tables, or what a service calls them."""
    found: Collection[str] = backup.details.get(CONTAINERS_OF) or backup.details.get(FILES_OF) or ()
    return found


def _is_marked(topology: Topology, backup: StoreBackup) -> bool:
    return isinstance(open_store(topology, backup.store), ManagedStore)


def _judge(topology: Topology, point: RestorePoint, sets: Mapping[str, RestoredSet]) -> Verdict | None:
    verdict = _of_records(topology, point, sets)
    loose = [f"{backup.store} was not quiesced: who writes to it was not paused" for backup in point.stores if not backup.quiesced]
    return replace(verdict, notes=(*verdict.notes, *loose)) if verdict else None


def _of_records(topology: Topology, point: RestorePoint, sets: Mapping[str, RestoredSet]) -> Verdict | None:
    fences = _fences(point, sets)
    if topology.scalardb.transaction_manager != "consensus-commit":
        return judge({}, [], _facts(topology), _bounds(point), fences, fenced=sets) if fences else None
    sources = {store: restored.records() for store, restored in sets.items()}
    coordinators = [coordinator for restored in sets.values() for coordinator in restored.coordinators()]
    return judge(sources, coordinators, _facts(topology), _bounds(point), fences)


def _fences(point: RestorePoint, sets: Mapping[str, RestoredSet]) -> list[FenceObservation]:
    """What was found of the rows that the backup wrote around its window."""
    written = {store: fence for store in sets if (fence := point.store(store).fence).get("before")}
    found = {store: sets[store].fences(str(point.evidence["id"]), fence["namespace"]) for store, fence in written.items()}
    return [FenceObservation(store, "before" in places, "after" in places) for store, places in found.items()]


def _bounds(point: RestorePoint) -> Bounds:
    """The pause window, or the one snapshot's instant; a point of a store's history is no snapshot: it can be missed."""
    if not (said := point.evidence.get("window")):
        instant = int(point.midtime.timestamp() * 1000)
        return Bounds(instant, instant if point.point_in_time else None)
    window = Window.from_dict(said)
    return Bounds(int(window.start.timestamp() * 1000), int(window.end.timestamp() * 1000))


def _facts(topology: Topology) -> TopologyFacts:
    said = topology.scalardb
    return TopologyFacts(
        one_phase_commit=said.one_phase_commit,
        purge=said.purge,
        coordinator_recreated=said.coordinator_recreated,
        copied_in=frozenset(said.copied_in),
        clock_bound_ms=int(said.clock_bound.total_seconds() * 1000),
        allow_unexplained=said.allow_unexplained,
    )


def _failed_checks(topology: Topology, sets: Mapping[str, RestoredSet]) -> Iterable[str]:
    for check in topology.checks:
        label = f"check {check.name or check.sql!r} of store {check.store}"
        try:
            found = sets[check.store].scalar(check.sql)
        except MidtimeError as error:
            yield f"{label} could not be asked: {error}"
            continue
        if not _same(found, check.expect):
            yield f"{label} gave {found!r}, expected {check.expect!r}"


def _same(found: Any, expected: Any) -> bool:
    """Drivers answer with Decimal or int where the file says 3 or "3"."""
    return bool(found == expected) or (found is not None and expected is not None and str(found) == str(expected))
