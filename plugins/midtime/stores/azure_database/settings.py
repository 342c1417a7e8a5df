"""What a restore of a server loses, as it was when it was marked; and, in words, what of it is different now. ARM's own words are kept."""

from __future__ import annotations

from typing import Any

from midtime.model.restore_point import Instant, Record
from midtime.stores.azure.spoken import leaves, short
from midtime.stores.azure.standing import OWN_TAGS
from midtime.stores.marks import Mark, Spoken


class ServerSettings(Record):
    """One server."""

    sku: dict[str, Any]
    properties: dict[str, Any]
    """Those of ARM's ``properties`` that somebody chose: storage, backup, network, high availability, maintenance window and the like."""
    tags: dict[str, str] = {}
    identity: dict[str, Any] | None = None
    rules: dict[str, tuple[str, str]] = {}
    """Firewall rules: first and last address by name."""
    parameters: dict[str, str] = {}
    """Server parameters that somebody set, extensions that are allowed among them."""
    pending: tuple[str, ...] = ()
    """Parameters that wait for a restart."""
    administrators: tuple[str, ...] = ()
    """Entra's."""


class MarkedServer(Mark):
    """The artifact: the server at the mark."""

    subscription: str
    resource_group: str
    server: str
    arm_id: str
    created_at: Instant | None
    """A server of that name that was made anew has another one."""
    address: str
    location: str
    runs: str
    """The version of the database."""
    days: int
    """For which the service kept its backups."""
    earliest: Instant
    database: str = ""
    """PostgreSQL's, in which the namespaces are."""
    settings: ServerSettings


def spoken(settings: ServerSettings, *, left_out: frozenset[str] = frozenset()) -> Spoken:
    """Names and ids aside.

    :param left_out: what need not be as it was
    """
    said: dict[str, Any] = {"sku": settings.sku, **settings.properties, "identity": _identities(settings)}
    yield from leaves("", {key: value for key, value in said.items() if key not in left_out})
    for tag, value in sorted(settings.tags.items()):
        if not tag.startswith(OWN_TAGS):
            yield f"tag {tag}", repr(value)
    for rule, addresses in sorted(settings.rules.items()):
        yield f"firewall rule {rule}", " to ".join(addresses)
    for name, value in sorted(settings.parameters.items()):
        yield f"parameter {name}", short(value)
    for name in settings.administrators:
        yield f"administrator {name}", "there"


def _identities(settings: ServerSettings) -> list[str]:
    return sorted((settings.identity or {}).get("userAssignedIdentities") or {})
