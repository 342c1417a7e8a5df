"""What a restore of a server loses, as changes that put it back.

Who may reach it is vital; the rest is said and left if the service refuses it: a smaller drill's server does not take each parameter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from midtime.stores.azure.putting import Change
from midtime.stores.azure_database.azure import Azure
from midtime.stores.azure_database.control import body
from midtime.stores.azure_database.describing import SET_BY_PEOPLE
from midtime.stores.azure_database.notes import Copy
from midtime.stores.azure_database.settings import ServerSettings
from midtime.stores.azure_database.standing import Standing
from midtime.stores.naming import COPY_TAG

KEPT = {"backup": ("backupRetentionDays",), "maintenanceWindow": ("customWindow", "startHour", "startMinute", "dayOfWeek")}
"""What of a server's properties is put back in one go."""
AVAILABILITY = "highAvailability"
OFF = "Disabled"


def rule_changes(azure: Azure, note: Copy, now: ServerSettings) -> Iterator[Change]:
    """The firewall as marked, no more open than that: surplus rules go first."""
    rules, where = azure.arm.firewall_rules, (note.resource_group, note.server)
    for name in now.rules.keys() - note.marked.settings.rules.keys():
        yield Change(f"removal of firewall rule {name}", rules.begin_delete, (*where, name), vital=True)
    for name, addresses in note.marked.settings.rules.items():
        if now.rules.get(name) != addresses:
            wanted = {"properties": dict(zip(("startIpAddress", "endIpAddress"), addresses, strict=True))}
            yield Change(f"firewall rule {name}", rules.begin_create_or_update, (*where, name, body(wanted)), vital=True)


def network_changes(azure: Azure, note: Copy, now: ServerSettings) -> Iterator[Change]:
    """Whether it is open to the world at all; a virtual network came with the restore."""
    wanted, found = (each.properties.get("network") or {} for each in (note.marked.settings, now))
    access = wanted.get("publicNetworkAccess")
    if access and not wanted.get("delegatedSubnetResourceId") and found.get("publicNetworkAccess") != access:
        yield _update(azure, note, "public network access", {"network": {"publicNetworkAccess": access}}, vital=True)


def parameter_changes(azure: Azure, note: Copy, now: ServerSettings) -> Iterator[Change]:
    """Server parameters that somebody had set, extensions that are allowed among them; then the restart that some of them wait for."""
    where, update = (note.resource_group, note.server), azure.arm.configurations.begin_update
    for name, value in note.marked.settings.parameters.items():
        if now.parameters.get(name) != value:
            wanted = {"properties": {"value": value, "source": SET_BY_PEOPLE}}
            yield Change(f"parameter {name}", update, (*where, name, body(wanted)))


def restart_changes(azure: Azure, note: Copy, now: ServerSettings) -> Iterator[Change]:
    """Once all others are made."""
    if now.pending:
        arguments = (note.resource_group, note.server, body({}))
        yield Change(f"restart for {', '.join(now.pending)}", azure.arm.servers.begin_restart, arguments)


def server_changes(azure: Azure, note: Copy, now: ServerSettings) -> Iterator[Change]:
    """For how long backups are kept, and when it is maintained."""
    different = {}
    for key, chosen in KEPT.items():
        wanted, found = (each.properties.get(key) or {} for each in (note.marked.settings, now))
        if any(wanted.get(each) != found.get(each) for each in chosen if each in wanted):
            different[key] = {each: wanted[each] for each in chosen if each in wanted}
    if different:
        yield _update(azure, note, " and ".join(sorted(different)), different)


def availability_changes(azure: Azure, note: Copy, now: ServerSettings) -> Iterator[Change]:
    """A standby, which doubles what the server costs: only once it is placed."""
    wanted, found = (each.properties.get(AVAILABILITY) or {} for each in (note.marked.settings, now))
    if wanted.get("mode", OFF) != found.get("mode", OFF):
        chosen = {key: wanted[key] for key in ("mode", "standbyAvailabilityZone") if key in wanted}
        yield _update(azure, note, "high availability", {AVAILABILITY: chosen or {"mode": OFF}})


def tag_changes(azure: Azure, note: Copy, found: Standing, owner: str) -> Iterator[Change]:
    """Whose it is."""
    if found.owner != owner:
        arguments = (note.resource_group, note.server, body({"tags": {**found.tags, COPY_TAG: owner}}))
        yield Change("tag of the server", azure.arm.servers.begin_update, arguments, vital=True)


def _update(azure: Azure, note: Copy, what: str, properties: Mapping[str, Any], *, vital: bool = False) -> Change:
    arguments = (note.resource_group, note.server, body({"properties": dict(properties)}))
    return Change(f"{what} of the server", azure.arm.servers.begin_update, arguments, vital=vital)
