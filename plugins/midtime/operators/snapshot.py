"""Capture of a store on its own nodes. Copying it is the work of other tasks, one for each node: the snapshot stays there meanwhile."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.catalog.snapshot_notes import SnapshotNotes
from midtime.model.instants import from_rfc3339, restore_point_id, to_rfc3339, utc_now
from midtime.operators.base import TopologyOperator, run_name
from midtime.operators.capturing import StoreOperator, WindowedCaptureOperator
from midtime.products import require_stopped
from midtime.snapshots import open_snapshot_store, wants_stopped
from midtime.stores.base import Shelf
from midtime.stores.copied import SnapshotStore
from midtime.stores.naming import snapshot_tag

if TYPE_CHECKING:
    from airflow.sdk import Context

    from midtime.stores.copied import Armed, Capture, CopiedStore

TAKEN = "taken"
"""XCom key of what the part is going to say of the capture. It is there for as long as the capture counts: a retry of what comes after
leaves it alone, a capture that is done again takes it away."""


class WindowedSnapshotOperator(WindowedCaptureOperator):
    """
    Take a snapshot on all nodes of a cluster at once, inside a pause window.

    Armed before it; proven after it: every node has every table, and neither the ring nor the schema has changed. Nothing is copied here:
    that is the work of :class:`~midtime.operators.upload.UploadOperator`, mapped over the nodes.

    :param pause: id of the pausing task
    :param after: ids of the capturing tasks that must have captured before: those of the Coordinators' stores
    :return: ``{restore_point, store, midtime, window, capture}``
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._tag = ""

    @contextmanager
    def arm(self, store: CopiedStore, run: str) -> Iterator[Armed]:
        """Note what is going to be there, then get ready."""
        with _armed(self, cast(SnapshotStore, store), run) as (self._tag, armed):
            yield armed

    def keep(self, context: Context, store: CopiedStore, capture: Capture, point: str) -> dict[str, str]:
        """Prove it, and tell the tasks that copy it."""
        return _keep(self, context, cast(SnapshotStore, store), capture, point, {**self.details, "tag": self._tag})


class SnapshotOperator(StoreOperator):
    """
    Take a snapshot on all nodes of a cluster without a pause. Never retried: a retry would be another snapshot.

    With the run's param ``stopped`` the products must be stopped, before and after it: then it is as good as in a window. Else the nodes
    are not of one instant, and what it makes is only good to bring back one lost node.

    :param midtime: an instant before all snapshots of the run, RFC 3339 (templated)
    :return: ``{restore_point, store, midtime, capture, stopped}``
    """

    template_fields: Sequence[str] = ("midtime",)

    def __init__(self, *, midtime: Any, **kwargs: Any) -> None:
        kwargs.setdefault("retries", 0)
        super().__init__(**kwargs)
        self.midtime = midtime

    def work(self, context: Context) -> dict[str, Any]:
        """Ask, take, prove, ask again."""
        run, stopped = run_name(context), wants_stopped(self.topology, context)
        store = open_snapshot_store(self.topology, self.store)
        with self.catalog.leases.held(BACKUP_LEASE, run), _armed(self, store, run) as (tag, armed):
            before = self._ask() if stopped else None
            capture = armed.fix()
            asked = {"before": before, "after": self._ask()} if stopped else None
            details = {"capture": uuid.uuid4().hex, "quiesced": stopped, "tag": tag}
            kept = _keep(self, context, store, capture, restore_point_id(from_rfc3339(self.midtime), run), details)
            return {**kept, "capture": details["capture"], "stopped": asked}

    def _ask(self) -> str:
        for line in require_stopped(self.topology):
            self.log.info("%s", line)
        return to_rfc3339(utc_now())


@contextmanager
def _armed(operator: StoreOperator, store: SnapshotStore, run: str) -> Iterator[tuple[str, Armed]]:
    """A store that is ready to take a snapshot, noted before anything could take it; and the snapshot's name."""
    tag = snapshot_tag(operator.topology.name, store.name, run)
    SnapshotNotes(operator.catalog).add(store.name, tag, run)
    with store.arm(tag) as armed:
        yield tag, armed


def _keep(
    operator: TopologyOperator, context: Context, store: SnapshotStore, capture: Capture, point: str, details: Mapping[str, Any]
) -> dict[str, str]:
    operator.log.info("Took snapshot %s for restore point %s", details["tag"], point)
    operator.catalog.begin(point)
    shelf = Shelf(operator.catalog.folder(point), store.name)
    store.prove(capture, shelf)
    operator.log.info("Proven on every node")
    context["ti"].xcom_push(key=TAKEN, value=dict(details))
    return {"restore_point": point, "store": store.name, "midtime": to_rfc3339(capture.midtime)}
