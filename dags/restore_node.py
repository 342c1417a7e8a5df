"""
# Restore of one lost Cassandra node

For the case that **one node** of a cluster has lost its disks and the others are well: it comes back from its own snapshot, as who it was
(tokens and host id), and is then repaired by the others. Any restore point will do, also one of `<topology>__snapshot`, which needs no pause: what
the node has missed since, the others have. More than one node lost, or a set that must go back in time: `<topology>__restore`.

**The products are stopped meanwhile.** Until it is repaired, a node that lives in the past answers reads at QUORUM as well: with one more such
answer, a transaction that was committed long ago is missing. ScalarDB could be told neither by its records nor by its clocks.

1. `plan` resolves the restore point, asks the node and its neighbours every question, and takes the run's lease, before anything is touched.
2. `approve` waits for a person (tab *Required Actions*).
3. `restore` brings the node's files, their SHA-256 checked, beside its data directories. The products still run.
4. `place` stops the products, and the node if it runs; swaps its folders, keeping aside what was there; starts it; waits until the ring is whole
   with one schema; repairs it; and starts the products. Killed, it goes on when it is tried again; what fails is put back.
5. `release` ends what died on the way, then removes what was staged.

Runbook: `docs/runbooks/cassandra.md`.
"""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from midtime.dag_parts import restore_node_arguments, topologies
from midtime.operators.approve import ApproveRestoreOperator
from midtime.operators.plan import PlanNodeOperator
from midtime.operators.release import ReleaseRestoreOperator
from midtime.operators.restore import PlaceOperator, RestoreOperator

for topology in topologies("restore_node", snapshots=True):
    with DAG(**restore_node_arguments(topology, __doc__)) as dag:
        plan = PlanNodeOperator(task_id="plan", topology=topology)
        approve = ApproveRestoreOperator(
            task_id="approve",
            plan=plan.output,
            subject=f"Restore a node of {topology.name}, and stop its products meanwhile?",
            body="{{ ti.xcom_pull(task_ids='plan')['summary'] }}",
        )
        restore = RestoreOperator(
            task_id="restore", topology=topology, store="{{ ti.xcom_pull(task_ids='plan')['targets'][0]['store'] }}", plan=plan.output
        )
        place = PlaceOperator(task_id="place", topology=topology, plan=plan.output)
        # Beside the teardown, or a run whose tasks failed would be shown by its teardown alone: as a success.
        done = EmptyOperator(task_id="done")
        release = ReleaseRestoreOperator(task_id="release", topology=topology, kind="restore_node")

        plan >> approve >> restore >> place >> [release.as_teardown(on_failure_fail_dagrun=True), done]
