"""The instant of a backup, as XCom ``midtime`` (fixed by DESIGN.md 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from midtime.errors import RequestError
from midtime.operators.base import TopologyOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class MidtimeOperator(TopologyOperator):
    """
    Return the instant that the restore point stands for, RFC 3339 in UTC, also under the XCom key ``midtime``.

    For one database dumped in one transaction it is the snapshot's instant.

    :param captures: what the capturing tasks returned (templated)
    """

    template_fields: Sequence[str] = ("captures",)

    def __init__(self, *, captures: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.captures = captures

    def work(self, context: Context) -> str:
        """Choose the instant."""
        captures: list[Mapping[str, str]] = list(self.captures)
        if len(captures) != 1:
            raise RequestError(
                f"{len(captures)} captures without a pause window have no common instant", fix="pause the products around them"
            )
        midtime = captures[0]["midtime"]
        context["ti"].xcom_push(key="midtime", value=midtime)
        return midtime
