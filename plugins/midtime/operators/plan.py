"""The first task of a restore or a drill: resolve, check, reserve."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException, AirflowTaskTimeout

from midtime.catalog.bases import look_at_artifacts
from midtime.errors import ManifestError, RestorePointNotFoundError
from midtime.model.restore_point import RestorePoint
from midtime.node_restoring import NodeRequest, make_node_plan
from midtime.operators.base import TopologyOperator, run_name
from midtime.preflight import require, restore_checks
from midtime.products import require_stoppable
from midtime.restoring import ATTEMPT, Attempt, Plan, RestoreRequest, make_plan, reserve
from midtime.stores.base import WILL_BE

if TYPE_CHECKING:
    from airflow.sdk import Context

SKIPPED = "skipped"
"""XCom key of the reason for which a backfilled drill was skipped."""


class PlanRestoreOperator(TopologyOperator):
    """
    Decide what a restore will do, and find out whether it can, before anything is touched.

    :return: the plan, see :class:`midtime.restoring.Plan`
    """

    kind = "restore"

    def work(self, context: Context) -> dict[str, Any]:
        """Plan what the run's conf asks for."""
        return self.plan(context, Attempt())

    def plan(self, context: Context, attempt: Attempt) -> dict[str, Any]:
        """Read the request, choose the restore point, name the targets, ask every target, take the lease."""
        request = RestoreRequest.parse(self._conf(context), self.topology, kind=self.kind)
        point = self.choose(request, context, attempt)
        attempt.restore_point, attempt.midtime = point.id, point.midtime
        look_at_artifacts(self.catalog, point)
        plan = make_plan(self.topology, request, point, kind=self.kind, run=run_name(context))
        plan = replace(plan, started_at=attempt.started_at, as_of=attempt.as_of)
        try:
            return self.reserved(plan, point, context)
        except RestorePointNotFoundError as error:
            self.log.warning("Choosing again: %s", error)  # one that was asked for by its id is refused by that
            return self.plan(context, attempt)

    def reserved(self, plan: Plan, point: RestorePoint, context: Context) -> dict[str, Any]:
        """Ask every target, take the lease.

        :raises RestorePointNotFoundError: retention was faster
        """
        answers = require(restore_checks(self.topology, point, {target.store: target for target in plan.targets}))
        for check in answers:
            self.log.info("%s %s: %s", check.subject, check.question, check.detail)
        plan = replace(plan, will_be={check.subject: check.detail for check in answers if check.question == WILL_BE})
        if plan.replaces:
            require_stoppable(self.topology)
        reserve(self.catalog, plan, run_name(context))
        self.log.info("%s", plan.summary())
        return plan.to_dict()

    def choose(self, request: RestoreRequest, context: Context, attempt: Attempt) -> RestorePoint:
        """The restore point that was asked for."""
        return self.catalog.resolve(request.restore_point)

    def _conf(self, context: Context) -> dict[str, Any]:
        # A key that no param declares is not in `params`, and must not be ignored: it may be a misspelt in_place.
        return {**context["params"], **(context["dag_run"].conf or {})}


class PlanNodeOperator(PlanRestoreOperator):
    """
    Decide how one lost node comes back, and find out whether it can, before anything is touched.

    :return: the plan, see :class:`midtime.restoring.Plan`; its one target is the node
    """

    def work(self, context: Context) -> dict[str, Any]:
        """Read the request, choose the restore point, ask the node and its neighbours, take the lease."""
        request = NodeRequest.parse(self._conf(context), self.topology)
        store = request.store_of(self.topology)
        point = self.catalog.resolve_for_node(request.restore_point, store)
        point.store(store)
        look_at_artifacts(self.catalog, point)
        return self.reserved(make_node_plan(self.topology, request, point, run=run_name(context)), point, context)


class PlanDrillOperator(PlanRestoreOperator):
    """
    Decide what a drill will do.

    The restore point is the one of the run's conf; else that of the backup whose event started the run; else, in a backfill, the newest
    one at the run's logical date (without one the run is skipped); else the newest one.

    :return: the plan, see :class:`midtime.restoring.Plan`
    """

    kind = "drill"

    def work(self, context: Context) -> dict[str, Any]:
        """Plan; where that fails, leave behind for the report which restore point was meant, and why it cannot be drilled."""
        attempt = Attempt(as_of=_backfilled_date(context))
        try:
            return self.plan(context, attempt)
        except (Exception, AirflowTaskTimeout) as error:
            if attempt.restore_point:
                context["ti"].xcom_push(key=ATTEMPT, value=attempt.to_dict() | {"reason": str(error)})
            raise

    def choose(self, request: RestoreRequest, context: Context, attempt: Attempt) -> RestorePoint:
        """Choose by what started the run."""
        named = request.restore_point if request.restore_point != "latest" else _announced(context)
        if named is None:
            return self._newest(context, attempt)
        try:
            point = self.catalog.resolve(named)
        except ManifestError:
            attempt.restore_point = named  # it is there; a misspelling leaves no report
            raise
        if attempt.as_of and attempt.as_of < point.finished_at:
            attempt.as_of = None  # it did not exist then, so it says nothing about that date
        return point

    def _newest(self, context: Context, attempt: Attempt) -> RestorePoint:
        if attempt.as_of is None:
            return self.catalog.resolve("latest")
        try:
            return self.catalog.resolve("latest", at=attempt.as_of)
        except RestorePointNotFoundError as error:
            context["ti"].xcom_push(key=SKIPPED, value=str(error))  # beside the log, which the UI shows only on demand
            self.log.warning("Skipped: %s", error)
            raise AirflowSkipException(str(error)) from error


def _announced(context: Context) -> str | None:
    events = [event for each in (context.get("triggering_asset_events") or {}).values() for event in each]
    points = [event.extra["restore_point"] for event in events if event.extra and "restore_point" in event.extra]
    return max(points, default=None)  # ids sort by their instant


def _backfilled_date(context: Context) -> datetime | None:
    run = context["dag_run"]
    return run.logical_date if run.run_type == "backfill" else None  # an enum that is a str as well
