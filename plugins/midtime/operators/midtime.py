"""The instant of a backup, as XCom ``midtime`` (fixed by DESIGN.md 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from midtime.errors import RequestError
from midtime.operators.base import TopologyOperator
from midtime.proof import proven_midtime

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
        midtime = proven_midtime(self.topology, captures, self.window) if self.topology.needs_pause else _of_snapshot(captures)
        context["ti"].xcom_push(key="midtime", value=midtime)
        return midtime


def _of_snapshot(captures: Sequence[Mapping[str, Any]]) -> str:
    if len(captures) != 1:
        raise RequestError(f"{len(captures)} captures without a pause window have no common instant", fix="pause the products around them")
    return str(captures[0]["midtime"])
