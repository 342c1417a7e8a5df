"""
# Backup of one relational database

One dump in a single transaction, or one mark. **No pause**: one snapshot sees every namespace, the Coordinator and ScalarDB's metadata at one instant.

1. `preflight` asks everything that could spoil the backup, before anything is touched, and takes the topology's lease.
2. `dump_<store>` fixes the instant, dumps from that snapshot, proves the dump complete and stores it, hashed. Of a managed service
   (RDS, Aurora, Azure Database) with `method: pitr`, `mark_<store>` notes all that a restore to the second at which the run was due will need.
3. `midtime` returns that instant.
4. `publish` writes the manifest: only now the restore point can be seen, and drills that wait for it start. With `method: pitr`,
   `restorable` waits until the archive or the service has reached the midtime; drills start then.
5. `release` gives the lease back, whatever happened.

When it failed: the first red task's log says what to do. Nothing half-made is left; just run it again.
"""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from midtime.dag_parts import LOOKS, backup_arguments, restore_points, topologies
from midtime.operators.dump import DumpOperator
from midtime.operators.mark import LoneMarkOperator
from midtime.operators.midtime import MidtimeOperator
from midtime.operators.preflight import PreflightOperator
from midtime.operators.publish import PublishOperator
from midtime.operators.release import ReleaseBackupOperator
from midtime.operators.restorable import RestorableOperator

for topology in topologies("backup", shape="single_rdb"):
    store = topology.stores[0].name
    with DAG(**backup_arguments(topology, __doc__)) as dag:
        preflight = PreflightOperator(task_id="preflight", topology=topology)
        dumped = topology.stores[0].captured
        backup = (
            DumpOperator(task_id=f"dump_{store}", topology=topology, store=store)
            if dumped
            else LoneMarkOperator(task_id=f"mark_{store}", topology=topology, store=store)
        )
        midtime = MidtimeOperator(task_id="midtime", topology=topology, captures=[backup.output])
        publish = PublishOperator(
            task_id="publish",
            topology=topology,
            captures=[backup.output],
            midtime=midtime.output,
            asset=None if topology.point_in_time else restore_points(topology),
        )
        # Beside the teardown, or a run whose tasks failed would be shown by its teardown alone: as a success.
        done = EmptyOperator(task_id="done")
        release = ReleaseBackupOperator(task_id="release", topology=topology)

        if topology.point_in_time:
            publish >> RestorableOperator(
                task_id="restorable", topology=topology, restore_point=publish.output, asset=restore_points(topology), retries=LOOKS
            ) >> done  # fmt: skip
        preflight >> backup >> midtime >> publish >> [release.as_teardown(on_failure_fail_dagrun=True), done]
