"""The end of a pause, made sure of: a teardown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from midtime.operators.base import TopologyOperator, run_name
from midtime.unpausing import close_window, require_open, unpause_run

if TYPE_CHECKING:
    from airflow.sdk import Context


class ScalarUnpauseOperator(TopologyOperator):
    """
    Make sure that nothing that this run paused is still paused: do the work, or confirm that it is done. Idempotent.

    Make it a teardown downstream of the pause *only*, so that it runs whatever became of the pause and does not wait for anything else::

        pause >> unpause.as_teardown(on_failure_fail_dagrun=True)

    Only what a lease of this run names is unpaused. In the plain chain (``window`` given) it first looks whether everything is still
    paused, and returns the window's evidence.

    :param window: what the pausing task of a plain chain returned (templated)
    :return: who was unpaused by whom; in the plain chain the evidence of the window
    """

    template_fields: Sequence[str] = ("window",)
    ui_color = "#e6f4ea"

    def __init__(self, *, window: Any = None, **kwargs: Any) -> None:
        kwargs.setdefault("retries", 5)
        kwargs.setdefault("retry_delay", timedelta(seconds=5))
        super().__init__(**kwargs)
        self.window = window

    def work(self, context: Context) -> dict[str, Any]:
        """Confirm, or unpause."""
        holder = run_name(context)
        if self.window:
            return close_window(self.topology, holder, self.window)
        done = unpause_run(self.topology, holder)
        for line in done:
            self.log.warning("%s", line)
        done += (said := require_open(self.topology))
        for line in said:
            self.log.info("%s", line)
        return {"unpaused": done}
