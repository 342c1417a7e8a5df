"""Whether a restore point can be restored, where the topology has moved on since it was marked."""

from __future__ import annotations

import pytest

from midtime.errors import NotRestorableError
from tests.unit.stores.cosmosdb.restores import Subscription
from tests.unit.stores.cosmosdb.service import LIVE


@pytest.mark.parametrize("moved", [{"account": "bank-new"}, {"subscription_id": "00000000-0000-0000-0000-000000000000"}])
def test_after_a_cut_over_the_marked_account_is_asked(subscription: Subscription, moved: dict[str, str]) -> None:
    subscription.memory.make("bank-new", {})
    subscription.move(**moved)
    assert subscription.store.restorable(subscription.backup).ready
    subscription.memory.delete(LIVE)
    with pytest.raises(NotRestorableError, match=f"account {LIVE} was deleted"):
        subscription.store.restorable(subscription.backup)
