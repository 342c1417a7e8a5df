"""The first task of a restore or a drill: resolve, check, reserve."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from midtime.errors import RestorePointNotFoundError
from midtime.model.restore_point import RestorePoint
from midtime.operators.base import TopologyOperator, run_name
from midtime.preflight import require, restore_checks
from midtime.products import require_stoppable
from midtime.restoring import RestoreRequest, look_at_artifacts, make_plan, reserve

if TYPE_CHECKING:
    from airflow.sdk import Context


class PlanRestoreOperator(TopologyOperator):
    """
    Decide what a restore will do, and find out whether it can, before anything is touched.

    :return: the plan, see :class:`midtime.restoring.Plan`
    """

    kind = "restore"

    def work(self, context: Context) -> dict[str, Any]:
        """Read the request, choose the restore point, name the targets, ask every target, take the lease."""
        request = RestoreRequest.parse(self._conf(context), self.topology, kind=self.kind)
        point = self.choose(request, context)
        look_at_artifacts(self.catalog, point)
        run = run_name(context)
        plan = make_plan(self.topology, request, point, kind=self.kind, run=run)
        for check in require(restore_checks(self.topology, point, {target.store: target for target in plan.targets})):
            self.log.info("%s %s: %s", check.subject, check.question, check.detail)
        if plan.replaces:
            require_stoppable(self.topology)
        reserve(self.catalog, plan, run)
        self.log.info("%s", plan.summary())
        return plan.to_dict()

    def choose(self, request: RestoreRequest, context: Context) -> RestorePoint:
        """The restore point that was asked for."""
        return self.catalog.resolve(request.restore_point)

    def _conf(self, context: Context) -> dict[str, Any]:
        # A key that no param declares is not in `params`, and must not be ignored: it may be a misspelt in_place.
        return {**context["params"], **(context["dag_run"].conf or {})}


class PlanDrillOperator(PlanRestoreOperator):
    """
    Decide what a drill will do.

    The restore point is the one of the run's conf; else that of the backup whose event started the run; else, in a backfill, the newest
    one at the run's logical date (without one the run is skipped); else the newest one.

    :return: the plan, see :class:`midtime.restoring.Plan`
    """

    kind = "drill"

    def choose(self, request: RestoreRequest, context: Context) -> RestorePoint:
        """Choose by what started the run."""
        if request.restore_point != "latest":
            return self.catalog.resolve(request.restore_point)
        if announced := _announced(context):
            return self.catalog.resolve(announced)
        at = _backfilled_date(context)
        try:
            return self.catalog.resolve("latest", at=at)
        except RestorePointNotFoundError as error:
            if at is None:
                raise
            raise AirflowSkipException(str(error)) from error


def _announced(context: Context) -> str | None:
    events = [event for each in (context.get("triggering_asset_events") or {}).values() for event in each]
    points = [event.extra["restore_point"] for event in events if event.extra and "restore_point" in event.extra]
    return max(points, default=None)  # ids sort by their instant


def _backfilled_date(context: Context) -> datetime | None:
    run = context["dag_run"]
    return run.logical_date if str(run.run_type) in ("backfill", "DagRunType.BACKFILL_JOB") else None
