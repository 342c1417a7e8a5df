"""Shows what is wrong with topology files as import errors. In a file of its own: an error here hides no DAG of a good topology."""

from __future__ import annotations

from midtime.dag_parts import topology_errors
from midtime.errors import TopologyError

if errors := topology_errors():
    raise TopologyError("\n\n".join(str(error) for error in errors))
