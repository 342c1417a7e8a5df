"""What of the mark needs no account."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from midtime.stores.cosmosdb.containers import Container
from midtime.stores.cosmosdb.marking import _younger

INSTANT = datetime(2026, 11, 21, 2, 0, 7, tzinfo=UTC)


@pytest.mark.parametrize(("seconds", "said"), [(-1, ""), (0, "was made or changed at"), (1, "was made or changed at")])
def test_what_may_be_another_one_than_at_the_instant(seconds: int, said: str) -> None:
    """The service says whole seconds: within the instant's own it may have been made anew after it."""
    why = _younger(Container("bank", "accounts", "r", INSTANT + timedelta(seconds=seconds)), INSTANT)
    assert why.startswith(said)
    assert bool(why) == bool(said)
