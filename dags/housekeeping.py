"""
# Housekeeping

Live databases and whatever has another name than Midtime gives are never touched.

## midtime__sweep, every minute

`unpause` first: a pause whose run is dead is lifted as soon as its lease has expired; an endpoint that cannot be reached, or that was left
paused for longer, makes it red, which is an alarm: `docs/runbooks/stuck-pause.md`.

`sweep` removes what *dead* runs left behind. That is all it ever removes:

* folders without a manifest in a destination, when no backup of that topology is alive
* working copies (`midtime_tmp_...`) that the expired lease of a restore or drill names
* snapshots on Cassandra's nodes that a backup has noted in the destination; a node that does not answer is named in the log, and asked again

## midtime__retention, every day

**Removes backups**: the restore points that their topology's `retention` keeps no longer. A restore point goes when it is older than
`keep_days` *and* not one of the newest `keep_last` that can be restored. What always stays:

* the newest that can be restored, and the newest that was drilled
* one that a restore or a drill works with, also while that waits for approval
* one that this Midtime does not understand

Snapshots without a pause, which are only good to bring back one lost node, are counted by themselves and stand in for no whole restore point.

The log says of each restore point why it goes or stays; `dry_run` only says it. Reports of drills outlive their restore point. Folders of
backups that never ended go a day after the last write into them. Runbook: `docs/runbooks/retention.md`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from midtime.dag_parts import all_topologies, retention_params
from midtime.operators.retention import RetentionOperator
from midtime.operators.sweep import SweepOperator, SweepPausesOperator

topologies = all_topologies()
common: dict[str, Any] = {"catchup": False, "doc_md": __doc__, "tags": ["midtime", "housekeeping"]}

with DAG(
    "midtime__sweep",
    description="Remove what dead runs left behind",
    schedule="* * * * *",
    max_active_runs=15,  # a long sweep must not keep the next minute's from unpausing
    default_args={"owner": "midtime", "retries": 0, "execution_timeout": timedelta(minutes=10)},
    **common,
):
    unpause = SweepPausesOperator(task_id="unpause", topologies=topologies, execution_timeout=timedelta(minutes=2))
    # Whatever became of the other; one at a time, also when it takes longer than a minute.
    unpause >> SweepOperator(task_id="sweep", topologies=topologies, trigger_rule="all_done", max_active_tis_per_dag=1)

with DAG(
    "midtime__retention",
    description="Remove the restore points that no rule keeps any longer",
    schedule="@daily",
    max_active_runs=1,
    params=retention_params(topologies),
    default_args={"owner": "midtime", "retries": 2, "retry_delay": timedelta(minutes=5), "execution_timeout": timedelta(hours=6)},
    **common,
):
    RetentionOperator(task_id="retention", topologies=topologies)
