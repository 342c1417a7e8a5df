"""The last write of a backup: the manifest."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import midtime
from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.errors import CatalogError, RestorePointNotFoundError, WindowVoidError
from midtime.model.instants import from_rfc3339, restore_point_id, utc_now
from midtime.model.restore_point import Origin, RestorePoint
from midtime.model.topology import written
from midtime.operators.base import TopologyOperator, run_name
from midtime.proof import proven_midtime, require_parts

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context


class PublishOperator(TopologyOperator):
    """
    Make a finished backup a restore point, and tell whoever waits for one.

    Before the manifest is written every artifact is looked at once more, and the lease must still be this run's.

    :param captures: what the capturing tasks returned (templated)
    :param midtime: the instant, RFC 3339 (templated)
    :param window: the window's evidence (templated); None without a pause
    :param asset: gets an event with the restore point's id; None where the restore point is not restorable yet
    :return: the restore point's id
    """

    template_fields: Sequence[str] = ("captures", "midtime", "window")

    def __init__(self, *, captures: Any, midtime: Any, asset: Asset | None, window: Any = None, **kwargs: Any) -> None:
        super().__init__(outlets=[asset] if asset else [], **kwargs)
        self.captures = captures
        self.midtime = midtime
        self.window = window
        self.asset = asset

    def work(self, context: Context) -> str:
        """Check, publish, announce."""
        captures: list[Mapping[str, str]] = list(self.captures)
        ids = {capture["restore_point"] for capture in captures}
        if len(ids) != 1:
            raise CatalogError(f"the captures belong to different restore points: {sorted(ids)}", fix="start a new run")
        point = ids.pop()
        self._require_proof(point, captures, context)
        with self.catalog.leases.held(BACKUP_LEASE, run_name(context)):
            if not self._published(point, context):
                self.catalog.publish(self._restore_point(point, context))
        self.log.info("Published restore point %s", point)
        if self.asset:
            context["outlet_events"][self.asset].extra = {"topology": self.topology.name, "restore_point": point}
        return point

    def _require_proof(self, point: str, captures: Sequence[Mapping[str, Any]], context: Context) -> None:
        """Whatever came between: the instant is the one that the window proves, and the name is that instant's."""
        if not self.topology.needs_pause:
            return
        proven = proven_midtime(self.topology, captures, self.window)
        if proven != self.midtime or point != restore_point_id(from_rfc3339(proven), run_name(context)):
            raise WindowVoidError(f"the window proves {proven}, not {self.midtime} ({point})", fix="start a new run")

    def _published(self, point: str, context: Context) -> bool:
        """Whether an earlier try of this task got as far as the manifest."""
        try:
            return self.catalog.load(point).origin.run_id == context["run_id"]
        except RestorePointNotFoundError:
            return False

    def _restore_point(self, point: str, context: Context) -> RestorePoint:
        parts = self.catalog.parts(point, [store.name for store in self.topology.stores])
        if self.topology.needs_pause:
            require_parts(parts, list(self.captures))
        return RestorePoint(
            id=point,
            topology=self.topology.name,
            topology_digest=self.topology.digest,
            midtime=from_rfc3339(self.midtime),
            started_at=context["dag_run"].start_date or utc_now(),
            finished_at=utc_now(),
            stores=parts,
            evidence=self.window
            or {"kind": "single transaction", "snapshots": {part.store: part.details.get("snapshot") for part in parts}},
            origin=Origin(
                midtime_version=midtime.__version__, dag_id=context["dag"].dag_id, run_id=context["run_id"], host=socket.gethostname()
            ),
            topology_file=written(self.topology),
        )
