"""Capture and copy of one store, in one task: an exported snapshot dies with its session."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.fencing import StoreFence, fenced
from midtime.model.instants import from_rfc3339, restore_point_id, to_rfc3339, utc_now
from midtime.operators.base import TopologyOperator, run_name
from midtime.operators.meeting import Guest, refuse_dags_test
from midtime.stores import open_store
from midtime.stores.base import Shelf
from midtime.windows import turn_held

if TYPE_CHECKING:
    from airflow.sdk import Context

    from midtime.stores.base import Armed, Capture, CopiedStore


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
        self.details: dict[str, Any] = {}
        """What the part says beside what the store says."""

    def work(self, context: Context) -> dict[str, Any]:
        """Capture, copy, note the part."""
        run = run_name(context)
        store = open_store(self.topology, self.store)
        with self.catalog.leases.held(BACKUP_LEASE, run), store.capture() as capture:
            return self._copy(store, capture, restore_point_id(capture.midtime, run))

    def _copy(self, store: CopiedStore, capture: Capture, point: str) -> dict[str, Any]:
        self.log.info("Captured %s at %s for restore point %s", self.store, to_rfc3339(capture.midtime), point)
        self.catalog.begin(point)
        try:
            backup = store.copy(capture, Shelf(self.catalog.folder(point), self.store), self._progress)
            self.catalog.add_part(point, backup.model_copy(update={"details": {**backup.details, **self.details}}))
        except BaseException:
            self._discard(point)
            raise
        self.log.info("Copied %s rows, %s bytes, in %.1f s", f"{backup.rows:,}", f"{backup.size:,}", backup.seconds)
        return {"restore_point": point, "store": self.store, "midtime": to_rfc3339(backup.midtime)}

    def _discard(self, point: str) -> None:
        self.catalog.discard_half_written(point)

    def _progress(self, table: str) -> None:
        self.log.info("%s", table)


class WindowedDumpOperator(DumpOperator):
    """
    The same inside a pause window: armed before it, captured in it, copied after it.

    Runs beside the pausing task and meets it through XCom. Never retried: a retry would be another window.

    :param pause: id of the pausing task
    :param after: ids of the capturing tasks that must have captured before: those of the Coordinators' stores
    :return: ``{restore_point, store, midtime, window}``
    """

    def __init__(self, *, pause: str = "pause", after: Sequence[str] = (), **kwargs: Any) -> None:
        kwargs.setdefault("retries", 0)
        super().__init__(**kwargs)
        self.pause, self.after = pause, after
        self.capture_id = ""

    def work(self, context: Context) -> dict[str, Any]:
        """Arm, wait, capture, report, and copy once the window has proven itself."""
        refuse_dags_test()
        run = run_name(context)
        store = open_store(self.topology, self.store)
        guest = Guest(context, self.pause)
        held = self.catalog.leases.held(BACKUP_LEASE, run)
        with held, turn_held(self.topology, run), fenced(store) as fence, store.arm() as armed:
            fence.connect()
            self.log.info("Armed %s; waiting for the window", self.store)
            said = self.topology.pause
            window = guest.wait_open((said.arm + said.deadline).total_seconds(), armed.check)
            # Two tries of one task may live at once: what is published is the very capture that was reported.
            self.capture_id = uuid.uuid4().hex
            capture = self._capture(guest, window, armed, fence)
            midtime = from_rfc3339(guest.wait_closed(window))
            fence.write(window, "after")
            self.details = {"capture": self.capture_id, "quiesced": self.topology.quiesced(self.store), "fence": fence.to_dict()}
            return {**self._copy(store, capture, restore_point_id(midtime, run)), "window": window, "capture": self.capture_id}

    def _capture(self, guest: Guest, window: str, armed: Armed, fence: StoreFence) -> Capture:
        try:
            guest.wait_for(self.after, window)
            begun, started = utc_now(), time.monotonic()
            fence.write(window, "before")
            capture = armed.fix()
        except BaseException as error:
            with suppress(Exception):
                guest.failed(window, str(error))
            raise
        seconds = time.monotonic() - started
        guest.captured(
            window,
            capture=self.capture_id,
            store=self.store,
            begun=to_rfc3339(begun),
            seconds=round(seconds, 6),
            midtime=to_rfc3339(capture.midtime),
        )
        self.log.info("Captured %s in %.3f s", self.store, seconds)
        return capture

    def _discard(self, point: str) -> None:
        """Nothing: other stores' artifacts may lie there, and the run's teardown removes all of it."""
