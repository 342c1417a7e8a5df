"""Settings in words: what is different now, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from midtime.stores.cosmosdb.settings import AccountSettings, ContainerSettings, Throughput, spoken_account, spoken_container
from midtime.stores.marks import differences

SCOPE = "/subscriptions/1/resourceGroups/bank/providers/Microsoft.DocumentDB/databaseAccounts/bank-prod"


def container(**changes: Any) -> ContainerSettings:
    resource = {
        "partitionKey": {"paths": ["/k"], "kind": "Hash"},
        "indexingPolicy": {"indexingMode": "consistent"},
        "uniqueKeyPolicy": {"uniqueKeys": []},
    }
    fields: dict[str, Any] = {
        "database": "bank", "name": "accounts", "rid": "a=", "changed_at": datetime(2026, 1, 1, tzinfo=UTC), "resource": resource,
        "throughput": Throughput(units=400), "procedures": {"mutate.js": "function a() {}"},
    }  # fmt: skip
    return ContainerSettings(**(fields | changes))


def account(scope: str = SCOPE, **changes: Any) -> AccountSettings:
    fields: dict[str, Any] = {
        "arm_id": scope, "location": "Japan East", "properties": {"ipRules": [], "publicNetworkAccess": "Enabled"}, "tags": {"owner": "bank"},
        "assignments": ({"principalId": "p", "roleDefinitionId": f"{scope}/sqlRoleDefinitions/r", "scope": f"{scope}/dbs/bank", "name": scope},),
    }  # fmt: skip
    return AccountSettings(**(fields | changes))


def role(principal: str, definition: str) -> dict[str, str]:
    return {"principalId": principal, "roleDefinitionId": f"{SCOPE}/sqlRoleDefinitions/{definition}", "scope": SCOPE}


def told(now: ContainerSettings) -> list[str]:
    return differences("bank/accounts", spoken_container(container()), spoken_container(now))


def test_a_copy_that_is_the_same() -> None:
    """Under another id, made at another time."""
    assert told(container(rid="b=", changed_at=datetime(2026, 2, 2, tzinfo=UTC))) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"procedures": {}}, "bank/accounts: stored procedure mutate.js was function a() {}, is not there"),
        (
            {"procedures": {"mutate.js": "function b() {}"}},
            "bank/accounts: stored procedure mutate.js was function a() {}, is function b() {}",
        ),
        ({"throughput": Throughput(units=4000, autoscale=True)}, "bank/accounts: throughput was 400 RU/s, is 4000 RU/s, autoscaled"),
        ({"throughput": None}, "bank/accounts: throughput was 400 RU/s, is not there"),
        ({"functions": {"f": "x"}}, "bank/accounts: function f was not there, is x"),
        ({"triggers": ({"id": "t", "body": "x"},)}, 'bank/accounts: trigger t was not there, is {"body": "x", "id": "t"}'),
    ],
)
def test_each_difference_is_told(changes: dict[str, Any], said: str) -> None:
    assert told(container(**changes)) == [said]


def test_where_in_arms_words_it_is() -> None:
    changed = {**container().resource, "indexingPolicy": {"indexingMode": "none"}, "defaultTtl": 60}
    assert told(container(resource=changed)) == [
        "bank/accounts: indexingPolicy.indexingMode was consistent, is none",
        "bank/accounts: defaultTtl was not there, is 60",
    ]


def test_another_account_with_the_same_roles() -> None:
    """Their scopes have the account's name in them."""
    other = account(SCOPE.replace("bank-prod", "restored"))
    assert differences("account", spoken_account(account()), spoken_account(other)) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tags": {}}, "account: tag owner was 'bank', is not there"),
        ({"assignments": ()}, "account: role of p was r for dbs/bank, is not there"),
        (
            {"assignments": (*account().assignments, role("p", "o"))},
            "account: role of p was r for dbs/bank, is o for the account; r for dbs/bank",
        ),
        ({"roles": ({"roleName": "teller", "permissions": []},)}, "account: role teller was not there, is []"),
        (
            {"properties": {"ipRules": [{"ipAddressOrRange": "10.0.0.1"}], "publicNetworkAccess": "Enabled"}},
            "account: ipRules was not there, is [{",
        ),
    ],
)
def test_of_the_account(changes: dict[str, Any], said: str) -> None:
    (found,) = differences("account", spoken_account(account()), spoken_account(account(**changes)))
    assert found.startswith(said)
