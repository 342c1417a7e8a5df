"""The mark of one managed store: the claim that its service can restore it to the instant that the window left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.errors import WindowVoidError
from midtime.model.instants import from_rfc3339, restore_point_id, to_rfc3339
from midtime.operators.base import TopologyOperator, run_name
from midtime.operators.capturing import StoreOperator
from midtime.stores import open_managed
from midtime.stores.base import Shelf
from midtime.window_clocks import choice_of

if TYPE_CHECKING:
    from airflow.sdk import Context


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
        run, instant = run_name(context), self._instant()
        point = restore_point_id(from_rfc3339(self.midtime), run)
        with self.catalog.leases.held(BACKUP_LEASE, run):
            self.catalog.begin(point)
            shelf = Shelf(self.catalog.folder(point), self.store)
            backup = open_managed(self.topology, self.store).mark(instant, shelf, self.progress)
            self.catalog.add_part(point, backup.model_copy(update={"details": {**backup.details, **self._details()}}))
        self.log.info("Marked %s at %s for restore point %s", self.store, to_rfc3339(instant), point)
        return {
            "restore_point": point,
            "store": self.store,
            "midtime": to_rfc3339(instant),
            "window": self.window["id"],
            "capture": self.window["id"],
        }

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

    def _details(self) -> Mapping[str, Any]:
        """What the part says beside what the store says: two tries of one window say the same."""
        return {
            "capture": self.window["id"],
            "quiesced": self.topology.quiesced(self.store),
            "fence": self.window.get("fences", {}).get(self.store, {}),
        }
