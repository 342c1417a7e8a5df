"""What the leases' tests share: names, instants, one clock for all, and rivals who come at the worst moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from midtime.catalog import objects

NAME = "backup"
PAST = timedelta(seconds=-1)
NOW = datetime(2026, 11, 21, 2, tzinfo=UTC)


class Clock:
    """All clocks of a test."""

    now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, time: timedelta) -> None:
        self.now += time


def before(monkeypatch: pytest.MonkeyPatch, function: str, act: Callable[[], object]) -> None:
    """Let rivals act once, right before the next write."""
    real = getattr(objects, function)

    def instead(*args: Any) -> Any:
        monkeypatch.setattr(objects, function, real)
        act()
        return real(*args)

    monkeypatch.setattr(objects, function, instead)
