"""Microsoft's sign-in: client secrets and managed identities become tokens, which end."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from tests.stack.azure_arm_routes import Request, Routes
from tests.stack.azure_arm_world import ArmWorld, RefusedError, answer
from tests.stack.cloud_server import Answer

CLOUD = {"tenant_region_scope": "EU", "cloud_instance_name": "microsoftonline.com", "msgraph_host": "graph.microsoft.com"}


@dataclass
class Token:
    """Ends by the machine's clock, by which its holder keeps it."""

    principal: str
    scope: str
    ends_at: float


class Login:
    """Tokens of one tenant, for one client and its managed identity; both are the same principal."""

    def __init__(self, world: ArmWorld, tenant: str, client: str, secret: str, principal: str) -> None:
        self._world, self._tenant, self._client, self._secret, self.principal = world, tenant, client, secret, principal
        self._tokens: dict[str, Token] = {}
        self.routes = Routes()
        self.routes.add("GET", "/{tenant}/v2.0/.well-known/openid-configuration", "OpenIdConfiguration", self.configuration)
        self.routes.add("GET", "/common/discovery/instance", "InstanceDiscovery", self.discovery)
        self.routes.add("POST", "/{tenant}/oauth2/v2.0/token", "Token", self.token)
        self.routes.add("GET", "/msi/token", "Token", self.identity)

    def configuration(self, request: Request, tenant: str) -> Answer:
        base = f"{request.base}/{tenant}"
        return answer(200, {
            "token_endpoint": f"{base}/oauth2/v2.0/token", "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode", "issuer": f"{base}/v2.0", **CLOUD,
        })  # fmt: skip

    def discovery(self, request: Request) -> Answer:
        return answer(
            200, {"tenant_discovery_endpoint": f"{request.base}/{self._tenant}/v2.0/.well-known/openid-configuration", "metadata": []}
        )

    def token(self, request: Request, tenant: str) -> Answer:
        form = dict(parse_qsl(request.body.decode()))
        if tenant != self._tenant:
            raise _refused("invalid_request", 90002, f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID.")
        if form.get("client_id") != self._client:
            raise _refused(
                "unauthorized_client", 700016, f"Application with identifier '{form.get('client_id')}' was not found in the directory."
            )
        if form.get("client_secret") != self._secret:
            raise _refused("invalid_client", 7000215, "Invalid client secret provided.", status=401)
        life = self._world.settings.token_life
        return answer(200, {"token_type": "Bearer", "expires_in": int(life), "access_token": self._new(form.get("scope", ""), life)})

    def identity(self, request: Request) -> Answer:
        """As App Service's: a header stands for the secret."""
        if request.header("X-IDENTITY-HEADER") != self._secret:
            raise RefusedError(401, "Unauthorized", "The identity header is wrong")
        life = self._world.settings.token_life
        token = self._new(request.query.get("resource", ""), life)
        return answer(200, {"token_type": "Bearer", "expires_on": str(int(time.time() + life)), "access_token": token})

    def _new(self, scope: str, life: float) -> str:
        name = f"token-{secrets.token_hex(12)}"
        self._tokens[name] = Token(self.principal, scope, time.time() + life)
        return name

    def principal_of(self, name: str) -> str | None:
        """Of a token that is good."""
        token = self._tokens.get(name)
        return token.principal if token and time.time() < token.ends_at else None

    def require(self, request: Request) -> str:
        """Whose token an ARM request carries."""
        kind, _, name = request.header("Authorization").partition(" ")
        principal = self.principal_of(name) if kind == "Bearer" else None
        if principal is None:
            raise expired()
        return principal


def expired() -> RefusedError:
    challenge = (
        'Bearer authorization_uri="https://login.microsoftonline.com/", error="invalid_token", error_description="The token is expired"'
    )
    message = "The access token has expired, is missing, or was not issued by the subscription's tenant."
    return RefusedError(401, "ExpiredAuthenticationToken", message, headers={"WWW-Authenticate": challenge})


class SignInRefusedError(RefusedError):
    """Worded by OAuth 2.0, not by ARM."""

    @property
    def body(self) -> dict[str, Any]:
        return json.loads(self.message)  # type: ignore[no-any-return]


def _refused(error: str, number: int, message: str, status: int = 400) -> RefusedError:
    content = {"error": error, "error_description": f"AADSTS{number}: {message}", "error_codes": [number]}
    return SignInRefusedError(status, error, json.dumps(content))
