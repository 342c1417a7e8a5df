"""Who may do what on the data plane: keys, tokens, the firewall; and how it words its refusals."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
from urllib.parse import unquote

from tests.stack.azure_arm_routes import Request
from tests.stack.azure_arm_world import RefusedError
from tests.stack.cosmosdb_model import Account
from tests.stack.cosmosdb_state import Cosmos

CLIENT = "127.0.0.1"
WRITES = {"PUT", "POST", "DELETE", "PATCH"}


def refused(status: int, code: str, message: str, substatus: int = 0, **headers: str) -> RefusedError:
    """As Cosmos DB words it; ``substatus`` tells apart what has the same status."""
    own = {"x-ms-substatus": str(substatus), "x-ms-request-charge": "1", "x-ms-gatewayversion": "version=2.14.0"}
    named = {f"x-ms-{name.replace('_', '-')}": value for name, value in headers.items()}
    return RefusedError(status, code, f"{message}\r\n, Microsoft.Azure.Documents.Common/2.14.0", bare=True, headers=own | named)


def fault(kind: str, retry_after: float | None) -> RefusedError | None:
    """Of those that a test wants."""
    wait = str(int((retry_after or 0.0) * 1000))
    busy = 'Message: {"Errors":["Request rate is large. More Request Units may be needed, so no changes were made."]}'
    known = {
        "throttling": lambda: refused(429, "429", busy, 3200, retry_after_ms=wait),
        "error": lambda: refused(500, "InternalServerError", "Unknown server error occurred when processing this request."),
        "unavailable": lambda: refused(503, "ServiceUnavailable", "The service is temporarily unavailable."),
        "timeout": lambda: refused(408, "RequestTimeout", "The request did not complete within the allotted time."),
        "denied": lambda: _unprivileged("6b1f3c0e", "as a test wants it"),
        "expired": lambda: refused(401, "Unauthorized", "The token has expired, as a test wants it."),
        "conflict": lambda: refused(409, "Conflict", "Entity with the specified id already exists in the system."),
        "gone": lambda: refused(410, "Gone", "The requested resource is no longer available at the server.", 1002),
    }
    return known[kind]() if kind in known else None


def _unprivileged(principal: str, action: str) -> RefusedError:
    message = f"Request blocked by Auth: principal [{principal}] does not have required RBAC permissions to perform action [{action}]"
    return refused(403, "Forbidden", f"{message} on resource [/].", 5302)


def require_entry(cosmos: Cosmos, account: Account, request: Request, operation: str, *, reads: bool) -> None:
    """Raise what the service would answer."""
    _require_network(account)
    kind, sign = _authorization(request)
    if kind == "aad":
        principal = cosmos.service.login.principal_of(sign)
        if principal is None:
            raise refused(401, "Unauthorized", "The input authorization token can't serve the request. The token is expired or unknown.")
        if operation != "ReadAccount" and principal not in _principals(account):
            raise _unprivileged(
                principal, f"Microsoft.DocumentDB/databaseAccounts/{'readMetadata' if reads else 'sqlDatabases/containers/items/*'}"
            )
        return
    if account.properties["disableLocalAuth"]:
        raise refused(401, "Unauthorized", "Local Authorization is disabled. Use an AAD token to authorize all requests.")
    used = next((name for name, key in account.keys.items() if sign in _signatures(request, key)), None)
    if used is None:
        message = "The input authorization token can't serve the request. The wrong key is being used or the expected payload is not built as per the protocol."
        raise refused(401, "Unauthorized", message)
    if "Readonly" in used and not reads:
        raise refused(403, "Forbidden", "The given request cannot be executed with a read-only key.", 5300)


def _principals(account: Account) -> set[str]:
    return {str(each["properties"].get("principalId")) for each in account.role_assignments.values()}


def _require_network(account: Account) -> None:
    rules = [str(each.get("ipAddressOrRange")) for each in account.properties["ipRules"]]
    inside = any(ipaddress.ip_address(CLIENT) in ipaddress.ip_network(rule, strict=False) for rule in rules)
    if account.properties["publicNetworkAccess"] == "Disabled" or (rules and not inside):
        message = (
            f"Request originated from IP {CLIENT} through public internet. This is blocked by your Cosmos DB account firewall settings."
        )
        raise refused(403, "Forbidden", message)


def _authorization(request: Request) -> tuple[str, str]:
    sent = unquote(request.header("authorization"))
    kind, _, rest = sent.removeprefix("type=").partition("&ver=1.0&sig=")
    if not rest:
        raise refused(401, "Unauthorized", "Required Header authorization is missing. Ensure a valid Authorization token is passed.")
    return kind, rest


def _signatures(request: Request, key: str) -> list[str]:
    """Over the verb, the kind of resource, its names or its id, and the date, as the REST reference says."""
    parts = [part for part in request.path.split("/") if part]
    kind, link = (parts[-1], parts[:-1]) if len(parts) % 2 else (parts[-2] if parts else "", parts)
    date = f"{request.header('x-ms-date').lower()}\n{request.header('date').lower()}\n"
    texts = [f"{request.method.lower()}\n{kind.lower()}\n{named}\n{date}" for named in ("/".join(link), "".join(link[-1:]).lower())]
    secret = base64.b64decode(key)
    return [base64.b64encode(hmac.new(secret, text.encode(), hashlib.sha256).digest()).decode() for text in texts]
