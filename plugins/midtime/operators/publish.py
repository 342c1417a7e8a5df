"""The last write of a backup: the manifest."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import midtime
from midtime.catalog import placings
from midtime.catalog.bases import look_at_artifacts
from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.errors import CatalogError, LeaseHeldError, RestorePointNotFoundError, WindowVoidError
from midtime.model.instants import from_rfc3339, restore_point_id, utc_now
from midtime.model.restore_point import LISTINGS, Origin, RestorePoint, StoreBackup
from midtime.model.topology import written
from midtime.operators.base import TopologyOperator, run_name
from midtime.proof import proven_midtime, require_parts

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context


class PublishOperator(TopologyOperator):
    """
    Make a finished backup a restore point, and tell whoever waits for one.

    Before the manifest is written every artifact is looked at once more, and the lease must still be this run's.

    :param captures: what the capturing and marking tasks returned (templated)
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
                self._require_settled()
                made = self._restore_point(point, context)
                if any(LISTINGS in part.details for part in made.stores):
                    look_at_artifacts(self.catalog, made)  # what lies in the pool is no artifact of its own
                self.catalog.publish(made)
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

    def _require_settled(self) -> None:
        with _spoilt():
            placings.require_settled(self.catalog)

    def _published(self, point: str, context: Context) -> bool:
        """Whether an earlier try of this task got as far as the manifest."""
        try:
            return self.catalog.load(point).origin.run_id == context["run_id"]
        except RestorePointNotFoundError:
            return False

    def _parts(self, point: str) -> tuple[StoreBackup, ...]:
        parts = self.catalog.parts(point, [store.name for store in self.topology.stores])
        if self.topology.needs_pause:
            require_parts(parts, list(self.captures))
        return parts

    def _evidence(self, parts: Sequence[StoreBackup]) -> dict[str, Any]:
        if self.window:
            return dict(self.window)
        return {"kind": "single transaction", "snapshots": {part.store: part.details.get("snapshot") for part in parts}}

    def _whole(self) -> bool:
        return True

    def _restore_point(self, point: str, context: Context) -> RestorePoint:
        parts = self._parts(point)
        return RestorePoint(
            id=point,
            topology=self.topology.name,
            topology_digest=self.topology.digest,
            midtime=from_rfc3339(self.midtime),
            started_at=context["dag_run"].start_date or utc_now(),
            finished_at=utc_now(),
            stores=parts,
            evidence=self._evidence(parts),
            whole=self._whole(),
            origin=Origin(
                midtime_version=midtime.__version__, dag_id=context["dag"].dag_id, run_id=context["run_id"], host=socket.gethostname()
            ),
            topology_file=written(self.topology),
        )


class PublishSnapshotOperator(PublishOperator):
    """
    Make snapshots that were taken without a pause a restore point; a whole one if the products were stopped, before and after each of them,
    and at one instant for all.

    Nobody is told of it: no drill could restore one that is not whole.

    :param captures: what the capturing tasks returned (templated)
    :param midtime: an instant before all of them, RFC 3339 (templated)
    :return: the restore point's id
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(asset=None, **kwargs)

    def _require_proof(self, point: str, captures: Sequence[Mapping[str, Any]], context: Context) -> None:
        if point != (named := restore_point_id(from_rfc3339(self.midtime), run_name(context))):
            raise CatalogError(f"the captures belong to {point}, not to {named}", fix="start a new run")
        self._require_one_instant()

    def _require_one_instant(self) -> None:
        """Between two looks that do not overlap the products may have run: no instant would be common to all stores.

        :raises WindowVoidError: some do not
        """
        asked = {capture["store"]: capture["stopped"] for capture in self.captures if capture["stopped"]}
        if not asked:
            return
        late = max(asked, key=lambda store: from_rfc3339(asked[store]["before"]))
        early = min(asked, key=lambda store: from_rfc3339(asked[store]["after"]))
        if from_rfc3339(asked[late]["before"]) > from_rfc3339(asked[early]["after"]):
            raise WindowVoidError(
                f"{late} was not begun before {early} was over: what wrote between them is in one, and not in the other",
                fix="start a new run with the products stopped all the while",
            )

    def _require_settled(self) -> None:
        """Nobody pauses for such snapshots, so a restore may have come and gone between two of them."""
        super()._require_settled()
        if self._whole():
            looks = [{look: from_rfc3339(at) for look, at in capture["stopped"].items()} for capture in self.captures]
            since, until = min(each["before"] for each in looks), max(each["after"] for each in looks)
            with _spoilt():
                placings.require_settled_between(self.catalog, since, until)

    def _parts(self, point: str) -> tuple[StoreBackup, ...]:
        captures = list(self.captures)
        parts = self.catalog.parts(point, [capture["store"] for capture in captures])
        require_parts(parts, captures)
        return parts

    def _evidence(self, parts: Sequence[StoreBackup]) -> dict[str, Any]:
        if self._whole():
            asked = {capture["store"]: capture["stopped"] for capture in self.captures}
            return {"kind": "snapshots while the products were stopped", "stopped": asked}
        return {"kind": "snapshots without a pause: of no common instant, only good to bring back one lost node"}

    def _whole(self) -> bool:
        captured = {capture["store"] for capture in self.captures if capture["stopped"]}
        return captured == {store.name for store in self.topology.stores}


@contextmanager
def _spoilt() -> Iterator[None]:
    """No second try can pass: by then the restore may be over, and what was captured is of its middle all the same."""
    try:
        yield
    except LeaseHeldError as error:
        raise CatalogError(f"stores were replaced during the backup: {error.message}", fix=error.fix) from error
