"""What the login of the control plane may do, as far as Azure tells: all that a backup needs is looked up before anything is paused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from midtime.errors import StoreAccessError
from midtime.stores.azure.clients import FOUND, Clients

_PERMISSIONS = "2022-04-01"


def require_rights(azure: Clients, arm_id: str, actions: Sequence[str], *, what: str, page: str) -> str:
    """Whether the login may do this there.

    :param arm_id: a resource's, or a resource group's
    :param what: needs these rights
    :param page: in docs/ lists them
    :return: for the preflight
    :raises StoreAccessError: it may not
    """
    if (allowed := _permissions(azure, arm_id)) is None:
        return "yes, as far as was tried; the login may not list its own rights"
    if missing := [action for action in actions if not may(action, allowed)]:
        raise StoreAccessError(
            f"store {azure.store}: the login of {azure.conn_id} may not {', '.join(missing)}",
            fix=f"give it the rights of docs/{page}",
        )
    return f"the login has every right that a {what} needs"


def may(action: str, permissions: Iterable[Mapping[str, Any]]) -> bool:
    """Whether one of the roles allows an action and does not except it again."""
    return any(_named(action, each.get("actions") or ()) and not _named(action, each.get("notActions") or ()) for each in permissions)


def _named(action: str, patterns: Iterable[str]) -> bool:
    """``*`` stands for anything, slashes too; case does not matter."""
    return any(re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), action, re.IGNORECASE) for pattern in patterns)


def _permissions(azure: Clients, arm_id: str) -> list[dict[str, Any]] | None:
    """Of the login on the account; None where it may not ask."""
    status, body = azure.look_up(f"{arm_id}/providers/Microsoft.Authorization/permissions", _PERMISSIONS)
    return body["value"] if status == FOUND else None
