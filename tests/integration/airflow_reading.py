"""What people can read of an installation: where a secret must never be found."""

from __future__ import annotations

import re
from pathlib import Path

from tests.integration.fixtures import Installation

_SHOWN = {"xcom": "value", "rendered_task_instance_fields": "rendered_fields", "hitl_detail": "body", "log": "extra", "dag_run": "conf"}
"""Columns of Airflow's database that its UI shows."""


def where(installation: Installation, pattern: str) -> set[str]:
    """Where it can be read: logs of all tasks and components, whatever lies at the destination, Airflow's own database.

    :param pattern: that Python and PostgreSQL understand alike
    """
    stack, wanted = installation.stack, re.compile(pattern.encode())
    files = [path for folder in (installation.folder, stack.directory) for path in folder.rglob("*") if _is_read_by_people(path)]
    found = {str(path) for path in files if wanted.search(path.read_bytes())}
    for table, column in _SHOWN.items():
        if stack.metadata.execute(f"SELECT count(*) FROM {table} WHERE {column}::text ~ %s", "airflow", (pattern,)) != [(0,)]:
            found.add(table)
    return found


def _is_read_by_people(path: Path) -> bool:
    return path.suffix in (".log", ".json", ".yaml") and path.is_file()
