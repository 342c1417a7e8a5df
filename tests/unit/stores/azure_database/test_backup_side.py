"""The preflight, the mark and what counts as restorable."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from midtime.errors import NotRestorableError, StoreAccessError, StoreError
from midtime.model.instants import to_rfc3339
from midtime.stores import notes
from midtime.stores.azure_database.settings import MarkedServer
from midtime.stores.azure_database.targets import tier_of
from midtime.stores.base import ask
from midtime.stores.managed_sql.data import same_host
from tests.unit.stores.azure.service import START
from tests.unit.stores.azure_database.memory import LIVE
from tests.unit.stores.azure_database.restores import PARAMETERS, Subscription


def asked(subscription: Subscription) -> dict[str, str]:
    checks = list(ask("files", subscription.store.questions()))
    for check in checks:
        if check.error:
            assert check.error.fix
            raise check.error
    return {check.question: check.detail for check in checks}


def test_the_preflight(subscription: Subscription) -> None:
    said = asked(subscription)
    assert list(said) == [
        "is reachable", "is ready", "keeps a history", "may be marked", "is where its data are", "has its namespaces",
    ]  # fmt: skip
    assert said["keeps a history"].startswith("14 days, now since 2026-11-21T02:00:00Z; `retention.keep_days` is 30")
    assert subscription.memory.counts.keys() == {
        "servers_get", "configurations_list_by_server", "firewall_rules_list_by_server", "send_request",
        "administrators_microsoft_entra_list_by_server" if subscription.dialect == "postgresql" else "azure_ad_administrators_list_by_server",
    }  # fmt: skip


def test_what_nobody_can_read_is_not_backed_up(subscription: Subscription) -> None:
    """A drill would have to be paid for, and could prove nothing."""
    store = subscription.store
    store.__dict__["data"] = None
    *good, unread = ask("files", store.questions())
    assert all(check.ok for check in good)
    assert (unread.question, unread.ok) == ("can be read", False)
    assert "has no `data_conn_id`" in unread.detail


def _stopped(subscription: Subscription) -> None:
    subscription.live.state = "Stopped"


def _gone(subscription: Subscription) -> None:
    subscription.memory.servers.pop(LIVE)


def _replica(subscription: Subscription) -> None:
    subscription.live.said["replicationRole"] = "AsyncReplica"


def _elsewhere(subscription: Subscription) -> None:
    subscription.data.host = "192.0.2.1"


def _young(subscription: Subscription) -> None:
    subscription.live.begins = 10**6


def _without_backup(subscription: Subscription) -> None:
    subscription.live.begins = None


def _forbidden(subscription: Subscription) -> None:
    subscription.memory.allowed = [{"actions": ["*/read"], "notActions": ["*/administrators/read"]}]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_gone, "there is no flexible server claims-prod"),
        (_stopped, "is in state Stopped, not Ready"),
        (_replica, "is a replica"),
        (_young, "has backups since"),
        (_without_backup, "has no backup yet"),
        (_forbidden, "administrators/read"),
        (_elsewhere, "leads to 192.0.2.1"),
    ],
)
def test_what_spoils_a_backup(subscription: Subscription, change: Callable[[Subscription], None], said: str) -> None:
    change(subscription)
    with pytest.raises(StoreError, match=said):
        asked(subscription)


def test_the_mark(subscription: Subscription) -> None:
    backup = subscription.backup
    marked = notes.marked(backup, subscription.shelf, MarkedServer)
    assert backup.details["resource"] == marked.arm_id
    assert backup.details["created_at"] == to_rfc3339(START)
    assert backup.details["earliest_restore"] == to_rfc3339(START)
    assert backup.details["restorable"].startswith("by rule, ")
    assert backup.details["restorable_until"] == to_rfc3339(backup.midtime + timedelta(days=14))
    assert marked.settings.parameters == PARAMETERS
    assert marked.settings.rules == {"office": ("10.1.2.3", "10.1.2.9")}
    assert marked.settings.administrators == ("dba@example.com",)
    assert marked.settings.tags == {"team": "claims"}
    assert marked.settings.properties["highAvailability"]["mode"] == "ZoneRedundant"
    assert "earliestRestoreDate" not in marked.settings.properties["backup"]
    assert backup.client.startswith("azure-mgmt-")


def test_a_parameter_that_nobody_can_set_is_not_marked(subscription: Subscription) -> None:
    subscription.memory.fixed = {"max_connections"}
    subscription.shelf.folder.joinpath("files", "settings.json").unlink()
    backup = subscription.mark().backup
    marked = notes.marked(backup, subscription.shelf, MarkedServer)
    assert "max_connections" not in marked.settings.parameters


def test_marked_twice_the_first_one_stays(subscription: Subscription) -> None:
    subscription.live.parameters = {}
    again = subscription.store.mark(subscription.backup.midtime, subscription.shelf, lambda _: None)
    assert again.artifacts == subscription.backup.artifacts


@pytest.mark.parametrize("change", [_gone, _young, _without_backup])
def test_what_cannot_be_marked(subscription: Subscription, change: Callable[[Subscription], None]) -> None:
    change(subscription)
    with pytest.raises(NotRestorableError):
        subscription.store.mark(subscription.backup.midtime, subscription.shelf, lambda _: None)


def test_restorable_by_rule(subscription: Subscription) -> None:
    """So long after the instant as the topology says; Azure has no field for it."""
    after = {"postgresql": 15 * 60, "mysql": 10 * 60}[subscription.dialect]
    subscription.memory.now = 300 + after - 1
    found = subscription.store.restorable(subscription.backup)
    assert not found.ready
    assert "by rule" in found.detail
    subscription.memory.now += 1
    assert subscription.store.restorable(subscription.backup).ready
    subscription.change(restorable_after="2h")
    assert not subscription.store.restorable(subscription.backup).ready


def test_restorable_no_more(subscription: Subscription) -> None:
    subscription.live.begins = 301
    with pytest.raises(NotRestorableError, match="has backups since"):
        subscription.store.restorable(subscription.backup)
    subscription.live.begins = 0
    subscription.live.made = 5
    with pytest.raises(NotRestorableError, match="another server of that name"):
        subscription.store.restorable(subscription.backup)
    subscription.memory.servers.pop(LIVE)
    with pytest.raises(NotRestorableError, match="was deleted"):
        subscription.store.restorable(subscription.backup)


def test_after_a_cut_over_the_marked_server_is_asked(subscription: Subscription) -> None:
    subscription.change(server="claims-new")
    assert subscription.store.restorable(subscription.backup).ready


def test_without_a_connection_to_its_data(subscription: Subscription) -> None:
    store = subscription.store
    store.__dict__["data"] = None
    with pytest.raises(StoreAccessError, match="has no `data_conn_id`"):
        store.read_clock()


@pytest.mark.parametrize(
    ("sku", "tier"), [("Standard_B1ms", "Burstable"), ("Standard_D2ds_v5", "GeneralPurpose"), ("Standard_E4ds_v5", "MemoryOptimized")]
)
def test_tiers(sku: str, tier: str) -> None:
    assert tier_of(sku) == tier


def test_hosts() -> None:
    assert same_host("Claims.Example", "claims.example")
    assert same_host("localhost", "127.0.0.1")
    assert not same_host("127.0.0.2", "127.0.0.1")
