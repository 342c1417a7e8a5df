"""
# Restore drill

Proves that a restore point can be restored: restores it into throw-away targets, verifies it, measures it, and removes the targets again.

* by the clock (`drill.schedule`), after every backup (`drill.after_backup`), by hand, and backfilled (`airflow backfill create`)
* a backfilled run drills the restore point that was newest at the run's date; without one `plan` is skipped, and says why
* RTO is counted from the start of `plan` to the verified set; RPO is the age of the restore point when the drill began, backfilled at its date
* `report` writes what was measured beside the restore point's manifest, also when the drill failed; `midtime drills` shows all of them
* `discard` removes the targets whatever happened; where it cannot run, `midtime__sweep` does

A red drill means: **that restore point cannot be relied on.** Runbook: `docs/runbooks/drill.md`.
"""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from midtime.dag_parts import drill_arguments, restore_retries, topologies
from midtime.operators.plan import PlanDrillOperator
from midtime.operators.release import ReleaseRestoreOperator
from midtime.operators.restore import RestoreOperator
from midtime.operators.verify import ReportDrillOperator, VerifyOperator

for topology in topologies("drill"):
    with DAG(**drill_arguments(topology, __doc__)) as dag:
        plan = PlanDrillOperator(task_id="plan", topology=topology)
        restores = [
            RestoreOperator(
                task_id=f"restore_{store.name}", topology=topology, store=store.name, plan=plan.output, **restore_retries(store)
            )
            for store in topology.stores
        ]
        verify = VerifyOperator(task_id="verify", topology=topology, plan=plan.output)
        report = ReportDrillOperator(
            task_id="report",
            topology=topology,
            plan=plan.output,
            verify_task="verify",
            restore_tasks=[restore.task_id for restore in restores],
            trigger_rule="none_skipped",
        )
        # Beside the teardown, or a run whose tasks failed would be shown by its teardown alone: as a success.
        done = EmptyOperator(task_id="done")
        discard = ReleaseRestoreOperator(task_id="discard", topology=topology, kind="drill")

        plan >> restores >> verify >> report >> [discard.as_teardown(on_failure_fail_dagrun=True), done]
