"""Azure with one resource provider: Azure Cosmos DB for NoSQL, its Resource Manager side and its data.

``python -m tests.stack.cosmosdb_server PORT CERTIFICATE KEY``, on 127.0.0.1 only; the tests' side door is that of ``cloud_server``.
"""

from __future__ import annotations

import sys

from tests.stack.azure_arm_permissions import add_permissions
from tests.stack.azure_arm_routes import Request, Routes
from tests.stack.azure_arm_server import ArmService, serve
from tests.stack.azure_arm_world import RefusedError
from tests.stack.cloud_server import Answer
from tests.stack.cosmosdb_accounts import Accounts
from tests.stack.cosmosdb_data import HOSTS, Data
from tests.stack.cosmosdb_resources import Resources
from tests.stack.cosmosdb_restorables import Restorables
from tests.stack.cosmosdb_roles import Roles
from tests.stack.cosmosdb_state import ACCOUNT, Cosmos
from tests.stack.cosmosdb_world import DATA_OPERATIONS, new_world


class DocumentDB:
    """The resource provider ``Microsoft.DocumentDB``."""

    hosts, data_operations = HOSTS, DATA_OPERATIONS

    def __init__(self, service: ArmService) -> None:
        self._cosmos, self.routes = Cosmos(service), Routes()
        group = ACCOUNT.partition("/providers/")[0]
        add_permissions(service.world, self.routes, "/subscriptions/{subscription}", group, ACCOUNT)
        for part in (Accounts, Resources, Restorables, Roles):
            part(self._cosmos, self.routes)
        self._data = Data(self._cosmos)

    def data_route(self, request: Request) -> tuple[str, str]:
        return self._data.route(request)

    def data(self, request: Request, operation: str) -> Answer:
        return self._data.answer(request, operation)

    def data_refusal(self, kind: str) -> RefusedError | None:
        return self._data.refusal(kind)

    def wipe(self) -> None:
        self._cosmos.accounts.clear()


def main() -> None:
    service = ArmService(new_world())
    service.provider = DocumentDB(service)
    serve(service, int(sys.argv[1]), *sys.argv[2:4])


if __name__ == "__main__":
    main()
