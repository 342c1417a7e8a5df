"""The rights that a backup of a server needs, and those of a restore."""

from __future__ import annotations

from collections.abc import Sequence

from midtime.stores.azure import rights
from midtime.stores.azure_database.azure import Azure

PAGE = "azure-database.md"
TO_MARK = ("read", "firewallRules/read", "configurations/read", "administrators/read")
"""Below the servers."""
TO_RESTORE = (*TO_MARK, "write", "delete", "restart/action", "firewallRules/write", "firewallRules/delete", "configurations/write")


def require_rights(azure: Azure, scope: str, actions: Sequence[str], *, what: str) -> str:
    """Whether the login may do this there.

    :param scope: ARM's id of a server or of a resource group
    :raises StoreAccessError: it may not
    """
    return rights.require_rights(azure, scope, [f"{azure.control.type}/{action}" for action in actions], what=what, page=PAGE)


def group_id(azure: Azure, group: str) -> str:
    """ARM's id of a resource group."""
    return f"/subscriptions/{azure.spec.subscription_id}/resourceGroups/{group}"
