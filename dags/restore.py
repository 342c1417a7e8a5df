"""
# Restore

**With care: `in_place` replaces live databases.** By default a restore goes *beside* the original and touches nothing that is live.

1. `plan` resolves the restore point, names every target and asks every question, before anything is touched.
2. `approve` waits for a person (tab *Required Actions*) where something is going to be replaced: live databases, or what is in another cluster.
3. `restore_<store>`: all stores in parallel, from artifacts whose SHA-256 was checked, under working names. Where a cloud service does the work, the task
   is deferred meanwhile; its log says how far it is.
4. `verify` compares schema, counts, digests and ScalarDB's records with the capture. A set that is not good goes no further.
5. `place` gives every store its final name, or none of them; in place it stops the products first and starts them afterwards, and keeps what was there.
6. `release` ends what died on the way: all stores back, or forward where all were in place; then it removes the working copies.

Runbook: `docs/runbooks/restore.md`.
"""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from midtime.dag_parts import restore_arguments, restore_retries, topologies
from midtime.operators.approve import ApproveRestoreOperator
from midtime.operators.plan import PlanRestoreOperator
from midtime.operators.release import ReleaseRestoreOperator
from midtime.operators.restore import PlaceOperator, RestoreOperator
from midtime.operators.verify import VerifyOperator

for topology in topologies("restore"):
    with DAG(**restore_arguments(topology, __doc__)) as dag:
        plan = PlanRestoreOperator(task_id="plan", topology=topology)
        approve = ApproveRestoreOperator(
            task_id="approve",
            plan=plan.output,
            subject=f"Restore {topology.name} and replace what is there?",
            body="{{ ti.xcom_pull(task_ids='plan')['summary'] }}",
        )
        restores = [
            RestoreOperator(
                task_id=f"restore_{store.name}", topology=topology, store=store.name, plan=plan.output, **restore_retries(store)
            )
            for store in topology.stores
        ]
        verify = VerifyOperator(task_id="verify", topology=topology, plan=plan.output)
        place = PlaceOperator(task_id="place", topology=topology, plan=plan.output)
        # Beside the teardown, or a run whose tasks failed would be shown by its teardown alone: as a success.
        done = EmptyOperator(task_id="done")
        release = ReleaseRestoreOperator(task_id="release", topology=topology, kind="restore")

        plan >> approve >> restores >> verify >> place >> [release.as_teardown(on_failure_fail_dagrun=True), done]
