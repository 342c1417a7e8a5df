"""The wait until what keeps the stores' history has reached the midtime. Outside the window, and without a worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from midtime.errors import MidtimeError, NotRestorableError, StoreError
from midtime.model.durations import format_duration, parse_duration
from midtime.model.instants import utc_now
from midtime.model.restore_point import State, StoreBackup
from midtime.operators.base import TopologyOperator
from midtime.stores import open_store
from midtime.stores.base import PointInTimeStore, Restorable

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context

    from midtime.model.restore_point import RestorePoint

PATIENCE = parse_duration("1h")
"""For archives of one's own; managed services have `restorable_timeout`."""
SOONEST, LATEST = timedelta(seconds=5), timedelta(minutes=1)
"""From one look to the next: it grows with the time that has passed."""


class RestorableOperator(TopologyOperator):
    """
    Wait until every store of a restore point can be restored to its midtime; then make it RESTORABLE, and tell whoever waits for one.

    Looks from a worker, where the connections are, and defers between two looks. A restore point that never gets so far stays MARKED:
    nothing restores or drills it.

    :param restore_point: what the publishing task returned (templated)
    :param asset: gets an event with the restore point's id
    :return: ``{store: what its history reaches}``
    """

    template_fields: Sequence[str] = ("restore_point",)

    def __init__(self, *, restore_point: Any, asset: Asset, **kwargs: Any) -> None:
        super().__init__(outlets=[asset], **kwargs)
        self.restore_point = restore_point
        self.asset = asset
        self._passed: Mapping[str, Sequence[str]] = {}

    def work(self, context: Context) -> dict[str, str]:
        """Look at every store once; defer, give up, or say that it is restorable."""
        point = self._marked()
        try:
            return self._found(point, context)
        except MidtimeError as error:
            if not error.retryable:
                self.catalog.wait_ended(point.id, error.message)  # for who sees only the listing
            raise

    def _found(self, point: RestorePoint, context: Context) -> dict[str, str]:
        found = self._look(point)
        for store, said in found.items():
            self.log.info("%s %s: %s", store, "is restorable" if said.ready else "is not restorable yet", said.detail)
        if missing := {store: said.detail for store, said in found.items() if not said.ready}:
            self._wait(point, missing, {store: said.passed for store, said in found.items() if said.passed})
        details = {store: said.detail for store, said in found.items()}
        self.catalog.make_restorable(point.id, _listed(details))
        context["outlet_events"][self.asset].extra = {"topology": self.topology.name, "restore_point": point.id}
        return details

    def resume(self, context: Context, event: Any = None, passed: Mapping[str, Sequence[str]] | None = None) -> Any:
        """After a deferral: look again.

        :param passed: by store, what need not be asked again
        """
        self._passed = passed or {}
        return self.execute(context)

    def _marked(self) -> RestorePoint:
        entry = self.catalog.entry(self.restore_point)
        if entry is None or entry.restore_point is None or entry.state in (State.INVALID, State.EXPIRED):
            why = f"is {entry.state}: {entry.reason}" if entry else "is gone"
            raise NotRestorableError(f"restore point {self.restore_point} {why}", fix="run the backup again")
        return entry.restore_point

    def _waiting(self, point: RestorePoint) -> Iterator[StoreBackup]:
        """By what was backed up: the topology may have changed since, and then nobody can tell."""
        known = {store.name: store for store in self.topology.stores}
        for backup in point.stores:
            if backup.method != "pitr":
                continue
            if backup.store not in known or not known[backup.store].point_in_time:
                raise NotRestorableError(
                    f"store {backup.store} of restore point {point.id} is no point-in-time store of {self.topology.name} any more",
                    fix="put it back into the topology file, or leave this restore point to retention",
                )
            yield backup

    def _look(self, point: RestorePoint) -> dict[str, Restorable]:
        """What every store says, also where one of them fails: whoever mends it shall know all of it.

        :raises MidtimeError: it cannot be restored, or we may not ask
        """
        found, failed = {}, {}
        for backup in self._waiting(point):
            try:
                found[backup.store] = self._ask(backup)
            except MidtimeError as error:
                failed[backup.store] = error
        if failed:
            first = next(iter(failed.values()))
            raise type(first)(_listed({store: error.message for store, error in failed.items()}), fix=first.fix) from first
        return found

    def _ask(self, backup: StoreBackup) -> Restorable:
        """What passes when it is asked again is no answer yet: a wait of an hour outlives a service that is away for a minute."""
        passed = tuple(self._passed.get(backup.store, ()))
        try:
            return cast(PointInTimeStore, open_store(self.topology, backup.store)).restorable(backup, passed)
        except StoreError as error:
            if not error.retryable:
                raise
            return Restorable(False, f"it does not say: {error.message}", passed)

    def _wait(self, point: RestorePoint, missing: Mapping[str, str], passed: Mapping[str, Sequence[str]]) -> None:
        """Look again later.

        :raises NotRestorableError: a store's time is over
        """
        waited = utc_now() - point.finished_at
        if late := {store: detail for store, detail in missing.items() if waited > self._patience(store)}:
            raise NotRestorableError(
                f"{_listed(late)}, {_spoken(waited)} after restore point {point.id} was published; waited for are "
                f"{', '.join(f'{_spoken(self._patience(store))} ({store})' for store in late)}",
                fix="see why the archive or service lags, then clear this task; the restore point stays MARKED until then",
            )
        from midtime.triggers.look_again import LookAgainTrigger

        again, longest = next_look(point.finished_at, utc_now()), max(map(self._patience, missing))
        self.log.info(
            "Waited %s since restore point %s was published, of %s at most; looked at again in %d s",
            _spoken(waited), point.id, _spoken(longest), again.total_seconds(),
        )  # fmt: skip
        known = {"passed": {store: list(names) for store, names in passed.items()}}
        self.defer(trigger=LookAgainTrigger.after(again), method_name="resume", kwargs=known)

    def _patience(self, store: str) -> timedelta:
        said: timedelta = getattr(self.topology.store(store), "restorable_timeout", PATIENCE)
        return said


def next_look(published: datetime, now: datetime) -> timedelta:
    """How long to wait before the next look: soon at first, once a minute in the end."""
    return min(LATEST, max(SOONEST, (now - published) / 4))


def _listed(details: Mapping[str, str]) -> str:
    return "; ".join(f"{store}: {detail}" for store, detail in details.items())


def _spoken(length: timedelta) -> str:
    return format_duration(timedelta(seconds=int(length.total_seconds())))
