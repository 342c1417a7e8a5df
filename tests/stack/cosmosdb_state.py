"""All accounts of the double, and what its parts ask of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.stack.azure_arm import Azure
from tests.stack.azure_arm_routes import Request
from tests.stack.azure_arm_server import ArmService
from tests.stack.azure_arm_world import RefusedError, answer
from tests.stack.cloud_server import Answer
from tests.stack.cosmosdb_model import Account, Container, Database
from tests.stack.cosmosdb_world import RETENTION, short

ACCOUNTS = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.DocumentDB/databaseAccounts"
ACCOUNT = ACCOUNTS + "/{account}"
ACTION = "Microsoft.DocumentDB/databaseAccounts"
#: by the name without spaces, in lower case
REGIONS = {short(name): name for name in ("West US", "East US", "East US 2", "Japan East", "Japan West", "West Europe")}


def region(name: str) -> str:
    """As Azure displays it."""
    wanted = short(name)
    if wanted not in REGIONS:
        raise bad(f"The location '{name}' is not available for Azure Cosmos DB")
    return REGIONS[wanted]


def bad(message: str, status: int = 400, code: str = "BadRequest") -> RefusedError:
    """As Cosmos DB's resource provider words it."""
    return RefusedError(status, code, f"{message}\r\nActivityId: {uuid.uuid4()}, Microsoft.Azure.Documents.Common/2.14.0", bare=True)


def not_found() -> RefusedError:
    return bad('Message: {"Errors":["Resource Not Found. Learn more: https://aka.ms/cosmosdb-tsg-not-found"]}', 404, "NotFound")


@dataclass
class Cosmos:
    """Those that were deleted included."""

    service: ArmService
    accounts: list[Account] = field(default_factory=list)

    @property
    def now(self) -> float:
        return self.service.world.instant

    @property
    def settings(self) -> Any:
        return self.service.world.settings

    def find(self, name: str) -> Account | None:
        return next((each for each in self.accounts if each.name == name.lower() and each.gone is None), None)

    def account(self, group: str, account: str) -> Account:
        found = self.find(account)
        if found is None or found.group.lower() != group.lower():
            message = (
                f"The Resource 'Microsoft.DocumentDB/databaseAccounts/{account}' under resource group '{group}' was not found. "
                "For more details please go to https://aka.ms/ARMResourceNotFoundFix"
            )
            raise RefusedError(404, "ResourceNotFound", message)
        return found

    def settled(self, group: str, account: str) -> Account:
        """One that can be changed."""
        found = self.account(group, account)
        if found.state not in ("Succeeded", "Failed"):
            raise self.busy(account)
        return found

    @staticmethod
    def busy(account: str) -> RefusedError:
        message = f"There is already an operation in progress which requires exclusive lock on this service {account}. Please retry the operation later."
        return bad(message, 412, "PreconditionFailed")

    def database(self, group: str, account: str, database: str) -> Database:
        found = self.usable(self.account(group, account)).database(database)
        if found is None:
            raise not_found()
        return found

    def container(self, group: str, account: str, database: str, container: str) -> Container:
        found = self.database(group, account, database).container(container)
        if found is None:
            raise not_found()
        return found

    def usable(self, account: Account) -> Account:
        """What lies in an account cannot be reached while it is being made."""
        if account.state == "Creating":
            raise bad(f"Database account {account.name} is being created. Please retry the operation later.", 404, "NotFound")
        return account

    def oldest(self, account: Account) -> float:
        """To which it can be restored."""
        assert account.continuous_since is not None
        return max(account.continuous_since, self.now - RETENTION[account.tier])

    def latest(self, container: Container) -> float:
        """Up to which it has been backed up: it lags, and may stand still."""
        name = f"{container.database.name}/{container.name}"
        stands = self.settings.backed_up.get(name, self.settings.backed_up.get("*"))
        return float(min(self.now - self.settings.lag, stands if stands is not None else self.now))

    def accept(
        self, request: Request, seconds: float, location: str, work: Callable[[], Any], *, undo: Callable[[], Any] = lambda: None,
        status: int = 202, content: Any = None, only_location: bool = False,
    ) -> Answer:  # fmt: skip
        """Begin an operation, and answer where to look at it."""
        operations = self.service.operations
        begun = operations.start(self.now + seconds, work, undo, self.service.failing)
        version = request.query["api-version"]
        links = operations.headers(begun, request.base, short(location), request.path, version, only_location=only_location)
        return answer(status, content if content is not None else {"status": "Enqueued"}, links)

    @staticmethod
    def path_of(account: Account) -> str:
        group = ACCOUNTS.format(subscription=Azure.SUBSCRIPTION, group=account.group)
        return f"{group}/{account.name}"
