"""Capture and copy of one store, in one task: an exported snapshot dies with its session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.model.instants import restore_point_id, to_rfc3339
from midtime.operators.base import TopologyOperator, run_name
from midtime.stores import open_store
from midtime.stores.base import Shelf

if TYPE_CHECKING:
    from airflow.sdk import Context


class DumpOperator(TopologyOperator):
    """
    Dump one database in a single transaction, without a pause.

    Everything is read from one snapshot; its instant is the midtime. A try that fails removes what it wrote. The result is invisible
    until :class:`~midtime.operators.publish.PublishOperator` writes the manifest.

    :param store: the store's name in the topology
    :return: ``{restore_point, store, midtime}``
    """

    time_limit = None

    def __init__(self, *, store: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.store = store

    def work(self, context: Context) -> dict[str, str]:
        """Capture, copy, note the part."""
        run = run_name(context)
        store = open_store(self.topology, self.store)
        with self.catalog.leases.held(BACKUP_LEASE, run), store.capture() as capture:
            point = restore_point_id(capture.midtime, run)
            self.log.info("Captured %s at %s for restore point %s", self.store, to_rfc3339(capture.midtime), point)
            self.catalog.begin(point)
            try:
                backup = store.copy(capture, Shelf(self.catalog.folder(point), self.store), self._progress)
                self.catalog.add_part(point, backup)
            except BaseException:
                self.catalog.discard_half_written(point)
                raise
        self.log.info("Copied %s rows, %s bytes, in %.1f s", f"{backup.rows:,}", f"{backup.size:,}", backup.seconds)
        return {"restore_point": point, "store": self.store, "midtime": to_rfc3339(backup.midtime)}

    def _progress(self, table: str) -> None:
        self.log.info("%s", table)
