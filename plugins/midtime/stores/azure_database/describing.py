"""Reading what a restore loses: four calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from azure.core.exceptions import HttpResponseError

from midtime.stores.azure.refusals import azure_errors, status_of
from midtime.stores.azure_database.azure import Azure
from midtime.stores.azure_database.control import Said
from midtime.stores.azure_database.settings import ServerSettings

CHOSEN = (
    "storage",
    "backup",
    "network",
    "highAvailability",
    "maintenanceWindow",
    "authConfig",
    "dataEncryption",
    "availabilityZone",
    "version",
)
"""What of a server somebody chose; the rest (state, address, roles in a replication) is the service's."""
_TOLD = frozenset({"earliestRestoreDate", "state", "primaryEncryptionKeyStatus", "geoBackupEncryptionKeyStatus", "storageSku"})
"""What of these the service tells by itself."""
SET_BY_PEOPLE = "user-override"


def describe(azure: Azure, said: Mapping[str, Any], group: str, name: str) -> ServerSettings:
    """A server with its firewall rules, its parameters and its administrators."""
    control, arm, properties = azure.control, azure.arm, said.get("properties") or {}
    with azure_errors(azure.store):
        parameters = control.parameters(arm, group, name)
        return ServerSettings(
            sku=said.get("sku") or {},
            properties={key: _chosen(properties[key]) for key in CHOSEN if properties.get(key) is not None},
            tags=said.get("tags") or {},
            identity=said.get("identity"),
            rules={each["name"]: _addresses(each) for each in _if_there(lambda: control.rules(arm, group, name))},
            parameters={each["name"]: _of(each, "value") for each in parameters if _set(each)},
            pending=tuple(each["name"] for each in parameters if _truly(_of(each, "isConfigPendingRestart"))),
            administrators=tuple(sorted(_administrator(each) for each in _if_there(lambda: control.entra(arm, group, name)))),
        )


def _if_there(call: Callable[[], list[Said]]) -> list[Said]:
    """A server in a virtual network has no firewall, and one without Entra no administrators in it: some are refused the question."""
    try:
        return call()
    except HttpResponseError as error:
        if status_of(error) in (400, 404, 405):
            return []
        raise


def _of(said: Said, key: str) -> str:
    value = (said.get("properties") or {}).get(key)
    return "" if value is None else str(value)


def _set(said: Said) -> bool:
    return _of(said, "source") == SET_BY_PEOPLE and not _truly(_of(said, "isReadOnly"))


def _truly(said: str) -> bool:
    """One service says it as a boolean, the other one as a word."""
    return said.lower() == "true"


def _addresses(said: Said) -> tuple[str, str]:
    return _of(said, "startIpAddress"), _of(said, "endIpAddress")


def _administrator(said: Said) -> str:
    return _of(said, "principalName") or _of(said, "login") or str(said.get("name"))


def _chosen(value: Any) -> Any:
    return {key: each for key, each in value.items() if key not in _TOLD} if isinstance(value, dict) else value
