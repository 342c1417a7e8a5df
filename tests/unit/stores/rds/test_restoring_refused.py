"""What the service, or somebody else, may do to a restore: waited for, or told; nothing is asked for twice."""

from __future__ import annotations

from typing import Any

import pytest

from midtime.errors import NotRestorableError, RestoreFailedError, StoreAccessError
from midtime.stores.rds.servers import FAILED
from tests.unit.stores.rds.memory import refusal
from tests.unit.stores.rds.restores import LIVE, RESTORES, Account, copy_of, new_names, restored


def test_a_full_quota_is_waited_for(account: Account) -> None:
    account.memory.quota = len(account.memory.instances) + len(account.memory.clusters)
    target = account.target(drill=True)
    first = account.look(target)
    assert first
    assert "does not go on now" in first.detail
    assert "QuotaExceeded" in first.detail
    account.memory.quota = 50
    account.memory.sleep(5)
    second = account.look(target)
    assert second
    assert second.detail.endswith("restore asked for"), "what was refused is not waited for"
    account.restore(target)
    assert account.copies() == new_names(account, target.working, drill=True)


def test_a_quota_that_is_full_in_the_middle(aurora: Account) -> None:
    """The cluster is there, and there is no room for an instance of it."""
    aurora.memory.quota = len(aurora.memory.instances) + len(aurora.memory.clusters) + 1
    target = aurora.target(drill=True)
    assert aurora.look(target)
    aurora.memory.sleep(100)
    second = aurora.look(target)
    assert second
    assert "InstanceQuotaExceeded" in second.detail
    aurora.memory.quota = 50
    aurora.restore(target)
    assert len(restored(aurora)) == 1


@pytest.mark.parametrize("state", sorted(FAILED))
def test_a_restore_that_fails(rds: Account, state: str) -> None:
    """In the service's own words, however often it is looked at; nothing is asked for again, and it can be removed."""
    rds.memory.becomes = state
    target = rds.target(to="bank-new")
    assert rds.look(target)
    rds.memory.sleep(100)
    rds.memory.events["bank-new"] = ["Restored.", "The instance could not be restored: the disk is full."]
    for _ in range(2):
        with pytest.raises(RestoreFailedError, match=f"ended as {state}: The instance could not be restored: the disk is full") as caught:
            rds.look(target)
        assert caught.value.fix
    assert len(restored(rds)) == 1
    rds.store.discard(target)
    assert rds.copies() == {}


def test_a_restore_that_fails_without_a_word(account: Account) -> None:
    account.memory.becomes = "failed"
    target = account.target(to="bank-new")
    assert account.look(target)
    account.memory.sleep(100)
    with pytest.raises(RestoreFailedError, match="ended as failed: Amazon's events say no more"):
        account.look(target)


def test_somebody_changes_it_when_its_settings_are_put_back(account: Account) -> None:
    """That is waited for, and does not count as if the service would not take them."""
    busy = iter(["InvalidDBInstanceState", "InvalidDBClusterStateFault", "Throttling", "ThrottlingException"])

    def before(operation: str, asked: Any) -> None:
        if operation.startswith("modify") and (code := next(busy, None)):
            raise refusal(code)

    account.memory.before_each = before
    account.restore(account.target(to="bank-new"))
    assert copy_of(account, "bank-new").said["PreferredMaintenanceWindow"] == "sun:03:00-sun:03:30"


def test_an_instance_of_a_cluster_that_fails(aurora: Account) -> None:
    target = aurora.target(to="bank-new")
    assert aurora.look(target)
    aurora.memory.sleep(100)
    aurora.memory.becomes = "insufficient-capacity"
    assert aurora.look(target)
    aurora.memory.sleep(100)
    with pytest.raises(RestoreFailedError, match="instance bank-new-1 ended as insufficient-capacity"):
        aurora.look(target)


def test_somebody_deletes_it_meanwhile(account: Account) -> None:
    target = account.target(to="bank-new")
    assert account.look(target)
    account.memory.sleep(10)
    assert account.look(target)
    account.memory.lose("bank-new", retained=False)
    for _ in range(2):
        with pytest.raises(RestoreFailedError, match="somebody has deleted it"):
            account.look(target)
    assert len(restored(account)) == 1


def test_the_kms_key_is_gone(account: Account) -> None:
    def before(operation: str, asked: Any) -> None:
        if operation in RESTORES:
            raise refusal("KMSKeyNotAccessibleFault")

    account.memory.before_each = before
    with pytest.raises(StoreAccessError, match=r"its KMS key cannot be used.*KMSKeyNotAccessibleFault says Amazon") as caught:
        account.look(account.target(to="bank-new"))
    assert "enable the key" in caught.value.fix


@pytest.mark.parametrize("left", [True, False])
def test_a_login_that_expires_while_it_is_waited_for(account: Account, left: bool) -> None:
    expired = True

    def refuse(operation: str, asked: Any) -> None:
        if expired:
            raise refusal("ExpiredToken", status=403)

    target = account.target(drill=True)
    assert account.look(target)
    account.memory.before_each = refuse
    with pytest.raises(StoreAccessError, match="credentials have expired") as caught:
        account.look(target)
    assert not caught.value.retryable
    expired = False
    account.memory.sleep(100)
    if left:
        account.store.discard(target)
        assert account.copies() == {}
    else:
        account.restore(target)
        assert len(restored(account)) == 1


def test_a_service_that_is_away(account: Account) -> None:
    away = True

    def refuse(operation: str, asked: Any) -> None:
        if away:
            raise refusal("ServiceUnavailable", status=503)

    target = account.target(drill=True)
    assert account.look(target)
    account.memory.before_each = refuse
    waiting = account.look(target)
    assert waiting
    assert "does not go on now" in waiting.detail
    away = False
    account.restore(target)


def test_not_for_ever(account: Account) -> None:
    target = account.target(drill=True)
    assert account.look(target)
    for things in (account.memory.instances, account.memory.clusters):
        for each in things.values():
            each.ready_at = 1e9 if each.name == target.working else 0
    account.memory.sleep(13 * 3600)
    with pytest.raises(RestoreFailedError, match="it is creating, after 13h"):
        account.look(target)


@pytest.mark.parametrize("what", ["renamed", "recreated", "deleted, kept", "deleted"])
def test_what_became_of_the_source(account: Account, what: str) -> None:
    """It is found by its resource id; another one of its name is another one."""
    memory = account.memory
    if what == "renamed":
        memory.rename(LIVE, "bank-old")
    else:
        memory.lose(LIVE, retained=what == "deleted, kept")
    if what in ("renamed", "recreated"):
        memory.make(LIVE, "another", cluster=account.kind == "aurora")
    target = account.target(to="new")
    if what in ("renamed", "deleted, kept"):
        said = account.answers(target)["is what was marked"]
        assert ("called bank-old now" if what == "renamed" else "deleted since") in said
        account.restore(target)
        assert copy_of(account, "new").content == "then"
        (asked,) = restored(account)
        assert account.backup.details["resource_id"] in asked.values()
    else:
        for ask_or_do in (Account.answers, Account.look):
            with pytest.raises(NotRestorableError, match="was deleted, and its automated backups with it"):
                ask_or_do(account, target)
        assert restored(account) == []
