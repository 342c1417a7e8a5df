"""The proof: verification of a restored set, and the report of a drill."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from midtime.errors import RequestError, VerificationError
from midtime.model.instants import to_rfc3339, utc_now
from midtime.model.restore_point import DrillReport
from midtime.operators.base import TopologyOperator, run_name
from midtime.restoring import Plan
from midtime.verification import verify

if TYPE_CHECKING:
    from airflow.sdk import Context

VERIFICATION = "verification"
"""XCom key of the result; pushed before a bad one fails the task."""


class VerifyOperator(TopologyOperator):
    """
    Compare a restored set with its manifest and with ScalarDB's rules; fail unless the verdict is good.

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
            found = verify(self.topology, self.catalog.load(plan.restore_point), plan.targets)
        self.log.info("%s", found.summary())
        body = {**found.to_dict(), "finished_at": to_rfc3339(utc_now())}
        context["ti"].xcom_push(key=VERIFICATION, value=body)
        if error := found.error():
            raise error
        return body


class ReportDrillOperator(TopologyOperator):
    """
    Keep what a drill measured beside the manifest, also when it failed; then fail if it was not good.

    :param plan: what the planning task returned (templated)
    :param verify_task: id of the verifying task
    :param restore_tasks: ids of the restoring tasks
    :return: the report
    """

    template_fields: Sequence[str] = ("plan",)

    def __init__(self, *, plan: Any, verify_task: str, restore_tasks: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan = plan
        self.verify_task = verify_task
        self.restore_tasks = restore_tasks

    def work(self, context: Context) -> dict[str, Any]:
        """Gather, write, judge."""
        if not self.plan:
            raise RequestError("the drill has no plan", fix="see why its first task failed")
        report = self._report(Plan.from_dict(self.plan), context)
        where = self.catalog.add_drill_report(report)
        self.log.info("RTO %.1f s, RPO %.0f s, %s; report: %s", report.rto_seconds, report.rpo_seconds, report.verdict["summary"], where)
        if not report.good:
            raise VerificationError(
                f"drill of {report.restore_point}: {report.verdict['summary']}", fix="read the failed task's log and the report"
            )
        return report.model_dump(mode="json")

    def _report(self, plan: Plan, context: Context) -> DrillReport:
        ti = context["ti"]
        restored = [each for each in (ti.xcom_pull(task_ids=task) for task in self.restore_tasks) if each]
        verdict = ti.xcom_pull(task_ids=self.verify_task, key=VERIFICATION)
        finished = utc_now()
        good = bool(verdict and verdict["good"])
        verdict = verdict or {"good": False, "summary": "the set was not restored", "finished_at": to_rfc3339(finished)}
        body = {
            "restore_point": plan.restore_point,
            "topology": self.topology.name,
            "started_at": plan.started_at,
            "finished_at": verdict["finished_at"],
            "rpo_seconds": plan.age.total_seconds(),
            "store_seconds": {each["store"]: each["seconds"] for each in restored},
            "bytes": sum(each["bytes"] for each in restored),
            "rows": verdict.get("rows", 0),
            "verdict": verdict,
            "good": good,
            "dag_id": context["dag"].dag_id,
            "run_id": context["run_id"],
        }
        report = DrillReport.model_validate({**body, "rto_seconds": 0.0})
        return report.model_copy(update={"rto_seconds": round((report.finished_at - report.started_at).total_seconds(), 3)})
