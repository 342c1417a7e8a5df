"""The end of a pause, made sure of: a teardown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from midtime.errors import WindowVoidError
from midtime.operators.base import TopologyOperator, run_name
from midtime.unpausing import close_window, require_open, unpause_run

if TYPE_CHECKING:
    from airflow.sdk import Context


class ScalarUnpauseOperator(TopologyOperator):
    """
    Make sure that nothing that this run paused is still paused: do the work, or confirm that it is done. Idempotent.

    After an *armed* pause, which unpauses by itself, make it a teardown downstream of the pause *only*, so that it runs whatever became of
    the pause and waits for nothing else::

        pause >> unpause.as_teardown(on_failure_fail_dagrun=True)

    In a *plain* chain (``window`` given) it is what unpauses: put it behind everything that must be in the pause (docs/plain-chain.md). There it
    first looks whether everything is still paused, and returns the window's evidence.

    Only what a lease of this run names is unpaused.

    :param topology: whose products were paused
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
            return self._close(holder)
        done = unpause_run(self.topology, holder)
        for line in done:
            self.log.warning("%s", line)
        done += (said := require_open(self.topology))
        for line in said:
            self.log.info("%s", line)
        return {"unpaused": done}

    def _close(self, holder: str) -> dict[str, Any]:
        """End a plain chain's window; a verdict on it does not change when it is asked for again."""
        try:
            evidence = close_window(self.topology, holder, self.window)
        except WindowVoidError as error:
            raise AirflowFailException(str(error)) from error
        for line in evidence["unpaused"]:
            self.log.info("%s", line)
        self.log.info("Everything is unpaused; the window was %s to %s", evidence["window"]["start"], evidence["window"]["end"])
        return evidence
