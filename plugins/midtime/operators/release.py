"""Teardowns: whatever happened, the lease is given back and nothing half-made stays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.model.instants import run_suffix
from midtime.operators.base import TopologyOperator, run_name
from midtime.placing import Placing
from midtime.snapshots import clear_own
from midtime.stores import open_store
from midtime.stores.base import Target
from midtime.windows import give_turn_back

if TYPE_CHECKING:
    from airflow.sdk import Context


class ReleaseBackupOperator(TopologyOperator):
    """
    Remove what this run left half-written, and on nodes, if anything, and give the backup lease back. A teardown; idempotent.

    A node that does not answer keeps its snapshot until ``midtime__sweep`` reaches it.
    """

    def work(self, context: Context) -> None:
        """Remove first, release then: nobody else may write meanwhile."""
        run = run_name(context)
        if self.topology.needs_pause:
            give_turn_back(self.topology, run)
        lease = self.catalog.leases.current(BACKUP_LEASE)
        if lease is None or lease.holder != run:
            return
        for line in clear_own(self.topology, self.catalog, run):
            self.log.warning("%s", line)
        for point in self.catalog.half_written(suffix=run_suffix(run)):
            self.log.warning("Removing %s: this run did not finish it", point)
            self.catalog.discard_half_written(point)
        self.catalog.leases.release(BACKUP_LEASE, run)


class ReleaseRestoreOperator(TopologyOperator):
    """
    End a restore or a drill: put back what was placed of a set that is not all in place, start products that were stopped, drop the working
    copies, give the lease back. A teardown; idempotent.

    What could not be put back keeps its working copies and the lease, and fails this task: ``midtime__sweep`` tries again. It does the same
    where this cannot run (the worker's machine is gone), once the lease has expired.

    :param kind: ``restore``, ``restore_node`` or ``drill``
    """

    def __init__(self, *, kind: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind

    def work(self, context: Context) -> None:
        """Settle, drop what the lease names, give it back."""
        run = run_name(context)
        name = f"{self.kind}-{run_suffix(run)}"
        found = self.catalog.leases.current(name)
        if found is None or found.holder != run or found.released:
            return
        with self.catalog.leases.held(name, run) as lease:
            placing = Placing(self.topology, self.catalog, lease, lambda line: self.log.warning("%s", line))
            try:
                placing.settle()
            finally:
                if placing.settled:
                    self._discard(placing.targets.values())
        self.catalog.leases.release(name, run)

    def _discard(self, targets: Iterable[Target]) -> None:
        for target in targets:
            open_store(self.topology, target.store).discard(target)
            self.log.info("Nothing of %s is left under its working name %s", target.store, target.working)
