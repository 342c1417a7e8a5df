"""Restore of one store under its working name, and its way into place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from midtime.model.instants import from_rfc3339, to_rfc3339, utc_now
from midtime.operators.base import TopologyOperator, run_name
from midtime.placing import Placing
from midtime.restoring import Plan
from midtime.stores import open_store
from midtime.stores.base import Shelf, Waiting

if TYPE_CHECKING:
    from airflow.sdk import Context


class RestoreOperator(TopologyOperator):
    """
    Restore one store of a plan under its working name.

    Every artifact is fetched and compared with its SHA-256 before the first statement is run. Does not touch what is live; begun afresh
    when tried again. Where a service does the work it is looked at from time to time, and the task deferred in between: it holds no worker.

    :param store: the store's name (templated)
    :param plan: what the planning task returned (templated)
    :return: ``{store, seconds, bytes}``
    """

    template_fields: Sequence[str] = ("plan", "store")
    time_limit = None

    def __init__(self, *, store: str, plan: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.store = store
        self.plan = plan

    def work(self, context: Context, began: datetime | None = None) -> dict[str, Any]:
        """Restore under the run's lease.

        :param began: when the first look was, if this is not the first
        """
        plan = Plan.from_dict(self.plan)
        backup = self.catalog.load(plan.restore_point).store(self.store)
        began = began or utc_now()
        with self.catalog.leases.held(plan.lease, run_name(context)):
            shelf = Shelf(self.catalog.folder(plan.restore_point), self.store)
            store = open_store(self.topology, self.store)
            waiting = store.restore(backup, shelf, plan.target(self.store), lambda line: self.log.info("%s", line))
        if waiting:
            self._wait(waiting, began)
        seconds = round((utc_now() - began).total_seconds(), 3)
        self.log.info("Restored %s in %.1f s, from %s bytes at the destination", self.store, seconds, f"{backup.size:,}")
        return {"store": self.store, "seconds": seconds, "bytes": backup.size}

    def resume(self, context: Context, event: Any = None, *, began: str) -> Any:
        """After a deferral: look again."""
        return self.guarded(self.work, context, from_rfc3339(began))

    def _wait(self, waiting: Waiting, began: datetime) -> NoReturn:
        from midtime.triggers.look_again import LookAgainTrigger

        self.log.info("%s; looked at again in %d s", waiting.detail, waiting.look_again.total_seconds())
        self.defer(trigger=LookAgainTrigger.after(waiting.look_again), method_name="resume", kwargs={"began": to_rfc3339(began)})


class PlaceOperator(TopologyOperator):
    """
    Give every restored and verified store its final name: all of them, or none.

    In place, the products are stopped first (refused while any of them answers) and started afterwards. What is replaced is kept under
    another name. Where one store cannot be placed, those that are go back, and the products run on the former data. Killed, it goes on when
    it is tried again; where it is not, ``release`` or ``midtime__sweep`` puts back what is not complete.

    :param plan: what the planning task returned (templated)
    :return: ``{store: final name}``
    """

    template_fields: Sequence[str] = ("plan",)
    ui_color = "#fde0dc"
    time_limit = None

    def __init__(self, *, plan: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan = plan

    def work(self, context: Context) -> Mapping[str, str]:
        """Place under the run's lease."""
        plan = Plan.from_dict(self.plan)
        with self.catalog.leases.held(plan.lease, run_name(context)) as lease:
            Placing(self.topology, self.catalog, lease, lambda line: self.log.info("%s", line)).place()
        return {target.store: target.final for target in plan.targets}
