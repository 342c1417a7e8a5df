"""The instant of a backup, as XCom ``midtime`` (fixed by DESIGN.md 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from midtime.errors import RequestError, WindowVoidError
from midtime.model.instants import to_rfc3339
from midtime.operators.base import TopologyOperator
from midtime.window_clocks import choice_of

if TYPE_CHECKING:
    from airflow.sdk import Context


class MidtimeOperator(TopologyOperator):
    """
    Return the instant that the restore point stands for, RFC 3339 in UTC, also under the XCom key ``midtime``.

    For one database dumped in one transaction it is the snapshot's instant. With a window it is the middle of the window, a
    whole second that fits every clock where a store has one; and only if the window proves itself: every capture was begun after it was
    open, and reported before the first unpause.

    :param captures: what the capturing tasks returned (templated)
    :param window: what the task that ended the window returned (templated); None without a pause
    """

    template_fields: Sequence[str] = ("captures", "window")

    def __init__(self, *, captures: Any, window: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.captures = captures
        self.window = window

    def work(self, context: Context) -> str:
        """Choose the instant."""
        captures: list[Mapping[str, Any]] = list(self.captures)
        midtime = self._of_window(captures, self.window) if self.topology.needs_pause else _of_snapshot(captures)
        context["ti"].xcom_push(key="midtime", value=midtime)
        return midtime

    def _of_window(self, captures: Sequence[Mapping[str, Any]], evidence: Mapping[str, Any] | None) -> str:
        if not evidence:
            raise WindowVoidError("there is no evidence of a window", fix="see the log of the pausing task; start a new run")
        if "captures" not in evidence:
            return to_rfc3339(choice_of(evidence).midtime)  # a plain chain: whatever it did, it did between pause and unpause
        accepted = {said["store"] for said in evidence["captures"].values() if said["window"] == evidence["id"]}
        copied = {capture["store"] for capture in captures if capture["window"] == evidence["id"]}
        wanted = {store.name for store in self.topology.stores if store.captured}
        if missing := wanted - (accepted & copied):
            raise WindowVoidError(
                f"{', '.join(sorted(missing))}: not captured in window {evidence['id']}", fix="see the log of its task; start a new run"
            )
        return to_rfc3339(choice_of(evidence).midtime)


def _of_snapshot(captures: Sequence[Mapping[str, Any]]) -> str:
    if len(captures) != 1:
        raise RequestError(f"{len(captures)} captures without a pause window have no common instant", fix="pause the products around them")
    return str(captures[0]["midtime"])
