"""What a restored server is made with and is no part of it: subnet, private DNS zone, identities, key. Asked for before the service is asked for it.

The key lies in a vault, to which the login of the control plane has no way: whether it can be used the marked server itself says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from midtime.errors import StoreAccessError
from midtime.stores.azure.clients import FORBIDDEN, FOUND
from midtime.stores.azure_database.azure import Azure
from midtime.stores.azure_database.servers import Server

NOTED = "needs"
"""Of a restore point's details."""
_KINDS = {
    "/subnets/": ("subnet", "2024-05-01"),
    "/privatednszones/": ("private DNS zone", "2024-06-01"),
    "/userassignedidentities/": ("identity", "2023-01-31"),
}
"""By what their ids have in them: what they are, and the version of their interface."""


def needs_of(properties: Mapping[str, Any], identity: Mapping[str, Any] | None, zone: str) -> list[str]:
    """ARM's ids, as a restore asks for them: identities where there is a key that they read.

    :param zone: what the service calls a network's private DNS zone
    """
    network = properties.get("network") or {}
    found = [network.get("delegatedSubnetResourceId"), network.get(zone)]
    if (properties.get("dataEncryption") or {}).get("primaryKeyURI"):
        found += sorted((identity or {}).get("userAssignedIdentities") or {})
    return [each for each in found if each]


def require_needs(azure: Azure, needs: Sequence[str], source: Server | None) -> str:
    """All of them are there, and the customer's key can be used.

    :param source: the marked server, as it is now
    :raises StoreAccessError: some are gone
    """
    properties: Mapping[str, Any] = (source.said.get("properties") or {}) if source else {}
    if (properties.get("dataEncryption") or {}).get("primaryEncryptionKeyStatus") == "Invalid":
        raise StoreAccessError(
            f"store {azure.store}: the customer's key of the marked server cannot be used",
            fix="enable the key, or recover it from its vault, and let the server's identity read it: nothing can be restored without it",
        )
    said = {each: _is_there(azure, each) for each in needs}
    if gone := [f"{_kind(each)[0]} {each}" for each, there in said.items() if there is False]:
        raise StoreAccessError(
            f"store {azure.store}: what a restored server is made with is gone: {', '.join(gone)}", fix="make it again under its old name"
        )
    return _told(said.items())


def _told(said: Iterable[tuple[str, bool | None]]) -> str:
    words = [f"{_kind(each)[0]} {each.rpartition('/')[2]}{'' if there else ' (may not be looked up)'}" for each, there in said]
    return ", ".join(words) or "nothing of its own"


def _kind(arm_id: str) -> tuple[str, str]:
    return next((kind for part, kind in _KINDS.items() if part in arm_id.lower()), ("resource", "2021-04-01"))


def _is_there(azure: Azure, arm_id: str) -> bool | None:
    """None where the login may not ask."""
    status, _ = azure.look_up(arm_id, _kind(arm_id)[1])
    return None if status == FORBIDDEN else status == FOUND
