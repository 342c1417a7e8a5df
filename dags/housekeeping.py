"""
# Housekeeping

Every minute: removes what *dead* runs left behind. That is all it ever removes:

* folders without a manifest in a destination, when no backup of that topology is alive
* working copies (`midtime_tmp_...`) that the expired lease of a restore or drill names

Published restore points, live databases and whatever has another name are never touched.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from midtime.dag_parts import all_topologies
from midtime.operators.sweep import SweepOperator

with DAG(
    "midtime__sweep",
    description="Remove what dead runs left behind",
    schedule="* * * * *",
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["midtime", "housekeeping"],
    default_args={"owner": "midtime", "retries": 0, "execution_timeout": timedelta(minutes=10)},
):
    SweepOperator(task_id="sweep", topologies=all_topologies())
