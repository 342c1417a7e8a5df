"""
# Backup of several databases

One instant for all of them: **a pause**, as short as the captures are. Whatever the size of the data, nothing is read in it.

1. `preflight` waits for its turn, asks everything that could spoil the backup, before anything is touched, and takes the topology's lease.
2. `pause` and the captures `dump_<store>` and, of Cassandra, `snapshot_<store>` run side by side. The captures connect and lock; when all are
   ready, `pause` pauses every product, sees that it is paused, and says so; they fix their snapshots, the Coordinator's store first; `pause`
   unpauses. A watchdog process does if `pause` dies, at once. Then the dumps are read out: long, but nobody waits for them. A Cassandra
   cluster's snapshot stays on its nodes: `nodes_<store>` lists them, `upload_<store>` copies them, one task for each node, `collect_<store>`
   notes the part and clears the snapshots.
3. `unpause` makes sure that nothing is still paused, whatever happened.
4. `midtime` returns the middle of the window, if the window proves itself; where a store is managed by a cloud, the whole second to which all of
   them are restored.
5. `mark_<store>` notes, of each managed store, what a restore to its instant will need. Nothing of it is captured or copied: `pause` has read its
   clock around the window and written its fence rows.
6. `publish` writes the manifest: only now the restore point can be seen, and drills that wait for it start. Where a store is restored to a
   point of its own history, `restorable` waits until that history has reached the midtime; drills start then.
7. `release` gives lease and turn back, whatever happened, and clears what is left of snapshots.

When it failed: the first red task's log says what to do. Nothing half-made is left; just run it again. Something still paused:
`docs/runbooks/stuck-pause.md`.
"""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from midtime.dag_parts import (
    LOOKS,
    backup_arguments,
    capture_task,
    captures_before,
    coordinators_first,
    managed,
    restore_points,
    snapshotted,
    topologies,
)
from midtime.operators.copying import copy_snapshot
from midtime.operators.dump import WindowedDumpOperator
from midtime.operators.mark import MarkOperator
from midtime.operators.midtime import MidtimeOperator
from midtime.operators.pause import ScalarPauseOperator
from midtime.operators.preflight import PreflightOperator
from midtime.operators.publish import PublishOperator
from midtime.operators.release import ReleaseBackupOperator
from midtime.operators.restorable import RestorableOperator
from midtime.operators.snapshot import WindowedSnapshotOperator
from midtime.operators.unpause import ScalarUnpauseOperator

for topology in topologies("backup", shape="multi_storage"):
    first, others = coordinators_first(topology)
    tasks = {store: capture_task(topology, store) for store in (*first, *others)}
    with DAG(**backup_arguments(topology, __doc__)) as dag:
        preflight = PreflightOperator(task_id="preflight", topology=topology)
        pause = ScalarPauseOperator(task_id="pause", topology=topology, captures=list(tasks.values()))
        unpause = ScalarUnpauseOperator(task_id="unpause", topology=topology)
        captures, copies, parts = [], [], []
        for store, task_id in tasks.items():
            after = captures_before(topology) if store in others else []
            if store not in snapshotted(topology):
                captures.append(WindowedDumpOperator(task_id=task_id, topology=topology, store=store, after=after))
                continue
            snapshot = WindowedSnapshotOperator(task_id=task_id, topology=topology, store=store, after=after)
            copy = copy_snapshot(topology, store, snapshot)
            captures.append(snapshot)
            copies += copy
            parts.append(copy[-1])
        captured = [capture.output for capture in captures]
        midtime = MidtimeOperator(task_id="midtime", topology=topology, captures=captured, window=pause.output)
        marks = [
            MarkOperator(task_id=f"mark_{store}", topology=topology, store=store, midtime=midtime.output, window=pause.output)
            for store in managed(topology)
        ]
        publish = PublishOperator(
            task_id="publish",
            topology=topology,
            captures=[*captured, *(mark.output for mark in marks)],
            midtime=midtime.output,
            window=pause.output,
            asset=None if topology.point_in_time else restore_points(topology),
        )
        # Beside the teardown, or a run whose tasks failed would be shown by its teardown alone: as a success.
        done = EmptyOperator(task_id="done")
        release = ReleaseBackupOperator(task_id="release", topology=topology)

        preflight >> [pause, *captures] >> midtime >> publish >> [release.as_teardown(on_failure_fail_dagrun=True), done]
        [*parts, *marks] >> publish
        if topology.point_in_time:
            publish >> RestorableOperator(
                task_id="restorable", topology=topology, restore_point=publish.output, asset=restore_points(topology), retries=LOOKS
            ) >> done  # fmt: skip
        pause >> unpause.as_teardown(on_failure_fail_dagrun=True)
        [pause, *captures, *copies, *marks] >> release  # also where one of them has failed: it removes what the others have written
