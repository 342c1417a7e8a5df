"""The name of a run; what placing a set does is in ``tests/unit/test_placing.py``."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from midtime.operators.base import run_name

STARTED = datetime(2026, 11, 21, 3, 0, 0, 123456, tzinfo=UTC)


def context(started: datetime = STARTED) -> Any:
    run = SimpleNamespace(start_date=started, run_after=started)
    return {"dag": SimpleNamespace(dag_id="bank__restore"), "run_id": "manual__1", "dag_run": run}


def test_two_installations_are_two_runs() -> None:
    """Both call their scheduled run of one instant the same."""
    assert run_name(context()) == run_name(context())
    assert run_name(context()) != run_name(context(STARTED.replace(microsecond=123457)))
