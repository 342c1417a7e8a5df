"""Restore of one store under its working name, and its way into place."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from midtime import products
from midtime.operators.base import TopologyOperator, run_name
from midtime.restoring import PRODUCTS_STOPPED, Plan
from midtime.stores import open_store
from midtime.stores.base import Shelf

if TYPE_CHECKING:
    from airflow.sdk import Context


class RestoreOperator(TopologyOperator):
    """
    Restore one store of a plan under its working name.

    Every artifact is fetched and compared with its SHA-256 before the first statement is run. Does not touch what is live; begun afresh
    when tried again.

    :param store: the store's name
    :param plan: what the planning task returned (templated)
    :return: ``{store, seconds, bytes}``
    """

    template_fields: Sequence[str] = ("plan",)
    time_limit = None

    def __init__(self, *, store: str, plan: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.store = store
        self.plan = plan

    def work(self, context: Context) -> dict[str, Any]:
        """Restore under the run's lease."""
        plan = Plan.from_dict(self.plan)
        backup = self.catalog.load(plan.restore_point).store(self.store)
        started = time.monotonic()
        with self.catalog.leases.held(plan.lease, run_name(context)):
            shelf = Shelf(self.catalog.folder(plan.restore_point), self.store)
            open_store(self.topology, self.store).restore(backup, shelf, plan.target(self.store), lambda line: self.log.info("%s", line))
        seconds = round(time.monotonic() - started, 3)
        self.log.info("Restored %s: %s bytes in %.1f s", self.store, f"{backup.size:,}", seconds)
        return {"store": self.store, "seconds": seconds, "bytes": backup.size}


class PlaceOperator(TopologyOperator):
    """
    Give every restored and verified store its final name, all of them or, where the first fails, none.

    In place, the products are stopped first (refused while any of them answers) and started afterwards. What is replaced is kept under
    another name. When tried again it goes on with what is not in place yet.

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
        """Stop, rename, start: what was stopped is started again, whatever happens between."""
        plan = Plan.from_dict(self.plan)
        with self.catalog.leases.held(plan.lease, run_name(context)) as lease:
            if not plan.replaces:
                self._rename(plan)
            else:
                # Written down first: should this process die, `release` or the sweeper starts the products.
                self.catalog.leases.acquire(lease.name, lease.holder, details={**lease.details, PRODUCTS_STOPPED: True})
                try:
                    products.stop_all(self.topology)
                    self._rename(plan)
                finally:
                    products.start_all(self.topology)
                self.catalog.leases.acquire(lease.name, lease.holder, details=lease.details)
        return {target.store: target.final for target in plan.targets}

    def _rename(self, plan: Plan) -> None:
        point = self.catalog.load(plan.restore_point)
        for target in plan.targets:
            open_store(self.topology, target.store).place(point.store(target.store), target)
            kept = f"; what was there, if anything, is kept as {target.aside}" if target.aside else ""
            self.log.info("%s is in place: %s%s", target.store, plan.will_be.get(target.store, target.final), kept)
