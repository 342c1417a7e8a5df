"""Azure with the resource providers of its flexible servers: Azure Database for PostgreSQL and for MySQL, without the databases themselves.

``python -m tests.stack.azure_database_server PORT CERTIFICATE KEY``, on 127.0.0.1 only; the tests' side door is that of ``cloud_server``.
"""

from __future__ import annotations

import sys

from tests.stack.azure_arm_permissions import add_permissions
from tests.stack.azure_arm_routes import Request, Routes
from tests.stack.azure_arm_server import ArmService, serve
from tests.stack.azure_arm_world import RefusedError, answer
from tests.stack.azure_database_model import KINDS, Flexible, new_world
from tests.stack.azure_database_parts import Parts
from tests.stack.azure_database_servers import Servers
from tests.stack.cloud_server import Answer

GROUP = "/subscriptions/{subscription}/resourceGroups/{group}"
#: resources of other providers, of which is only known whether they are there
OTHERS = (
    "Microsoft.Network/virtualNetworks/{parent}/subnets/{name}",
    "Microsoft.Network/privateDnsZones/{name}",
    "Microsoft.ManagedIdentity/userAssignedIdentities/{name}",
)


class FlexibleServers:
    """The resource providers ``Microsoft.DBforPostgreSQL`` and ``Microsoft.DBforMySQL``."""

    hosts, data_operations = "nothing.invalid", set[str]()

    def __init__(self, service: ArmService) -> None:
        self._flexible, self.routes = Flexible(service), Routes()
        for kind in KINDS.values():
            group = kind.servers.partition("/providers/")[0]
            add_permissions(service.world, self.routes, group, kind.servers + "/{name}")
            Parts(self._flexible, self.routes, kind, Servers(self._flexible, self.routes, kind))
        for path in OTHERS:
            action = path.replace("/{parent}", "").replace("/{name}", "") + "/read"
            self.routes.add("GET", f"{GROUP}/providers/{path}", "Resources_Get", self.other, action)

    def other(self, request: Request, **_: str) -> Answer:
        """It is there, unless a test says otherwise."""
        if request.path in self._flexible.settings.gone:
            raise RefusedError(404, "ResourceNotFound", f"The Resource '{request.path}' was not found.")
        return answer(200, {"id": request.path})

    def data_route(self, request: Request) -> tuple[str, str]:
        return "", ""

    def data(self, request: Request, operation: str) -> Answer:
        raise RefusedError(501, "NotImplemented", "Databases are reached by their own protocols")

    def data_refusal(self, kind: str) -> RefusedError | None:
        return None

    def wipe(self) -> None:
        self._flexible.servers.clear()


def main() -> None:
    service = ArmService(new_world())
    service.provider = FlexibleServers(service)
    serve(service, int(sys.argv[1]), *sys.argv[2:4])


if __name__ == "__main__":
    main()
