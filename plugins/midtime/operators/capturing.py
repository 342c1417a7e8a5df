"""What all captures of a window have in common: armed before it, captured in it, and kept only if it has proven itself."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.fencing import StoreFence, fenced
from midtime.model.instants import from_rfc3339, restore_point_id, to_rfc3339, utc_now
from midtime.operators.base import TopologyOperator, run_name
from midtime.operators.meeting import Guest, refuse_dags_test
from midtime.stores import open_copied
from midtime.windows import turn_held

if TYPE_CHECKING:
    from airflow.sdk import Context

    from midtime.stores.copied import Armed, Capture, CopiedStore


class StoreOperator(TopologyOperator):
    """
    Base of what captures or copies one store.

    :param store: the store's name in the topology
    """

    time_limit: ClassVar[timedelta | None] = None

    def __init__(self, *, store: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.store = store

    def progress(self, line: str) -> None:
        """Tell people how far it got."""
        self.log.info("%s", line)


class WindowedCaptureOperator(StoreOperator):
    """
    Capture one store inside a pause window.

    Runs beside the pausing task and meets it through XCom. Never retried: a retry would be another window.

    :param pause: id of the pausing task
    :param after: ids of the capturing tasks that must have captured before: those of the Coordinators' stores
    :return: ``{restore_point, store, midtime, window, capture}``
    """

    def __init__(self, *, pause: str = "pause", after: Sequence[str] = (), **kwargs: Any) -> None:
        kwargs.setdefault("retries", 0)
        super().__init__(**kwargs)
        self.pause, self.after = pause, after
        self.capture_id = ""
        self.details: Mapping[str, Any] = {}
        """What the part says beside what the store says."""

    def work(self, context: Context) -> dict[str, Any]:
        """Arm, wait, capture, report, and keep it once the window has proven itself."""
        refuse_dags_test()
        run = run_name(context)
        store = open_copied(self.topology, self.store)
        guest = Guest(context, self.pause)
        held = self.catalog.leases.held(BACKUP_LEASE, run)
        with held, turn_held(self.topology, run), fenced(store) as fence, self.arm(store, run) as armed:
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
            kept = self.keep(context, store, capture, restore_point_id(midtime, run))
            return {**kept, "window": window, "capture": self.capture_id}

    def arm(self, store: CopiedStore, run: str) -> AbstractContextManager[Armed]:
        """Get the store ready."""
        return store.arm()

    def keep(self, context: Context, store: CopiedStore, capture: Capture, point: str) -> dict[str, str]:
        """Make a proven capture part of a restore point.

        :return: ``{restore_point, store, midtime}``
        """
        raise NotImplementedError

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
