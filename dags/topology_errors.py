"""Shows what is wrong with topology files as an import error of Airflow. In a file of its own: an error here hides no good topology's DAG.

Airflow passes over a file in which the words airflow and dag do not both occur.
"""

from __future__ import annotations

from midtime.dag_parts import topology_errors
from midtime.errors import TopologyError

if errors := topology_errors():
    raise TopologyError("\n\n".join(str(error) for error in errors))
