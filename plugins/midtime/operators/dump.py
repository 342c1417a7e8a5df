"""Capture and copy of one store, in one task: an exported snapshot dies with its session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.model.instants import restore_point_id, to_rfc3339
from midtime.operators.base import run_name
from midtime.operators.capturing import StoreOperator, WindowedCaptureOperator
from midtime.stores import open_copied
from midtime.stores.base import Shelf

if TYPE_CHECKING:
    from airflow.sdk import Context

    from midtime.stores.copied import Capture, CopiedStore


class DumpOperator(StoreOperator):
    """
    Dump one database in a single transaction, without a pause.

    Everything is read from one snapshot; its instant is the midtime. A try that fails removes what it wrote. The result is invisible
    until :class:`~midtime.operators.publish.PublishOperator` writes the manifest.

    :param store: the store's name in the topology
    :return: ``{restore_point, store, midtime}``
    """

    details: Mapping[str, Any] = {}
    """What the part says beside what the store says."""

    def work(self, context: Context) -> dict[str, Any]:
        """Capture, copy, note the part."""
        run = run_name(context)
        store = open_copied(self.topology, self.store)
        with self.catalog.leases.held(BACKUP_LEASE, run), store.capture() as capture:
            return self._copy(store, capture, restore_point_id(capture.midtime, run))

    def _copy(self, store: CopiedStore, capture: Capture, point: str) -> dict[str, str]:
        self.log.info("Captured %s at %s for restore point %s", self.store, to_rfc3339(capture.midtime), point)
        self.catalog.begin(point)
        try:
            backup = store.copy(capture, Shelf(self.catalog.folder(point), self.store), self.progress)
            self.catalog.add_part(point, backup.model_copy(update={"details": {**backup.details, **self.details}}))
        except BaseException:
            self._discard(point)
            raise
        self.log.info("Copied %s rows, %s bytes, in %.1f s", f"{backup.rows:,}", f"{backup.size:,}", backup.seconds)
        return {"restore_point": point, "store": self.store, "midtime": to_rfc3339(backup.midtime)}

    def _discard(self, point: str) -> None:
        self.catalog.discard_half_written(point)


class WindowedDumpOperator(WindowedCaptureOperator, DumpOperator):
    """
    The same inside a pause window: armed before it, captured in it, copied after it.

    Runs beside the pausing task and meets it through XCom. Never retried: a retry would be another window.

    :param pause: id of the pausing task
    :param after: ids of the capturing tasks that must have captured before: those of the Coordinators' stores
    :return: ``{restore_point, store, midtime, window, capture}``
    """

    def keep(self, context: Context, store: CopiedStore, capture: Capture, point: str) -> dict[str, str]:
        """Copy it."""
        return self._copy(store, capture, point)

    def _discard(self, point: str) -> None:
        """Nothing: other stores' artifacts may lie there, and the run's teardown removes all of it."""
