"""The copy against the mark: what is left for people to put back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from midtime.stores.marks import differences
from midtime.stores.rds.clients import RdsClients
from midtime.stores.rds.notes import Copy
from midtime.stores.rds.reading import read_members
from midtime.stores.rds.servers import Server, flavour_of
from midtime.stores.rds.settings import own_tags, roles_of, settings_of, spoken
from midtime.stores.rds.targets import member_name
from midtime.stores.rds.wanted import members_of

_PROTECTION = "DeletionProtection"


def setting_differences(aws: RdsClients, note: Copy, found: Server, *, placed: bool) -> Iterator[str]:
    """One sentence each, with the value to be put back; nothing of a drill, which goes again.

    :param placed: its protection against deletion is back
    """
    if note.drill:
        return
    marked, what = note.marked, f"{flavour_of(aws.spec).noun} {note.name}"
    now = spoken(_told(settings_of(found.said), placed), own_tags(found.tags), roles_of(found.said))
    yield from differences(what, spoken(_told(marked.settings, placed), marked.tags, marked.roles), now)
    made = {each.name: each for each in read_members(aws, found)}
    for number, was in enumerate(members_of(note), 1):
        name = member_name(note.name, number)
        if name in made:
            yield from differences(f"instance {name}", spoken(was.settings, was.tags), spoken(made[name].settings, made[name].tags))
        else:
            yield f"{what}: its instance {name} ({was.settings.get('DBInstanceClass')}) is gone"
    for endpoint in marked.endpoints:
        yield f"{what}: custom endpoint {endpoint.get('DBClusterEndpointIdentifier')} is not there: it was {_kind(endpoint)}"


def _told(settings: Mapping[str, Any], placed: bool) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if placed or key != _PROTECTION}


def _kind(endpoint: Mapping[str, Any]) -> str:
    members = f" of {', '.join(endpoint['StaticMembers'])}" if endpoint.get("StaticMembers") else ""
    others = f" without {', '.join(endpoint['ExcludedMembers'])}" if endpoint.get("ExcludedMembers") else ""
    return f"{endpoint.get('CustomEndpointType', 'ANY')}{members}{others}"
