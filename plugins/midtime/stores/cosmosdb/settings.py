"""What a restore of an account loses, as it was when it was marked; and, in words, what of it is different now.

ARM's own words are kept as they are: whoever puts a setting back hands them over again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midtime.model.restore_point import Instant, Record
from midtime.stores.azure.spoken import leaves, short
from midtime.stores.marks import Mark, Spoken


class Throughput(Record):
    """Of a container or a database. None where it has none of its own: it is shared, or the account is serverless."""

    units: int
    """A second; with autoscaling the most."""
    autoscale: bool = False

    def __str__(self) -> str:
        return f"{self.units} RU/s" + (", autoscaled" if self.autoscale else "")


class ContainerSettings(Record):
    """One container."""

    database: str
    name: str
    rid: str
    """Its ``_rid``: another one means that it was made anew."""
    changed_at: Instant
    """When it was made, or its definition changed."""
    resource: dict[str, Any]
    """Partition key, indexing policy, TTL, unique keys, conflict resolution and the like, as ``properties.resource`` has them."""
    throughput: Throughput | None = None
    procedures: dict[str, str] = {}
    """Stored procedures: their bodies by name."""
    triggers: tuple[dict[str, Any], ...] = ()
    functions: dict[str, str] = {}

    @property
    def full_name(self) -> str:
        """``database/name``."""
        return f"{self.database}/{self.name}"


class DatabaseSettings(Record):
    """One database, a namespace of ScalarDB's."""

    name: str
    rid: str
    throughput: Throughput | None = None
    """Shared by those of its containers that have none of their own."""


class AccountSettings(Record):
    """The account itself."""

    arm_id: str
    location: str
    """As ``location`` has it: where ARM keeps it."""
    properties: dict[str, Any]
    """Those of ARM's ``properties`` that somebody chose: consistency, regions, network, backup policy and the like."""
    tags: dict[str, str] = {}
    identity: dict[str, Any] | None = None
    roles: tuple[dict[str, Any], ...] = ()
    """Roles for data that somebody defined; Azure's own are everywhere."""
    assignments: tuple[dict[str, Any], ...] = ()
    """Who has which role, and for what."""


class MarkedAccount(Mark):
    """The artifact: the account and its containers at the mark."""

    subscription: str
    resource_group: str
    account: str
    instance: str
    """The account's ``instanceId``: an account of that name that was made anew has another one."""
    source: str
    """ARM's id of the restorable account, from which a restore is made."""
    region: str
    """Where it is written, and what is restored from."""
    days: int
    """For which the service kept its history: 7 or 30."""
    settings: AccountSettings
    databases: tuple[DatabaseSettings, ...]
    containers: tuple[ContainerSettings, ...]

    def container(self, full_name: str) -> ContainerSettings:
        """One of them.

        :raises KeyError: it was not marked
        """
        for each in self.containers:
            if each.full_name == full_name:
                return each
        raise KeyError(full_name)

    def database(self, name: str) -> DatabaseSettings:
        """One of them.

        :raises KeyError: it was not marked
        """
        for each in self.databases:
            if each.name == name:
                return each
        raise KeyError(name)


def spoken_container(container: ContainerSettings) -> Spoken:
    """Names and ids aside."""
    yield from leaves("", container.resource)
    if container.throughput:
        yield "throughput", str(container.throughput)
    for name, body in sorted(container.procedures.items()):
        yield f"stored procedure {name}", short(body)
    for trigger in sorted(container.triggers, key=lambda each: str(each.get("id"))):
        yield f"trigger {trigger.get('id')}", short(trigger)
    for name, body in sorted(container.functions.items()):
        yield f"function {name}", short(body)


def spoken_account(account: AccountSettings) -> Spoken:
    """Names and ids aside, for a copy has others; so have the scopes of roles."""
    yield from leaves("", account.properties)
    for tag, value in sorted(account.tags.items()):
        yield f"tag {tag}", repr(value)
    for role in sorted(account.roles, key=lambda each: str(each.get("roleName"))):
        yield f"role {role.get('roleName')}", short(role.get("permissions"))
    for principal in sorted({str(each.get("principalId")) for each in account.assignments}):
        yield f"role of {principal}", "; ".join(sorted(_role(each) for each in account.assignments if each.get("principalId") == principal))


def _role(assignment: Mapping[str, Any]) -> str:
    return f"{str(assignment.get('roleDefinitionId')).rpartition('/')[2]} for {_place(assignment.get('scope'))}"


def _place(scope: object) -> str:
    """Of a role's scope what stands behind the account."""
    _, _, below = str(scope).partition("/databaseAccounts/")
    return "/".join(below.split("/")[1:]) or "the account"
