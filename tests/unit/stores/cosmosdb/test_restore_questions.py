"""What is asked before a restore, and names that are another's: nobody else's account is ever touched."""

from __future__ import annotations

from datetime import timedelta

import pytest

from midtime.errors import (
    NotRestorableError,
    RequestError,
    TargetExistsError,
)  # fmt: skip
from midtime.stores.base import WILL_BE
from midtime.stores.cosmosdb.restoring import begin
from midtime.stores.naming import COPY_TAG
from tests.unit.stores.cosmosdb.restores import Subscription, answers
from tests.unit.stores.cosmosdb.service import LIVE


def test_a_name_that_is_taken(subscription: Subscription) -> None:
    subscription.memory.taken.add("bank-new")
    target = subscription.target(to="bank-new")
    with pytest.raises(TargetExistsError, match="the name bank-new is taken"):
        subscription.restore(target)
    assert "the name bank-new is taken" in answers(subscription, target)[WILL_BE]
    subscription.store.discard(target)
    assert subscription.memory.counts["begin_create_or_update"] == 0


@pytest.mark.parametrize("how", ["made by hand", "another source", "another instant", "another run", "placed"])
def test_another_account_of_that_name_is_never_deleted(subscription: Subscription, how: str) -> None:
    target = subscription.restore(subscription.target(to="bank-new"))
    copy = subscription.copy(target)
    if how == "made by hand":
        del copy.properties["restoreParameters"]
    elif how == "another source":
        copy.properties["restoreParameters"]["restoreSource"] += "0"
    elif how == "another instant":
        copy.properties["restoreParameters"]["restoreTimestampInUtc"] = "2026-11-21T02:05:01Z"
    else:
        copy.tags[COPY_TAG] = "midtime-tmp-ffffff" if how == "another run" else f"placed {target.working}"
    subscription.store.discard(target)
    assert "bank-new" in subscription.memory.accounts
    assert subscription.memory.counts["begin_delete"] == 0


@pytest.mark.parametrize("how", ["made by hand", "another run"])
def test_somebody_elses_account_is_not_gone_on_with(subscription: Subscription, how: str) -> None:
    target = subscription.target(to="bank-new")
    subscription.look(target)
    copy = subscription.copy(target)
    if how == "another run":
        copy.tags[COPY_TAG] = "midtime-tmp-ffffff"
    else:
        del copy.properties["restoreParameters"]
    with pytest.raises(TargetExistsError, match="is somebody else's"):
        subscription.look(target)


def test_in_place(subscription: Subscription) -> None:
    with pytest.raises(RequestError, match="restores an account into a new one only") as caught:
        subscription.target(in_place=True, to="bank-new")
    assert "restore all stores beside" in caught.value.fix


@pytest.mark.parametrize("name", ["Bank", "a", "-bank", "bank-", "b" * 45, "bank_new", "bänk"])
def test_no_name(subscription: Subscription, name: str) -> None:
    with pytest.raises(RequestError, match="is no name of an account"):
        subscription.target(to=name)


def test_the_live_account(subscription: Subscription) -> None:
    with pytest.raises(RequestError, match="is the live account"):
        subscription.target(to=LIVE)


def test_a_right_that_is_missing(subscription: Subscription) -> None:
    subscription.memory.allowed = [{"actions": ["Microsoft.DocumentDB/databaseAccounts/*"], "notActions": []}]
    assert "restorableDatabaseAccounts/restore/action" in answers(subscription, subscription.target())["may be restored"]


def test_another_subscription(subscription: Subscription) -> None:
    details = {**subscription.backup.details, "subscription": "00000000-0000-0000-0000-000000000000"}
    subscription.backup = subscription.backup.model_copy(update={"details": details})
    assert "was marked in subscription 00000000" in answers(subscription, subscription.target())["is what was marked"]


def test_a_container_that_was_not_there_then(subscription: Subscription) -> None:
    del subscription.memory.accounts[LIVE].databases["coordinator"]["state"]
    target = subscription.target(drill=True)
    assert "coordinator/state was not there then" in answers(subscription, target)["can be restored to the instant"]
    with pytest.raises(NotRestorableError, match="coordinator/state was not there then"):
        subscription.restore(target)


def test_an_account_that_is_kept_no_more(subscription: Subscription) -> None:
    del subscription.memory.accounts[LIVE]
    assert (
        "is not among the accounts that can be restored any more"
        in answers(subscription, subscription.target())["can be restored to the instant"]
    )


def test_an_account_that_was_gone_by_then(subscription: Subscription) -> None:
    subscription.memory.delete(LIVE)
    later = subscription.backup.midtime + timedelta(seconds=3600)
    subscription.backup = subscription.backup.model_copy(update={"midtime": later})
    assert "was deleted at" in answers(subscription, subscription.target())["can be restored to the instant"]


def test_two_stores_whose_drills_have_one_name(subscription: Subscription) -> None:
    target = subscription.target(drill=True)
    subscription.look(target)
    other = type(target).from_dict({**target.to_dict(), "store": "tickets"})
    with pytest.raises(TargetExistsError, match="is the name for store points in this run"):
        begin(subscription.topology, subscription.backup, subscription.shelf, other)


def test_a_container_that_was_dropped_before_the_mark(subscription: Subscription) -> None:
    """Nobody may know it but the service: it is told before anything is restored."""
    live = subscription.memory.accounts[LIVE].databases
    live["others"] = {"dropped": live["bank"]["accounts"]}
    assert "dropped" not in answers(subscription, subscription.target())["can be restored to the instant"]
    live["bank"]["dropped"] = live["bank"]["accounts"]
    why = answers(subscription, subscription.target())["can be restored to the instant"]
    assert "bank/dropped was there then, and dropped before the mark" in why


def test_a_drill_in_another_region_is_asked_about(subscription: Subscription) -> None:
    """It has backups of its own."""
    memory = subscription.memory
    memory.accounts[LIVE].properties["locations"].append({"locationName": "Japan West", "failoverPriority": 1})
    memory.lags["Japan West"] = 1000.0
    subscription.drill_in("Japan West")
    target = subscription.target(drill=True)
    why = answers(subscription, target)["can be restored to the instant"]
    assert "the backups of bank/accounts (up to" in why
    assert "in Japan West do not reach" in why
    memory.sleep(1000)
    assert answers(subscription, target)["can be restored to the instant"].endswith("in Japan West")
