"""The proof: verification of a restored set, and the report of a drill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from midtime.catalog import drill_reports
from midtime.errors import RequestError, VerificationError
from midtime.model.instants import from_rfc3339, to_rfc3339, utc_now
from midtime.model.restore_point import DrillReport
from midtime.operators.base import TopologyOperator, run_name
from midtime.restoring import ATTEMPT, Attempt, Plan
from midtime.verification import verify_beforehand

if TYPE_CHECKING:
    from airflow.sdk import Context

VERIFICATION = "verification"
"""XCom key of the result; pushed before a bad one fails the task."""


class VerifyOperator(TopologyOperator):
    """
    Compare a restored set with its manifest and with ScalarDB's rules; fail unless the verdict is good.

    A store that can only be read in place (a cluster) is verified there, and the records of the set with it, by ``place``.

    :param plan: what the planning task returned (templated)
    :return: the verification, see :class:`midtime.verification.Verification`
    """

    template_fields: Sequence[str] = ("plan",)
    time_limit = None

    def __init__(self, *, plan: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan = plan

    def work(self, context: Context) -> dict[str, Any]:
        """Verify under the run's lease."""
        plan = Plan.from_dict(self.plan)
        with self.catalog.leases.held(plan.lease, run_name(context)):
            found = verify_beforehand(self.topology, self.catalog.load(plan.restore_point), plan.targets)
        self.log.info("%s", found.summary())
        for line in found.settings:
            self.log.warning("Not as in the mark: %s", line)
        body = {**found.to_dict(), "finished_at": to_rfc3339(utc_now())}
        context["ti"].xcom_push(key=VERIFICATION, value=body)
        if error := found.error():
            raise error
        return body


class ReportDrillOperator(TopologyOperator):
    """
    Keep what a drill measured beside the manifest, also when it failed or could not even be planned; then fail if it was not good.

    :param plan: what the planning task returned (templated)
    :param plan_task: id of the planning task
    :param restore_tasks: ids of the restoring tasks
    :param verify_task: id of the verifying task
    :return: the report
    """

    template_fields: Sequence[str] = ("plan",)

    def __init__(self, *, plan: Any, verify_task: str, restore_tasks: Sequence[str], plan_task: str = "plan", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan = plan
        self.plan_task = plan_task
        self.restore_tasks = restore_tasks
        self.verify_task = verify_task

    def work(self, context: Context) -> dict[str, Any]:
        """Gather, write, judge."""
        report = self._report(context)
        where = drill_reports.add(self.catalog, report)
        self.log.info("RTO %.1f s, RPO %.1f s, %s; report: %s", report.rto_seconds, report.rpo_seconds, report.verdict["summary"], where)
        if not report.good:
            raise VerificationError(
                f"drill of {report.restore_point}: {report.verdict['summary']}", fix="read the failed task's log and the report"
            )
        return report.model_dump(mode="json")

    def _report(self, context: Context) -> DrillReport:
        ti = context["ti"]
        finished = utc_now()
        if self.plan:
            plan: Plan | Attempt = Plan.from_dict(self.plan)
            restored = [each for each in (ti.xcom_pull(task_ids=task) for task in self.restore_tasks) if each]
            wanted = [target["store"] for target in self.plan["targets"]]
            verdict = ti.xcom_pull(task_ids=self.verify_task, key=VERIFICATION) or self._unverified(wanted, restored)
        else:
            plan, restored, verdict = self._unplanned(ti)
        finished = from_rfc3339(verdict["finished_at"]) if "finished_at" in verdict else finished
        return DrillReport(
            restore_point=plan.restore_point,
            topology=self.topology.name,
            started_at=plan.started_at,
            finished_at=finished,
            rto_seconds=round((finished - plan.started_at).total_seconds(), 3),
            rpo_seconds=plan.age.total_seconds(),
            store_seconds={each["store"]: each["seconds"] for each in restored},
            bytes=sum(each["bytes"] for each in restored),
            rows=verdict.get("rows", 0),
            verdict=verdict,
            good=verdict["good"],
            dag_id=context["dag"].dag_id,
            run_id=context["run_id"],
            as_of=plan.as_of,
        )

    def _unplanned(self, ti: Any) -> tuple[Attempt, list[Any], dict[str, Any]]:
        body = ti.xcom_pull(task_ids=self.plan_task, key=ATTEMPT)
        if not body:
            raise RequestError(
                "the drill has no plan and no restore point, so there is nothing to report", fix="see why its first task failed"
            )
        return Attempt.from_dict(body), [], {"good": False, "summary": f"not restored: {body['reason']}"}

    def _unverified(self, wanted: Sequence[str], restored: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What is said where no verification came to its end."""
        done = {each["store"] for each in restored}
        if missing := [store for store in wanted if store not in done]:
            summary = f"not restored: {', '.join(missing)}; the log of the restoring task says why"
        else:
            summary = f"restored, but not verified; the log of {self.verify_task} says why"
        return {"good": False, "summary": summary}
