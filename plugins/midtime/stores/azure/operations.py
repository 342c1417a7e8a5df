"""Long-running operations of ARM, begun by one process and looked at by any: what they are asked for, how far they are, why they failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError
from azure.core.rest import HttpRequest

from midtime.errors import StoreError, StoreUnreachableError
from midtime.stores.azure.clients import Clients
from midtime.stores.azure.notes import Operation
from midtime.stores.azure.refusals import azure_errors, said_by, status_of

LATER = frozenset({408, 409, 410, 412, 423, 429, 449})
"""What is no failure: another operation holds the resource, or the service is busy. The next look tells what came of it."""
_LINKS = ("Azure-AsyncOperation", "Operation-Location", "Location")
_OVER = frozenset({"succeeded", "failed", "canceled", "cancelled"})


@dataclass(frozen=True, slots=True)
class Look:
    """How far an operation is."""

    running: bool = False
    failed: str = ""
    """The service's own words."""


def begin(azure: Clients, what: str, call: Callable[..., Any], *arguments: Any) -> tuple[Operation | None, str]:
    """Ask for something, and do not wait for it.

    :param call: a ``begin_…`` of the SDK
    :return: the operation; or why the service does not take it now
    :raises StoreError: it refuses us
    """
    links: list[str] = []

    def remember(response: Any) -> None:
        headers = response.http_response.headers
        links.extend(headers[name] for name in _LINKS if headers.get(name))

    try:
        with azure_errors(azure.store):
            call(*arguments, polling=False, raw_response_hook=remember, retry_total=0)  # a second one would be refused for the first
    except StoreError as error:
        if isinstance(error, StoreUnreachableError) or later(error):
            return None, error.message
        raise
    return Operation(what=what, path=_path(links[0]) if links else ""), ""


def later(error: StoreError) -> bool:
    """Whether the service may take at another time what it has refused."""
    cause = error.__cause__
    return isinstance(cause, AzureError) and (status_of(cause) in LATER or status_of(cause) >= 500)


def look(azure: Clients, operation: Operation) -> Look:
    """One question. What the service has forgotten, or does not tell, is over: what it was about says what came of it."""
    if not operation.path:
        return Look()
    with azure_errors(azure.store):
        response = azure.arm.send_request(HttpRequest("GET", _path(operation.path)))
        if response.status_code == 404:
            return Look()
        if response.status_code == 202:
            return Look(running=True)
        try:
            response.raise_for_status()
        except AzureError as error:
            if status_of(error) in LATER or status_of(error) in (401, 403) or status_of(error) >= 500:
                raise
            return Look(failed=said_by(error))
    return _look(response.json() if response.content else {})


def _look(body: Any) -> Look:
    status = str(body.get("status") or "succeeded") if isinstance(body, dict) else "succeeded"
    if status.lower() not in _OVER:
        return Look(running=True)
    if status.lower() == "succeeded":
        return Look()
    error = body.get("error") or {}
    return Look(failed=" ".join(f"{error.get('code', status)}: {error.get('message', 'no reason given')}".split()))


def _path(url: str) -> str:
    """Without the host: a note must not be able to send a token elsewhere."""
    parts = urlsplit(url)
    path = "/" + parts.path.lstrip("/")
    return f"{path}?{parts.query}" if parts.query else path
