"""
# Backup of a Cassandra cluster

One instant for all nodes of all data centres: **a pause**, as short as taking the snapshots is. Whatever the size of the data, nothing is copied in it.

1. `preflight` waits for its turn, asks everything that could spoil the backup, before anything is touched, and takes the topology's lease: all
   nodes up with one schema, room on their disks. It clears what dead backups left on nodes.
2. `pause` and `snapshot_<store>` run side by side. The snapshots are armed: on every node a `nodetool` is started and waits. When all are ready,
   `pause` pauses every product, sees that it is paused, and says so; all nodes take their snapshots at once; `pause` unpauses. A watchdog
   process does if `pause` dies, at once. Then `snapshot_<store>` proves what was taken: every table on every node, ring and schema unchanged.
3. `unpause` makes sure that nothing is still paused, whatever happened.
4. `nodes_<store>` lists the nodes, `upload_<store>` copies the snapshots, one task for each node: long, but nobody waits for it. What an
   earlier backup or an earlier try has sent is not sent again.
5. `collect_<store>` notes the store's part, then clears the snapshots. A node that is down by then fails nothing: `midtime__sweep` clears it later.
6. `midtime` returns the middle of the window, if the window proves itself.
7. `publish` writes the manifest: only now the restore point can be seen, and drills that wait for it start.
8. `release` gives lease and turn back, whatever happened, and clears what is left of the snapshots.

When it failed: the first red task's log says what to do. Nothing half-made is left; just run it again. Something still paused:
`docs/runbooks/stuck-pause.md`. Without a pause: `<topology>__snapshot`.
"""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from midtime.dag_parts import backup_arguments, coordinators_first, restore_points, topologies
from midtime.operators.copying import copy_snapshot
from midtime.operators.midtime import MidtimeOperator
from midtime.operators.pause import ScalarPauseOperator
from midtime.operators.preflight import PreflightOperator
from midtime.operators.publish import PublishOperator
from midtime.operators.release import ReleaseBackupOperator
from midtime.operators.snapshot import WindowedSnapshotOperator
from midtime.operators.unpause import ScalarUnpauseOperator

for topology in topologies("backup", shape="cassandra_cluster"):
    first, others = coordinators_first(topology)
    with DAG(**backup_arguments(topology, __doc__)) as dag:
        preflight = PreflightOperator(task_id="preflight", topology=topology)
        pause = ScalarPauseOperator(task_id="pause", topology=topology, captures=[f"snapshot_{store}" for store in (*first, *others)])
        unpause = ScalarUnpauseOperator(task_id="unpause", topology=topology)
        snapshots, copies, parts = [], [], []
        for store in (*first, *others):
            after = [f"snapshot_{name}" for name in first] if store in others else []
            snapshot = WindowedSnapshotOperator(task_id=f"snapshot_{store}", topology=topology, store=store, after=after)
            copy = copy_snapshot(topology, store, snapshot)
            snapshots.append(snapshot)
            copies += copy
            parts.append(copy[-1])
        captured = [snapshot.output for snapshot in snapshots]
        midtime = MidtimeOperator(task_id="midtime", topology=topology, captures=captured, window=pause.output)
        publish = PublishOperator(
            task_id="publish",
            topology=topology,
            captures=captured,
            midtime=midtime.output,
            window=pause.output,
            asset=restore_points(topology),
        )
        # Beside the teardown, or a run whose tasks failed would be shown by its teardown alone: as a success.
        done = EmptyOperator(task_id="done")
        release = ReleaseBackupOperator(task_id="release", topology=topology)

        preflight >> [pause, *snapshots] >> midtime >> publish
        parts >> publish >> [release.as_teardown(on_failure_fail_dagrun=True), done]
        pause >> unpause.as_teardown(on_failure_fail_dagrun=True)
        # Also where one of them has failed: it removes what the others have written.
        [pause, *snapshots, *copies] >> release
