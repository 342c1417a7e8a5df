"""The end of a deferral that is over at some instant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Self

from airflow.triggers.base import BaseTrigger, TriggerEvent

from midtime.model.instants import from_rfc3339, to_rfc3339, utc_now

STEP = 60.0
"""Seconds slept at a time: the triggerer's clock may be set meanwhile."""


class LookAgainTrigger(BaseTrigger):
    """
    Resumes a task at an instant.

    Airflow's own writes a line for each second into the task's log, which people read to see how far a wait of hours has come.

    :param at: RFC 3339
    """

    def __init__(self, at: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.at = at

    @classmethod
    def after(cls, length: timedelta) -> Self:
        """So long from now on."""
        return cls(to_rfc3339(utc_now() + length))

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """For the triggerer; one that takes over from another waits for the same instant."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {"at": self.at}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep, then say when."""
        while (left := (from_rfc3339(self.at) - utc_now()).total_seconds()) > 0:
            await asyncio.sleep(min(left, STEP))
        yield TriggerEvent(self.at)  # type: ignore[no-untyped-call]
