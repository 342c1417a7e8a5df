"""One flexible server: what ARM says of it, and whether it can be restored to an instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from midtime.model.instants import to_rfc3339
from midtime.stores.azure.refusals import azure_errors, code_of
from midtime.stores.azure_database.azure import Azure

READY = "Ready"
ELSEWHERE = frozenset({"SubscriptionNotFound", "ResourceGroupNotFound", "InvalidSubscriptionId"})
"""What is no answer about a server."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is there."""

    arm_id: str
    created_at: datetime | None
    """Another one tells a server that was made anew under its name; None where ARM does not say."""
    state: str
    address: str
    location: str
    version: str
    days: int
    """For which backups are kept."""
    earliest: datetime | None
    """Nothing before it can be restored; None while there is no backup yet."""
    said: dict[str, Any] = field(default_factory=dict, compare=False)
    """All that ARM said."""

    def unfit(self, instant: datetime, *, created_at: datetime | None = None) -> str:
        """Why it can never be restored to an instant; empty where it can, by now or later.

        :param created_at: of the server that was marked
        """
        if created_at and self.created_at and created_at != self.created_at:
            return f"is another server of that name, made at {to_rfc3339(self.created_at)}"
        if self.earliest is None:
            return "has no backup yet"
        if self.earliest > instant:
            return f"has backups since {to_rfc3339(self.earliest)} only, behind {to_rfc3339(instant)}"
        return ""


def read_server(azure: Azure) -> Server | None:
    """The store's server, if it is there."""
    found = said_of(azure, *azure.where)
    return _server(found) if found else None


def said_of(azure: Azure, group: str, name: str) -> dict[str, Any]:
    """All that ARM says of a server; nothing where there is none."""
    with azure_errors(azure.store):
        try:
            return azure.control.server(azure.arm, group, name)
        except ResourceNotFoundError as error:
            if code_of(error) in ELSEWHERE:
                raise
            return {}


def reason(server: Server | None, instant: datetime, *, created_at: datetime | None = None) -> str:
    """Why the store's server can never be restored to an instant; empty where it can."""
    return server.unfit(instant, created_at=created_at) if server else "was deleted"


def moment(said: object) -> datetime | None:
    """As ARM words its times: with up to seven digits of a second."""
    try:
        return datetime.fromisoformat(str(said)) if said else None
    except ValueError:
        return None


def _server(said: Mapping[str, Any]) -> Server:
    properties = said.get("properties") or {}
    backup = properties.get("backup") or {}
    return Server(
        arm_id=said["id"],
        created_at=moment((said.get("systemData") or {}).get("createdAt")),
        state=properties.get("state", ""),
        address=properties.get("fullyQualifiedDomainName", ""),
        location=said.get("location", ""),
        version=properties.get("version", ""),
        days=int(backup.get("backupRetentionDays") or 7),
        earliest=moment(backup.get("earliestRestoreDate")),
        said=dict(said),
    )
