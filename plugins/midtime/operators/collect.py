"""A store's part of a restore point, made of what its nodes' uploads left at the destination."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.errors import WindowVoidError
from midtime.model.instants import from_rfc3339, utc_now
from midtime.operators.base import run_name
from midtime.operators.capturing import StoreOperator
from midtime.snapshots import COULD_NOT, clear_own, open_snapshot_store
from midtime.stores.base import Shelf

if TYPE_CHECKING:
    from airflow.sdk import Context

    from midtime.model.restore_point import StoreBackup


class CollectOperator(StoreOperator):
    """
    Note a store's part once all of its nodes are uploaded, then clear the snapshot on them.

    A node that does not answer by then does not fail the backup, which is whole without it: ``midtime__sweep`` clears it later.

    :param capture: what the capturing task returned (templated)
    :param taken: what it pushed as ``taken`` (templated)
    :param uploads: what the uploading tasks returned (templated)
    :return: ``{files, bytes, sent_bytes}`` of all nodes
    """

    template_fields: Sequence[str] = ("capture", "taken", "uploads")

    def __init__(self, *, capture: Any, taken: Any, uploads: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.capture = capture
        self.taken = taken
        self.uploads = uploads

    def work(self, context: Context) -> dict[str, int]:
        """Collect under the run's lease, then clear."""
        run, uploads = run_name(context), list(self.uploads)
        totals = {key: sum(each[key] for each in uploads) for key in ("files", "bytes", "sent_bytes")}
        with self.catalog.leases.held(BACKUP_LEASE, run):
            self.catalog.add_part(self.capture["restore_point"], self._part(totals["sent_bytes"]))
        self.log.info("Collected %s files of %s bytes, of which %s bytes were sent", *(f"{total:,}" for total in totals.values()))
        for line in clear_own(self.topology, self.catalog, run, tag=self.taken["tag"]):
            self.log.warning("%s", line) if line.startswith(COULD_NOT) else self.log.info("%s", line)
        return totals

    def _part(self, sent: int) -> StoreBackup:
        midtime = from_rfc3339(self.capture["midtime"])
        shelf = Shelf(self.catalog.folder(self.capture["restore_point"]), self.store)
        seconds = max((utc_now() - midtime).total_seconds(), 0.0)
        backup = open_snapshot_store(self.topology, self.store).collect(shelf, midtime, round(seconds, 3))
        known = {"capture": self.taken["capture"], "tag": backup.details["tag"]}
        if known != {"capture": self.capture["capture"], "tag": self.taken["tag"]}:
            raise WindowVoidError(f"{self.store}: what was uploaded is of another capture ({known})", fix="start a new run")
        return backup.model_copy(update={"details": {"sent_bytes": sent, **backup.details, **self.taken}})
