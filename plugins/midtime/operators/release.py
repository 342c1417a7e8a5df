"""Teardowns: whatever happened, the lease is given back and nothing half-made stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midtime import products
from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.model.instants import run_suffix
from midtime.operators.base import TopologyOperator, run_name
from midtime.restoring import PRODUCTS_STOPPED
from midtime.stores import open_store
from midtime.stores.base import Target
from midtime.windows import give_turn_back

if TYPE_CHECKING:
    from airflow.sdk import Context


class ReleaseBackupOperator(TopologyOperator):
    """Remove what this run left half-written, if anything, and give the backup lease back. A teardown; idempotent."""

    def work(self, context: Context) -> None:
        """Remove first, release then: nobody else may write meanwhile."""
        run = run_name(context)
        if self.topology.needs_pause:
            give_turn_back(self.topology, run)
        lease = self.catalog.leases.current(BACKUP_LEASE)
        if lease is None or lease.holder != run:
            return
        for point in self.catalog.half_written(suffix=run_suffix(run)):
            self.log.warning("Removing %s: this run did not finish it", point)
            self.catalog.discard_half_written(point)
        self.catalog.leases.release(BACKUP_LEASE, run)


class ReleaseRestoreOperator(TopologyOperator):
    """
    Drop the working copies that this restore or drill made and did not put in place, and give its lease back. A teardown; idempotent.

    Where it cannot run (the worker's machine is gone), ``midtime__sweep`` does the same once the lease has expired.

    :param kind: ``restore`` or ``drill``
    """

    def __init__(self, *, kind: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind

    def work(self, context: Context) -> None:
        """Drop what the lease names."""
        run = run_name(context)
        name = f"{self.kind}-{run_suffix(run)}"
        lease = self.catalog.leases.current(name)
        if lease is None or lease.holder != run or lease.released:
            return
        if lease.details.get(PRODUCTS_STOPPED):
            self.log.warning("This run stopped the products and did not start them again: starting them")
            products.start_all(self.topology)
        for body in lease.details["targets"]:
            target = Target.from_dict(body)
            open_store(self.topology, target.store).discard(target)
            self.log.info("Nothing of %s is left under its working name %s", target.store, target.working)
        self.catalog.leases.release(name, run)
