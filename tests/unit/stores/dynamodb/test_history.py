"""What a table's history means for an instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.stores.dynamodb.history import History

T = datetime(2026, 11, 21, 2, 0, 7, tzinfo=UTC)
HOUR = timedelta(hours=1)
GOOD = {"name": "bank.x", "table_id": "1", "status": "ACTIVE", "created_at": T - HOUR, "on": True, "earliest": T - HOUR, "latest": T + HOUR}
around = st.integers(-2, 2).map(lambda seconds: T + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, ""),
        ({"status": "UPDATING"}, ""),
        ({"earliest": T}, ""),
        ({"earliest": None, "latest": None}, ""),  # switched on a moment ago; it will show
        ({"table_id": ""}, "was deleted"),
        ({"status": "DELETING"}, "was deleted"),
        ({"table_id": "2", "created_at": T}, "is another table of that name, created at 2026-11-21T02:00:07Z"),
        ({"on": False}, "has its point-in-time recovery switched off"),
        ({"earliest": T + HOUR, "period": 7}, "has a history of 7 days that begins at 2026-11-21T03:00:07Z, behind 2026-11-21T02:00:07Z"),
    ],
)
def test_why_never(change: dict[str, object], why: str) -> None:
    assert History(**{**GOOD, **change}).unfit(T, "1") == why


@given(around, around)
def test_both_ends_count(earliest: datetime, latest: datetime) -> None:
    found = History(**{**GOOD, "earliest": earliest, "latest": latest})
    assert found.reaches(T) == (earliest <= T <= latest)
    assert not (found.reaches(T) and found.unfit(T, "1"))
