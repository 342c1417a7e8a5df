"""
# Snapshots of Cassandra without a pause

Started by hand. What it makes depends on `stopped`:

* without it: a snapshot of every node, for the case that **one node is lost** (`<topology>__restore_node`). The products go on writing, the
  nodes are not of one instant, transactions are torn: the restore point says that it is *not whole*, and whole restores and drills refuse it.
* `stopped`: you have stopped all products. That is asked before and after each snapshot, and refused while one of them answers. Then it is a
  restore point like any other. Only for topologies all of whose stores are Cassandra; the others have `<topology>__backup`.

1. `preflight` asks everything that could spoil it, takes the topology's lease, and returns the instant by which the restore point is called.
2. `snapshot_<store>` takes the snapshots on all nodes at once and proves them.
3. `nodes_<store>` lists the nodes, `upload_<store>` copies the snapshots, one task for each node, `collect_<store>` notes the part and clears the
   snapshots on the nodes.
4. `publish` writes the manifest. No drill is started by it.
5. `release` gives the lease back, whatever happened, and clears what is left of the snapshots.

When it failed: the first red task's log says what to do. Nothing half-made is left; just run it again.
"""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from midtime.dag_parts import snapshot_arguments, snapshotted, topologies
from midtime.operators.copying import copy_snapshot
from midtime.operators.preflight import SnapshotPreflightOperator
from midtime.operators.publish import PublishSnapshotOperator
from midtime.operators.release import ReleaseBackupOperator
from midtime.operators.snapshot import SnapshotOperator

for topology in topologies("snapshot", snapshots=True):
    with DAG(**snapshot_arguments(topology, __doc__)) as dag:
        preflight = SnapshotPreflightOperator(task_id="preflight", topology=topology)
        snapshots, copies, parts = [], [], []
        for store in snapshotted(topology):
            snapshot = SnapshotOperator(task_id=f"snapshot_{store}", topology=topology, store=store, midtime=preflight.output)
            copy = copy_snapshot(topology, store, snapshot)
            snapshots.append(snapshot)
            copies += copy
            parts.append(copy[-1])
        publish = PublishSnapshotOperator(
            task_id="publish", topology=topology, captures=[snapshot.output for snapshot in snapshots], midtime=preflight.output
        )
        # Beside the teardown, or a run whose tasks failed would be shown by its teardown alone: as a success.
        done = EmptyOperator(task_id="done")
        release = ReleaseBackupOperator(task_id="release", topology=topology)

        preflight >> snapshots
        parts >> publish >> [release.as_teardown(on_failure_fail_dagrun=True), done]
        [*snapshots, *copies] >> release  # also where one of them has failed: it removes what the others have written
