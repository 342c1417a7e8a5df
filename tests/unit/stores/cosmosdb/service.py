"""What a subscription in memory is of: accounts and their containers, operations that take time, and calls, at any of which it can be left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.unit.stores.azure.service import ArmInMemory, refusal

SUBSCRIPTION, GROUP, REGION, LIVE = "2f6a9f37-63f8-4a8e-b1f5-6c3b2c0d7a21", "bank", "Japan East", "bank-prod"
KEY = "c2VjcmV0LWtleQ=="
CALLS = ("database_accounts", "restorable_database_accounts", "restorable_sql_resources", "sql_resources")
CLOSED = {
    "publicNetworkAccess": "Enabled", "ipRules": [{"ipAddressOrRange": "10.1.2.3"}], "isVirtualNetworkFilterEnabled": False, "virtualNetworkRules": [],
    "networkAclBypass": "None", "networkAclBypassResourceIds": [],
}  # fmt: skip
OPEN = {**CLOSED, "ipRules": []}
PROCEDURE = {"mutate.js": "function mutate(a) { return a; }"}


@dataclass
class Container:
    rid: str
    resource: dict[str, Any]
    throughput: dict[str, Any] | None = None
    scripts: dict[str, dict[str, Any]] = field(default_factory=lambda: {"procedures": {}, "triggers": {}, "functions": {}})
    indexed: int = 100


@dataclass
class Account:
    name: str
    instance: str
    properties: dict[str, Any]
    tags: dict[str, str]
    made: float
    databases: dict[str, dict[str, Container]] = field(default_factory=dict)
    throughputs: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    state: str = "Succeeded"
    gone_at: float | None = None
    assignments: list[dict[str, Any]] = field(default_factory=list)


class Service(ArmInMemory):
    """The accounts."""

    def __init__(self, seconds: float = 40.0) -> None:
        super().__init__(CALLS)
        self.seconds = seconds
        self.accounts: dict[str, Account] = {}
        self.gone: list[Account] = []
        self.taken: set[str] = set()
        self.lags: dict[str, float] = {}
        """Seconds by which backups lag, by region, where that is not as everywhere."""

    def make(self, name: str, databases: Mapping[str, Mapping[str, Container]], **properties: Any) -> Account:
        wanted = {
            "consistencyPolicy": {"defaultConsistencyLevel": "Strong"}, "backupPolicy": {"type": "Continuous"}, **CLOSED,
            "locations": [{"locationName": REGION, "failoverPriority": 0}], "createMode": "Default", **properties,
        }  # fmt: skip
        made = Account(
            name, f"instance-{next(self._ids)}", wanted, {"team": "bank"}, self.now, {of: dict(each) for of, each in databases.items()}
        )
        made.throughputs = dict.fromkeys(databases)
        self.accounts[name] = made
        return made

    def delete(self, name: str) -> None:
        gone = self.accounts.pop(name)
        gone.gone_at = self.now
        self.gone.append(gone)

    def _account(self, name: str) -> Account:
        if name not in self.accounts:
            raise refusal(404, f"{name} was not found", "ResourceNotFound")
        return self.accounts[name]

    def _settled(self, name: str) -> Account:
        if (account := self._account(name)).state not in ("Succeeded", "Failed"):
            raise refusal(412, "another operation is in progress", "PreconditionFailed")
        return account
