"""The mark of one managed store: the claim that its service can restore it to an instant, the window's or, of a single database, the run's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.errors import NotRestorableError, WindowVoidError
from midtime.model.instants import from_rfc3339, restore_point_id, to_rfc3339
from midtime.operators.base import TopologyOperator, run_name
from midtime.operators.capturing import StoreOperator
from midtime.stores import open_managed
from midtime.stores.base import Shelf
from midtime.window_clocks import choice_of

if TYPE_CHECKING:
    from airflow.sdk import Context


def _mark(
    task: StoreOperator, context: Context, midtime: datetime, instant: datetime, details: Mapping[str, Any], bearer: str = ""
) -> dict[str, Any]:
    """Mark, note the part.

    :param midtime: of the restore point
    :param instant: of the store
    :param details: what the part says beside what the store says
    :param bearer: who has to have the store's name yet
    :raises NotRestorableError: another one has it
    """
    run = run_name(context)
    point = restore_point_id(midtime, run)
    with task.catalog.leases.held(BACKUP_LEASE, run):
        task.catalog.begin(point)
        shelf = Shelf(task.catalog.folder(point), task.store)
        store = open_managed(task.topology, task.store)
        backup = store.mark(instant, shelf, task.progress)
        if bearer and (now := store.bearer()) != bearer:  # behind the mark: so that it cannot change hands in between
            raise NotRestorableError(
                f"store {task.store}: its name was {bearer}'s in the window, and is {now or 'nobody'}'s now: what was marked is not what was paused over",
                fix="let nobody switch over or rename while a backup runs; run the backup again",
            )
        task.catalog.add_part(point, backup.model_copy(update={"details": {**backup.details, **details}}))
    task.log.info("Marked %s at %s for restore point %s", task.store, to_rfc3339(instant), point)
    return {"restore_point": point, "store": task.store, "midtime": to_rfc3339(instant)}


class LoneMarkOperator(StoreOperator):
    """
    Mark a single database, without a pause: its service restores it to one instant of its own, at which no transaction is half done.

    Any instant that can be restored will do, so it is the run's own: the one at which it was due. A retry marks the same.

    :param store: the store's name in the topology
    :return: ``{restore_point, store, midtime}``
    """

    time_limit = TopologyOperator.time_limit

    def work(self, context: Context) -> dict[str, Any]:
        """Mark, note the part."""
        due: datetime = context["dag_run"].run_after
        instant = due.astimezone(UTC).replace(microsecond=0)  # what every service can be asked for
        return _mark(self, context, instant, instant, {})


class MarkOperator(StoreOperator):
    """
    Mark one managed store at its own instant of a window, and note its part of the restore point.

    Runs once the window has proven itself, outside any pause; idempotent, so it is retried as any other task. It does not wait until the
    service can restore to the instant: :class:`~midtime.operators.restorable.RestorableOperator` does.

    :param store: the store's name in the topology
    :param midtime: the instant of the restore point, RFC 3339 (templated)
    :param window: the window's evidence (templated), from which the store's instant on its own clock is reckoned again
    :return: ``{restore_point, store, midtime, window, capture}``, as of a capture
    """

    template_fields: Sequence[str] = ("midtime", "window")
    time_limit = TopologyOperator.time_limit

    def __init__(self, *, midtime: Any, window: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.midtime = midtime
        self.window = window

    def work(self, context: Context) -> dict[str, Any]:
        """Mark, note the part."""
        instant = self._instant()
        marked = _mark(self, context, from_rfc3339(self.midtime), instant, self._details(), self._bearer())
        return {**marked, "window": self.window["id"], "capture": self.window["id"]}

    def _instant(self) -> datetime:
        """On the store's clock. Coordinators' stores have theirs no later than the others', by the way in which they are chosen.

        :raises WindowVoidError: the window proves another midtime, or has no instant for this store
        :raises WindowError: it has none at all
        """
        choice = choice_of(self.window)
        if to_rfc3339(choice.midtime) != self.midtime or self.store not in choice.instants:
            raise WindowVoidError(
                f"window {self.window['id']} proves {to_rfc3339(choice.midtime)} for {', '.join(choice.instants) or 'no managed store'}, "
                f"not {self.midtime} for {self.store}",
                fix="start a new run",
            )
        return choice.instants[self.store]

    def _bearer(self) -> str:
        """Who had the store's name in the window; empty where names do not change hands, and of windows of old."""
        return next((str(said.get("bearer", "")) for said in self.window.get("clocks", ()) if said["store"] == self.store), "")

    def _details(self) -> Mapping[str, Any]:
        """What the part says beside what the store says: two tries of one window say the same."""
        return {
            "capture": self.window["id"],
            "quiesced": self.topology.quiesced(self.store),
            "fence": self.window.get("fences", {}).get(self.store, {}),
        }
