"""What a restored server is made with is asked for before the service is asked for the server."""

from __future__ import annotations

from typing import Any

import pytest

from midtime.errors import StoreAccessError, StoreUnreachableError
from midtime.stores.azure_database.control import CONTROLS
from midtime.stores.base import Question
from tests.unit.stores.azure_database.restores import Subscription

SUBNET, ZONE, IDENTITY = "/subnets/db", "/privateDnsZones/db.private", "/userAssignedIdentities/reader"
KEY = {"type": "AzureKeyVault", "primaryKeyURI": "https://vault/k", "primaryUserAssignedIdentityId": IDENTITY}


@pytest.fixture
def closed(subscription: Subscription) -> Subscription:
    """In a virtual network, with a key of its own; marked again."""
    zone = CONTROLS[subscription.dialect].zone
    subscription.live.said["network"] = {"publicNetworkAccess": "Disabled", "delegatedSubnetResourceId": SUBNET, zone: ZONE}
    subscription.live.said["dataEncryption"] = dict(KEY)
    subscription.live.identity = {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}}
    subscription.live.rules = {}
    subscription.shelf.folder.joinpath("files", "settings.json").unlink()
    return subscription.mark()


def answer(subscription: Subscription) -> str:
    checks = subscription.asked(subscription.target(to="claims-new"))
    if checks[-1].error:
        assert checks[-1].question == "has what it is made with"
        raise checks[-1].error
    return {check.question: check.detail for check in checks}["has what it is made with"]


def drill(subscription: Subscription) -> Question:
    (found,) = subscription.store.drill_questions()
    return found


def test_all_is_there(closed: Subscription) -> None:
    assert closed.backup.details["needs"] == [SUBNET, ZONE, IDENTITY]
    assert answer(closed) == "subnet db, private DNS zone db.private, identity reader"
    assert "can be drilled" in drill(closed)
    assert drill(closed)[1]()


@pytest.mark.parametrize(("name", "noun"), [(SUBNET, "subnet"), (ZONE, "private DNS zone"), (IDENTITY, "identity")])
def test_one_is_gone(closed: Subscription, name: str, noun: str) -> None:
    closed.memory.others[name] = 404
    for asked in (lambda: answer(closed), drill(closed)[1]):
        with pytest.raises(StoreAccessError, match=f"is gone: {noun} {name}") as caught:
            asked()
        assert "under its old name" in caught.value.fix
    assert closed.memory.counts[closed.memory.create] == 0


def test_what_may_not_be_looked_up_is_said(closed: Subscription) -> None:
    closed.memory.others[ZONE] = 403
    assert answer(closed) == "subnet db, private DNS zone db.private (may not be looked up), identity reader"


def test_a_service_that_is_away_is_no_answer(closed: Subscription) -> None:
    closed.memory.others[SUBNET] = 503
    with pytest.raises(StoreUnreachableError):
        answer(closed)


def test_the_customers_key_is_gone(closed: Subscription) -> None:
    """The server itself says so, before it is closed for it."""
    closed.live.said["dataEncryption"]["primaryEncryptionKeyStatus"] = "Invalid"
    for asked in (lambda: answer(closed), drill(closed)[1]):
        with pytest.raises(StoreAccessError, match="the customer's key of the marked server cannot be used") as caught:
            asked()
        assert "recover it" in caught.value.fix


def test_a_server_that_is_open_needs_nothing(subscription: Subscription) -> None:
    """Identities that read no key are not asked for, so they need not be there."""
    subscription.live.identity = {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}}
    subscription.shelf.folder.joinpath("files", "settings.json").unlink()
    assert subscription.mark().backup.details["needs"] == []
    assert answer(subscription) == "nothing of its own"


def test_a_mark_that_did_not_note_them(closed: Subscription) -> None:
    details: dict[str, Any] = {key: value for key, value in closed.backup.details.items() if key != "needs"}
    closed.backup = closed.backup.model_copy(update={"details": details})
    assert answer(closed) == "nothing of its own"


def test_after_a_cut_over_the_marked_servers_key_is_asked_for(closed: Subscription) -> None:
    closed.live.said["dataEncryption"]["primaryEncryptionKeyStatus"] = "Invalid"
    closed.change(server="claims-now")
    with pytest.raises(StoreAccessError, match="the customer's key"):
        answer(closed)
