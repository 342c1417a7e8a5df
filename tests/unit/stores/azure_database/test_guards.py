"""What a run must not take for its own, or go on with: each of these is one line that nothing else would miss."""

from __future__ import annotations

from typing import Any

import pytest

from midtime.errors import RequestError, RestoreFailedError, StoreAccessError, StoreStatementError, StoreUnreachableError, TargetExistsError
from midtime.stores.azure_database.azure import Azure
from midtime.stores.azure_database.notes import Notes
from midtime.stores.azure_database.targets import tier_of
from midtime.stores.naming import COPY_TAG
from tests.unit.stores.azure_database.memory import LIVE
from tests.unit.stores.azure_database.restores import Subscription


def opened(subscription: Subscription, target: Any) -> None:
    with subscription.store.restored(subscription.backup, target):
        pytest.fail("it is open")


def test_what_was_never_begun_is_not_opened(subscription: Subscription) -> None:
    with pytest.raises(RestoreFailedError, match="nothing was restored as"):
        opened(subscription, subscription.target(to="claims-new"))


def test_what_is_not_ready_is_not_opened(subscription: Subscription) -> None:
    target = subscription.restore(subscription.target(to="claims-new"))
    subscription.copy(target).state = "Stopped"
    with pytest.raises(RestoreFailedError, match="claims-new is in state Stopped"):
        opened(subscription, target)


def test_what_is_somebody_elses_is_not_opened(subscription: Subscription) -> None:
    target = subscription.restore(subscription.target(to="claims-new"))
    subscription.copy(target).tags[COPY_TAG] = "midtime-tmp-ffffff"
    with pytest.raises(TargetExistsError, match="somebody else's"):
        opened(subscription, target)


def test_without_a_connection_nobody_reads_it(subscription: Subscription) -> None:
    target = subscription.restore(subscription.target(to="claims-new"))
    store = subscription.store
    store.__dict__["data"] = None
    with pytest.raises(StoreAccessError, match="has no `data_conn_id`"), store.restored(subscription.backup, target):
        pytest.fail("it is open")


def test_what_nobody_can_read_is_restored_all_the_same(subscription: Subscription) -> None:
    """There is nobody whom it would have to let in."""
    subscription.data = None  # type: ignore[assignment]
    target = subscription.restore(subscription.target(to="claims-new"))
    assert subscription.copy(target).state == "Ready"


def test_a_server_that_cannot_be_reached_is_waited_for_as_long_as_a_restore(subscription: Subscription) -> None:
    """Its name, or the way to it, may come later than its firewall; why is told."""
    subscription.data.refuses = StoreUnreachableError("no route to it", fix="x")
    with pytest.raises(RestoreFailedError, match=r"does not let this worker in.*no route to it"):
        subscription.restore(subscription.target(to="claims-new"))


@pytest.mark.parametrize("code", ["SubscriptionNotFound", "ResourceGroupNotFound", "InvalidSubscriptionId"])
def test_what_is_no_answer_about_a_server(subscription: Subscription, code: str) -> None:
    """Whoever took it for one would forget the server, and leave it."""
    target = subscription.restore(subscription.target(drill=True))
    with subscription.memory.refusing(404, "not found", code, of="servers_get"), pytest.raises(StoreAccessError, match="not there"):
        subscription.store.discard(target)
    subscription.store.discard(target)
    assert list(subscription.memory.servers) == [LIVE]


@pytest.mark.parametrize("state", ["Disabled", "Dropping", "Inaccessible"])
def test_a_wreck_is_not_waited_for(subscription: Subscription, state: str) -> None:
    target = subscription.target(to="claims-new")
    subscription.look(target)
    subscription.memory.operations.clear()
    subscription.copy(target).state = state
    with pytest.raises(RestoreFailedError, match=f"it is in state {state}"):
        subscription.look(target)


def test_what_has_no_note_is_not_placed(subscription: Subscription) -> None:
    target = subscription.restore(subscription.target(to="claims-new"))
    Notes(subscription.topology, target).end()
    with pytest.raises(RestoreFailedError, match="note about server claims-new is gone"):
        subscription.store.place(subscription.backup, target)


def test_what_was_never_begun_is_not_put_back(subscription: Subscription) -> None:
    subscription.store.put_back(subscription.backup, subscription.target(to="claims-new"))
    assert subscription.memory.counts["servers_begin_update"] == 0


def test_a_drills_server_is_not_waited_for_to_be_put_back(subscription: Subscription) -> None:
    """It was never placed."""
    target = subscription.target(drill=True)
    subscription.look(target)
    began = subscription.memory.now
    subscription.store.put_back(subscription.backup, target)
    assert subscription.memory.now == began


def test_a_service_that_does_not_say_when_a_server_was_made(subscription: Subscription) -> None:
    subscription.live.made = None
    target = subscription.restore(subscription.target(to="claims-new"))
    subscription.copy(target).made = None
    subscription.store.place(subscription.backup, target)
    assert subscription.differences(target) == []


def test_asked_again_before_it_is_made(subscription: Subscription) -> None:
    """`plan` is cleared when the service has refused."""
    target = subscription.target(to="claims-new")
    with subscription.memory.refusing(429, "busy", of=subscription.memory.create):
        subscription.look(target)
    assert all(check.ok for check in subscription.asked(target))


def test_what_is_somebody_elses_is_not_put_back(subscription: Subscription) -> None:
    target = subscription.restore(subscription.target(to="claims-new"))
    subscription.store.place(subscription.backup, target)
    subscription.copy(target).tags[COPY_TAG] = "placed midtime-tmp-ffffff"
    subscription.store.put_back(subscription.backup, target)
    assert subscription.copy(target).tags[COPY_TAG] == "placed midtime-tmp-ffffff"


def test_asked_again_once_it_is_made(subscription: Subscription) -> None:
    """`plan` is cleared: the name is taken by the run itself. By anybody else it is not the run's."""
    target = subscription.restore(subscription.target(to="claims-new"))
    assert all(check.ok for check in subscription.asked(target))
    subscription.copy(target).tags[COPY_TAG] = "midtime-tmp-ffffff"
    error = subscription.asked(target)[-1].error
    assert isinstance(error, TargetExistsError)
    assert "was not restored by this run" in error.message


def test_another_subscription(subscription: Subscription) -> None:
    details = {**subscription.backup.details, "subscription": "another"}
    subscription.backup = subscription.backup.model_copy(update={"details": details})
    error = subscription.asked(subscription.target(to="claims-new"))[-1].error
    assert isinstance(error, StoreAccessError)
    assert "was marked in subscription another" in error.message


def test_closed_to_the_world_as_marked(subscription: Subscription) -> None:
    """A restore that opens it, whatever the request said, is closed before anybody reads it."""
    subscription.live.said["network"] = {"publicNetworkAccess": "Disabled"}
    subscription.shelf.folder.joinpath("files", "settings.json").unlink()
    target = subscription.mark().target(to="claims-new")
    subscription.look(target)
    subscription.copy(target).said["network"] = {"publicNetworkAccess": "Enabled"}
    subscription.restore(target)
    assert subscription.copy(target).said["network"]["publicNetworkAccess"] == "Disabled"


def test_in_a_virtual_network_there_is_nothing_to_close(subscription: Subscription) -> None:
    subscription.live.said["network"] = {"publicNetworkAccess": "Disabled", "delegatedSubnetResourceId": "/subnets/s"}
    subscription.live.rules = {}
    subscription.shelf.folder.joinpath("files", "settings.json").unlink()
    target = subscription.mark().target(to="claims-new")
    subscription.look(target)
    subscription.copy(target).said["network"] = {"delegatedSubnetResourceId": "/subnets/s"}
    subscription.restore(target)
    assert "publicNetworkAccess" not in subscription.copy(target).said["network"]


def test_the_identities_that_read_the_key_are_asked_for(subscription: Subscription) -> None:
    subscription.live.said["dataEncryption"] = {"type": "AzureKeyVault", "primaryKeyURI": "https://vault/k"}
    subscription.live.identity = {"type": "UserAssigned", "userAssignedIdentities": {"/i": {"principalId": "p"}}}
    subscription.shelf.folder.joinpath("files", "settings.json").unlink()
    subscription.mark()
    subscription.look(subscription.target(drill=True))
    assert subscription.memory.bodies[0]["identity"] == {"type": "UserAssigned", "userAssignedIdentities": {"/i": {}}}


def test_without_a_key_none_is_asked_for(subscription: Subscription) -> None:
    subscription.look(subscription.target(drill=True))
    assert "identity" not in subscription.memory.bodies[0]
    assert "dataEncryption" not in subscription.memory.bodies[0]


@pytest.mark.parametrize("sku", ["B1ms", "Standard_Z1", "standard_b1ms", "Standard_B"])
def test_what_is_no_sku(sku: str) -> None:
    with pytest.raises(RequestError, match="is no SKU"):
        tier_of(sku)


def test_a_server_that_has_no_firewall(subscription: Subscription) -> None:
    """Some answer the question for its rules with a refusal; nothing else is refused."""
    subscription.shelf.folder.joinpath("files", "settings.json").unlink()
    with subscription.memory.refusing(400, "no firewall in a virtual network", of="firewall_rules_list_by_server"):
        subscription.mark()
    subscription.shelf.folder.joinpath("files", "settings.json").unlink()
    with (
        subscription.memory.refusing(403, "no", of="firewall_rules_list_by_server"),
        pytest.raises((StoreAccessError, StoreStatementError)),
    ):
        subscription.mark()
    assert LIVE in subscription.memory.servers


def test_a_login_of_another_cloud(subscription: Subscription, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it is sent to Azure, nor is the worker's own identity taken for it."""
    monkeypatch.setenv("AIRFLOW_CONN_AZURE", '{"conn_type": "aws", "login": "key", "password": "hunter2"}')
    with pytest.raises(StoreAccessError, match="connection azure is of type aws, not azure") as caught:
        _ = Azure("files", subscription.store.spec).arm
    assert "hunter2" not in str(caught.value)
