"""Copy of one node's snapshot: mapped over the nodes, so that the executor's workers share the work."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.operators.base import run_name
from midtime.operators.capturing import StoreOperator
from midtime.snapshots import open_snapshot_store
from midtime.stores.base import Shelf

if TYPE_CHECKING:
    from airflow.sdk import Context


class NodesOperator(StoreOperator):
    """
    Say which nodes a proven snapshot has; the uploads are mapped over them. Airflow maps over nothing but a task's return value.

    :param capture: what the capturing task returned (templated)
    :return: their labels
    """

    template_fields: Sequence[str] = ("capture",)

    def __init__(self, *, capture: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.capture = capture

    def work(self, context: Context) -> list[str]:
        """Read it from the destination."""
        shelf = Shelf(self.catalog.folder(self.capture["restore_point"]), self.store)
        with self.catalog.leases.held(BACKUP_LEASE, run_name(context)):
            return open_snapshot_store(self.topology, self.store).labels(shelf)


class UploadOperator(StoreOperator):
    """
    Copy one node's snapshot to the destination, after the window.

    What lies there already, of an earlier backup or of an earlier try, is not sent again.

    :param node: the node's label, as :class:`NodesOperator` says it
    :param capture: what the capturing task returned (templated)
    :return: ``{node, files, bytes, sent_files, sent_bytes, seconds}``
    """

    template_fields: Sequence[str] = ("capture",)

    def __init__(self, *, node: str, capture: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.node = node
        self.capture = capture

    def work(self, context: Context) -> dict[str, Any]:
        """Copy under the run's lease."""
        started = time.monotonic()
        shelf = Shelf(self.catalog.folder(self.capture["restore_point"]), self.store)
        with self.catalog.leases.held(BACKUP_LEASE, run_name(context)):
            done = open_snapshot_store(self.topology, self.store).upload(self.node, shelf, self.progress)
        seconds = round(time.monotonic() - started, 3)
        self.log.info("Sent %s of %s bytes of %s in %.1f s", f"{done['sent_bytes']:,}", f"{done['bytes']:,}", self.node, seconds)
        return {"node": self.node, **done, "seconds": seconds}
