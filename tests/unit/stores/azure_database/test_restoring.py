"""A server comes back beside the live one, with what a restore loses; what is placed stays, what is not goes."""

from __future__ import annotations

from typing import Any

import pytest

from midtime.errors import RequestError, StoreAccessError, TargetExistsError
from midtime.model.instants import to_rfc3339
from midtime.stores.naming import COPY_TAG
from tests.unit.stores.azure_database.memory import BIG, LIVE
from tests.unit.stores.azure_database.restores import RUN, Subscription, require_whole


@pytest.mark.parametrize("keeps_nothing", [True, False])
def test_beside(subscription: Subscription, keeps_nothing: bool) -> None:
    """Azure's documentation contradicts itself on what a restored server has of its source: either way it is as marked in the end."""
    memory = subscription.memory
    memory.keeps_nothing = keeps_nothing
    target = subscription.restore(subscription.target(to="claims-new"))
    require_whole(subscription, target)
    assert subscription.data.reached == [("claims-new.example", None)]
    (asked,) = memory.bodies
    assert asked["properties"][memory.instant] == to_rfc3339(subscription.backup.midtime)
    assert asked["properties"]["sourceServerResourceId"].endswith(f"/{LIVE}")
    assert asked["properties"]["network"] == {"publicNetworkAccess": "Enabled"}
    assert asked["sku"] == BIG
    assert asked["tags"] == {"team": "claims", COPY_TAG: target.working, "midtime:topology": "bank", "midtime:restored": LIVE}


def test_a_drill_comes_and_goes(subscription: Subscription) -> None:
    subscription.change(drill={"sku": "Standard_B1ms", "name": "drill"})
    target = subscription.store.target(subscription.topology.drill.targets["files"], run=RUN, drill=True, in_place=False)
    assert target.final == target.working == f"drill-{RUN}"
    subscription.restore(target)
    assert subscription.copy(target).sku == {"name": "Standard_B1ms", "tier": "Burstable"}
    assert subscription.copy(target).said["highAvailability"]["mode"] == "Disabled"
    assert subscription.differences(target) == []
    subscription.store.place(subscription.backup, target)
    assert subscription.copy(target).tags[COPY_TAG] == target.working, "a drill's server is not placed"
    subscription.store.discard(target)
    assert list(subscription.memory.servers) == [LIVE]


def test_a_drill_somewhere_else_with_another_login(subscription: Subscription) -> None:
    """The topology's words hold for drills only."""
    subscription.change(drill={"conn_id": "drills", "resource_group": "drills"})
    wish = subscription.topology.drill.targets["files"]
    target = subscription.store.target(wish, run=RUN, drill=True, in_place=False)
    assert target.conn_id == "drills"
    assert "in resource group drills" in subscription.asked(target)[2].detail
    beside = subscription.store.target(None, run=RUN, drill=False, in_place=False)
    assert (beside.conn_id, beside.final) == ("azure", f"restored-{RUN}-{LIVE}")
    assert f"`restored-{RUN}-{LIVE}` in resource group claims" in subscription.asked(beside)[2].detail


def test_what_is_placed_has_its_standby_and_stays(subscription: Subscription) -> None:
    target = subscription.restore(subscription.target(to="claims-new"))
    assert subscription.copy(target).said["highAvailability"]["mode"] == "Disabled", "it costs double"
    subscription.store.place(subscription.backup, target)
    assert subscription.copy(target).said["highAvailability"]["mode"] == "ZoneRedundant"
    assert subscription.copy(target).tags[COPY_TAG] == f"placed {target.working}"
    assert subscription.differences(target) == []
    subscription.store.discard(target)
    assert sorted(subscription.memory.servers) == ["claims-new", LIVE]


def test_placed_and_put_back(subscription: Subscription) -> None:
    target = subscription.restore(subscription.target(to="claims-new"))
    subscription.store.place(subscription.backup, target)
    subscription.store.put_back(subscription.backup, target)
    subscription.store.discard(target)
    assert list(subscription.memory.servers) == [LIVE]


def test_no_more_open_than_the_marked_server(subscription: Subscription) -> None:
    """A rule that was made since, and one that was changed."""
    subscription.live.rules["everybody"] = {"startIpAddress": "0.0.0.0", "endIpAddress": "255.255.255.255"}  # noqa: S104
    was = subscription.live.rules["office"].copy()
    subscription.live.rules["office"] = {"startIpAddress": "10.0.0.0", "endIpAddress": "10.255.255.255"}
    target = subscription.restore(subscription.target(drill=True))
    assert subscription.copy(target).rules == {"office": was}


def test_a_parameter_that_a_small_server_refuses(subscription: Subscription) -> None:
    """It is said, and spoils nothing."""
    subscription.memory.keeps_nothing = True
    subscription.memory.refused = {"max_connections"}
    target = subscription.restore(subscription.target(drill=True))
    copy = subscription.copy(target)
    assert copy.parameters == {key: value for key, value in subscription.live.parameters.items() if key != "max_connections"}
    assert copy.pending == set(), "restarted for the static one"
    assert subscription.differences(target) == [f"server {target.final}: parameter max_connections was 500, is not there"]


def test_a_firewall_rule_that_cannot_be_set(subscription: Subscription) -> None:
    subscription.memory.keeps_nothing = True
    subscription.memory.failing["firewall_rules_begin_create_or_update"] = "no"
    with pytest.raises(Exception, match="firewall rule office: InternalServerError: no"):
        subscription.restore(subscription.target(drill=True))


def test_a_virtual_network_comes_with_the_restore(subscription: Subscription) -> None:
    network: dict[str, Any] = {"publicNetworkAccess": "Disabled", "delegatedSubnetResourceId": "/s", "privateDnsZoneArmResourceId": "/z"}
    subscription.live.said["network"] = network
    subscription.live.rules = {}
    subscription.shelf.folder.joinpath("files", "settings.json").unlink()
    subscription.mark()
    subscription.restore(subscription.target(drill=True))
    assert subscription.memory.bodies[0]["properties"]["network"] == network


def test_a_key_of_the_users(subscription: Subscription) -> None:
    key = {"type": "AzureKeyVault", "primaryKeyURI": "https://vault/k", "primaryUserAssignedIdentityId": "/i"}
    subscription.live.said["dataEncryption"] = key
    subscription.shelf.folder.joinpath("files", "settings.json").unlink()
    subscription.mark()
    subscription.restore(subscription.target(drill=True))
    assert subscription.memory.bodies[0]["properties"]["dataEncryption"] == key
    assert subscription.memory.bodies[0]["identity"]["type"] == "UserAssigned"


def test_in_place_is_refused(subscription: Subscription) -> None:
    with pytest.raises(RequestError, match="restores a flexible server into a new one only") as caught:
        subscription.target(in_place=True)
    assert "azure-database-cut-over" in caught.value.fix


@pytest.mark.parametrize("name", ["UPPER", "a", "-a-b", "a_b", "x" * 64])
def test_what_is_no_name(subscription: Subscription, name: str) -> None:
    with pytest.raises(RequestError, match="is no name of a server"):
        subscription.target(to=name)


def test_the_live_server_is_no_target(subscription: Subscription) -> None:
    with pytest.raises(RequestError, match="is the live server"):
        subscription.target(to=LIVE)


def test_it_does_not_let_the_worker_in(subscription: Subscription) -> None:
    """A firewall that was just set may need its time; one that does not know the worker never lets it in."""
    target = subscription.target(drill=True)
    subscription.data.refuses = StoreAccessError("no pg_hba entry", fix="x")
    with pytest.raises(StoreAccessError, match="no pg_hba"):
        subscription.restore(target)
    assert len(subscription.data.reached) > 3
    subscription.data.refuses = None
    subscription.restore(target)


def test_another_store_of_the_run_has_the_name(subscription: Subscription) -> None:
    target = subscription.restore(subscription.target(drill=True))
    other = subscription.backup.model_copy(update={"store": "other"})
    from dataclasses import replace

    from midtime.stores.azure_database.restoring import begin

    with pytest.raises(TargetExistsError, match="give each store"):
        begin(subscription.topology, other, subscription.shelf, replace(target, store="other"))
