"""A person's yes before the first destructive step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator

from midtime.restoring import APPROVAL_TIME, Plan

if TYPE_CHECKING:
    from airflow.sdk import Context


class ApproveRestoreOperator(ApprovalOperator):
    """
    Wait for a person to approve a plan that replaces something; a plan that replaces nothing needs nobody.

    Parks without a slot. A rejection skips everything after it; no answer within a day is a rejection.

    :param plan: what the planning task returned (templated)
    """

    template_fields: Sequence[str] = (*ApprovalOperator.template_fields, "plan")

    def __init__(self, *, plan: Any, **kwargs: Any) -> None:
        super().__init__(response_timeout=APPROVAL_TIME, defaults=ApprovalOperator.REJECT, **kwargs)
        self.plan = plan

    def execute(self, context: Context) -> Any:
        """Ask only where something gives way."""
        if not Plan.from_dict(self.plan).asks:
            self.log.info("Nothing is replaced: no approval needed")
            return None
        return super().execute(context)
